//! The event loop: one signal, one child or one monitored event at a time, until the program ends.

use super::job_control::{JobStop, on_job_stop};
use super::log::LogEvent;
use super::reap::reap_zombies;
use super::{MAX_RETRY_DELAY, Supervisor};
use crate::deadline;
use crate::error::Error;
use crate::monitor::{Monitor, ProgramEnd};
use crate::options::OnResize;
use crate::signal::{SignalTarget, is_realtime};
use crate::stderr::LogLevel;
use crate::sys::{
    self, Errno, ExitStatus, SignalInfo, SignalSet, Timestamp, take_pending_signal, wait_signal,
};
use core::ffi::c_int;
use core::fmt::Display;
use core::mem::replace;
use core::time::Duration;
use std::collections::VecDeque;

/// How long to wait before the optional setup, so that a short-lived program does not pay for it:
/// it returns memory to the kernel and begins to monitor.
const STARTUP_GRACE: Duration = Duration::from_millis(10);

pub(super) struct EventLoop<'a> {
    supervisor: &'a mut Supervisor,
    monitor: &'a mut Monitor,
    release_memory: fn(),
    is_startup_done: bool,
    /// Realtime signals that did not fit into the program's queue, in their order.
    backlog: VecDeque<SignalInfo>,
    /// The pause before they are sent again.
    retry_delay: Duration,
    /// When the program is killed, because it was asked to exit.
    kill_deadline: Option<Timestamp>,
    killed_by_us: bool,
    /// The number of processes that were reaped, the program excluded.
    reaped: u64,
}

/// What became of a signal that was to be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forwarded {
    Done,
    /// The receiver has as many queued signals as it may have (RLIMIT_SIGPENDING).
    QueueFull,
}

impl<'a> EventLoop<'a> {
    pub(super) fn new(
        supervisor: &'a mut Supervisor,
        monitor: &'a mut Monitor,
        release_memory: fn(),
    ) -> Self {
        Self {
            supervisor,
            monitor,
            release_memory,
            is_startup_done: false,
            backlog: VecDeque::new(),
            retry_delay: Duration::ZERO,
            kill_deadline: None,
            killed_by_us: false,
            reaped: 0,
        }
    }

    /// Runs until the program ends.
    pub(super) fn run(mut self) -> ProgramEnd {
        let status = loop {
            if let Some(status) = self.turn() {
                break status;
            }
        };
        ProgramEnd { status, killed_by_us: self.killed_by_us, reaped: self.reaped }
    }

    /// Waits for something to happen and handles it. Returns how the program ended, if it did.
    fn turn(&mut self) -> Option<ExitStatus> {
        if deadline::has_passed(self.kill_deadline) {
            self.kill_deadline = None;
            if let Some(status) = self.kill() {
                return Some(status);
            }
        }
        if let Some(info) = self.wait()
            && let Some(status) = self.handle_signal(&info)
        {
            return Some(status);
        }
        self.handle_monitor();
        self.send_backlog();
        None
    }

    fn wait(&mut self) -> Option<SignalInfo> {
        let mut timeout = deadline::remaining(self.kill_deadline);
        if !self.is_startup_done {
            timeout = deadline::shorter(timeout, Some(STARTUP_GRACE));
        }
        if self.backlog.is_empty() {
            if self.monitor.wait(timeout) {
                timeout = Some(Duration::ZERO);
            }
            return wait_signal(SignalSet::ALL, timeout);
        }
        // The monitor's poll returns for any signal. While we wait for some signals only, it just
        // checks the files, without blocking.
        self.monitor.wait(Some(Duration::ZERO));
        // Further realtime signals stay in our own queue, in order. All others are handled.
        wait_signal(SignalSet::STANDARD, deadline::shorter(timeout, Some(self.retry_delay)))
    }

    /// Handles what is not about signals. Not inlined: keeps its frame off the idle loop's stack.
    #[inline(never)]
    fn handle_monitor(&mut self) {
        let Supervisor { child_pid, options, stderr, .. } = &mut *self.supervisor;
        let is_first_turn = !replace(&mut self.is_startup_done, true);
        if is_first_turn {
            self.monitor.startup_done(child_pid.as_raw(), options, stderr);
            sys::protect_relocations();
        }
        let action = self.monitor.handle_events(options, stderr);
        if is_first_turn || action.is_some() {
            (self.release_memory)();
        }
        let signal = match action {
            None | Some(OnResize::Ignore | OnResize::Log) => return,
            Some(OnResize::Signal(signal)) => signal.into(),
            Some(OnResize::Exit) => {
                // Once is enough.
                options.on_resize = OnResize::Log;
                let signal = options.rewrites.apply(libc::SIGTERM).unwrap_or(libc::SIGTERM);
                self.arm_kill_timer();
                signal
            }
        };
        if let (target, Err(cause)) = self.supervisor.send(signal, None) {
            self.warn_of_forwarding(signal, target, cause);
        }
    }

    fn handle_signal(&mut self, info: &SignalInfo) -> Option<ExitStatus> {
        if info.signal() == libc::SIGCHLD {
            self.supervisor.stderr.log(LogLevel::Debug, &LogEvent::SigchldReceived);
            return self.reap();
        }
        if self.forward(info) == Forwarded::QueueFull {
            self.backlog.push_back(*info);
        }
        None
    }

    fn forward(&mut self, info: &SignalInfo) -> Forwarded {
        let Some(signal) = self.supervisor.forwarded_as(info) else {
            return Forwarded::Done;
        };
        if self.supervisor.requests_exit(info) {
            self.arm_kill_timer();
        }
        let (target, result) = self.supervisor.send(signal, Some(info));
        match result {
            Ok(()) => {
                let event = LogEvent::Forwarded { from: info.signal(), to: signal, target };
                self.supervisor.stderr.log(LogLevel::Debug, &event);
            }
            Err(Errno(libc::EAGAIN)) if is_realtime(signal) => return Forwarded::QueueFull,
            Err(cause) => self.warn_of_forwarding(signal, target, cause),
        }
        Forwarded::Done
    }

    fn warn_of_forwarding(&mut self, signal: c_int, target: SignalTarget, cause: Errno) {
        let error = Error::Forward { signal, target, cause };
        self.supervisor.stderr.log(LogLevel::Warning, &error);
    }

    /// Sends what did not fit into the queue before.
    ///
    /// RLIMIT_SIGPENDING counts the queued signals of all processes of a user. If our own pending
    /// signals exhaust it, we must take some from our queue before we can send any. Other processes
    /// may use the freed places first, so it may take more than one.
    fn send_backlog(&mut self) {
        const MAX_TAKEN: u32 = 16;
        let mut is_sent = self.send_what_fits();
        for _ in 0..MAX_TAKEN {
            if is_sent || self.backlog.is_empty() {
                break;
            }
            let Some(info) = take_pending_signal(SignalSet::REALTIME) else {
                break;
            };
            self.backlog.push_back(info);
            is_sent = self.send_what_fits();
        }
        // The first attempt follows at once, and each further one after twice the pause.
        self.retry_delay = if is_sent || self.backlog.is_empty() {
            Duration::ZERO
        } else {
            self.retry_delay.saturating_mul(2).clamp(Duration::from_millis(1), MAX_RETRY_DELAY)
        };
    }

    /// Returns whether any signal was sent.
    fn send_what_fits(&mut self) -> bool {
        let mut is_sent = false;
        while let Some(first) = self.backlog.front().copied() {
            if self.forward(&first) == Forwarded::QueueFull {
                break;
            }
            self.backlog.pop_front();
            is_sent = true;
        }
        if self.backlog.is_empty() {
            // Frees its memory too.
            self.backlog = VecDeque::new();
        }
        is_sent
    }

    /// Starts the timer of `--kill-after`. Later calls do nothing.
    fn arm_kill_timer(&mut self) {
        if let Some(timeout) = self.supervisor.options.kill_after.take() {
            self.kill_deadline = deadline::after(timeout);
        }
    }

    /// Kills the program and its process group, unless it has ended. As long as it is not reaped,
    /// neither number can be anybody else's.
    ///
    /// We may not be allowed to (kill(2), EPERM). Then we exit if we are PID 1, as if the program
    /// had been killed: the kernel does that when we are gone (pid_namespaces(7)).
    fn kill(&mut self) -> Option<ExitStatus> {
        let status = self.reap();
        if status.is_some() {
            return status;
        }
        let Supervisor { self_pid, child_pid, stderr, .. } = &mut *self.supervisor;
        let child = child_pid.as_raw();
        let with_group = sys::kill(child.wrapping_neg(), libc::SIGKILL).is_ok();
        let target = SignalTarget(child);
        // The program may have joined another process group.
        let result = sys::kill(child, libc::SIGKILL);
        let message: &dyn Display = match &result {
            Ok(()) => &LogEvent::KilledAfterTimeout { program: target, with_group },
            Err(cause) => &Error::Kill { target, cause: *cause },
        };
        stderr.log(LogLevel::Warning, message);
        let ends_with_us = result.is_err() && self_pid.as_raw() == 1;
        self.killed_by_us = result.is_ok() || ends_with_us;
        ends_with_us.then_some(ExitStatus::Signaled(libc::SIGKILL))
    }

    fn reap(&mut self) -> Option<ExitStatus> {
        let changes = reap_zombies(self.supervisor);
        self.reaped = self.reaped.saturating_add(changes.others_reaped);
        if changes.program_ended.is_none()
            && let Some(signal) = changes.program_stopped
            && let JobStop::Forward(info) = on_job_stop(self.supervisor, signal)
        {
            self.forward(&info);
        }
        changes.program_ended
    }
}
