//! The event loop: one signal, one child or one monitored event at a time, until the program ends.

use super::backlog::Backlog;
use super::job_control::{JobStop, on_job_stop};
use super::log::LogEvent;
use super::reap::{ChildChanges, reap_zombies};
use super::{Delivery, Supervisor};
use crate::deadline;
use crate::exit::exit_code;
use crate::monitor::{Monitor, ProgramEnd};
use crate::options::OnResize;
use crate::stderr::LogLevel;
use crate::sys::{self, ExitStatus, SignalInfo, SignalSet, Timestamp, has_children, wait_signal};
use core::ffi::c_int;
use core::mem::replace;
use core::time::Duration;

/// How long to wait before the optional setup, so that a short-lived program does not pay for it:
/// it returns memory to the kernel and begins to monitor.
const STARTUP_GRACE: Duration = Duration::from_millis(10);

pub(super) struct EventLoop<'a> {
    pub(super) supervisor: &'a mut Supervisor,
    monitor: &'a mut Monitor,
    release_memory: fn(),
    is_startup_done: bool,
    backlog: Backlog,
    /// The request to exit that is held back (`--stop-delay`), and until when.
    pub(super) held: Option<SignalInfo>,
    pub(super) held_until: Option<Timestamp>,
    /// The last request to exit that was passed on, and with `--wait-all` to whom.
    pub(super) request: Option<c_int>,
    pub(super) requested: Vec<i32>,
    /// When the program is killed, because it was asked to exit.
    pub(super) kill_deadline: Option<Timestamp>,
    pub(super) killed_by_us: bool,
    /// Whether the program has ended, and another process counts in its place (`--wait-all`).
    pub(super) has_handed_over: bool,
    /// The number of processes that were reaped, the program excluded.
    reaped: u64,
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
            backlog: Backlog::default(),
            held: None,
            held_until: None,
            request: None,
            requested: Vec::new(),
            kill_deadline: None,
            killed_by_us: false,
            has_handed_over: false,
            reaped: 0,
        }
    }

    /// Runs until the program ends, and with `--wait-all` until no child is left.
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
        if deadline::has_passed(self.held_until) {
            self.release_held();
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
        timeout = deadline::shorter(timeout, deadline::remaining(self.held_until));
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
        let retry_delay = Some(self.backlog.retry_delay());
        wait_signal(SignalSet::STANDARD, deadline::shorter(timeout, retry_delay))
    }

    /// Handles what is not about signals. Not inlined: keeps its frame off the idle loop's stack.
    #[inline(never)]
    fn handle_monitor(&mut self) {
        let Supervisor { options, stderr, .. } = &mut *self.supervisor;
        let is_first_turn = !replace(&mut self.is_startup_done, true);
        if is_first_turn {
            self.monitor.startup_done(options, stderr);
        }
        let action = self.monitor.handle_events(options, stderr);
        if is_first_turn || action.is_some() {
            (self.release_memory)();
            // Not if we want to say something when there is no memory for a page.
            if !options.memory_warn {
                sys::release_startup_code();
            }
        }
        let signal = match action {
            None | Some(OnResize::Ignore | OnResize::Log) => return,
            Some(OnResize::Signal(signal)) => signal.into(),
            Some(OnResize::Exit) => {
                // Once is enough.
                options.on_resize = OnResize::Log;
                let signal = options.rewrites.apply(libc::SIGTERM).unwrap_or(libc::SIGTERM);
                // If a request is held back, the program will exit in any case, and not before.
                if self.held.is_none() {
                    self.request_exit(signal, None);
                }
                return;
            }
        };
        self.supervisor.send(signal, None, &mut Vec::new());
    }

    fn handle_signal(&mut self, info: &SignalInfo) -> Option<ExitStatus> {
        if info.signal() == libc::SIGCHLD {
            self.supervisor.stderr.log(LogLevel::Debug, &LogEvent::SigchldReceived);
            self.supervisor.check_parent();
            return self.reap();
        }
        self.forward_or_queue(info);
        None
    }

    fn forward(&mut self, info: &SignalInfo) -> Delivery {
        let Some(signal) = self.supervisor.forwarded_as(info) else {
            return Delivery::Done;
        };
        if !self.supervisor.requests_exit(info) {
            return self.supervisor.send(signal, Some(info), &mut Vec::new());
        }
        if self.hold_back(info) {
            return Delivery::Done;
        }
        self.request_exit(signal, Some(info))
    }

    pub(super) fn forward_or_queue(&mut self, info: &SignalInfo) {
        if self.forward(info) == Delivery::QueueFull {
            self.backlog.push(*info);
        }
    }

    /// Sends what did not fit into the queue before.
    fn send_backlog(&mut self) {
        if self.backlog.is_empty() {
            return;
        }
        let child = self.supervisor.child_pid.as_raw();
        let mut is_sent = self.send_what_fits();
        while !is_sent && self.backlog.take_one_more(child) {
            is_sent = self.send_what_fits();
        }
        self.backlog.end_attempt(is_sent);
        if self.backlog.is_empty() {
            (self.release_memory)();
        }
    }

    /// Returns whether any signal was sent.
    fn send_what_fits(&mut self) -> bool {
        let mut is_sent = false;
        while let Some(first) = self.backlog.first() {
            if self.forward(&first) == Delivery::QueueFull {
                break;
            }
            self.backlog.remove_first();
            is_sent = true;
        }
        is_sent
    }

    /// Reaps, and returns how the program ended if there is nothing left to wait for.
    pub(super) fn reap(&mut self) -> Option<ExitStatus> {
        let changes = reap_zombies(self.supervisor);
        self.reaped = self.reaped.saturating_add(changes.others_reaped);
        let status = self.end(&changes);
        if status.is_none()
            && let Some((pid, signal)) = changes.stopped
            && let JobStop::Forward(info) = on_job_stop(self.supervisor, pid, signal)
        {
            self.forward(&info);
        }
        status
    }

    /// How the program ended, unless it is running, or with `--wait-all` what it has left behind.
    ///
    /// A program that exits with success and unasked has handed over to another process. Nothing
    /// tells which one. It ends last if it is alone, so the last one counts.
    fn end(&mut self, changes: &ChildChanges) -> Option<ExitStatus> {
        let Supervisor { options, ended, stderr, .. } = &mut *self.supervisor;
        if let Some(status) = changes.program_ended {
            *ended = Some(status);
            let is_success = exit_code(status, options.expected_codes) == 0;
            self.has_handed_over = options.wait_all && is_success && self.request.is_none();
        }
        if self.has_handed_over && changes.last_ended.is_some() {
            *ended = changes.last_ended;
        }
        let status = (*ended)?;
        if !options.wait_all || !has_children() {
            return Some(status);
        }
        if changes.program_ended.is_some() {
            let is_expected = self.has_handed_over || self.request.is_some();
            let level = if is_expected { LogLevel::Info } else { LogLevel::Warning };
            stderr.log(level, &LogEvent::WaitsForOthers);
        }
        // A process that we have just adopted has not received it.
        if let Some(signal) = self.request {
            self.supervisor.send(signal, None, &mut self.requested);
        }
        None
    }
}
