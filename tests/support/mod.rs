//! What the tests share. They start an init as a container would, or as an ordinary process, and choose
//! all that it inherits. Every wait has a deadline, and all processes that a test started are killed when
//! it ends.

mod inits;
mod launch;
mod machine;
mod process;
mod running;
mod spawn;
mod terminal;
mod tree;

pub use inits::{Init, Opt};
pub use launch::{Input, Launch, Place, bytes, other_users, user_namespaces};
pub use machine::{executable, not_applicable, not_run, probe, probe_path};
pub use process::{children, exists, field, resident, signal_set};
pub use running::{Ended, Running};
pub use spawn::{cpu_time_limit, limit_cpu_time, queue_limit, send, send_value};
pub use terminal::Terminal;
pub use tree::Tree;

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

/// How long a test waits for something: far longer than it takes on a busy machine. Other inits are known
/// to hang in some tests, so `LOADLINE_PEER_PATIENCE` can set fewer seconds for them.
pub fn patience() -> Duration {
    static PATIENCE: OnceLock<Duration> = OnceLock::new();
    *PATIENCE.get_or_init(|| {
        let short = env::var("LOADLINE_PEER_PATIENCE").ok().and_then(|it| it.parse().ok());
        Duration::from_secs(short.filter(|_| !Init::under_test().is_loadline()).unwrap_or(10))
    })
}

/// The realtime signals below SIGRTMIN, which glibc reserves for itself (signal(7), nptl(7)). Its
/// sigfillset(3) leaves them out.
pub const OF_THE_C_LIBRARY: [i32; 2] = [32, 33];

/// The signals that an init forwards. KILL and STOP cannot be caught. CHLD, TTIN and TTOU are for the init
/// itself.
pub fn forwardable() -> impl Iterator<Item = i32> {
    let own = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU];
    (1..=64).filter(move |signal| !own.contains(signal))
}
