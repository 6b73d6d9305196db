//! Our children, as the kernel lists them, and signals to all of them: with `--wait-all` they take the
//! place of the program when it has ended.

use super::{Delivery, Supervisor};
use crate::cgroup::sysroot::THREAD_CHILDREN;
use crate::error::Error;
use crate::stderr::LogLevel;
use crate::sys::{self, SignalInfo, is_child, is_silent_child};
use crate::units::parse_integer;
use core::ffi::c_int;
use nix::unistd::{Pid, getpgid, getpgrp};
use std::os::fd::AsFd;

/// The target of a signal to every process that we can see, except for PID 1 (kill(2)).
pub(super) const ALL: i32 = -1;

/// The PIDs of our children. None is missing, because a child leaves the list when we reap it, and its
/// PID cannot be anybody else's before.
///
/// # Errors
/// If the kernel has no such list, or /proc is of another PID namespace.
pub(super) fn children() -> Result<Vec<i32>, Error<'static>> {
    let (mut buffer, mut children) = (Vec::new(), Vec::new());
    let mut is_foreign = false;
    let mut add = |pid: &[u8]| {
        if let Some(pid) = parse_integer(pid).and_then(|pid| i32::try_from(pid).ok()) {
            if is_child(pid) {
                children.push(pid);
            } else {
                // A listed process is our child until we reap it, so its number is that of another namespace.
                is_foreign |= !is_silent_child(pid);
            }
        }
        Ok(())
    };
    let result = sys::open(THREAD_CHILDREN)
        .and_then(|file| sys::read_parts(file.as_fd(), b' ', &mut buffer, &mut add));
    match result {
        Ok(()) if is_foreign => Err(Error::ForeignProc),
        Ok(()) => Ok(children),
        Err(cause) => Err(Error::UnreadableFile { path: THREAD_CHILDREN.to_bytes(), cause }),
    }
}

impl Supervisor {
    /// Sends a signal to each child, or with `-g` to its process group, except to those in `sent`.
    /// Adds the receivers to `sent`. Without a list of children, PID 1 sends it to every process.
    pub(super) fn send_to_children(
        &mut self,
        signal: c_int,
        received: Option<&SignalInfo>,
        sent: &mut Vec<i32>,
    ) -> Delivery {
        let mut delivery = Delivery::Done;
        let pids = match children() {
            Ok(pids) => pids,
            Err(error) => {
                // If every process has received it, so have those that we adopt.
                if sent.contains(&ALL) {
                    return Delivery::Done;
                }
                self.stderr.log(LogLevel::Warning, &error);
                if self.self_pid.as_raw() != 1 {
                    return Delivery::Failed;
                }
                sent.push(ALL);
                return self.send_to(ALL, signal, received);
            }
        };
        for pid in pids {
            let target = self.target_of_child(pid, signal);
            if sent.contains(&target) {
                continue;
            }
            match self.send_to(target, signal, received) {
                Delivery::Done => {}
                // It is sent again to all, so nobody may have it yet.
                Delivery::QueueFull if sent.is_empty() => return Delivery::QueueFull,
                // kill(2) needs no room, but sends no value.
                Delivery::QueueFull => delivery = self.send_to(target, signal, None),
                Delivery::Failed => delivery = Delivery::Failed,
            }
            sent.push(target);
        }
        delivery
    }

    /// A child, or its process group with `-g` or to kill it. Our own group would include us.
    fn target_of_child(&self, pid: i32, signal: c_int) -> i32 {
        let wants_group = self.options.signal_group || signal == libc::SIGKILL;
        match getpgid(Some(Pid::from_raw(pid))) {
            Ok(group) if wants_group && group.as_raw() > 0 && group != getpgrp() => {
                group.as_raw().wrapping_neg()
            }
            _ => pid,
        }
    }
}
