//! The init: starts the program, forwards signals to it, reaps, and exits as the program does.
//!
//! Signals stay blocked throughout and are taken from the queue one by one. No handler runs, no
//! signal is lost between a check and a wait, and loadline merges none.
//! An idle init sleeps in one system call without a timeout, except for a moment after the start,
//! for `--stop-delay` and `--kill-after`, for what the monitor watches, and for signals that do not
//! fit into the program's queue.

mod backlog;
mod child;
mod children;
mod drain;
mod event_loop;
mod job_control;
mod log;
mod reap;
mod stop;

use crate::error::Error;
use crate::exit::exit_code;
use crate::monitor::Monitor;
use crate::options::Options;
use crate::signal::{SignalTarget, is_realtime, is_termination_signal};
use crate::stderr::{LogLevel, Stderr};
use crate::sys::{self, Disposition, Errno, ExitStatus, FailedCall, SignalInfo, SignalSet};
use child::{ChildSetup, InheritedSignals};
use core::ffi::c_int;
use core::fmt::Display;
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
    /// How the program ended, if it has.
    ended: Option<ExitStatus>,
    /// Our parent, if its death is still to be noticed.
    parent: Option<i32>,
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
        let (is_watched, parent) = watch_parent(options, self_pid, stderr);
        sys::probe_wait_syscalls(options.drain.is_some() || options.wait_all)?;
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
        stderr.log(LogLevel::Info, &LogEvent::Started(SignalTarget(child_pid.as_raw())));
        Ok(Self {
            options: *options,
            stderr: *stderr,
            self_pid,
            child_pid,
            terminal,
            parent,
            ended: None,
        })
    }

    /// Writes a line of JSON.
    pub fn write_json(&mut self, json: &dyn Display) {
        self.stderr.write_json(json);
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
            self.terminal.pass(self.child_pid, getpgrp());
        }
        if let Some(timeout) = self.options.drain {
            end.reaped = end.reaped.saturating_add(drain::run(&mut self, timeout));
        }
        monitor.finish(&self.options, end, &mut self.stderr);
        exit_code(end.status, self.options.expected_codes)
    }

    /// Sends ourselves the signal of `-p` if our parent has died, to receive it like any other.
    /// SIGKILL kills us here.
    fn check_parent(&mut self) {
        if let Some(signal) = self.options.parent_death_signal
            && self.parent.take_if(|parent| sys::parent_id() != Some(*parent)).is_some()
        {
            let _ = sys::kill(self.self_pid.as_raw(), signal);
        }
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

    /// Sends a signal to the program, or with `-g` to its process group. If the program has ended, to
    /// the children that are left, except to those in `sent`.
    fn send(
        &mut self,
        signal: c_int,
        received: Option<&SignalInfo>,
        sent: &mut Vec<i32>,
    ) -> Delivery {
        if self.ended.is_some() {
            return self.send_to_children(signal, received, sent);
        }
        let child = self.child_pid.as_raw();
        if self.options.signal_group {
            let group = child.wrapping_neg();
            let result = sys::kill(group, signal);
            // The program may have left the group, and nobody may be in it any more.
            if result != Err(Errno(libc::ESRCH)) {
                if self.options.wait_all {
                    // Those in it may become our children.
                    sent.push(group);
                }
                return self.log_delivery(group, signal, received, result);
            }
        }
        self.send_to(child, signal, received)
    }

    /// Sends a signal as kill(2) does. What was queued for us keeps its value, but for process groups
    /// the kernel has kill(2) only.
    fn send_to(&mut self, target: i32, signal: c_int, received: Option<&SignalInfo>) -> Delivery {
        let result = match received {
            Some(info) if info.is_queued() && target > 0 => sys::queue_signal(target, signal, info),
            _ => sys::kill(target, signal),
        };
        self.log_delivery(target, signal, received, result)
    }

    fn log_delivery(
        &mut self,
        target: i32,
        signal: c_int,
        received: Option<&SignalInfo>,
        result: Result<(), Errno>,
    ) -> Delivery {
        let target = SignalTarget(target);
        match result {
            Ok(()) => {
                if let Some(from) = received.map(SignalInfo::signal) {
                    let event = LogEvent::Forwarded { from, to: signal, target };
                    self.stderr.log(LogLevel::Debug, &event);
                }
                Delivery::Done
            }
            Err(Errno(libc::EAGAIN)) if is_realtime(signal) => Delivery::QueueFull,
            Err(cause) => {
                let error = Error::Forward { signal, target, cause };
                self.stderr.log(LogLevel::Warning, &error);
                Delivery::Failed
            }
        }
    }
}

/// What became of a signal that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Done,
    /// The receiver has as many queued signals as it may have (RLIMIT_SIGPENDING).
    QueueFull,
    Failed,
}

/// Adopts the program's orphans. As PID 1 we get them anyway.
fn register_subreaper(options: &Options, self_pid: Pid, stderr: &mut Stderr) {
    let is_wanted = options.subreaper || options.wait_all || options.drain.is_some();
    if is_wanted {
        match set_child_subreaper(true) {
            Ok(()) => return,
            Err(cause) => stderr.log(LogLevel::Warning, &Error::Subreaper(cause.into())),
        }
    }
    if self_pid.as_raw() != 1 && get_child_subreaper() != Ok(true) {
        // No warning: PID 1 of the namespace is another init, a shell, systemd or the pause container
        // of Kubernetes as a rule, and each of them reaps.
        stderr.log(LogLevel::Info, &Error::NoReaping);
    }
}

/// Asks the kernel for a signal when our parent dies, and returns whether it will come. Also returns the
/// parent if we must look then whether it has died ([`Supervisor::check_parent`]).
///
/// The kernel sends the signal when the thread ends that has started us, and the parent may have
/// others (PR_SET_PDEATHSIG(2const)). So we ask for SIGCHLD, which nobody forwards, and look then. A
/// parent outside of our PID namespace has the number 0 even when it is another one. We cannot look
/// there, nor if getppid(2) is denied, so the kernel sends the signal itself.
fn watch_parent(options: &Options, self_pid: Pid, stderr: &mut Stderr) -> (bool, Option<i32>) {
    let Some(signal) = options.parent_death_signal else {
        return (false, None);
    };
    let parent = sys::parent_id().filter(|parent| *parent != 0);
    let notice = if parent.is_some() { libc::SIGCHLD } else { signal };
    if let Err(cause) = sys::set_parent_death_signal(notice) {
        stderr.log(LogLevel::Warning, &Error::ParentDeathSignal(cause));
        return (false, None);
    }
    if parent.is_some() && sys::parent_id() != parent {
        // It was too early for the kernel.
        let _ = sys::kill(self_pid.as_raw(), signal);
        return (true, None);
    }
    (true, parent)
}
