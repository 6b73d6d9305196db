//! The dead and the stopped: which of them is the program.

use super::Event;
use crate::stderr::{DEBUG, Stderr, WARNING};
use crate::sys::{How, next_change};

/// What became of the program while the children were looked through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How it ended.
    pub ended: Option<How>,
    /// The signal that stopped it.
    pub stopped: Option<i32>,
    /// How many others have ended.
    pub reaped: u64,
}

/// Reaps every child that has ended. SIGCHLD says that there is one, not how many (signal(7)).
pub fn drain(program: i32, warn: bool, stderr: &mut Stderr) -> Changes {
    let mut changes = Changes::default();
    while let Some(change) = next_change() {
        match change.how {
            How::Stopped(signal) if change.process == program => changes.stopped = Some(signal),
            How::Stopped(_) => {}
            how => {
                if change.process == program {
                    changes.ended = Some(how);
                } else {
                    changes.reaped = changes.reaped.saturating_add(1);
                    let level = if warn { WARNING } else { DEBUG };
                    stderr.at(level, &Event::Reaped(change.process));
                }
            }
        }
    }
    changes
}
