//! What became of the program: what is known at its start is compared with what there is at its
//! end, for the account of a run, and for the post-mortem of one that the kernel has ended for want
//! of memory, of which no log has a line.
//!
//! The start is read when the program runs already, so it is not held up. Between the two nothing
//! is read, nothing is kept open, and nobody wakes up.

mod account;
mod postmortem;

use crate::cgroup::counters::{Counters, Throttling, since};
use crate::cgroup::{self, Root};
use crate::cli::{Format, Options};
use crate::error::Error;
use crate::limits::Limits;
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
        let before = Snapshot::take(&mut Counters::new(root, limits), report.is_some());
        Self { root: *root, termination_log: options.termination_log, report, go, before }
    }

    /// Says what is to be said at the end. Not inlined, or its lines would lie on the stack, and in
    /// memory, while the program runs.
    #[inline(never)]
    fn end(&self, ended: &mut Ended) {
        let Self { root, before, report, .. } = self;
        if before.kills.is_none() && report.is_none() {
            return;
        }
        let mut buffer = ManuallyDrop::new(Vec::new());
        let limits = ManuallyDrop::new(cgroup::read(root, &mut buffer));
        let mut counters = Counters::new(root, &limits);
        let now = Snapshot::take(&mut counters, report.is_some());
        let kills = since(before.kills, now.kills);
        let is_oom = kills.is_some_and(|kills| kills > 0);
        if !is_oom && report.is_none() {
            return;
        }
        let peak = counters.peak();
        if is_oom {
            let message = PostMortem {
                how: ended.how,
                kills: kills.unwrap_or_default(),
                is_exact: counters.group_kills().is_none_or(|groups| groups == 0),
                limit: limits.deadly(),
                limit_before: before.memory_limit,
                peak,
                go: self.go,
            };
            ended.stderr.at(WARNING, &message);
            self.log_termination(&message, &mut ended.stderr);
        }
        if let Some(format) = *report {
            let cpu = sys::children_cpu();
            let &mut Ended { how, reaped, .. } = ended;
            let account = Account { format, how, before: *before, now, cpu, peak, reaped };
            // What is for a program has nothing else on its line.
            let head = if format == Format::Json { "" } else { HEAD };
            ended.stderr.say(head, &account);
        }
    }

    /// Leaves the message for Kubernetes, in a file that it has put there.
    fn log_termination(&self, message: &PostMortem<'_>, stderr: &mut Stderr) {
        let file = self.termination_log.unwrap_or(TERMINATION_LOG);
        let (mut path, mut line) = (Line::default(), Line::default());
        path.add(file);
        path.add(b"\0");
        message.put(&mut Out::Line(&mut line));
        if let Some(path) = sys::c_str(path.finish())
            && let Err(cause) = sys::write_if_empty(path, line.finish())
            // Outside of Kubernetes there is none.
            && (cause != Errno(libc::ENOENT) || self.termination_log.is_some())
        {
            stderr.at(WARNING, &Error::TerminationLog { file, cause });
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
    microseconds: u64,
}

impl Snapshot {
    fn take(counters: &mut Counters<'_>, is_for_account: bool) -> Self {
        let limits = counters.limits();
        Self {
            memory_limit: limits.deadly().map(|(limit, _)| limit),
            kills: counters.kills(),
            cpu_limit: limits.cpu.least().map(|(limit, _)| limit),
            throttling: if is_for_account { counters.throttling() } else { None },
            microseconds: if is_for_account { sys::microseconds() } else { 0 },
        }
    }
}

/// Whether the kernel kills the init together with its program, if that can be known.
#[must_use]
pub fn dies_too(root: &Root<'_>, limits: &Limits) -> Option<bool> {
    Counters::new(root, limits).kills_all()
}
