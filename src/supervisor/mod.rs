//! The init: starts the program, forwards signals to it, reaps, and exits as the program does.
//!
//! Signals stay blocked throughout and are taken from the queue one by one. No handler runs, no
//! signal is lost between a check and a wait, and loadline merges none.
//! An idle init sleeps in one system call without a timeout, except for a moment after the start,
//! for `--kill-after`, for what the monitor watches, and for signals that do not fit into the
//! program's queue.

mod child;
mod drain;
mod event_loop;
mod job_control;
mod log;
mod reap;

use crate::error::Error;
use crate::exit::exit_code;
use crate::monitor::Monitor;
use crate::options::Options;
use crate::signal::{SignalTarget, is_termination_signal};
use crate::stderr::{LogLevel, Stderr};
use crate::sys::{self, Disposition, Errno, FailedCall, SignalInfo, SignalSet};
use child::{ChildSetup, InheritedSignals};
use core::ffi::c_int;
use core::time::Duration;
use event_loop::EventLoop;
use job_control::Terminal;
use log::LogEvent;
use nix::sys::prctl::{get_child_subreaper, set_child_subreaper};
use nix::unistd::{Pid, getpgrp};

pub use child::Command;

/// The longest pause between two attempts at an operation that no event announces.
const MAX_RETRY_DELAY: Duration = Duration::from_millis(256);

/// The running program, and what its init needs to know: plain data, none of it allocated.
#[derive(Clone, Copy, Debug)]
pub struct Supervisor {
    options: Options,
    stderr: Stderr,
    self_pid: Pid,
    child_pid: Pid,
    terminal: Terminal,
}

impl Supervisor {
    /// Starts the program. `mask` is the signal mask that we have inherited; every signal is blocked
    /// now.
    ///
    /// # Errors
    /// If no process can be started, or none could be waited for.
    pub fn start(
        options: &Options,
        command: &mut Command<'_>,
        mask: SignalSet,
        stderr: &mut Stderr,
    ) -> Result<Self, FailedCall> {
        let self_pid = Pid::from_raw(sys::process_id());
        let inherited = InheritedSignals { mask, sigchld: sys::disposition(libc::SIGCHLD)? };
        if inherited.sigchld == Disposition::Ignored {
            // The kernel would reap our children itself, and tell us nothing (wait(2)).
            sys::set_disposition(libc::SIGCHLD, Disposition::Default)?;
        }
        register_subreaper(options, self_pid, stderr);
        let is_watched = set_parent_death_signal(options, self_pid, stderr);
        sys::probe_wait_syscalls(options.drain.is_some())?;
        let terminal = Terminal::find();
        let mut setup = ChildSetup {
            command,
            stderr,
            inherited,
            terminal,
            dies_with_parent: is_watched && options.parent_death_signal == Some(libc::SIGKILL),
            parent: self_pid,
        };
        let child_pid = setup.spawn()?;
        // From here on nothing may fail: the program runs.
        sys::close_inherited_fds();
        if options.root.is_none() {
            sys::chdir_root();
        }
        stderr.log(LogLevel::Debug, &LogEvent::Started(SignalTarget(child_pid.as_raw())));
        Ok(Self { options: *options, stderr: *stderr, self_pid, child_pid, terminal })
    }

    /// Runs as the program's init until the program ends, and returns the exit code.
    ///
    /// `release_memory` is called when allocated memory is free again: once the program has run for a
    /// moment, and after each event of the monitor.
    #[must_use]
    #[inline(never)] // Keeps its frame apart from that of the startup, which is gone then.
    pub fn run(mut self, monitor: &mut Monitor, release_memory: fn()) -> u8 {
        let mut end = EventLoop::new(&mut self, monitor, release_memory).run();
        // Whoever reads the terminal after us is not in the program's process group.
        if self.self_pid.as_raw() != 1 {
            Terminal::pass(self.child_pid, getpgrp());
        }
        if let Some(timeout) = self.options.drain {
            end.reaped = end.reaped.saturating_add(drain::run(&mut self, timeout));
        }
        monitor.finish(&self.options, end, &mut self.stderr);
        exit_code(end.status, self.options.expected_codes)
    }

    /// What a signal is forwarded as, if it is.
    fn forwarded_as(&self, info: &SignalInfo) -> Option<c_int> {
        if info.is_about_own_cpu_time() {
            return None;
        }
        self.options.rewrites.apply(info.signal())
    }

    /// Whether a signal asks the program to exit, as it was sent or as it is forwarded.
    fn requests_exit(&self, info: &SignalInfo) -> bool {
        self.forwarded_as(info)
            .is_some_and(|to| is_termination_signal(info.signal()) || is_termination_signal(to))
    }

    /// Sends a signal to the program, or with `-g` to its process group. Returns to whom. What was
    /// queued for us keeps its value, but for process groups the kernel has kill(2) only.
    fn send(
        &self,
        signal: c_int,
        received: Option<&SignalInfo>,
    ) -> (SignalTarget, Result<(), Errno>) {
        let child = self.child_pid.as_raw();
        if self.options.signal_group {
            let group = child.wrapping_neg();
            let result = sys::kill(group, signal);
            // The program may have left the group, and nobody may be in it any more.
            if result != Err(Errno(libc::ESRCH)) {
                return (SignalTarget(group), result);
            }
        }
        let result = match received {
            Some(info) if info.is_queued() => sys::queue_signal(child, signal, info),
            _ => sys::kill(child, signal),
        };
        (SignalTarget(child), result)
    }
}

/// Adopts the program's orphans. As PID 1 we get them anyway.
fn register_subreaper(options: &Options, self_pid: Pid, stderr: &mut Stderr) {
    let is_wanted = options.subreaper || options.drain.is_some();
    if is_wanted {
        match set_child_subreaper(true) {
            Ok(()) => return,
            Err(cause) => stderr.log(LogLevel::Warning, &Error::Subreaper(cause.into())),
        }
    }
    if self_pid.as_raw() != 1 && get_child_subreaper() != Ok(true) {
        stderr.log(LogLevel::Warning, &Error::NoReaping);
    }
}

/// Has the kernel send us a signal when our parent dies. If it is dead already, the kernel will not
/// send it, so we do, and receive it like any other. SIGKILL kills us here. Returns whether the
/// signal is set.
fn set_parent_death_signal(options: &Options, self_pid: Pid, stderr: &mut Stderr) -> bool {
    let Some(number) = options.parent_death_signal else {
        return false;
    };
    let parent = sys::parent_id();
    if let Err(cause) = sys::set_parent_death_signal(number) {
        stderr.log(LogLevel::Warning, &Error::ParentDeathSignal(cause));
        return false;
    }
    if let (Some(before), Some(now)) = (parent, sys::parent_id())
        && now != before
    {
        let _ = sys::kill(self_pid.as_raw(), number);
    }
    true
}
