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
use crate::stderr::{DEBUG, Stderr, WARNING};
use crate::sys::{
    Disposition, Errno, How, Received, SignalSet, disposition, send_signal, set_disposition,
    stop_by_default, wait_signal,
};
use nix::sys::prctl::{get_child_subreaper, set_child_subreaper, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgrp, getpid, getppid};
use signals::{Route, forward, is_realtime, route, sender};
use spawn::{Inherited, Terminal};

pub use spawn::Image;

/// How long a full signal queue is given before the next try.
const RETRY_MILLISECONDS: u32 = 2;

/// The program at work, and what its init needs to know.
struct Init<'a> {
    options: &'a Options<'a>,
    stderr: &'a mut Stderr,
    own: Pid,
    program: Pid,
    terminal: Terminal,
    /// Realtime signals that did not fit into the queue yet, in their order.
    backlog: Vec<Received>,
}

/// Runs the program and returns how it ended.
///
/// # Errors
/// Where no process could be started.
pub fn run(
    options: &Options<'_>,
    image: &mut Image<'_>,
    mask: SignalSet,
    stderr: &mut Stderr,
) -> Result<How, Errno> {
    let own = getpid();
    let inherited = Inherited { mask, child: disposition(libc::SIGCHLD) };
    if inherited.child == Disposition::Ignored {
        // The kernel would reap our children itself and tell us nothing (wait(2)).
        set_disposition(libc::SIGCHLD, Disposition::Default);
    }
    take_care_of_orphans(options, own, stderr);
    let is_due = die_with_the_parent(options, stderr);
    let terminal = Terminal::find();
    let dies_with_us = options.parent_death == Some(libc::SIGKILL);
    let program = spawn::start(image, stderr, inherited, terminal, dies_with_us)?;
    stderr.at(DEBUG, format_args!("started process {program}"));
    let mut init = Init { options, stderr, own, program, terminal, backlog: Vec::new() };
    if let Some(signal) = is_due {
        let _ = send_signal(init.target(), signal);
    }
    let outcome = init.run();
    // Whoever reads the terminal after us is not in the program's group.
    if own.as_raw() != 1 {
        Terminal::pass(program, getpgrp());
    }
    Ok(outcome)
}

fn take_care_of_orphans(options: &Options<'_>, own: Pid, stderr: &mut Stderr) {
    if options.subreaper
        && let Err(cause) = set_child_subreaper(true)
    {
        stderr.at(WARNING, Error::Subreaper(cause.into()));
    }
    if own.as_raw() != 1 && get_child_subreaper() != Ok(true) {
        stderr.at(WARNING, Error::NoReaping);
    }
}

/// Asks for a signal for the time when the parent dies. If it is dead already the kernel will not
/// send it: then it is returned, for the program. SIGKILL ends us here.
fn die_with_the_parent(options: &Options<'_>, stderr: &mut Stderr) -> Option<i32> {
    let number = options.parent_death?;
    let parent = getppid();
    if let Err(cause) = Signal::try_from(number).and_then(set_pdeathsig) {
        stderr.at(WARNING, Error::ParentDeath(cause.into()));
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

impl Init<'_> {
    fn run(&mut self) -> How {
        loop {
            let (set, timeout) = if self.backlog.is_empty() {
                (SignalSet::ALL, None)
            } else {
                // Further realtime signals keep their order in our own queue; all others go on.
                (SignalSet::STANDARD, Some(RETRY_MILLISECONDS))
            };
            match wait_signal(set, timeout) {
                Some(received) => {
                    if let Some(outcome) = self.handle(&received) {
                        return outcome;
                    }
                }
                // RLIMIT_SIGPENDING counts all queues of a user. Where ours takes the last places
                // of it, only a signal that leaves it makes room for another.
                None => self.backlog.extend(wait_signal(SignalSet::REALTIME, Some(0))),
            }
            self.send_backlog();
        }
    }

    fn handle(&mut self, received: &Received) -> Option<How> {
        match route(received.signal(), sender(received), self.own.as_raw()) {
            Route::Reap => {
                self.stderr.at(DEBUG, "Received SIGCHLD");
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

    fn send_backlog(&mut self) {
        while let Some(first) = self.backlog.first().copied() {
            if self.forward(&first) == Sent::QueueFull {
                return;
            }
            self.backlog.remove(0);
        }
    }

    /// Who gets the signals, in the terms of kill(2).
    fn target(&self) -> i32 {
        let program = self.program.as_raw();
        if self.options.group { program.wrapping_neg() } else { program }
    }

    fn forward(&mut self, received: &Received) -> Sent {
        let (signal, target) = (received.signal(), self.target());
        match forward(received, target) {
            Ok(()) => {
                let name = signals::name(signal);
                self.stderr.at(DEBUG, format_args!("passed on {name} to process {target}"));
            }
            Err(Errno(libc::EAGAIN)) if is_realtime(signal) => return Sent::QueueFull,
            Err(cause) => {
                let error = Error::Forward { signal, process: target, cause };
                self.stderr.at(WARNING, error);
            }
        }
        Sent::Done
    }

    fn reap(&mut self) -> Option<How> {
        let program = self.program.as_raw();
        let warn = self.options.warn_on_reap;
        let changes = reap::drain(program, warn, self.stderr);
        if changes.ended.is_none()
            && let Some(signal) = changes.stopped
        {
            self.stop(signal);
        }
        changes.ended
    }

    /// The program has stopped. If that was job control we stop too, so that the shell that
    /// started us sees it, and go on with the program when we are continued.
    fn stop(&mut self, signal: i32) {
        let is_job_control = matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
        if self.own.as_raw() == 1 {
            // Nobody could continue us or tell us to.
            if signal == libc::SIGTSTP {
                self.go_on();
            }
            return;
        }
        // Away from terminals SIGSTOP is somebody's freezer, who will continue the program and
        // not us.
        if !is_job_control && !self.terminal.is_there {
            return;
        }
        // Stopping discards a pending SIGCONT (signal(7)): one that has come already is for the
        // program, and then there is nothing to stop for.
        if let Some(received) = wait_signal(SignalSet::only(libc::SIGCONT), Some(0)) {
            self.forward(&received);
            return;
        }
        let group = getpgrp();
        let wants_it = matches!(signal, libc::SIGTTIN | libc::SIGTTOU);
        // We are in the foreground by now, and nobody told us, as we had not stopped.
        if wants_it && group.as_raw() != 0 && Terminal::pass(group, self.program) {
            self.go_on();
            return;
        }
        let had_it = Terminal::pass(self.program, group);
        // Of a job in the background the kernel stops all. From the foreground the rest of our
        // job, of a pipeline or script, did not get what the program got.
        let whole_job = wants_it || (is_job_control && had_it);
        let target = if whole_job { 0 } else { self.own.as_raw() };
        if send_signal(target, libc::SIGTSTP).is_ok() && stop_by_default() {
            // By `fg` the terminal is ours again, by `bg` it is not.
            Terminal::pass(group, self.program);
            self.go_on();
        } else {
            // Nobody watches our group, and whoever continues the program wants it as it was.
            Terminal::pass(group, self.program);
            // But for Ctrl-Z, of which the kernel spares a group that nobody could continue.
            if signal == libc::SIGTSTP {
                self.go_on();
            }
        }
    }

    fn go_on(&self) {
        let _ = send_signal(self.program.as_raw().wrapping_neg(), libc::SIGCONT);
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
