//! What became of the program: what is known at its start is compared with what there is at its
//! end, for the account of a run, and for the post-mortem of one that the kernel has ended for want
//! of memory, of which no log has a line.
//!
//! The start is read when the program runs already, so it is not held up. Between the two nothing
//! is read, nothing is kept open, and nobody wakes up.

mod account;
mod postmortem;

use crate::cgroup::counters::{Counters, Kills, Throttling};
use crate::cgroup::{self, Root};
use crate::cli::{Format, Options};
use crate::error::Error;
use crate::limits::{Limits, Version, directory};
use crate::policy::{Plan, Present};
use crate::stderr::{HEAD, INFO, Line, Stderr, WARNING};
use crate::supervise::{Ended, Started};
use crate::sys::{self, Errno};
use crate::text::{Out, Put};
use crate::units::Quota;
use account::Account;
use core::mem::ManuallyDrop;
use postmortem::{GoLimit, PostMortem};

/// Where the kubelet looks for the reason of a container's end, unless its manifest says otherwise.
const TERMINATION_LOG: &[u8] = b"/dev/termination-log";

/// A program that runs, and its init.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// The init.
    pub started: Started,
    /// What is known of the start.
    pub watch: Watch,
}

impl Running {
    /// Is the init until the program ends, says what became of it, and returns the exit code.
    #[must_use]
    pub fn finish(self) -> u8 {
        let mut ended = self.started.supervise();
        self.watch.end(&mut ended);
        ended.code
    }
}

/// What is known of the start.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    root: Root<'static>,
    termination_log: Option<&'static [u8]>,
    /// The form of the account, if there is to be one.
    report: Option<Format>,
    go: GoLimit,
    before: Snapshot,
}

impl Watch {
    /// Reads what there is to know when the program has been started.
    #[must_use]
    pub fn begin(
        root: &Root<'static>,
        options: &Options<'_>,
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
        let before = Snapshot::take(&mut Counters::new(root), limits, report.is_some());
        Self { root: *root, termination_log: options.termination_log, report, go, before }
    }

    /// Says what is to be said at the end.
    fn end(&self, ended: &mut Ended) {
        let Self { root, before, report, .. } = self;
        if before.kills.is_none() && report.is_none() {
            return;
        }
        let mut buffer = ManuallyDrop::new(Vec::new());
        let limits = ManuallyDrop::new(cgroup::read(root, &mut buffer));
        let mut counters = Counters::new(root);
        let now = Snapshot::take(&mut counters, &limits, report.is_some());
        let kills = now.kills.zip(before.kills).map(|(now, before)| now.since(before));
        let is_oom = kills.is_some_and(|kills| kills.processes > 0);
        if !is_oom && report.is_none() {
            return;
        }
        // The use of memory of whoever has the limit, if that is in sight.
        let limit = limits.deadly();
        let place = limit.map(|(_, file)| directory(file)).or_else(|| limits.memory.own());
        let peak = limits.memory.version.zip(place);
        let peak = peak.and_then(|(version, place)| counters.peak(version, place));
        if is_oom && let Some(kills) = kills {
            let (how, limit_before, go) = (ended.how, before.memory_limit, self.go);
            let message = PostMortem { how, kills, limit, limit_before, peak, go };
            ended.stderr.at(WARNING, &message);
            self.log_termination(&message, &mut ended.stderr);
        }
        if let Some(format) = *report {
            let cpu = sys::children_cpu();
            let kills = kills.map(|kills| kills.processes);
            let &mut Ended { how, reaped, .. } = ended;
            let account = Account { format, how, before: *before, now, cpu, peak, kills, reaped };
            // What is for a program has nothing else on its line.
            let head = if format == Format::Json { "" } else { HEAD };
            ended.stderr.say(head, &account);
        }
    }

    /// Leaves the message for Kubernetes, in a file that it has put there.
    fn log_termination(&self, message: &PostMortem<'_>, stderr: &mut Stderr) {
        let file = self.termination_log.unwrap_or(TERMINATION_LOG);
        let mut path = file.to_vec();
        path.push(0);
        let mut line = Line::default();
        message.put(&mut Out::Line(&mut line));
        let result = sys::c_str(&path).map(|path| sys::write_if_empty(path, line.finish()));
        let Some(Err(cause)) = result else {
            return;
        };
        // Outside of Kubernetes there is none.
        if cause != Errno(libc::ENOENT) || self.termination_log.is_some() {
            stderr.at(WARNING, &Error::TerminationLog { file, cause });
        }
    }
}

/// What there is at one time.
#[derive(Clone, Copy, Debug)]
struct Snapshot {
    /// The memory limit at which the kernel kills, in bytes.
    memory_limit: Option<u64>,
    kills: Option<Kills>,
    cpu_limit: Option<Quota>,
    /// What the quota has done, in the cgroup that has it. This and the time only for an account.
    throttling: Option<Throttling>,
    microseconds: u64,
}

impl Snapshot {
    fn take(counters: &mut Counters<'_>, limits: &Limits, is_for_account: bool) -> Self {
        let memory = limits.memory.version.zip(limits.memory.own());
        let quota = limits.cpu.least();
        let mut snapshot = Self {
            memory_limit: limits.deadly().map(|(limit, _)| limit),
            kills: memory.and_then(|(version, own)| counters.kills(version, own)),
            cpu_limit: quota.map(|(limit, _)| limit),
            throttling: None,
            microseconds: 0,
        };
        if is_for_account {
            snapshot.throttling = quota.and_then(|(_, file)| counters.throttling(directory(file)));
            snapshot.microseconds = sys::microseconds();
        }
        snapshot
    }
}

/// Whether the kernel kills the init together with its program, if that can be known.
#[must_use]
pub fn dies_too(root: &Root<'_>, limits: &Limits) -> Option<bool> {
    let own = limits.memory.own()?;
    if limits.memory.version != Some(Version::V2) {
        return None;
    }
    Counters::new(root).kills_all(own)
}
