//! Init: starts the program, passes signals on to it, reaps, and ends as it ends.
//!
//! Signals stay blocked throughout and are taken from the queue one by one: no handler runs, none
//! is lost between a check and a wait, and nothing coalesces that the kernel did not. An idle
//! init sleeps in one system call without a timeout, but for a moment after the start, `--kill-after`,
//! what is followed, and signals that the program has no room for.

mod reap;
mod rest;
mod signals;
mod spawn;

use crate::cli::{OnResize, Options};
use crate::error::Error;
use crate::exit;
use crate::stderr::{DEBUG, Stderr, WARNING};
use crate::sys::{
    Disposition, Errno, How, NEVER, Received, SignalSet, can_wait, disposition, let_go, now,
    pending_signal, send_signal, set_disposition, stop_by_default, until, wait_signal,
};
use crate::text::{Out, Put, put};
use crate::units::Micros;
use crate::watch::{Ended, Watch};
use core::mem::replace;
use nix::sys::prctl::{get_child_subreaper, set_child_subreaper, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgrp, getpid, getppid};
use signals::{forward, is_realtime, is_stop, sender};

pub use signals::{Name, Rewrites, Target, signal_by_name};
use spawn::{Inherited, Terminal};

pub use spawn::Image;

/// The longest that a full signal queue is given before the next try. The first comes at once, and
/// each after one in vain comes twice as late.
const MAX_PAUSE: Micros = 256_000;

/// The time after which a program counts as one that stays. What ends earlier had no time to need
/// much, and is not held up by what is done for those that stay.
const MOMENT: Micros = 10_000;

/// The program at work, and what its init needs to know: nothing that lies in memory which was
/// allocated before.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    stderr: Stderr,
    own: Pid,
    program: Pid,
    terminal: Terminal,
    options: Options,
}

/// The init, while the program runs.
struct Init<'a> {
    started: &'a mut Started,
    /// What is known of the program's limits.
    watch: &'a mut Watch,
    /// What is to be done when the program has lived for a moment, or until the first signal.
    settle: fn(),
    is_settled: bool,
    /// Whether there is something to be tidied up by `settle`.
    is_untidy: bool,
    /// Realtime signals that did not fit into the queue yet, in their order.
    backlog: Vec<Received>,
    /// How long they wait for the next try.
    pause: Micros,
    /// When the program is out of time: it has been told to stop.
    kill_at: Micros,
    /// How many processes were reaped that were not the program.
    reaped: u64,
    /// Whether we have killed the program.
    is_killed: bool,
}

/// Starts the program.
///
/// # Errors
/// Where no process can be started, or could not be waited for.
pub fn start(
    options: &Options,
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
    die_with_the_parent(options, own, stderr);
    can_wait()?;
    let terminal = Terminal::find();
    let dies_with_us = options.parent_death == Some(libc::SIGKILL);
    let program = spawn::start(image, stderr, inherited, terminal, dies_with_us)?;
    let_go(options.root.is_none());
    stderr.at(DEBUG, &Event::Started(Target(program.as_raw())));
    let stderr = *stderr;
    Ok(Started { stderr, own, program, terminal, options: *options })
}

impl Started {
    /// Is the program's init until it ends, and returns the exit code for that. When the program has
    /// lived for a moment, and after each time that something was followed, `settle` is called, and
    /// nothing that was allocated is used any more then.
    #[must_use]
    #[inline(never)]
    pub fn supervise(&mut self, watch: &mut Watch, settle: fn()) -> u8 {
        let mut init = Init {
            started: self,
            watch,
            settle,
            is_settled: false,
            is_untidy: false,
            backlog: Vec::new(),
            pause: 0,
            kill_at: NEVER,
            reaped: 0,
            is_killed: false,
        };
        let how = init.run();
        let Init { started, watch, mut reaped, is_killed, .. } = init;
        // Whoever reads the terminal after us is not in the program's group.
        if started.own.as_raw() != 1 {
            Terminal::pass(started.program, getpgrp());
        }
        if let Some(time) = started.options.drain {
            reaped = reaped.saturating_add(rest::end(started, time));
        }
        watch.end(&started.options, Ended { how, is_killed, reaped }, &mut started.stderr);
        exit::code(how, started.options.remap)
    }

    /// What a signal is passed on as, if it is.
    fn passed_on_as(&self, received: &Received) -> Option<i32> {
        self.options.rewrites.of(received.signal(), sender(received), self.own.as_raw())
    }

    /// Whether a signal is one to stop, as it was sent or as it is passed on.
    fn is_stop(&self, received: &Received) -> bool {
        self.passed_on_as(received).is_some_and(|to| is_stop(received.signal()) || is_stop(to))
    }

    /// Who gets the signals, in the terms of kill(2).
    fn target(&self) -> i32 {
        let program = self.program.as_raw();
        if self.options.group { program.wrapping_neg() } else { program }
    }
}

fn take_care_of_orphans(options: &Options, own: Pid, stderr: &mut Stderr) {
    // Where we are PID 1 they come to us in any case.
    let is_wanted = options.subreaper || options.drain.is_some();
    if is_wanted && let Err(cause) = set_child_subreaper(true) {
        stderr.at(WARNING, &Error::Subreaper(cause.into()));
    }
    if own.as_raw() != 1 && get_child_subreaper() != Ok(true) {
        stderr.at(WARNING, &Error::NoReaping);
    }
}

/// Asks for a signal for the time when the parent dies. If it is dead already the kernel will not
/// send it: then we do, to be received like any other. SIGKILL ends us here.
fn die_with_the_parent(options: &Options, own: Pid, stderr: &mut Stderr) {
    let Some(number) = options.parent_death else {
        return;
    };
    let parent = getppid();
    if let Err(cause) = Signal::try_from(number).and_then(set_pdeathsig) {
        stderr.at(WARNING, &Error::ParentDeath(cause.into()));
    } else if getppid() != parent {
        let _ = send_signal(own.as_raw(), number);
    }
}

impl Init<'_> {
    fn run(&mut self) -> How {
        loop {
            let rest = until(self.kill_at);
            if rest == 0
                && let Some(outcome) = self.kill()
            {
                return outcome;
            }
            let (set, pause) = if self.backlog.is_empty() {
                (SignalSet::ALL, NEVER)
            } else {
                // Further realtime signals keep their order in our own queue; all others go on.
                (SignalSet::STANDARD, self.pause)
            };
            let mut timeout = rest.min(pause);
            if !self.is_settled {
                timeout = timeout.min(MOMENT);
            }
            // A descriptor cannot tell of some signals only: then there is but a look at the others.
            let is_all = self.backlog.is_empty();
            if self.watch.wait(if is_all { timeout } else { 0 }) && is_all {
                timeout = 0;
            }
            if let Some(received) = wait_signal(set, timeout)
                && let Some(outcome) = self.handle(&received)
            {
                return outcome;
            }
            self.follow();
            self.send_backlog();
        }
    }

    /// Sees to what is not about signals.
    #[inline(never)]
    fn follow(&mut self) {
        let Started { program, options, stderr, .. } = &mut *self.started;
        let is_new = !replace(&mut self.is_settled, true);
        if is_new {
            self.watch.settle(program.as_raw(), options, stderr);
        }
        let act = self.watch.act(options, stderr);
        self.is_untidy |= is_new || act.is_some();
        // Of what is allocated only a backlog is kept.
        if self.is_untidy && self.backlog.capacity() == 0 {
            self.is_untidy = false;
            (self.settle)();
        }
        let signal = match act {
            None | Some(OnResize::Ignore | OnResize::Log) => return,
            Some(OnResize::Signal(signal)) => signal.into(),
            Some(OnResize::Exit) => {
                // Once is enough.
                options.on_resize = OnResize::Log;
                self.stop_in_time();
                self.started.options.rewrites.of(libc::SIGTERM, None, 0).unwrap_or(libc::SIGTERM)
            }
        };
        let target = self.started.target();
        if let Err(cause) = send_signal(target, signal) {
            let error = Error::Forward { signal, target: Target(target), cause };
            self.started.stderr.at(WARNING, &error);
        }
    }

    fn handle(&mut self, received: &Received) -> Option<How> {
        if received.signal() == libc::SIGCHLD {
            self.started.stderr.at(DEBUG, &Event::Changed);
            return self.reap();
        }
        if self.forward(received) == Sent::QueueFull {
            self.backlog.push(*received);
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
            let Some(further) = pending_signal(SignalSet::REALTIME) else {
                break;
            };
            self.backlog.push(further);
            is_sent = self.send_what_fits();
        }
        let longer = self.pause.saturating_mul(2).clamp(1000, MAX_PAUSE);
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
        if self.backlog.is_empty() {
            // Its memory too.
            self.backlog = Vec::new();
        }
        is_sent
    }

    fn forward(&mut self, received: &Received) -> Sent {
        let Some(signal) = self.started.passed_on_as(received) else {
            return Sent::Done;
        };
        if self.started.is_stop(received) {
            self.stop_in_time();
        }
        let target = self.started.target();
        match forward(received, signal, target) {
            Ok(()) => {
                let event = Event::PassedOn(received.signal(), signal, Target(target));
                self.started.stderr.at(DEBUG, &event);
            }
            Err(Errno(libc::EAGAIN)) if is_realtime(signal) => return Sent::QueueFull,
            Err(cause) => {
                let error = Error::Forward { signal, target: Target(target), cause };
                self.started.stderr.at(WARNING, &error);
            }
        }
        Sent::Done
    }

    /// From the first signal to stop on the program has so long to do so.
    fn stop_in_time(&mut self) {
        if let Some(time) = self.started.options.kill_after.take() {
            self.kill_at = now().saturating_add(time);
        }
    }

    /// Kills the program with its group, unless it has ended: as long as it is not reaped, neither
    /// number can be anybody else's.
    fn kill(&mut self) -> Option<How> {
        self.kill_at = NEVER;
        let outcome = self.reap();
        if outcome.is_none() {
            self.is_killed = true;
            let program = self.started.program.as_raw();
            let _ = send_signal(program.wrapping_neg(), libc::SIGKILL);
            // It may have joined another group.
            let _ = send_signal(program, libc::SIGKILL);
            self.started.stderr.at(WARNING, &Event::Killed(Target(program)));
        }
        outcome
    }

    fn reap(&mut self) -> Option<How> {
        let program = self.started.program.as_raw();
        let warn = self.started.options.warn_on_reap;
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
        if let Some(received) = pending_signal(SignalSet::only(libc::SIGCONT)) {
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
    /// A signal, and what it was passed on as.
    PassedOn(i32, i32, Target),
    Reaped(i32),
    /// The program was, as its time was up.
    Killed(Target),
    /// What it left behind was.
    RestKilled,
}

/// In the words of tini where it has any, as scripts look for them.
impl Put for Event {
    fn put(&self, out: &mut Out<'_>) {
        match self {
            Self::Started(program) => put!(out, "started ", program),
            Self::Changed => put!(out, "Received SIGCHLD"),
            Self::PassedOn(from, to, target) => {
                put!(out, "passed on ", signals::Name(*from));
                if from != to {
                    put!(out, " as ", signals::Name(*to));
                }
                put!(out, " to ", target);
            }
            Self::Reaped(process) => {
                put!(out, "Reaped zombie process with pid=", process.unsigned_abs());
            }
            Self::Killed(program) => {
                put!(out, "killed ", program, ", which did not stop in time, and its group");
            }
            Self::RestKilled => put!(out, "killed what was left by the program and has not ended"),
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
