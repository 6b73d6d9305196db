//! Waiting for children (waitid(2)).

use super::signal::{SignalSet, take_pending_signal};
use super::{Errno, check};
use core::ffi::c_int;
use core::mem::zeroed;
use core::ptr::null_mut;

/// A child that has changed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildEvent {
    /// Its process ID.
    pub pid: i32,
    /// Its new state.
    pub status: WaitStatus,
}

/// The new state of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStatus {
    /// It has ended, and is reaped.
    Ended(ExitStatus),
    /// This signal stopped it.
    Stopped(c_int),
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Exited(c_int),
    /// This signal killed it.
    Signaled(c_int),
}

/// Checks that we can wait for signals and children. A seccomp filter may deny the calls, and then
/// there must be no child.
///
/// # Errors
/// What the filter returns.
pub fn probe_wait_syscalls() -> Result<(), Errno> {
    // An empty set: nothing is ever taken.
    let _ = take_pending_signal(SignalSet::EMPTY);
    match Errno::last() {
        Errno(libc::EAGAIN) => {}
        error => return Err(error),
    }
    match peek_child(libc::P_ALL, 0) {
        Err(error) if error.0 != libc::ECHILD => Err(error),
        _ => Ok(()),
    }
}

/// Whether there is any child, a zombie included.
#[must_use]
pub fn has_children() -> bool {
    peek_child(libc::P_ALL, 0).is_ok()
}

/// Whether a process is a child of ours, a zombie included.
#[must_use]
pub fn is_child(pid: i32) -> bool {
    peek_child(libc::P_PID, pid.unsigned_abs()).is_ok()
}

/// Asks about children without reaping any. ECHILD means that there are none.
fn peek_child(which: libc::idtype_t, id: libc::id_t) -> Result<(), Errno> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: with a null pointer nothing is written.
    check(unsafe { libc::waitid(which, id, null_mut(), options) }).map(drop)
}

/// The next child that has changed state, if there is one. A child that has ended is reaped.
///
/// Not nix's `waitpid`: it fails for a child that a realtime signal killed, and loses its PID.
#[must_use]
pub fn wait_any() -> Option<ChildEvent> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WSTOPPED;
    // SAFETY: zero is a value of the plain C structure `siginfo_t`. The kernel leaves it zero if
    // there is nothing to report (waitid(2)).
    let (result, info) = unsafe {
        let mut info: libc::siginfo_t = zeroed();
        (libc::waitid(libc::P_ALL, 0, &raw mut info, options), info)
    };
    // SAFETY: the fields are within the structure, and any bits are an integer.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if result == -1 || pid == 0 {
        return None;
    }
    let status = match info.si_code {
        libc::CLD_STOPPED | libc::CLD_TRAPPED => WaitStatus::Stopped(status),
        libc::CLD_EXITED => WaitStatus::Ended(ExitStatus::Exited(status)),
        _ => WaitStatus::Ended(ExitStatus::Signaled(status)),
    };
    Some(ChildEvent { pid, status })
}

/// The child of [`super::process::fork_silently`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SilentChild {
    /// There is none.
    None,
    Running,
    /// It has ended with this status (wait(2)), and is reaped.
    Ended(c_int),
}

/// Reaps the child whose end sends no signal, if it has ended. Without WNOHANG in `options`, waits for
/// that.
pub(super) fn reap_silent_child(options: c_int) -> SilentChild {
    const ANY: libc::pid_t = -1;
    let mut status = 0;
    // SAFETY: the call writes one integer.
    match unsafe { libc::waitpid(ANY, &raw mut status, options | libc::__WCLONE) } {
        -1 => SilentChild::None,
        0 => SilentChild::Running,
        _ => SilentChild::Ended(status),
    }
}
