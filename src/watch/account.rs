//! The account of a run, in one line for a person or for a program. What is not known is left out
//! of the one, and null in the other. Pure.

use super::Snapshot;
use crate::cli::Format;
use crate::sys::How;
use crate::text::{Fields, Out, Plain, Put, put};
use crate::units::{Bytes, Quota};
use core::num::NonZero;

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    /// The form in which it is told.
    pub format: Format,
    /// How the program ended.
    pub how: How,
    /// What there was at the start.
    pub before: Snapshot,
    /// What there is at the end.
    pub now: Snapshot,
    /// CPU time in microseconds, in user mode and in the kernel, of all that was waited for.
    pub cpu: [u64; 2],
    /// The most memory that was in use in the cgroup that has the limit, or in our own where there
    /// is none, in bytes.
    pub peak: Option<u64>,
    /// How many processes the kernel has killed since the start for want of memory.
    pub kills: Option<u64>,
    /// How many other processes were reaped.
    pub reaped: u64,
}

/// What is told of each number: to a program, and to a person, with the unit. A person is told of a
/// number at the start if the one at the end, which is on the line before, is another.
const LINES: &[u8] = br#"{"seconds":|run time|s
,"exit_code":|exit code|
,"signal":|killed by signal|
,"memory":{"peak_bytes":|peak memory|bytes
,"limit_bytes":|memory limit|bytes
,"limit_bytes_at_start":|memory limit at the start|bytes
,"oom_kills":|OOM kills|
},"cpu":{"user_seconds":|CPU time in user mode|s
,"system_seconds":|in the kernel|s
,"limit_cpus":|CPU limit|
,"limit_cpus_at_start":|CPU limit at the start|
,"periods":|periods|
,"throttled_periods":|throttled|
,"throttled_seconds":|throttled for|s
},"zombies_reaped":|zombies reaped|"#;

impl Account {
    /// The numbers in the order of the lines.
    fn numbers(&self) -> [Option<Quota>; 15] {
        let Self { before, now, .. } = self;
        let [user, system] = self.cpu.map(seconds);
        let (code, signal) = match self.how {
            How::Exited(code) => (Some(code), None),
            How::Killed(signal) | How::Stopped(signal) => (None, Some(signal)),
        };
        let [code, signal] = [code, signal].map(|it| whole(it.map(|it| it.unsigned_abs().into())));
        let throttling = now.throttling.zip(before.throttling);
        let throttling = throttling.map(|(now, before)| now.since(before));
        [
            seconds(now.microseconds.saturating_sub(before.microseconds)),
            code,
            signal,
            whole(self.peak),
            whole(now.memory_limit),
            whole(before.memory_limit),
            whole(self.kills),
            user,
            system,
            now.cpu_limit,
            before.cpu_limit,
            whole(throttling.map(|it| it.periods)),
            whole(throttling.map(|it| it.throttled)),
            throttling.and_then(|it| seconds(it.microseconds)),
            whole(Some(self.reaped)),
        ]
    }
}

/// Seconds to the thousandth, of microseconds.
fn seconds(microseconds: u64) -> Option<Quota> {
    NonZero::new(1000).map(|per| Quota { amount: microseconds / 1000, per })
}

fn whole(number: Option<u64>) -> Option<Quota> {
    number.map(Quota::whole)
}

impl Put for Account {
    fn put(&self, out: &mut Out<'_>) {
        let is_json = self.format == Format::Json;
        let mut separator = "the program has ended: ";
        let mut last = None;
        for (line, number) in Fields::new(LINES, b'\n').zip(&self.numbers()) {
            let mut fields = Fields::new(line, b'|');
            let [head, title, unit] = [(); 3].map(|()| fields.next().unwrap_or_default());
            let is_told =
                if head.ends_with(b"_at_start\":") { *number != last } else { number.is_some() };
            if is_json {
                out.bytes(head);
                put_or(*number, "null", out);
            } else if is_told {
                put!(out, separator, Plain(title), " ");
                match number {
                    Some(bytes) if unit == b"bytes" => put!(out, Bytes(bytes.amount)),
                    _ => put_or(*number, "none", out),
                }
                put!(out, if unit == b"s" { " s" } else { "" });
                separator = "; ";
            }
            last = *number;
        }
        put!(out, if is_json { "}" } else { "" });
    }
}

fn put_or(number: Option<Quota>, none: &str, out: &mut Out<'_>) {
    match number {
        Some(number) => number.put(out),
        None => none.put(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::counters::Throttling;
    use proptest::prelude::*;
    use serde_json::json;

    const MIB: u64 = 1 << 20;

    fn full(format: Format) -> Account {
        let snapshot = |microseconds, throttling| Snapshot {
            memory_limit: Some(400 * MIB),
            kills: None,
            cpu_limit: Quota::new(1, 2),
            throttling: Some(throttling),
            microseconds,
        };
        let throttling = [
            Throttling { periods: 2, throttled: 1, microseconds: 100_000 },
            Throttling { periods: 42, throttled: 6, microseconds: 900_000 },
        ];
        Account {
            format,
            how: How::Exited(3),
            before: snapshot(1_000_000, throttling[0]),
            now: snapshot(13_345_678, throttling[1]),
            cpu: [1_500_000, 20_999],
            peak: Some(354 * MIB),
            kills: Some(0),
            reaped: 2,
        }
    }

    fn empty(format: Format) -> Account {
        let snapshot = Snapshot {
            memory_limit: None,
            kills: None,
            cpu_limit: None,
            throttling: None,
            microseconds: 7,
        };
        Account {
            format,
            how: How::Killed(15),
            before: snapshot,
            now: snapshot,
            cpu: [0, 0],
            peak: None,
            kills: None,
            reaped: 0,
        }
    }

    #[test]
    fn a_person_reads_what_is_known() {
        assert_eq!(
            full(Format::Text).text(),
            "the program has ended: run time 12.345 s; exit code 3; peak memory 354 MiB; memory \
             limit 400 MiB; OOM kills 0; CPU time in user mode 1.5 s; in the kernel 0.02 s; CPU \
             limit 0.5; periods 40; throttled 5; throttled for 0.8 s; zombies reaped 2"
        );
        assert_eq!(
            empty(Format::Text).text(),
            "the program has ended: run time 0 s; killed by signal 15; CPU time in user mode 0 s; \
             in the kernel 0 s; zombies reaped 0"
        );
    }

    #[test]
    fn limits_that_have_changed_are_told_with_what_they_were() {
        let mut account = full(Format::Text);
        account.before.memory_limit = None;
        account.before.cpu_limit = Quota::new(3, 2);
        account.now.cpu_limit = None;
        let text = account.text();
        assert!(
            text.contains("; memory limit 400 MiB; memory limit at the start none; "),
            "{text}"
        );
        assert!(text.contains(" s; CPU limit at the start 1.5; "), "{text}");
    }

    #[test]
    fn a_program_reads_what_is_known_and_null_for_the_rest() {
        let read = |account: Account| -> serde_json::Value {
            serde_json::from_str(&account.text()).unwrap()
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
    fn every_line_has_its_number() {
        assert_eq!(Fields::new(LINES, b'\n').count(), full(Format::Json).numbers().len());
    }

    proptest! {
        #[test]
        fn any_account_is_json_on_one_line(
            microseconds: [u64; 2], cpu: [u64; 2], peak: Option<u64>, limit: Option<u64>,
            reaped: u64, time in 1u64.., period in 1u64..,
        ) {
            let mut account = Account { cpu, peak, reaped, ..full(Format::Json) };
            [account.before.microseconds, account.now.microseconds] = microseconds;
            account.before.memory_limit = limit;
            account.now.cpu_limit = Quota::new(time, period);
            let text = account.text();
            prop_assert_eq!(text.lines().count(), 1);
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read["memory"]["peak_bytes"].as_u64(), peak);
            prop_assert_eq!(read["zombies_reaped"].as_u64(), Some(reaped));
        }
    }
}
