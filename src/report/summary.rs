//! The summary of a run, on one line: text for people or JSON for programs. What is not known is
//! missing in the text, and `null` in the JSON.

use super::json::OrNull;
use super::origin::Origin;
use crate::cgroup::counters::{Throttling, delta};
use crate::options::Format;
use crate::sys::{ExitStatus, Timestamp};
use crate::units::{Bytes, CpuQuota, Seconds};
use core::fmt::{self, Display, Formatter};
use core::time::Duration;

/// What a run has taken.
#[derive(Clone, Copy, Debug)]
pub struct RunSummary<'a> {
    /// The form of the summary.
    pub format: Format,
    /// When and where; only in the JSON.
    pub origin: Origin<'a>,
    /// How the program ended.
    pub status: ExitStatus,
    /// How many other processes were reaped.
    pub reaped: u64,
    /// What was read at the start.
    pub before: Snapshot,
    /// What was read at the end.
    pub now: Snapshot,
    /// The CPU time in user mode and in the kernel, of all processes that were waited for.
    pub cpu_time: [Duration; 2],
    /// The peak of the cgroup that has the memory limit, or of our own if none has.
    pub peak: Option<Bytes>,
}

/// The limits and counters at one time.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// The memory limit at which the kernel kills.
    pub memory_limit: Option<Bytes>,
    /// The number of processes that the kernel has OOM-killed.
    pub oom_kills: Option<u64>,
    /// The CPU quota.
    pub cpu_limit: Option<CpuQuota>,
    /// How often the quota was used up; read only for a summary.
    pub throttling: Option<Throttling>,
    /// When this was read; only for a summary.
    pub time: Option<Timestamp>,
}

impl RunSummary<'_> {
    fn run_time(&self) -> Duration {
        let (before, now) = (self.before.time, self.now.time);
        before
            .zip(now)
            .map(|(before, now)| now.saturating_duration_since(before))
            .unwrap_or_default()
    }

    fn oom_kills(&self) -> Option<u64> {
        delta(self.before.oom_kills, self.now.oom_kills)
    }

    fn throttling(&self) -> Option<Throttling> {
        let (before, now) = (self.before.throttling?, self.now.throttling?);
        Some(Throttling {
            periods: now.periods.saturating_sub(before.periods),
            throttled_periods: now.throttled_periods.saturating_sub(before.throttled_periods),
            throttled_time: now.throttled_time.saturating_sub(before.throttled_time),
        })
    }

    fn write_text(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the program ended: run time {} s", Seconds(self.run_time()))?;
        match self.status {
            ExitStatus::Exited(code) => write!(f, "; exit code {code}")?,
            ExitStatus::Signaled(signal) => write!(f, "; killed by signal {signal}")?,
        }
        if let Some(peak) = self.peak {
            write!(f, "; peak memory {peak}")?;
        }
        write_limit(f, "memory limit", self.before.memory_limit, self.now.memory_limit)?;
        if let Some(oom_kills) = self.oom_kills() {
            write!(f, "; OOM kills {oom_kills}")?;
        }
        let [user, system] = self.cpu_time;
        write!(f, "; user CPU time {} s; system CPU time {} s", Seconds(user), Seconds(system))?;
        write_limit(f, "CPU limit", self.before.cpu_limit, self.now.cpu_limit)?;
        if let Some(throttling) = self.throttling() {
            let Throttling { periods, throttled_periods, throttled_time } = throttling;
            write!(
                f,
                "; CPU periods {periods}; throttled periods {throttled_periods}; \
                 throttled time {} s",
                Seconds(throttled_time)
            )?;
        }
        write!(f, "; zombies reaped {}", self.reaped)
    }

    fn write_json(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (exit_code, signal) = match self.status {
            ExitStatus::Exited(code) => (Some(code), None),
            ExitStatus::Signaled(signal) => (None, Some(signal)),
        };
        let bytes = |bytes: Option<Bytes>| OrNull(bytes.map(|Bytes(bytes)| bytes));
        let origin = self.origin;
        let throttling = self.throttling();
        let run_time = Seconds(self.run_time());
        let (exit_code, signal) = (OrNull(exit_code), OrNull(signal));
        let (peak, oom_kills) = (bytes(self.peak), OrNull(self.oom_kills()));
        let memory_limit = bytes(self.now.memory_limit);
        let memory_limit_at_start = bytes(self.before.memory_limit);
        let [user, system] = self.cpu_time;
        let (user, system) = (Seconds(user), Seconds(system));
        let cpu_limit = OrNull(self.now.cpu_limit);
        let cpu_limit_at_start = OrNull(self.before.cpu_limit);
        let periods = OrNull(throttling.map(|it| it.periods));
        let throttled_periods = OrNull(throttling.map(|it| it.throttled_periods));
        let throttled_time = OrNull(throttling.map(|it| Seconds(it.throttled_time)));
        let reaped = self.reaped;
        write!(
            f,
            "{{\"event\":\"end\",{origin}\
             \"seconds\":{run_time},\
             \"exit_code\":{exit_code},\
             \"signal\":{signal},\
             \"memory\":{{\
             \"peak_bytes\":{peak},\
             \"limit_bytes\":{memory_limit},\
             \"limit_bytes_at_start\":{memory_limit_at_start},\
             \"oom_kills\":{oom_kills}}},\
             \"cpu\":{{\
             \"user_seconds\":{user},\
             \"system_seconds\":{system},\
             \"limit_cpus\":{cpu_limit},\
             \"limit_cpus_at_start\":{cpu_limit_at_start},\
             \"periods\":{periods},\
             \"throttled_periods\":{throttled_periods},\
             \"throttled_seconds\":{throttled_time}}},\
             \"zombies_reaped\":{reaped}}}"
        )
    }
}

/// Writes the limit at the end, and the one at the start if it was another.
fn write_limit<T: PartialEq + Display>(
    f: &mut Formatter<'_>,
    label: &str,
    before: Option<T>,
    now: Option<T>,
) -> fmt::Result {
    if let Some(limit) = &now {
        write!(f, "; {label} {limit}")?;
    }
    if before == now {
        return Ok(());
    }
    match before {
        Some(limit) => write!(f, "; {label} at start {limit}"),
        None => write!(f, "; {label} at start none"),
    }
}

impl Display for RunSummary<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.format {
            Format::Text => self.write_text(f),
            Format::Json => self.write_json(f),
        }
    }
}

#[cfg(test)]
mod tests;
