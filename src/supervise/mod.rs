//! Init: starts the program, passes signals on to it, reaps, and ends as it ends.
//!
//! Signals stay blocked throughout and are taken from the queue one by one: no handler runs, none
//! is lost between a check and a wait, and nothing coalesces that the kernel did not. An idle
//! init sleeps in one system call without a timeout.

mod reap;
mod signals;
mod spawn;

use crate::cli::Options;
use crate::error::Error;
use crate::exit::{self, Remap};
use crate::stderr::{DEBUG, Stderr, WARNING};
use crate::sys::{
    Disposition, Errno, How, Received, SignalSet, can_wait, disposition, let_go, send_signal,
    set_disposition, stop_by_default, wait_signal,
};
use crate::text::{Out, Put, put};
use nix::sys::prctl::{get_child_subreaper, set_child_subreaper, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgrp, getpid, getppid};
use signals::{Route, forward, is_realtime, route, sender};

pub use signals::Target;
use spawn::{Inherited, Terminal};

pub use spawn::Image;

/// The longest that a full signal queue is given before the next try. The first comes at once, and
/// each after one in vain comes twice as late.
const MAX_PAUSE_MILLISECONDS: u32 = 256;

/// The program at work, and what its init needs to know: nothing that lies in memory which was
/// allocated before.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    stderr: Stderr,
    own: Pid,
    program: Pid,
    terminal: Terminal,
    group: bool,
    warn_on_reap: bool,
    remap: Remap,
}

/// The program at its end.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How it ended.
    pub how: How,
    /// The exit code for that.
    pub code: u8,
    /// How many other processes were reaped.
    pub reaped: u64,
    /// Where things are said.
    pub stderr: Stderr,
}

/// The init, while the program runs.
struct Init {
    started: Started,
    /// How many processes were reaped that were not the program.
    reaped: u64,
    /// Realtime signals that did not fit into the queue yet, in their order.
    backlog: Vec<Received>,
    /// How many milliseconds they wait for the next try.
    pause: u32,
}

/// Starts the program.
///
/// # Errors
/// Where no process can be started, or could not be waited for.
pub fn start(
    options: &Options<'_>,
    image: &mut Image<'_>,
    mask: SignalSet,
    stderr: &mut Stderr,
) -> Result<Started, Errno> {
    let own = getpid();
    let inherited = Inherited { mask, child: disposition(libc::SIGCHLD) };
    if inherited.child == Disposition::Ignored {
        // The kernel would reap our children itself and tell us nothing (wait(2)).
        set_disposition(libc::SIGCHLD, Disposition::Default);
    }
    take_care_of_orphans(options, own, stderr);
    let is_due = die_with_the_parent(options, stderr);
    can_wait()?;
    let terminal = Terminal::find();
    let dies_with_us = options.parent_death == Some(libc::SIGKILL);
    let program = spawn::start(image, stderr, inherited, terminal, dies_with_us)?;
    let_go();
    stderr.at(DEBUG, &Event::Started(Target(program.as_raw())));
    let &Options { group, warn_on_reap, remap, .. } = options;
    let started = Started { stderr: *stderr, own, program, terminal, group, warn_on_reap, remap };
    if let Some(signal) = is_due {
        let _ = send_signal(started.target(), signal);
    }
    Ok(started)
}

impl Started {
    /// Is the program's init until it ends.
    #[must_use]
    pub fn supervise(self) -> Ended {
        let mut init = Init { started: self, reaped: 0, backlog: Vec::new(), pause: 0 };
        let how = init.run();
        // Whoever reads the terminal after us is not in the program's group.
        if self.own.as_raw() != 1 {
            Terminal::pass(self.program, getpgrp());
        }
        let Init { started: Self { stderr, .. }, reaped, .. } = init;
        Ended { how, code: exit::code(how, self.remap), reaped, stderr }
    }

    /// Who gets the signals, in the terms of kill(2).
    fn target(&self) -> i32 {
        let program = self.program.as_raw();
        if self.group { program.wrapping_neg() } else { program }
    }
}

fn take_care_of_orphans(options: &Options<'_>, own: Pid, stderr: &mut Stderr) {
    if options.subreaper
        && let Err(cause) = set_child_subreaper(true)
    {
        stderr.at(WARNING, &Error::Subreaper(cause.into()));
    }
    if own.as_raw() != 1 && get_child_subreaper() != Ok(true) {
        stderr.at(WARNING, &Error::NoReaping);
    }
}

/// Asks for a signal for the time when the parent dies. If it is dead already the kernel will not
/// send it: then it is returned, for the program. SIGKILL ends us here.
fn die_with_the_parent(options: &Options<'_>, stderr: &mut Stderr) -> Option<i32> {
    let number = options.parent_death?;
    let parent = getppid();
    if let Err(cause) = Signal::try_from(number).and_then(set_pdeathsig) {
        stderr.at(WARNING, &Error::ParentDeath(cause.into()));
        return None;
    }
    if getppid() == parent {
        return None;
    }
    if number == libc::SIGKILL {
        let _ = send_signal(getpid().as_raw(), number);
    }
    Some(number)
}

impl Init {
    fn run(&mut self) -> How {
        loop {
            let (set, timeout) = if self.backlog.is_empty() {
                (SignalSet::ALL, None)
            } else {
                // Further realtime signals keep their order in our own queue; all others go on.
                (SignalSet::STANDARD, Some(self.pause))
            };
            if let Some(received) = wait_signal(set, timeout)
                && let Some(outcome) = self.handle(&received)
            {
                return outcome;
            }
            self.send_backlog();
        }
    }

    fn handle(&mut self, received: &Received) -> Option<How> {
        match route(received.signal(), sender(received), self.started.own.as_raw()) {
            Route::Reap => {
                self.started.stderr.at(DEBUG, &Event::Changed);
                return self.reap();
            }
            Route::Forward => {
                if self.forward(received) == Sent::QueueFull {
                    self.backlog.push(*received);
                }
            }
            Route::Drop => {}
        }
        None
    }

    /// Passes on what did not fit before. RLIMIT_SIGPENDING counts all queues of a user, so where
    /// ours takes the last places only what leaves it makes room; and as whoever fills it may be
    /// faster than we are, more than one may have to leave before the first is passed on.
    fn send_backlog(&mut self) {
        const MAX_TAKEN: u32 = 16;
        let mut is_sent = self.send_what_fits();
        for _ in 0..MAX_TAKEN {
            if is_sent || self.backlog.is_empty() {
                break;
            }
            let Some(further) = wait_signal(SignalSet::REALTIME, Some(0)) else {
                break;
            };
            self.backlog.push(further);
            is_sent = self.send_what_fits();
        }
        let longer = self.pause.saturating_mul(2).clamp(1, MAX_PAUSE_MILLISECONDS);
        self.pause = if is_sent { 0 } else { longer };
    }

    /// Whether any did.
    fn send_what_fits(&mut self) -> bool {
        let mut is_sent = false;
        while let Some(first) = self.backlog.first().copied() {
            if self.forward(&first) == Sent::QueueFull {
                break;
            }
            self.backlog.remove(0);
            is_sent = true;
        }
        is_sent
    }

    fn forward(&mut self, received: &Received) -> Sent {
        let (signal, target) = (received.signal(), self.started.target());
        match forward(received, target) {
            Ok(()) => {
                self.started.stderr.at(DEBUG, &Event::PassedOn(signal, Target(target)));
            }
            Err(Errno(libc::EAGAIN)) if is_realtime(signal) => return Sent::QueueFull,
            Err(cause) => {
                let error = Error::Forward { signal, target: Target(target), cause };
                self.started.stderr.at(WARNING, &error);
            }
        }
        Sent::Done
    }

    fn reap(&mut self) -> Option<How> {
        let program = self.started.program.as_raw();
        let warn = self.started.warn_on_reap;
        let changes = reap::drain(program, warn, &mut self.started.stderr);
        self.reaped = self.reaped.saturating_add(changes.reaped);
        if changes.ended.is_none()
            && let Some(signal) = changes.stopped
        {
            self.stop(signal);
        }
        changes.ended
    }

    /// The program has stopped. If that was job control we stop too, with the rest of our job, so
    /// that the shell that started us sees it; and go on with the program when we are continued.
    fn stop(&mut self, signal: i32) {
        let wants_terminal = matches!(signal, libc::SIGTTIN | libc::SIGTTOU);
        let is_job_control = signal == libc::SIGTSTP || wants_terminal;
        if self.started.own.as_raw() == 1 {
            // Nobody can continue PID 1: where it is the program itself, Ctrl-Z does nothing.
            if signal == libc::SIGTSTP {
                self.go_on();
            }
            return;
        }
        // Away from terminals SIGSTOP is somebody's freezer, who will continue the program and
        // not us.
        if !is_job_control && !self.started.terminal.is_there {
            return;
        }
        // Stopping discards a pending SIGCONT (signal(7)): one that has come already is for the
        // program, and then there is nothing to stop for.
        if let Some(received) = wait_signal(SignalSet::only(libc::SIGCONT), Some(0)) {
            self.forward(&received);
            return;
        }
        let group = getpgrp();
        // A shell's `fg` sends no SIGCONT to a job that runs: we got the terminal without a word.
        if wants_terminal && Terminal::pass(group, self.started.program) {
            self.go_on();
            return;
        }
        // In a group of its own the program alone was stopped, by the terminal or for want of it;
        // without us it would have been the whole job, be it a pipeline or a script.
        let had_terminal = Terminal::pass(self.started.program, group);
        let whole_job = wants_terminal || (is_job_control && had_terminal);
        let target = if whole_job { 0 } else { self.started.own.as_raw() };
        let stopped = send_signal(target, libc::SIGTSTP).is_ok() && stop_by_default();
        // By `fg` the terminal is ours now, by `bg` it is not.
        Terminal::pass(group, self.started.program);
        // If we were not stopped, the kernel spares those that nobody could continue (setpgid(2))
        // from Ctrl-Z, and so do we. What else stopped the program is for others to undo.
        if stopped || signal == libc::SIGTSTP {
            self.go_on();
        }
    }

    fn go_on(&self) {
        let _ = send_signal(self.started.program.as_raw().wrapping_neg(), libc::SIGCONT);
    }
}

/// What is told as it happens.
enum Event {
    Started(Target),
    /// A child has.
    Changed,
    PassedOn(i32, Target),
    Reaped(i32),
}

/// In the words of tini where it has any, as scripts look for them.
impl Put for Event {
    fn put(&self, out: &mut Out<'_>) {
        match self {
            Self::Started(program) => put!(out, "started ", program),
            Self::Changed => put!(out, "Received SIGCHLD"),
            Self::PassedOn(signal, target) => {
                put!(out, "passed on ", signals::Name(*signal), " to ", target);
            }
            Self::Reaped(process) => {
                put!(out, "Reaped zombie process with pid=", process.unsigned_abs());
            }
        }
    }
}

/// What came of passing a signal on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// Nothing is left to do.
    Done,
    /// The receiver has as many signals queued as it may (RLIMIT_SIGPENDING).
    QueueFull,
}
