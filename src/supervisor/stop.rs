//! Requests to exit: `--stop-delay` holds the first one back, and `--kill-after` ends what does not
//! comply.

use super::event_loop::EventLoop;
use super::log::LogEvent;
use super::{Delivery, Supervisor};
use crate::deadline;
use crate::error::Error;
use crate::signal::{SignalTarget, is_realtime};
use crate::stderr::LogLevel;
use crate::sys::{self, ExitStatus, SignalInfo};
use core::ffi::c_int;
use core::fmt::Display;

impl EventLoop<'_> {
    /// Holds back the first request to exit. A second one ends that. Returns whether this one needs
    /// nothing more.
    pub(super) fn hold_back(&mut self, info: &SignalInfo) -> bool {
        if let Some(delay) = self.supervisor.options.stop_delay.take() {
            let event = LogEvent::HeldBack { signal: info.signal(), delay };
            self.supervisor.stderr.log(LogLevel::Info, &event);
            self.held = Some(*info);
            self.held_until = deadline::after(delay);
            return true;
        }
        let Some(held) = self.release_held() else {
            return false;
        };
        // A standard signal merges with another of its kind, as if that were pending (signal(7)).
        info.signal() == held.signal() && !is_realtime(info.signal())
    }

    /// Passes on the request that is held back, if there is one, and returns it.
    pub(super) fn release_held(&mut self) -> Option<SignalInfo> {
        self.held_until = None;
        let info = self.held.take()?;
        self.forward_or_queue(&info);
        Some(info)
    }

    /// Asks the program to exit, or what it has left behind. The first time, that starts the timer of
    /// `--kill-after`.
    pub(super) fn request_exit(
        &mut self,
        signal: c_int,
        received: Option<&SignalInfo>,
    ) -> Delivery {
        if let Some(timeout) = self.supervisor.options.kill_after.take() {
            self.kill_deadline = deadline::after(timeout);
        }
        // Once the time is up, a later request is sent as SIGKILL too.
        let is_killing = self.request == Some(libc::SIGKILL);
        let signal = if is_killing { libc::SIGKILL } else { signal };
        self.request = Some(signal);
        self.requested.clear();
        self.supervisor.send(signal, received, &mut self.requested)
    }

    /// Kills the program and its process group, or what it has left behind. As long as a child is not
    /// reaped, neither number can be anybody else's.
    ///
    /// We may not be allowed to (kill(2), EPERM). Then we exit if we are PID 1, as if the program
    /// had been killed: the kernel does that when we are gone (pid_namespaces(7)).
    pub(super) fn kill(&mut self) -> Option<ExitStatus> {
        let status = self.reap();
        if status.is_some() {
            return status;
        }
        let has_ended = self.supervisor.ended.is_some();
        let is_killed = if has_ended {
            self.kill_children()
        } else {
            // What the program leaves behind is killed too.
            self.request = Some(libc::SIGKILL);
            self.requested.clear();
            self.supervisor.kill_program()
        };
        let ends_with_us = !is_killed && self.supervisor.self_pid.as_raw() == 1;
        // If the program itself counts, it ended before.
        let counts = !has_ended || self.has_handed_over;
        self.killed_by_us = ends_with_us || (is_killed && counts);
        ends_with_us.then_some(ExitStatus::Signaled(libc::SIGKILL))
    }

    /// Returns whether all children are killed. Those of children are when we adopt them.
    fn kill_children(&mut self) -> bool {
        let is_done = self.request_exit(libc::SIGKILL, None) == Delivery::Done;
        if is_done {
            self.supervisor.stderr.log(LogLevel::Warning, &LogEvent::KilledRemaining);
        }
        is_done
    }
}

impl Supervisor {
    /// Returns whether the program is killed.
    fn kill_program(&mut self) -> bool {
        let child = self.child_pid.as_raw();
        let with_group = sys::kill(child.wrapping_neg(), libc::SIGKILL).is_ok();
        let target = SignalTarget(child);
        // The program may have joined another process group.
        let result = sys::kill(child, libc::SIGKILL);
        let message: &dyn Display = match &result {
            Ok(()) => &LogEvent::KilledAfterTimeout { program: target, with_group },
            Err(cause) => &Error::Kill { target, cause: *cause },
        };
        self.stderr.log(LogLevel::Warning, message);
        result.is_ok()
    }
}
