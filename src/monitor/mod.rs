//! What happens after the start: limits that change, memory that runs out, OOM kills, and the
//! summary of a run.
//!
//! What is known at the start is compared with what there is at the end. Anything optional is read
//! only after the program has run for a moment, so it does not delay the start. What is kept is
//! plain data, and the descriptors of what is watched.

mod pressure;
mod resize;
mod termination_log;
mod watch;

use crate::cgroup::counters::{Counters, OomKillCounter, delta};
use crate::cgroup::limits::Limits;
use crate::cgroup::sysroot::MEMINFO;
use crate::cgroup::{self, SysRoot};
use crate::golang::GoRuntime;
use crate::options::{Format, Options};
use crate::policy::{GoEnv, Plan};
use crate::report::oom::{GoMemLimit, OomContext, OomReport, OomVictim};
use crate::report::origin::{Identity, Origin};
use crate::report::summary::{RunSummary, Snapshot};
use crate::stderr::{LogLevel, Stderr};
use crate::sys::{self, ExitStatus, Timestamp};
use core::time::Duration;
use resize::AppliedLimits;
use termination_log::TerminationLog;
use watch::Watcher;

/// The kernel counts an OOM kill only when the victim is gone, which may take up to this long.
const OOM_COUNT_DELAY: Duration = Duration::from_secs(1);

/// The end of the program.
#[derive(Clone, Copy, Debug)]
pub struct ProgramEnd {
    /// How it ended.
    pub status: ExitStatus,
    /// Whether we killed it.
    pub killed_by_us: bool,
    /// The number of other processes that were reaped.
    pub reaped: u64,
}

/// What is known of the start, and what is watched since then.
#[derive(Clone, Copy, Debug)]
pub struct Monitor {
    go_env: GoEnv<'static>,
    /// The Go runtime of the program that was started. If it executes another program, a restart
    /// would begin with this one again.
    runtime: Option<GoRuntime>,
    gomemlimit: GoMemLimit,
    applied: AppliedLimits,
    /// The form of the run summary, if one was asked for.
    report: Option<Format>,
    identity: Identity<'static>,
    termination_log: TerminationLog,
    oom_kills: OomKillCounter,
    before: Snapshot,
    /// When the program had run for a moment, and OOM kills were counted; none if it ended before.
    startup_done_at: Option<Timestamp>,
    watcher: Option<Watcher>,
}

impl Monitor {
    /// Remembers what there is to know of a program that has just been started.
    #[must_use]
    #[inline(never)] // Keeps its frame off the stack that the start needs.
    pub fn new(
        options: &Options,
        limits: &Limits,
        plan: &Plan<'_>,
        go_env: GoEnv<'static>,
        runtime: Option<GoRuntime>,
        identity: Identity<'static>,
    ) -> Self {
        let is_verbose = options.verbosity >= LogLevel::Info as u32;
        let report = options.report.or(is_verbose.then_some(Format::Text));
        let mut counters = Counters::new(&sys_root(options), limits);
        let oom_kills = counters.oom_kill_counter();
        let counted = if report.is_some() { oom_kills.read() } else { None };
        Self {
            go_env,
            runtime,
            gomemlimit: match (plan.memory.value, go_env.gomemlimit) {
                (Some(bytes), _) => GoMemLimit::SetByUs(bytes),
                (None, Some(value)) => GoMemLimit::Inherited(value),
                (None, None) => GoMemLimit::Unset,
            },
            applied: AppliedLimits::of(plan),
            report,
            identity,
            termination_log: TerminationLog::new(options.termination_log),
            oom_kills,
            before: snapshot(&mut counters, counted, report.is_some()),
            startup_done_at: None,
            watcher: None,
        }
    }

    /// Begins to count OOM kills and to watch what the options ask for, when the program has run for
    /// a moment.
    pub fn startup_done(&mut self, options: &Options, stderr: &mut Stderr) {
        if self.before.oom_kills.is_none() {
            self.before.oom_kills = self.oom_kills.read();
        }
        self.startup_done_at = Some(Timestamp::now());
        self.start_watching(options, stderr);
    }

    /// Reports the end of the program: an OOM kill, and the run summary.
    pub fn finish(&mut self, options: &Options, end: ProgramEnd, stderr: &mut Stderr) {
        let was_sigkilled = end.status == ExitStatus::Signaled(libc::SIGKILL);
        let is_counting = self.before.oom_kills.is_some();
        let kills = if is_counting || was_sigkilled { self.oom_kills.read() } else { None };
        let mut kills_before = self.before.oom_kills;
        if kills == Some(0) {
            // There was none before either.
            kills_before = kills;
        } else if was_sigkilled
            && kills == kills_before
            && self.startup_done_at.is_some_and(|since| since.elapsed() < OOM_COUNT_DELAY)
        {
            // This kill may have been counted before the counting began.
            kills_before = None;
        }
        let victim = OomVictim::of(end.status, end.killed_by_us, delta(kills_before, kills));
        if victim.is_some() || self.report.is_some() || self.termination_log.is_ours() {
            self.report_end(options, end, victim, kills, stderr);
        }
    }

    /// Not inlined: its line buffers would take pages of the stack while the program runs.
    #[inline(never)]
    fn report_end(
        &mut self,
        options: &Options,
        end: ProgramEnd,
        victim: Option<OomVictim>,
        kills: Option<u64>,
        stderr: &mut Stderr,
    ) {
        let root = sys_root(options);
        let limits = cgroup::read(&root);
        let mut counters = Counters::new(&root, &limits);
        let mut now = snapshot(&mut counters, kills, self.report.is_some());
        if limits.problem().is_some() {
            // As far as we know, what cannot be read is as it was.
            now.memory_limit = now.memory_limit.or(self.before.memory_limit);
            now.cpu_limit = now.cpu_limit.or(self.before.cpu_limit);
        }
        let peak = counters.peak();
        if let Some(victim) = victim {
            let limit_file = limits.oom_limit().map(|(_, file)| file);
            let report = OomReport {
                victim,
                is_exact: counters.group_kills().is_none_or(|groups| groups == 0),
                context: OomContext {
                    limit: now.memory_limit,
                    limit_file,
                    limit_at_start: self.before.memory_limit,
                    // A limit out of sight is that of others too, whose memory is not in the peak.
                    peak: peak.filter(|_| limit_file != Some(MEMINFO)),
                    gomemlimit: self.gomemlimit,
                },
            };
            stderr.log(LogLevel::Warning, &report);
            self.termination_log.write(&report, stderr);
        } else {
            self.termination_log.clear(stderr);
        }
        if let Some(format) = self.report {
            let ProgramEnd { status, reaped, .. } = end;
            let cpu_time = sys::children_cpu_time();
            let before = self.before;
            let origin = Origin { time: sys::since_epoch(), identity: self.identity };
            let summary =
                RunSummary { format, origin, status, reaped, before, now, cpu_time, peak };
            match format {
                Format::Text => stderr.write_line(&summary),
                Format::Json => stderr.write_json(&summary),
            }
        }
    }
}

fn sys_root(options: &Options) -> SysRoot<'static> {
    SysRoot::new(options.root)
}

/// What there is now. Only the summary needs to know the time, and how often the quota was used up.
fn snapshot(counters: &mut Counters<'_>, oom_kills: Option<u64>, is_for_summary: bool) -> Snapshot {
    let limits = counters.limits();
    Snapshot {
        memory_limit: limits.oom_limit().map(|(limit, _)| limit),
        oom_kills,
        cpu_limit: limits.cpu.lowest().map(|(limit, _)| limit),
        throttling: if is_for_summary { counters.throttling() } else { None },
        time: is_for_summary.then(Timestamp::now),
    }
}
