//! What is logged as it happens, in the words of tini where scripts look for them.

use crate::signal::{SignalName, SignalTarget};
use core::ffi::c_int;
use core::fmt;

pub(super) enum LogEvent {
    Started(SignalTarget),
    SigchldReceived,
    Forwarded {
        from: c_int,
        to: c_int,
        target: SignalTarget,
    },
    Reaped {
        pid: i32,
    },
    /// With its process group, if anything in it could be killed.
    KilledAfterTimeout {
        program: SignalTarget,
        with_group: bool,
    },
    DrainTimedOut,
}

impl fmt::Display for LogEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(program) => write!(f, "started {program}"),
            Self::SigchldReceived => f.write_str("Received SIGCHLD"),
            Self::Forwarded { from, to, target } if from == to => {
                write!(f, "forwarded {} to {target}", SignalName(*from))
            }
            Self::Forwarded { from, to, target } => {
                write!(f, "forwarded {} as {} to {target}", SignalName(*from), SignalName(*to))
            }
            Self::Reaped { pid } => write!(f, "Reaped zombie process with pid={pid}"),
            Self::KilledAfterTimeout { program, with_group } => {
                let group = if *with_group { " and its process group" } else { "" };
                write!(f, "killed {program}{group}: it did not exit in time")
            }
            Self::DrainTimedOut => {
                f.write_str("killed the remaining processes: they did not exit in time")
            }
        }
    }
}
