//! The summary of a run, on one line: text for people or JSON for programs. What is not known is
//! missing in the text, and `null` in the JSON.

use super::explain::OrNull;
use crate::cgroup::counters::{Throttling, delta};
use crate::options::Format;
use crate::sys::ExitStatus;
use crate::units::{Bytes, CpuQuota, Seconds};
use core::fmt::{self, Display, Formatter};
use core::time::Duration;
use std::time::Instant;

/// What a run has taken.
#[derive(Clone, Copy, Debug)]
pub struct RunSummary {
    /// The form of the summary.
    pub format: Format,
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
    /// How often the quota was used up; read only if there is to be a summary.
    pub throttling: Option<Throttling>,
    /// When this was read.
    pub time: Instant,
}

impl RunSummary {
    fn run_time(&self) -> Duration {
        self.now.time.saturating_duration_since(self.before.time)
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
            "{{\"seconds\":{run_time},\
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

impl Display for RunSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.format {
            Format::Text => self.write_text(f),
            Format::Json => self.write_json(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const MIB: u64 = 1 << 20;

    fn throttling(periods: u64, throttled_periods: u64, milliseconds: u64) -> Option<Throttling> {
        let throttled_time = Duration::from_millis(milliseconds);
        Some(Throttling { periods, throttled_periods, throttled_time })
    }

    fn full(format: Format) -> RunSummary {
        let time = Instant::now();
        let before = Snapshot {
            memory_limit: Some(Bytes(400 * MIB)),
            oom_kills: Some(4),
            cpu_limit: CpuQuota::new(1, 2),
            throttling: throttling(2, 1, 100),
            time,
        };
        let now = Snapshot {
            throttling: throttling(42, 6, 900),
            time: time + Duration::from_micros(12_345_678),
            ..before
        };
        RunSummary {
            format,
            status: ExitStatus::Exited(3),
            reaped: 2,
            before,
            now,
            cpu_time: [Duration::from_micros(1_500_000), Duration::from_micros(20_999)],
            peak: Some(Bytes(354 * MIB)),
        }
    }

    fn empty(format: Format) -> RunSummary {
        let snapshot = Snapshot {
            memory_limit: None,
            oom_kills: None,
            cpu_limit: None,
            throttling: None,
            time: Instant::now(),
        };
        RunSummary {
            format,
            status: ExitStatus::Signaled(15),
            reaped: 0,
            before: snapshot,
            now: snapshot,
            cpu_time: [Duration::ZERO; 2],
            peak: None,
        }
    }

    #[test]
    fn the_text_has_what_is_known() {
        assert_eq!(
            full(Format::Text).to_string(),
            "the program ended: run time 12.345 s; exit code 3; peak memory 354 MiB; memory \
             limit 400 MiB; OOM kills 0; user CPU time 1.5 s; system CPU time 0.02 s; CPU limit \
             0.5; CPU periods 40; throttled periods 5; throttled time 0.8 s; zombies reaped 2"
        );
        assert_eq!(
            empty(Format::Text).to_string(),
            "the program ended: run time 0 s; killed by signal 15; user CPU time 0 s; system CPU \
             time 0 s; zombies reaped 0"
        );
    }

    #[test]
    fn a_limit_that_has_changed_comes_with_the_one_at_the_start() {
        let mut summary = full(Format::Text);
        summary.before.memory_limit = None;
        summary.before.cpu_limit = CpuQuota::new(3, 2);
        summary.now.cpu_limit = None;
        let text = summary.to_string();
        assert!(text.contains("; memory limit 400 MiB; memory limit at start none; "), "{text}");
        assert!(text.contains(" s; CPU limit at start 1.5; "), "{text}");
    }

    #[test]
    fn the_json_has_what_is_known_and_null_for_the_rest() {
        let read = |summary: RunSummary| -> serde_json::Value {
            serde_json::from_str(&summary.to_string()).unwrap()
        };
        let expected = json!({
            "seconds": 12.345, "exit_code": 3, "signal": null,
            "memory": {
                "peak_bytes": 354 * MIB, "limit_bytes": 400 * MIB,
                "limit_bytes_at_start": 400 * MIB, "oom_kills": 0,
            },
            "cpu": {
                "user_seconds": 1.5, "system_seconds": 0.02, "limit_cpus": 0.5,
                "limit_cpus_at_start": 0.5, "periods": 40, "throttled_periods": 5,
                "throttled_seconds": 0.8,
            },
            "zombies_reaped": 2,
        });
        assert_eq!(read(full(Format::Json)), expected);
        let expected = json!({
            "seconds": 0, "exit_code": null, "signal": 15,
            "memory": {
                "peak_bytes": null, "limit_bytes": null, "limit_bytes_at_start": null,
                "oom_kills": null,
            },
            "cpu": {
                "user_seconds": 0, "system_seconds": 0, "limit_cpus": null,
                "limit_cpus_at_start": null, "periods": null, "throttled_periods": null,
                "throttled_seconds": null,
            },
            "zombies_reaped": 0,
        });
        assert_eq!(read(empty(Format::Json)), expected);
    }

    #[test]
    fn the_keys_of_the_json_keep_their_order() {
        assert_eq!(
            full(Format::Json).to_string(),
            "{\"seconds\":12.345,\"exit_code\":3,\"signal\":null,\
             \"memory\":{\"peak_bytes\":371195904,\"limit_bytes\":419430400,\
             \"limit_bytes_at_start\":419430400,\"oom_kills\":0},\
             \"cpu\":{\"user_seconds\":1.5,\"system_seconds\":0.02,\"limit_cpus\":0.5,\
             \"limit_cpus_at_start\":0.5,\"periods\":40,\"throttled_periods\":5,\
             \"throttled_seconds\":0.8},\"zombies_reaped\":2}"
        );
    }

    proptest! {
        #[test]
        fn any_summary_is_json_on_one_line(
            run_times in [0u64..1 << 62, 0u64..1 << 62], cpu_times: [u64; 2], peak: Option<u64>,
            limit: Option<u64>, reaped: u64, quota in 1u64.., period in 1u64..,
        ) {
            let mut summary = full(Format::Json);
            summary.cpu_time = cpu_times.map(Duration::from_micros);
            summary.peak = peak.map(Bytes);
            summary.reaped = reaped;
            let start = Instant::now();
            let [before, now] = run_times.map(|time| start + Duration::from_micros(time));
            (summary.before.time, summary.now.time) = (before, now);
            summary.before.memory_limit = limit.map(Bytes);
            summary.now.cpu_limit = CpuQuota::new(quota, period);
            let text = summary.to_string();
            prop_assert_eq!(text.lines().count(), 1);
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read["memory"]["peak_bytes"].as_u64(), peak);
            prop_assert_eq!(read["zombies_reaped"].as_u64(), Some(reaped));
        }
    }
}
