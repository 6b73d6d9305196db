//! Reaping children, and what became of the program among them.

use super::Supervisor;
use super::log::LogEvent;
use crate::error::Error;
use crate::exit::FAILURE;
use crate::stderr::LogLevel;
use crate::sys::{self, Errno, ExitStatus, WaitStatus, wait_any};
use core::ffi::c_int;

/// How often a wait is tried that fails.
const MAX_FAILURES: u32 = 8;

/// What the children did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChildChanges {
    /// How the program ended.
    pub program_ended: Option<ExitStatus>,
    /// How the last process that was reaped ended.
    pub last_ended: Option<ExitStatus>,
    /// The process that was stopped, and by which signal: the program, or if it has ended any child.
    pub stopped: Option<(i32, c_int)>,
    /// The number of other processes that were reaped.
    pub others_reaped: u64,
}

/// Reaps every child that has ended. SIGCHLD says that a child has ended, not how many (signal(7)).
pub(super) fn reap_zombies(supervisor: &mut Supervisor) -> ChildChanges {
    let level = if supervisor.options.warn_on_reap { LogLevel::Warning } else { LogLevel::Debug };
    let mut changes = ChildChanges::default();
    let mut failures = 0u32;
    loop {
        let event = match wait_any() {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(Errno(libc::ECHILD)) if changes.program_ended.is_some() => break,
            Err(cause) => {
                // SIGCHLD has come, and nothing will announce the same child again.
                failures = failures.saturating_add(1);
                if failures < MAX_FAILURES {
                    continue;
                }
                if cause.0 == libc::ECHILD {
                    break;
                }
                // Nobody would notice that the program ends.
                supervisor.stderr.error(&Error::Wait(cause));
                sys::exit(FAILURE);
            }
        };
        // Another process may have its number when it is gone.
        let has_ended = supervisor.ended.is_some() || changes.program_ended.is_some();
        let is_program = !has_ended && event.pid == supervisor.child_pid.as_raw();
        match event.status {
            WaitStatus::Stopped(signal) if is_program || has_ended => {
                changes.stopped = Some((event.pid, signal));
            }
            WaitStatus::Stopped(_) => {}
            WaitStatus::Ended(status) => {
                changes.last_ended = Some(status);
                if is_program {
                    changes.program_ended = Some(status);
                    continue;
                }
                changes.others_reaped = changes.others_reaped.saturating_add(1);
                supervisor.stderr.log(level, &LogEvent::Reaped { pid: event.pid });
            }
        }
    }
    changes
}
