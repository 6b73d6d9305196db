//! What the tests share: an init is launched as a container would launch it, or as a plain
//! process, with everything it inherits chosen by the test; then it is watched. Every wait has a
//! deadline, and what a test started is killed when the test ends.

mod inits;
mod launch;
mod machine;
mod process;
mod running;
mod spawn;
mod terminal;

pub use inits::{Init, Opt};
pub use launch::{Input, Launch, Place, bytes, user_namespaces};
pub use machine::{executable, not_run, probe, probe_path};
pub use process::{children, exists, field, signal_set};
pub use running::{Ended, Running};
pub use spawn::{send, send_value};
pub use terminal::Terminal;

use std::time::Duration;

/// How long anything that ought to happen may take: far more than it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The signals that an init passes on. KILL and STOP cannot be caught; CHLD, TTIN and TTOU tell
/// the init something about itself.
pub fn forwardable() -> impl Iterator<Item = i32> {
    let own = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU];
    (1..=64).filter(move |signal| !own.contains(signal))
}
