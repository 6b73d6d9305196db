//! Job control: the terminal, and what to do when the program stops (termios(3), setpgid(2)).

use super::Supervisor;
use crate::sys::{self, Errno, SignalInfo, SignalSet, stdin};
use core::ffi::c_int;
use nix::unistd::{Pid, getpgid, getpgrp, read, tcgetpgrp, tcsetpgrp};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The controlling terminal of our session, if there is one (credentials(7)).
///
/// A shell's redirection or pipe leaves a job its terminal, and so do we: it may not be our standard
/// input. It is opened for each use, because we keep no file open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    /// Whether there is one.
    pub exists: bool,
    /// Whether our process group is its foreground process group.
    pub is_foreground: bool,
}

impl Terminal {
    pub(super) fn find() -> Self {
        let Some(terminal) = OpenTerminal::open() else {
            return Self { exists: false, is_foreground: false };
        };
        let foreground = tcgetpgrp(&terminal);
        // Groups outside of our PID namespace all have the number 0. But SIGTTIN is blocked, so a
        // read from the background fails (read(2), EIO). This one reads nothing.
        let may_read = || read(&terminal, &mut []) != Err(nix::errno::Errno::EIO);
        Self {
            exists: foreground.is_ok(),
            is_foreground: foreground == Ok(getpgrp()) && may_read(),
        }
    }

    /// Makes a process group its foreground process group, and returns whether that worked. It
    /// fails only if the terminal is not ours to give any more, and then nobody needs to know.
    /// SIGTTOU is blocked, so we can do it from the background too.
    pub(super) fn give(group: Pid) -> bool {
        OpenTerminal::open().is_some_and(|terminal| tcsetpgrp(terminal, group).is_ok())
    }

    /// Gives it to `to` if `from` has it, and returns whether that happened. Group 0 is outside of
    /// our PID namespace, where no group can be told from another.
    pub(super) fn pass(self, from: Pid, to: Pid) -> bool {
        self.exists
            && from.as_raw() != 0
            && OpenTerminal::open().is_some_and(|terminal| {
                tcgetpgrp(&terminal) == Ok(from) && tcsetpgrp(terminal, to).is_ok()
            })
    }
}

/// The terminal, opened for one use.
enum OpenTerminal {
    Opened(OwnedFd),
    /// Without /dev/tty it can only be found on standard input.
    Stdin(BorrowedFd<'static>),
}

impl OpenTerminal {
    fn open() -> Option<Self> {
        match sys::open(c"/dev/tty") {
            Ok(terminal) => Some(Self::Opened(terminal)),
            Err(Errno(libc::ENXIO)) => None,
            Err(_) => Some(Self::Stdin(stdin())),
        }
    }
}

impl AsFd for OpenTerminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Opened(terminal) => terminal.as_fd(),
            Self::Stdin(stdin) => *stdin,
        }
    }
}

/// What is left to do after the program has stopped.
pub(super) enum JobStop {
    Done,
    /// Forward this signal, which has come meanwhile.
    Forward(SignalInfo),
}

/// Handles the stop of the program, or of a child that it has left behind, by `signal`. If that is job
/// control, we stop too, with the rest of our job, so that the shell that started us sees it. When we
/// are continued, so is the child.
pub(super) fn on_job_stop(supervisor: &Supervisor, pid: i32, signal: c_int) -> JobStop {
    let Supervisor { self_pid, child_pid, terminal, ended, .. } = *supervisor;
    // The program was started as the leader of a group. It may have left that since.
    let left_behind = ended.and_then(|_| getpgid(Some(Pid::from_raw(pid))).ok());
    let job = Job { pid, group: left_behind.unwrap_or(child_pid) };
    let wants_terminal = matches!(signal, libc::SIGTTIN | libc::SIGTTOU);
    let is_job_control = wants_terminal || signal == libc::SIGTSTP;
    if self_pid.as_raw() == 1 {
        // Nobody can continue PID 1. If the program itself were PID 1, it would ignore Ctrl-Z.
        if signal == libc::SIGTSTP {
            job.resume();
        }
        return JobStop::Done;
    }
    // Without a terminal there is no job control. Whoever has stopped the program continues it, and
    // would not continue us.
    if !terminal.exists {
        return JobStop::Done;
    }
    // Stopping discards a pending SIGCONT (signal(7)). If one is pending, it is for the program, and
    // there is no reason to stop.
    if let Some(info) = sys::take_pending_signal(SignalSet::only(libc::SIGCONT)) {
        return JobStop::Forward(info);
    }
    let group = getpgrp();
    // A shell's `fg` sends no SIGCONT to a job that runs: it has just given us the terminal.
    if wants_terminal && terminal.pass(group, job.group) {
        job.resume();
        return JobStop::Done;
    }
    // The program is in a process group of its own, so the terminal has stopped it alone. Without
    // us it would have stopped the whole job, such as a pipeline or a script.
    let had_terminal = terminal.pass(job.group, group);
    // Whoever has stopped a program in the background continues it, and would not continue us.
    if !is_job_control && !had_terminal {
        return JobStop::Done;
    }
    let stops_whole_job = wants_terminal || (is_job_control && had_terminal);
    let target = if stops_whole_job { 0 } else { self_pid.as_raw() };
    let was_stopped = sys::kill(target, libc::SIGTSTP).is_ok() && sys::deliver_pending_sigtstp();
    // After `fg` the terminal is ours, after `bg` it is not.
    terminal.pass(group, job.group);
    // If we were not stopped, nobody could have continued us (setpgid(2)). The kernel would not
    // have stopped the program by Ctrl-Z either. Whoever stopped it in another way has to continue it.
    if was_stopped || signal == libc::SIGTSTP {
        job.resume();
    }
    JobStop::Done
}

/// A process that was stopped, and its process group.
struct Job {
    pid: i32,
    group: Pid,
}

impl Job {
    fn resume(&self) {
        // If the program has left its process group, there may be none any more.
        if sys::kill(self.group.as_raw().wrapping_neg(), libc::SIGCONT).is_err() {
            let _ = sys::kill(self.pid, libc::SIGCONT);
        }
    }
}
