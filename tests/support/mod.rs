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
mod tree;

pub use inits::{Init, Opt};
pub use launch::{Input, Launch, Place, bytes, user_namespaces};
pub use machine::{executable, not_applicable, not_run, probe, probe_path};
pub use process::{children, exists, field, signal_set};
pub use running::{Ended, Running};
pub use spawn::{send, send_value};
pub use terminal::Terminal;
pub use tree::Tree;

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

/// How long anything that ought to happen may take: far more than it takes on a busy machine. With
/// a peer, of which it is known where it hangs, `LOADLINE_PEER_PATIENCE` seconds are enough.
pub fn patience() -> Duration {
    static PATIENCE: OnceLock<Duration> = OnceLock::new();
    *PATIENCE.get_or_init(|| {
        let short = env::var("LOADLINE_PEER_PATIENCE").ok().and_then(|it| it.parse().ok());
        Duration::from_secs(short.filter(|_| !Init::under_test().is_loadline()).unwrap_or(10))
    })
}

/// The realtime signals below glibc's SIGRTMIN, which it keeps for itself (signal(7), nptl(7)): a
/// program on it can hardly send them, and sigfillset(3) leaves them out.
pub const OF_THE_C_LIBRARY: [i32; 2] = [32, 33];

/// The signals that an init passes on. KILL and STOP cannot be caught; CHLD, TTIN and TTOU tell
/// the init something about itself.
pub fn forwardable() -> impl Iterator<Item = i32> {
    let own = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU];
    (1..=64).filter(move |signal| !own.contains(signal))
}
