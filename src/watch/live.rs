//! Follows the limits and the memory of a program while it runs, where that was asked for: waits
//! for what the kernel tells of them, and says what is to be done.

use super::resize::{Done, Resized};
use super::shortage::Shortage;
use super::{Circumstances, Watch};
use crate::cgroup;
use crate::cgroup::counters::Counters;
use crate::cli::OnResize;
use crate::error::Error;
use crate::gobinary;
use crate::policy;
use crate::stderr::{Stderr, WARNING};
use crate::sys::{Errno, Events, File, SECOND, Told, c_str, now};
use crate::text::{Out, Put, put};
use crate::units::Micros;

/// How long after the first write to a limit it is decided again: who changes limits writes to more
/// than one file, and may be at it for a while.
const DEBOUNCE: Micros = SECOND / 4;
/// How long nobody listens after notice of a want of memory.
const DEAF: Micros = 60 * SECOND;

/// What is waited for.
#[derive(Debug)]
pub(super) struct Live {
    events: Events,
    /// The program's file, by which it is known how it was built.
    program: Option<File>,
    /// From when on notice of a want of memory counts, if it ever does.
    listens_from: Option<Micros>,
    is_short: bool,
    /// When it is to be decided again.
    decide_at: Option<Micros>,
}

/// What is left to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// The program gets this signal.
    Signal(u8),
    /// It is to end.
    Stop,
}

impl Watch {
    /// Begins to follow. What cannot be had is said, and the rest goes on.
    pub(super) fn follow(&mut self, program: i32, stderr: &mut Stderr) {
        let resizes = self.on_resize != OnResize::Ignore;
        if !resizes && !self.memory_warn {
            return;
        }
        let mut failed = |option, cause| stderr.at(WARNING, &Error::Watch { option, cause });
        let mut events = match Events::new() {
            Ok(events) => events,
            Err(cause) => return failed("--on-resize and --memory-warn", cause),
        };
        let mut buffer = Vec::new();
        let limits = cgroup::read(&self.root, &mut buffer);
        let (mut decide_at, mut listens_from) = (None, None);
        if resizes {
            // What has changed since the start was not seen.
            decide_at = Some(0);
            let mut result = Ok(());
            cgroup::files(&self.root, &limits, &mut |file| match events.add_changes(file) {
                Err(cause) if !cause.is_absence() => result = Err(cause),
                _ => {}
            });
            if let Err(cause) = result {
                failed("--on-resize", cause);
            }
        }
        if self.memory_warn {
            let mut counters = Counters::new(&self.root, &limits);
            let file = counters.notices().ok_or(Errno(libc::ENOENT));
            match file.and_then(|file| events.add_notice(file)) {
                Ok(()) => listens_from = Some(0),
                Err(cause) => failed("--memory-warn", cause),
            }
        }
        let mut path = Out::default();
        put!(&mut path, "/proc/", program.unsigned_abs(), "/exe\0");
        let program = c_str(&path.into_bytes()).and_then(File::open);
        self.live = Some(Live { events, program, listens_from, is_short: false, decide_at });
    }

    /// Waits for what is followed or for a signal, at most for `time` if given; returns at once with
    /// `false` if nothing is followed.
    pub fn wait(&mut self, time: Option<Micros>) -> bool {
        let Some(live) = &mut self.live else {
            return false;
        };
        let start = now();
        let listens = live.listens_from.is_some_and(|from| from <= start);
        let deaf_until = live.listens_from.filter(|_| !listens);
        let due = live.decide_at.into_iter().chain(deaf_until);
        let time = due.map(|at| at.saturating_sub(start)).chain(time).min();
        let told =
            live.events.wait(Told { change: live.decide_at.is_none(), notice: listens }, time);
        if told.change {
            live.decide_at = Some(now().saturating_add(DEBOUNCE));
        }
        live.is_short = told.notice;
        true
    }

    /// Does what is due, if anything is, but for what it returns.
    pub fn act(&mut self, stderr: &mut Stderr) -> Option<Act> {
        let live = self.live.as_mut()?;
        if live.is_short {
            live.is_short = false;
            live.listens_from = Some(now().saturating_add(DEAF));
            live.events.take_notice();
            self.warn(stderr);
            return Some(Act::Nothing);
        }
        if live.decide_at.is_none_or(|at| at > now()) {
            return None;
        }
        live.decide_at = None;
        // Before they are read: what is written later is told again.
        live.events.take_changes();
        Some(self.decide(stderr))
    }

    /// Says that memory runs out, if it is used by what cannot be taken away.
    fn warn(&mut self, stderr: &mut Stderr) {
        let mut buffer = Vec::new();
        let limits = cgroup::read(&self.root, &mut buffer);
        let Some((limit, file)) = limits.deadly() else {
            return;
        };
        let Some(parts) = Counters::new(&self.root, &limits).lasting() else {
            return;
        };
        let circumstances = Circumstances {
            limit: Some((limit, file)),
            limit_before: self.before.memory_limit,
            peak: None,
            go: self.go,
        };
        let message = Shortage { parts, circumstances };
        if message.is_one(limit) {
            stderr.at(WARNING, &message);
            self.log_termination(Some(&message), stderr);
            self.is_warned = true;
        }
    }

    /// Decides again from the limits there are now.
    fn decide(&mut self, stderr: &mut Stderr) -> Act {
        let mut buffer = Vec::new();
        let limits = cgroup::read(&self.root, &mut buffer);
        let program = self.live.as_ref().and_then(|live| live.program.as_ref());
        let go = program.and_then(|file| gobinary::read(file, &mut buffer));
        let plan = policy::decide(&self.tuning, &limits, self.present, go, Vec::new());
        let before = self.seen;
        self.seen = before.again(&plan);
        if self.seen == before {
            return Act::Nothing;
        }
        let (done, act) = match self.on_resize {
            _ if self.seen.told == before.told => (Done::Nothing, Act::Nothing),
            OnResize::Signal(signal) => (Done::Signal(signal), Act::Signal(signal)),
            OnResize::Exit => (Done::Stop, Act::Stop),
            OnResize::Log | OnResize::Ignore => (Done::Log, Act::Nothing),
        };
        stderr.at(WARNING, &Resized { before, now: self.seen, plan: &plan, done });
        if act == Act::Stop {
            self.on_resize = OnResize::Log;
        }
        act
    }
}
