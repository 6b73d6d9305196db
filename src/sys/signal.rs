//! Masks, dispositions, and signals received and sent.

use super::{Errno, check};
use crate::units::Micros;
use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};

/// The kernel's own signal set: bit n-1 is signal n. The C library's would leave its own out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSet(pub u64);

/// The size of the kernel's set in bytes, which it wants to be told.
pub(super) const SET_SIZE: usize = size_of::<u64>();

impl SignalSet {
    /// Every signal. The kernel leaves KILL and STOP out by itself.
    pub const ALL: Self = Self(!0);

    /// Those below the realtime signals: of each at most one is pending (signal(7)).
    pub const STANDARD: Self = Self((1 << 31) - 1);

    /// Those of which each instance is queued by itself.
    pub const REALTIME: Self = Self::ALL.without(Self::STANDARD);

    /// One signal, 1 to 64.
    #[must_use]
    pub const fn only(signal: c_int) -> Self {
        Self(1 << ((signal.wrapping_sub(1)) & 63))
    }

    /// This set less another.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Blocks every signal and returns the mask that was inherited.
#[must_use]
pub fn block_all() -> SignalSet {
    set_mask(SignalSet::ALL)
}

/// Makes `mask` the set of blocked signals and returns the one before.
pub fn set_mask(mask: SignalSet) -> SignalSet {
    let mut before = SignalSet(0);
    // SAFETY: both point to sets of the size given; with valid pointers the call cannot fail.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            c_long::from(libc::SIG_SETMASK),
            &raw const mask.0,
            &raw mut before.0,
            SET_SIZE,
        );
    }
    before
}

/// What a signal does where nothing handles it: the two that outlive an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// `SIG_DFL`
    Default,
    /// `SIG_IGN`
    Ignored,
}

/// The kernel's own structure for a disposition, of which only the handler matters here, and which
/// is no longer than this on any architecture (rt_sigaction(2)). The C library's call is for
/// handlers, and brings more code than all of ours for signals.
type Action = [libc::sighandler_t; 4];

/// The disposition of a signal. This program installs no handler, so there are only two.
#[must_use]
pub fn disposition(signal: c_int) -> Disposition {
    let mut action: Action = [libc::SIG_DFL; 4];
    // SAFETY: with no new action the call only writes the old one.
    unsafe {
        let none = null::<Action>();
        let (signal, action) = (c_long::from(signal), &raw mut action);
        libc::syscall(libc::SYS_rt_sigaction, signal, none, action, SET_SIZE);
    }
    let [handler, ..] = action;
    if handler == libc::SIG_IGN { Disposition::Ignored } else { Disposition::Default }
}

/// Sets the disposition of a signal.
pub fn set_disposition(signal: c_int, disposition: Disposition) {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignored => libc::SIG_IGN,
    };
    let action: Action = [handler, 0, 0, 0];
    // SAFETY: SIG_DFL and SIG_IGN run no code of ours; flags and mask are zero.
    unsafe {
        let none = null_mut::<Action>();
        let (signal, action) = (c_long::from(signal), &raw const action);
        libc::syscall(libc::SYS_rt_sigaction, signal, action, none, SET_SIZE);
    }
}

/// A signal that was taken from the queue, with all that the kernel said about it.
#[derive(Clone, Copy)]
pub struct Received(libc::siginfo_t);

impl Received {
    /// Its number, 1 to 64.
    #[must_use]
    pub fn signal(&self) -> c_int {
        self.0.si_signo
    }

    /// Who made it: `SI_USER` is kill(2), below zero are sigqueue(3) and its kin (sigaction(2)).
    #[must_use]
    pub fn code(&self) -> c_int {
        self.0.si_code
    }

    /// The sender's process id as this PID namespace sees it, 0 if it is outside.
    /// Meaningful only where a process sent it.
    #[must_use]
    pub fn sender(&self) -> i32 {
        // SAFETY: si_pid lies within the structure and any bits are an integer.
        unsafe { self.0.si_pid() }
    }
}

/// Waits for one of the blocked signals in `set`, at most for `time`. Nothing is returned
/// when the time is up, or earlier where we were stopped and continued meanwhile (signal(7)).
#[must_use]
pub fn wait_signal(set: SignalSet, time: Micros) -> Option<Received> {
    let timeout = timespec(time);
    let timeout = timeout.as_ref().map_or(null(), |timeout| &raw const *timeout);
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: all pointers are valid for the call, the set has the size given. The raw call is used
    // because the C library's takes its own set.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set.0,
            info.as_mut_ptr(),
            timeout,
            SET_SIZE,
        )
    };
    // SAFETY: on success the kernel has filled the structure, which was zero before.
    (result > 0).then(|| Received(unsafe { info.assume_init() }))
}

/// A time as the kernel takes it.
pub(super) fn timespec(time: Micros) -> Option<libc::timespec> {
    (time != NEVER).then_some(libc::timespec {
        tv_sec: (time / SECOND) as _,
        tv_nsec: (time % SECOND * 1000) as _,
    })
}

/// Takes one of the blocked signals in `set` from the queue, if there is one.
#[must_use]
pub fn pending_signal(set: SignalSet) -> Option<Received> {
    wait_signal(set, 0)
}

/// So many microseconds.
pub const SECOND: Micros = 1_000_000;
/// A time that does not come.
pub const NEVER: Micros = Micros::MAX;

/// How long it is until a time.
#[must_use]
pub fn until(time: Micros) -> Micros {
    if time == NEVER { NEVER } else { time.saturating_sub(now()) }
}

/// The time on a clock that nobody sets (clock_gettime(2)), rounded up. The C library looks for a
/// faster way, in more code than is worth it here.
#[must_use]
pub fn now() -> Micros {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the structure.
    unsafe {
        let clock = c_long::from(libc::CLOCK_MONOTONIC);
        libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time);
    }
    let [seconds, nanoseconds] = [time.tv_sec, time.tv_nsec].map(|part| part.unsigned_abs());
    seconds.saturating_mul(SECOND).saturating_add(nanoseconds.div_ceil(1000))
}

/// Sends a queued signal on with its value, under the number of `signal`, which the kernel puts in
/// the place of the one it came by. It allows this only for what a process queued (code below
/// zero), not for what it would make itself (`rt_sigqueueinfo(2)`).
pub fn forward_queued(process: i32, signal: c_int, received: &Received) -> Result<(), Errno> {
    // SAFETY: the structure was filled by the kernel and is only read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigqueueinfo,
            c_long::from(process),
            c_long::from(signal),
            &raw const received.0,
        )
    };
    if result == -1 { Err(Errno::last()) } else { Ok(()) }
}

/// Takes a pending signal that this process has sent to itself out of the queue.
pub fn discard_own(signal: c_int) {
    if let Some(received) = pending_signal(SignalSet::only(signal)) {
        let own = nix::unistd::getpid().as_raw();
        if received.sender() != own {
            // It was somebody else's: back into the queue.
            let _ = kill(own, signal);
        }
    }
}

/// Lets a pending SIGTSTP have its default effect: we stop here until SIGCONT, unless the signal
/// is ignored or our process group is orphaned, when nobody could continue us and the kernel
/// drops it (setpgid(2), credentials(7)). Returns whether we were stopped.
#[must_use]
pub fn stop_by_default() -> bool {
    let blocked = set_mask(SignalSet::ALL.without(SignalSet::only(libc::SIGTSTP)));
    set_mask(blocked);
    // Nothing but SIGCONT continues a stopped process, and it is blocked: so it is waiting.
    pending_signal(SignalSet::only(libc::SIGCONT)).is_some()
}

/// `kill(2)`: to a process, or to a process group where `target` is negative.
pub(super) fn kill(target: i32, signal: c_int) -> Result<(), Errno> {
    // SAFETY: the call takes two integers.
    check(unsafe { libc::kill(target, signal) }).map(drop)
}
