//! Waiting for children (wait(2)).

use super::signal::{SignalSet, take_pending_signal};
use super::{Errno, FailedCall, check};
use core::ffi::{c_int, c_long};
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
/// there must be no child. `asks_about_children` is whether [`has_children`] and [`is_child`] are
/// needed.
///
/// # Errors
/// The call, and what the filter returns.
pub fn probe_wait_syscalls(asks_about_children: bool) -> Result<(), FailedCall> {
    // An empty set: nothing is ever taken.
    let _ = take_pending_signal(SignalSet::EMPTY);
    match Errno::last() {
        Errno(libc::EAGAIN) => {}
        cause => return Err(FailedCall { name: "rt_sigtimedwait", cause }),
    }
    // There are no such options, so nothing is ever reaped.
    match wait4(!0, &mut 0) {
        Ok(_) | Err(Errno(libc::EINVAL | libc::ECHILD)) => {}
        Err(cause) => return Err(FailedCall { name: "wait4", cause }),
    }
    if asks_about_children
        && let Err(cause) = peek_child(libc::P_ALL, 0, 0)
        && cause.0 != libc::ECHILD
    {
        return Err(FailedCall { name: "waitid", cause });
    }
    Ok(())
}

/// Whether there is any child, a zombie included.
#[must_use]
pub fn has_children() -> bool {
    exists(libc::P_ALL, 0, 0)
}

/// Whether a process is a child of ours, a zombie included. Those of `fork_silently` do not count.
#[must_use]
pub fn is_child(pid: i32) -> bool {
    exists(libc::P_PID, pid.unsigned_abs(), 0)
}

/// Whether a process is a child of ours whose end sends no signal, as those of `fork_silently`.
#[must_use]
pub fn is_silent_child(pid: i32) -> bool {
    exists(libc::P_PID, pid.unsigned_abs(), libc::__WCLONE)
}

/// Whether there is such a child, as far as we know: another error says nothing about that.
fn exists(which: libc::idtype_t, id: libc::id_t, kind: c_int) -> bool {
    peek_child(which, id, kind) != Err(Errno(libc::ECHILD))
}

/// Asks about children without reaping any. ECHILD means that there are none.
fn peek_child(which: libc::idtype_t, id: libc::id_t, kind: c_int) -> Result<(), Errno> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | kind;
    // SAFETY: with a null pointer nothing is written.
    check(unsafe { libc::waitid(which, id, null_mut(), options) }).map(drop)
}

/// The next child that has changed state, if there is one. A child that has ended is reaped.
///
/// Not waitid(2), which a filter may deny where wait4(2), the call behind wait(3), is allowed. Not nix's
/// `waitpid`: it fails for a child that a realtime signal killed, and loses its PID.
///
/// # Errors
/// ECHILD if there are no children.
pub fn wait_any() -> Result<Option<ChildEvent>, Errno> {
    let mut status = 0;
    let pid = wait4(libc::WNOHANG | libc::WUNTRACED, &mut status)?;
    let status = if libc::WIFSTOPPED(status) {
        WaitStatus::Stopped(libc::WSTOPSIG(status))
    } else if libc::WIFEXITED(status) {
        WaitStatus::Ended(ExitStatus::Exited(libc::WEXITSTATUS(status)))
    } else {
        WaitStatus::Ended(ExitStatus::Signaled(libc::WTERMSIG(status)))
    };
    Ok((pid != 0).then_some(ChildEvent { pid, status }))
}

/// Waits for any child; 0 if none has changed state.
fn wait4(options: c_int, status: &mut c_int) -> Result<i32, Errno> {
    let any: c_long = -1;
    let options = c_long::from(options);
    // SAFETY: the kernel writes the status. Without a pointer it writes no resource usage.
    check(unsafe {
        libc::syscall(libc::SYS_wait4, any, status, options, null_mut::<libc::rusage>()) as i32
    })
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
