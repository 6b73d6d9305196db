//! Reaping children, and what became of the program among them.

use super::Supervisor;
use super::log::LogEvent;
use crate::stderr::LogLevel;
use crate::sys::{ExitStatus, WaitStatus, wait_any};
use core::ffi::c_int;

/// What the children did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reaped {
    /// How the program ended.
    pub program_ended: Option<ExitStatus>,
    /// The signal that stopped the program.
    pub program_stopped: Option<c_int>,
    /// The number of other processes that were reaped.
    pub others: u64,
}

/// Reaps every child that has ended. SIGCHLD tells that there is one, not how many (signal(7)).
pub(super) fn reap_zombies(supervisor: &mut Supervisor) -> Reaped {
    let level = if supervisor.options.warn_on_reap { LogLevel::Warning } else { LogLevel::Debug };
    let mut reaped = Reaped::default();
    while let Some(event) = wait_any() {
        let is_program = event.pid == supervisor.child_pid.as_raw();
        match event.status {
            WaitStatus::Ended(status) if is_program => reaped.program_ended = Some(status),
            WaitStatus::Stopped(signal) if is_program => reaped.program_stopped = Some(signal),
            WaitStatus::Stopped(_) => {}
            WaitStatus::Ended(_) => {
                reaped.others = reaped.others.saturating_add(1);
                supervisor.stderr.log(level, &LogEvent::Reaped { pid: event.pid });
            }
        }
    }
    reaped
}
