//! What is logged as it happens, in the words of tini where scripts look for them.

use crate::signal::{SignalName, SignalTarget};
use crate::units::Seconds;
use core::ffi::c_int;
use core::fmt;
use core::time::Duration;

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
    /// Until `--stop-delay` is over.
    HeldBack {
        signal: c_int,
        delay: Duration,
    },
    /// The program has ended, and `--wait-all` waits for what it has left behind.
    WaitsForOthers,
    /// With its process group, if anything in it could be killed.
    KilledAfterTimeout {
        program: SignalTarget,
        with_group: bool,
    },
    KilledRemaining,
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
            Self::HeldBack { signal, delay } => {
                write!(f, "holding {} back for {} s", SignalName(*signal), Seconds(*delay))
            }
            Self::WaitsForOthers => {
                f.write_str("the program has ended; waiting for the processes that it left behind")
            }
            Self::KilledAfterTimeout { program, with_group } => {
                let group = if *with_group { " and its process group" } else { "" };
                write!(f, "killed {program}{group}: it did not exit in time")
            }
            Self::KilledRemaining => {
                f.write_str("killed the remaining processes: they did not exit in time")
            }
        }
    }
}
