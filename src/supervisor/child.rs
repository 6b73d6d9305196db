//! The program's process: its process group, its terminal, what it inherits, and its exec.

use super::job_control::Terminal;
use crate::error::Error;
use crate::exit::{FAILURE, NOT_EXECUTABLE, NOT_FOUND};
use crate::stderr::{LogLevel, Stderr};
use crate::sys::{self, Disposition, Errno, ExecArgs, FailedCall, SignalSet};
use core::ffi::{CStr, c_int};
use nix::unistd::{Pid, setpgid};
use std::ffi::CString;

/// A program to execute.
pub struct Command<'a> {
    /// Its name as it was given, for messages.
    pub name: &'a CStr,
    /// What may have been meant if there is no such program: the end of a message.
    pub hint: &'static str,
    /// The files that it may be, in the order in which they are tried.
    pub candidates: &'a [CString],
    /// Its arguments and environment.
    pub args: ExecArgs<'a>,
}

impl Command<'_> {
    /// Replaces this process by the first candidate that can be executed, as execvp(3) does, with
    /// this signal mask. Signals that are pending take effect then.
    ///
    /// If the arguments and the environment are too large, the smaller environment is tried, and
    /// `stderr` says so.
    ///
    /// Returns only if there is none: with the error and its exit code. Every signal is blocked
    /// again then, so that a broken standard error cannot kill us before the code is out. Allocates
    /// nothing.
    pub fn exec(&mut self, mask: SignalSet, stderr: &mut Stderr) -> (Error<'_>, u8) {
        let mut cause = Errno(libc::ENOENT);
        let mut lacks_interpreter = false;
        for file in self.candidates {
            let mut error = exec_with_mask(file, &mut self.args, mask);
            if error.0 == libc::E2BIG && self.args.fall_back() {
                stderr.log(LogLevel::Warning, &Error::NoRoomForVariables(error));
                error = exec_with_mask(file, &mut self.args, mask);
            }
            match error.0 {
                // A later directory may have it. If a file was there, its error stays.
                libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG => {
                    if cause.0 == libc::ENOENT {
                        lacks_interpreter |= sys::exists(file);
                    }
                }
                libc::EACCES => cause = error,
                _ => {
                    cause = error;
                    break;
                }
            }
        }
        let is_missing = cause.0 == libc::ENOENT;
        let code = if is_missing { NOT_FOUND } else { NOT_EXECUTABLE };
        lacks_interpreter &= is_missing;
        let hint = if is_missing && !lacks_interpreter { self.hint } else { "" };
        (Error::Exec { program: self.name.to_bytes(), cause, lacks_interpreter, hint }, code)
    }
}

/// Executes a file with this signal mask. Returns only if that fails; every signal is blocked again
/// then.
fn exec_with_mask(file: &CStr, args: &mut ExecArgs<'_>, mask: SignalSet) -> Errno {
    if let Err(call) = sys::set_signal_mask(mask) {
        return call.cause;
    }
    let error = sys::exec(file, args);
    let _ = sys::block_all_signals();
    error
}

/// What we have inherited and changed, and the program gets back. No other disposition is changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct InheritedSignals {
    /// The blocked signals.
    pub mask: SignalSet,
    pub sigchld: Disposition,
}

/// What the child works with. The parent sleeps meanwhile, or the child has a copy.
pub(super) struct ChildSetup<'a, 'b> {
    pub command: &'b mut Command<'a>,
    pub stderr: &'b mut Stderr,
    pub inherited: InheritedSignals,
    pub terminal: Terminal,
    /// Whether the child is killed when we die.
    pub dies_with_parent: bool,
    pub parent: Pid,
}

impl ChildSetup<'_, '_> {
    /// Starts the program in a process group of its own: the foreground process group of the
    /// terminal, if ours is that.
    ///
    /// # Errors
    /// EAGAIN or ENOMEM if there can be no process.
    pub(super) fn spawn(&mut self) -> Result<Pid, FailedCall> {
        let child = Pid::from_raw(sys::spawn(self, Self::run_child)?);
        // The child does this itself. If it is a fork, it may not have come to it yet, and the
        // group must exist before the first signal is sent to it. After its exec: EACCES.
        let _ = setpgid(child, child);
        Ok(child)
    }

    /// Runs in the child. It allocates nothing, and every signal stays blocked until the exec.
    fn run_child(&mut self) -> c_int {
        let pid = Pid::from_raw(sys::process_id());
        // Fails only if it is denied: the child is new, and no session leader (setpgid(2)).
        let _ = setpgid(pid, pid);
        self.command.args.set_pid(pid.as_raw());
        if self.terminal.is_foreground {
            Terminal::give(pid);
        }
        if self.dies_with_parent {
            if let Err(cause) = sys::set_parent_death_signal(libc::SIGKILL) {
                self.stderr.log(LogLevel::Warning, &Error::ParentDeathSignal(cause));
            }
            // The parent may have died before, and then nobody needs to know.
            if sys::parent_id().is_some_and(|parent| parent != self.parent.as_raw()) {
                return NOT_EXECUTABLE.into();
            }
        }
        if self.inherited.sigchld == Disposition::Ignored
            && let Err(call) = sys::set_disposition(libc::SIGCHLD, Disposition::Ignored)
        {
            self.stderr.error(&Error::Start(call));
            return FAILURE.into();
        }
        let (error, code) = self.command.exec(self.inherited.mask, self.stderr);
        self.stderr.error(&error);
        code.into()
    }
}
