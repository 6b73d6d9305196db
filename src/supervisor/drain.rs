//! `--drain`: after the program has ended, asks the processes that it leaves behind to exit, waits
//! for them, and kills those that are still there when the time is up.
//!
//! As PID 1 that is every process that we can see. The kernel kills those that are left when we
//! exit. Elsewhere it is our children. We are a subreaper then, so the program's orphans are among
//! them, and what a child of ours leaves behind becomes our child in turn. The PID of a child that
//! is not reaped cannot be anybody else's.

use super::children::{ALL, children};
use super::log::LogEvent;
use super::reap::reap_zombies;
use super::{MAX_RETRY_DELAY, Supervisor};
use crate::deadline;
use crate::error::Error;
use crate::signal::SignalTarget;
use crate::stderr::{LogLevel, Stderr};
use crate::sys::{self, Errno, SignalSet, has_children, wait_signal};
use core::ffi::c_int;
use core::mem::replace;
use core::time::Duration;

/// How long killed processes get to disappear.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// Ends all that is left within `timeout`, and at most a second more. A termination signal cuts
/// that short. Returns how many processes were reaped.
#[inline(never)] // Keeps its frame off the stack of the idle loop.
pub(super) fn run(supervisor: &mut Supervisor, timeout: Duration) -> u64 {
    let mut reaped = 0u64;
    let is_pid_1 = supervisor.self_pid.as_raw() == 1;
    let mut survivors = Survivors { is_pid_1, signaled: Vec::new(), has_killed: false };
    let mut signal = libc::SIGTERM;
    let mut deadline = deadline::after(timeout);
    let mut retry_delay = Duration::from_millis(1);
    loop {
        supervisor.check_parent();
        reaped = reaped.saturating_add(reap_zombies(supervisor).others_reaped);
        if !survivors.signal_all(signal, &mut supervisor.stderr) {
            return reaped;
        }
        if deadline::has_passed(deadline) {
            // As PID 1 we leave it to the kernel.
            if is_pid_1 {
                supervisor.stderr.log(LogLevel::Warning, &LogEvent::KilledRemaining);
            }
            if is_pid_1 || signal == libc::SIGKILL {
                return reaped;
            }
            signal = libc::SIGKILL;
            survivors.signaled.clear();
            deadline = deadline::after(KILL_TIMEOUT);
            continue;
        }
        let mut timeout = deadline::remaining(deadline);
        if !has_children() {
            // Processes that entered the namespace (setns(2)) have another parent, so nothing tells
            // us when they exit.
            timeout = deadline::shorter(timeout, Some(retry_delay));
            retry_delay = retry_delay.saturating_mul(2).min(MAX_RETRY_DELAY);
        }
        if let Some(info) = wait_signal(SignalSet::ALL, timeout)
            && supervisor.requests_exit(&info)
        {
            deadline = deadline::after(Duration::ZERO);
        }
    }
}

/// The processes that are to end.
struct Survivors {
    is_pid_1: bool,
    /// The PIDs that have received the signal, in ascending order: as PID 1 a -1 for all.
    signaled: Vec<i32>,
    /// Whether any has been killed, and this has been logged.
    has_killed: bool,
}

impl Survivors {
    /// Sends the signal to every process that has not received it yet, and returns whether there is
    /// any process left. No process gets it twice: for many programs a second SIGTERM means "at
    /// once".
    #[inline(never)]
    fn signal_all(&mut self, signal: c_int, stderr: &mut Stderr) -> bool {
        if self.is_pid_1 {
            self.signal_once(ALL, signal, stderr);
            return sys::kill(ALL, 0) != Err(Errno(libc::ESRCH));
        }
        match children() {
            Ok(pids) => pids.into_iter().for_each(|pid| self.signal_once(pid, signal, stderr)),
            Err(error) => {
                stderr.log(LogLevel::Warning, &error);
                return false;
            }
        }
        has_children()
    }

    /// SIGCONT makes sure that a stopped process sees the signal. A process that we may not signal
    /// is logged when it cannot be killed; until then it may exit by itself.
    fn signal_once(&mut self, target: i32, signal: c_int, stderr: &mut Stderr) {
        let Err(place) = self.signaled.binary_search(&target) else {
            return;
        };
        self.signaled.insert(place, target);
        let result = sys::kill(target, signal);
        let _ = sys::kill(target, libc::SIGCONT);
        if signal != libc::SIGKILL {
            return;
        }
        if let Err(cause) = result {
            let target = SignalTarget(target);
            stderr.log(LogLevel::Warning, &Error::Kill { target, cause });
        } else if !replace(&mut self.has_killed, true) {
            stderr.log(LogLevel::Warning, &LogEvent::KilledRemaining);
        }
    }
}
