//! What happens to the program's limits after its start, and what became of it: what is known at
//! its start is compared with what there is at its end, for the account of a run, and for the
//! post-mortem of one that the kernel has ended for want of memory, of which no log has a line.
//!
//! What is not known yet is read when the program runs already and has lived for a moment, so it is
//! not held up. All that is kept is plain data, among it the path of the one file that an ordinary
//! end has to read; and descriptors of what is followed, where that is asked for.

mod account;
mod live;
mod postmortem;
mod resize;
mod shortage;

use crate::cgroup::counters::{Counters, Kills, Throttling, since};
use crate::cgroup::{self, Root};
use crate::cli::{Format, Options};
use crate::error::Error;
use crate::limits::Limits;
use crate::policy::{Plan, Present};
use crate::stderr::{HEAD, INFO, Line, Stderr, WARNING};
use crate::sys::{self, Errno, How, SECOND};
use crate::text::{Out, Put, put};
use crate::units::{Micros, Quota};
use account::Account;
use core::mem::ManuallyDrop;
use live::Live;
use postmortem::{Circumstances, GoLimit, PostMortem, Who};
use resize::Seen;

pub use account::LINES;

/// Where the kubelet looks for the reason of a container's end, unless its manifest says otherwise.
const TERMINATION_LOG: &[u8] = b"/dev/termination-log";

/// The program at its end.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How it ended.
    pub how: How,
    /// Whether we have killed it.
    pub is_killed: bool,
    /// How many other processes were reaped.
    pub reaped: u64,
}

/// What is known of the start, and what is followed since.
#[derive(Debug)]
pub struct Watch {
    present: Present<'static>,
    /// How many bytes of the termination log are ours.
    logged: usize,
    /// The form of the account, if there is to be one.
    report: Option<Format>,
    go: GoLimit,
    kills: Kills,
    before: Snapshot,
    /// Since when kills are counted.
    settled: Micros,
    seen: Seen,
    live: Option<Live>,
}

impl Watch {
    /// Remembers what there is to know of a program that has been started.
    #[must_use]
    #[inline(never)]
    pub fn begin(
        options: &Options,
        limits: &Limits,
        plan: &Plan<'_>,
        present: Present<'static>,
    ) -> Self {
        let mut report = options.report;
        if report.is_none() && options.verbosity >= INFO {
            report = Some(Format::Text);
        }
        let go = match (plan.memory.value, present.memory) {
            (Some(bytes), _) => GoLimit::Ours(bytes),
            (None, Some(value)) => GoLimit::Theirs(value),
            (None, None) => GoLimit::Unset,
        };
        let mut counters = Counters::new(&options.root(), limits);
        let kills = counters.kills();
        let counted = if report.is_some() { kills.read() } else { None };
        let before = Snapshot::take(&mut counters, counted, report.is_some());
        let seen = Seen::new(plan);
        Self { present, logged: 0, report, go, kills, before, settled: 0, seen, live: None }
    }

    /// Begins to count the kills, and to follow what is to be followed, for a program that stays.
    pub fn settle(&mut self, program: i32, options: &Options, stderr: &mut Stderr) {
        if self.before.kills.is_none() {
            self.before.kills = self.kills.read();
        }
        self.settled = sys::now();
        self.follow(program, options, stderr);
    }

    /// Says what is to be said at the end, if there is anything.
    pub fn end(&mut self, options: &Options, ended: Ended, stderr: &mut Stderr) {
        let is_killed = ended.how == How::Killed(libc::SIGKILL);
        let is_known = self.before.kills.is_some();
        let kills = if is_known || is_killed { self.kills.read() } else { None };
        let mut before = self.before.kills;
        if kills == Some(0) {
            // Before there was any, none has been counted.
            before = kills;
        } else if is_killed && kills == before && sys::now() < self.settled.saturating_add(SECOND) {
            // The kill may have been counted before the count began: death takes its time.
            before = None;
        }
        let who = Who::of(&ended, since(before, kills));
        if who.is_some() || self.report.is_some() || self.logged > 0 {
            self.tell(options, ended, who, kills, stderr);
        }
    }

    /// In a frame of its own: its lines would have pages of the stack while the program runs.
    #[inline(never)]
    fn tell(
        &mut self,
        options: &Options,
        ended: Ended,
        who: Option<Who>,
        kills: Option<u64>,
        stderr: &mut Stderr,
    ) {
        let root = options.root();
        let &mut Self { before, report, .. } = self;
        let mut buffer = ManuallyDrop::new(Vec::new());
        let limits = ManuallyDrop::new(cgroup::read(&root, &mut buffer));
        let mut counters = Counters::new(&root, &limits);
        let now = Snapshot::take(&mut counters, kills, report.is_some());
        let peak = counters.peak();
        if let Some(who) = who {
            let message = PostMortem {
                who,
                is_exact: counters.group_kills().is_none_or(|groups| groups == 0),
                circumstances: Circumstances {
                    limit: limits.deadly(),
                    limit_before: before.memory_limit,
                    peak,
                    go: self.go,
                },
            };
            stderr.at(WARNING, &message);
            self.log(options, Some(&message), stderr);
        } else if self.logged > 0 {
            self.log(options, None, stderr);
        }
        if let Some(format) = report {
            let cpu = sys::children_cpu();
            let account = Account { format, ended, before, now, cpu, peak };
            // What is for a program has nothing else on its line.
            let head = if format == Format::Json { "" } else { HEAD };
            stderr.say(head, &account);
        }
    }

    /// Leaves a message for Kubernetes, in a file that it has put there, or takes back what was left.
    /// What somebody else has written stays.
    fn log(&mut self, options: &Options, message: Option<&dyn Put>, stderr: &mut Stderr) {
        let file = options.termination_log.unwrap_or(TERMINATION_LOG);
        let (mut path, mut line) = (Line::default(), Line::default());
        path.add(file);
        path.add(b"\0");
        let mut text = &b""[..];
        if let Some(message) = message {
            put!(&mut Out::Line(&mut line), HEAD, message);
            text = line.finish();
        }
        let Some(path) = sys::c_str(path.finish()) else {
            return;
        };
        match sys::replace(path, self.logged, text) {
            Ok(length) => self.logged = length,
            // Outside of Kubernetes there is none.
            Err(Errno(libc::ENOENT)) if options.termination_log.is_none() => {}
            Err(cause) => stderr.at(WARNING, &Error::TerminationLog { file, cause }),
        }
    }
}

/// What there is at one time.
#[derive(Clone, Copy, Debug)]
struct Snapshot {
    /// The memory limit at which the kernel kills, in bytes.
    memory_limit: Option<u64>,
    kills: Option<u64>,
    cpu_limit: Option<Quota>,
    /// This and the time only for an account.
    throttling: Throttling,
    time: Micros,
}

impl Snapshot {
    fn take(counters: &mut Counters<'_>, kills: Option<u64>, is_for_account: bool) -> Self {
        let limits = counters.limits();
        Self {
            memory_limit: limits.deadly().map(|(limit, _)| limit),
            kills,
            cpu_limit: limits.cpu.least().map(|(limit, _)| limit),
            throttling: if is_for_account { counters.throttling() } else { None },
            time: if is_for_account { sys::now() } else { 0 },
        }
    }
}

/// Whether the kernel kills the init together with its program, if that can be known.
#[must_use]
pub fn dies_too(root: &Root<'_>, limits: &Limits) -> Option<bool> {
    Counters::new(root, limits).kills_all()
}
