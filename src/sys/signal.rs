//! Signals: masks, dispositions, receiving and sending.

use super::system::process_id;
use super::{Errno, FailedCall, check};
use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};
use core::time::Duration;

/// A set of signals as the kernel has it: bit n-1 is signal n. sigfillset(3) would leave out the
/// signals that the C library keeps for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSet(pub u64);

/// The size of the kernel's set in bytes, an argument of the raw calls.
pub(super) const SET_SIZE: usize = size_of::<u64>();

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);

    /// Every signal. The kernel itself leaves out SIGKILL and SIGSTOP.
    pub const ALL: Self = Self(!0);

    /// The standard signals, of each of which at most one is pending (signal(7)).
    pub const STANDARD: Self = Self((1 << 31) - 1);

    /// The realtime signals, which queue.
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

/// Blocks every signal, and returns the mask that was set before.
///
/// # Errors
/// As [`set_signal_mask`].
pub fn block_all_signals() -> Result<SignalSet, FailedCall> {
    set_signal_mask(SignalSet::ALL)
}

/// Blocks the signals in `mask` and no others, and returns the mask that was set before.
///
/// # Errors
/// What a seccomp filter returns.
pub fn set_signal_mask(mask: SignalSet) -> Result<SignalSet, FailedCall> {
    let mut before = SignalSet::EMPTY;
    // SAFETY: both pointers are to sets of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            c_long::from(libc::SIG_SETMASK),
            &raw const mask.0,
            &raw mut before.0,
            SET_SIZE,
        )
    };
    match check(result) {
        Ok(_) => Ok(before),
        Err(cause) => Err(FailedCall { name: "rt_sigprocmask", cause }),
    }
}

/// The disposition of a signal without a handler. An exec keeps both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// SIG_DFL
    Default,
    /// SIG_IGN
    Ignored,
}

/// The kernel's structure for a disposition (rt_sigaction(2)), at least as long as on any
/// architecture: three words and a set. Only its first word, the handler, matters here. sigaction(3)
/// would bring the C library's code for handlers.
type KernelAction = [libc::sighandler_t; 3 + SET_SIZE / size_of::<usize>()];

/// The disposition of a signal. This program installs no handlers.
///
/// # Errors
/// What a seccomp filter returns.
pub fn disposition(signal: c_int) -> Result<Disposition, FailedCall> {
    let mut action = KernelAction::default();
    rt_sigaction(signal, null(), &raw mut action)?;
    let [handler, ..] = action;
    Ok(if handler == libc::SIG_IGN { Disposition::Ignored } else { Disposition::Default })
}

/// Sets the disposition of a signal.
///
/// # Errors
/// What a seccomp filter returns.
pub fn set_disposition(signal: c_int, disposition: Disposition) -> Result<(), FailedCall> {
    let mut action = KernelAction::default();
    action[0] = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignored => libc::SIG_IGN,
    };
    rt_sigaction(signal, &raw const action, null_mut())
}

/// Both pointers are null or point to an action.
fn rt_sigaction(
    signal: c_int,
    new: *const KernelAction,
    old: *mut KernelAction,
) -> Result<(), FailedCall> {
    // SAFETY: the kernel reads one action and writes the other. SIG_DFL and SIG_IGN, the only ones
    // that are set, run no code of ours; their flags and masks are zero.
    let result =
        unsafe { libc::syscall(libc::SYS_rt_sigaction, c_long::from(signal), new, old, SET_SIZE) };
    match check(result) {
        Ok(_) => Ok(()),
        Err(cause) => Err(FailedCall { name: "rt_sigaction", cause }),
    }
}

/// A signal that was received, with all that the kernel says about it.
#[derive(Clone, Copy)]
pub struct SignalInfo(libc::siginfo_t);

impl SignalInfo {
    /// Its number, 1 to 64.
    #[must_use]
    pub fn signal(&self) -> c_int {
        self.0.si_signo
    }

    /// The process that sent it, as this PID namespace sees it: 0 if it is outside. None if the
    /// kernel sent it (sigaction(2), si_code).
    #[must_use]
    pub fn sender(&self) -> Option<i32> {
        let codes = [libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL];
        // SAFETY: si_pid is within the structure, and any bits are an integer.
        codes.contains(&self.0.si_code).then(|| unsafe { self.0.si_pid() })
    }

    /// Whether it is about our own CPU time and nobody else's: RLIMIT_CPU, RLIMIT_RTTIME
    /// (setrlimit(2)).
    #[must_use]
    pub fn is_about_own_cpu_time(&self) -> bool {
        self.signal() == libc::SIGXCPU && self.sender().is_none()
    }

    /// Whether it was queued by sigqueue(3) or the like, and so may carry a value.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.0.si_code < 0 && self.0.si_code != libc::SI_TKILL
    }
}

/// Waits for a blocked signal in `set`, without end if there is no timeout. Returns none when the
/// time is up, or earlier if we were stopped and continued meanwhile (signal(7)).
///
/// Not nix's `SigSet::wait`: it panics on realtime signals.
#[must_use]
pub fn wait_signal(set: SignalSet, timeout: Option<Duration>) -> Option<SignalInfo> {
    let timeout = timeout.map(timespec);
    let timeout = timeout.as_ref().map_or(null(), |timeout| &raw const *timeout);
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: all pointers are valid for the call, and the set has the size given.
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
    (result > 0).then(|| SignalInfo(unsafe { info.assume_init() }))
}

/// The kernel's `timespec`. 32-bit machines have a wider one too, for calls that are newer than Linux
/// 5.0 and that older seccomp profiles refuse.
pub(super) type Timespec = [c_long; 2];

/// A duration as the kernel takes it, at most as long as it takes it.
pub(super) fn timespec(duration: Duration) -> Timespec {
    let seconds = duration.as_secs().try_into().unwrap_or(c_long::MAX);
    [seconds, duration.subsec_nanos() as _]
}

/// Takes a pending signal in `set` from the queue, if there is one.
#[must_use]
pub fn take_pending_signal(set: SignalSet) -> Option<SignalInfo> {
    wait_signal(set, Some(Duration::ZERO))
}

/// Sends a signal as kill(2) does: to a process, or to the process group `-target`.
///
/// # Errors
/// ESRCH if there is no such process, EPERM if we may not signal it.
pub fn kill(target: i32, signal: c_int) -> Result<(), Errno> {
    // SAFETY: the call takes two integers.
    check(unsafe { libc::kill(target, signal) }).map(drop)
}

/// Asks the kernel to send us a signal when our parent dies (PR_SET_PDEATHSIG). nix's `set_pdeathsig`
/// takes no realtime signal.
///
/// # Errors
/// EINVAL if there is no such signal, EPERM if a filter refuses the call.
pub fn set_parent_death_signal(signal: c_int) -> Result<(), Errno> {
    // SAFETY: the call takes two integers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, c_long::from(signal)) }).map(drop)
}

/// Queues a signal that was received as `signal` to a process, with its value
/// (rt_sigqueueinfo(2)). Except to ourselves, the kernel allows that only for a signal that a process
/// queued.
///
/// # Errors
/// EAGAIN if the queue is full (RLIMIT_SIGPENDING); ESRCH, EPERM.
pub fn queue_signal(pid: i32, signal: c_int, info: &SignalInfo) -> Result<(), Errno> {
    // SAFETY: the kernel filled the structure and now only reads it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigqueueinfo,
            c_long::from(pid),
            c_long::from(signal),
            &raw const info.0,
        )
    };
    check(result).map(drop)
}

/// How many signals may be queued for a process (RLIMIT_SIGPENDING, getrlimit(2)).
#[derive(Clone, Copy)]
pub struct SignalQueueLimit(libc::rlimit);

impl SignalQueueLimit {
    /// The limit of a process, of ourselves if `pid` is 0; none if a filter refuses the call.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: without a new limit the call only writes the current one.
        let result = unsafe { libc::prlimit(pid, libc::RLIMIT_SIGPENDING, null(), &raw mut limit) };
        check(result).ok().map(|_| Self(limit))
    }

    /// The soft limit, which is the one that counts.
    #[must_use]
    pub const fn soft(self) -> u64 {
        self.0.rlim_cur
    }

    /// Sets our own limit to this one, with another soft limit, which must not be above the hard one.
    /// Not setrlimit(3): musl's has 2 KB of code for programs with threads.
    pub fn set_own(self, soft: u64) {
        const OURSELVES: libc::pid_t = 0;
        let limit = libc::rlimit { rlim_cur: soft, ..self.0 };
        // SAFETY: the call only reads the new limit.
        unsafe {
            libc::prlimit(OURSELVES, libc::RLIMIT_SIGPENDING, &raw const limit, null_mut());
        }
    }
}

/// Takes the signal from the queue that a write of ours has raised when it failed: SIGPIPE where
/// nobody reads (pipe(7)), SIGXFSZ where the file must not grow (RLIMIT_FSIZE, setrlimit(2)). It must
/// be blocked.
///
/// The kernel sends it in our name to the thread that wrote. Such a signal is taken before one that
/// is for the whole process, so ours is the first if there are two.
pub(super) fn discard_signal_of_write(error: Errno) {
    let signal = match error.0 {
        libc::EPIPE => libc::SIGPIPE,
        libc::EFBIG => libc::SIGXFSZ,
        _ => return,
    };
    if let Some(info) = take_pending_signal(SignalSet::only(signal)) {
        let own = process_id();
        if info.sender() != Some(own) {
            // It came from somebody else, so it goes back into the queue as it was.
            let _ = queue_signal(own, signal, &info);
        }
    }
}

/// Unblocks a pending SIGTSTP for a moment, which stops us until SIGCONT. Returns whether it did.
///
/// The kernel drops the signal if it is ignored, or if the process group is orphaned, so that
/// nobody could continue us (setpgid(2), credentials(7)).
#[must_use]
pub fn deliver_pending_sigtstp() -> bool {
    let _ = set_signal_mask(SignalSet::ALL.without(SignalSet::only(libc::SIGTSTP)));
    let _ = block_all_signals();
    // Only SIGCONT continues a stopped process. It is blocked, so it is pending now.
    take_pending_signal(SignalSet::only(libc::SIGCONT)).is_some()
}
