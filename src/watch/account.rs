//! The account of a run, in one line for a person or for a program. What is not known is left out
//! of the one, and null in the other. Pure.

use super::{Ended, Snapshot};
use crate::cgroup::counters::{Throttling, since};
use crate::cli::Format;
use crate::packed::Packed;
use crate::stderr::Line;
use crate::sys::How;
use crate::text::{Fields, Out, Put, put};
use crate::units::{Bytes, Quota};
use core::num::NonZero;

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    /// The form in which it is told.
    pub format: Format,
    /// The program at its end.
    pub ended: Ended,
    /// What there was at the start.
    pub before: Snapshot,
    /// What there is at the end.
    pub now: Snapshot,
    /// CPU time in microseconds, in user mode and in the kernel, of all that was waited for.
    pub cpu: [u64; 2],
    /// The most memory that was in use in the cgroup that has the limit, or in our own where there
    /// is none, in bytes.
    pub peak: Option<u64>,
}

/// What is told of each number: to a program, and to a person, with the unit. A person is told of a
/// number at the start if the one at the end, which is on the line before, is another.
pub const LINES: &str = r#"{"seconds":|run time |s
,"exit_code":|exit code |
,"signal":|killed by signal |
,"memory":{"peak_bytes":|peak memory |bytes
,"limit_bytes":|memory limit |bytes
,"limit_bytes_at_start":|memory limit at the start |bytes
,"oom_kills":|OOM kills |
},"cpu":{"user_seconds":|CPU time in user mode |s
,"system_seconds":|in the kernel |s
,"limit_cpus":|CPU limit |
,"limit_cpus_at_start":|CPU limit at the start |
,"periods":|periods |
,"throttled_periods":|throttled |
,"throttled_seconds":|throttled for |s
},"zombies_reaped":|zombies reaped |"#;

/// The account while it is put together.
struct Lines<'a, 'b> {
    out: &'a mut Out<'b>,
    lines: Fields<'a>,
    is_json: bool,
    separator: &'static str,
    last: Option<Quota>,
}

impl Lines<'_, '_> {
    /// Tells the number of the next line.
    fn number(&mut self, number: Option<Quota>) {
        let mut fields = Fields::new(self.lines.next().unwrap_or_default(), b'|');
        let mut field = || fields.next().unwrap_or_default();
        let (head, title, unit) = (field(), field(), field());
        let is_at_start = head.ends_with(b"_start\":");
        let is_told = if is_at_start { number != self.last } else { number.is_some() };
        self.last = number;
        let mut none = "none";
        if self.is_json {
            self.out.bytes(head);
            none = "null";
        } else if is_told {
            put!(self.out, self.separator);
            self.out.bytes(title);
            self.separator = "; ";
        } else {
            return;
        }
        match number {
            Some(bytes) if unit == b"bytes" && !self.is_json => put!(self.out, Bytes(bytes.amount)),
            Some(number) => put!(self.out, number),
            None => put!(self.out, none),
        }
        if unit == b"s" && !self.is_json {
            put!(self.out, " s");
        }
    }

    /// Tells microseconds as seconds, to the thousandth.
    fn seconds(&mut self, microseconds: Option<u64>) {
        let per = NonZero::new(1000).filter(|_| microseconds.is_some());
        let amount = microseconds.unwrap_or_default() / 1000;
        self.number(per.map(|per| Quota { amount, per }));
    }

    fn whole(&mut self, number: Option<u64>) {
        self.number(number.map(Quota::whole));
    }
}

impl Put for Account {
    fn put(&self, out: &mut Out<'_>) {
        let Self { before, now, .. } = self;
        let is_json = self.format == Format::Json;
        let separator = "the program has ended: ";
        let mut unpacked = Line::default();
        put!(&mut Out::Line(&mut unpacked), Packed::LINES);
        let lines = Fields::new(unpacked.finish(), b'\n');
        let mut lines = Lines { out, lines, is_json, separator, last: None };
        lines.seconds(Some(now.time.saturating_sub(before.time)));
        let (code, signal) = match self.ended.how {
            How::Exited(code) => (Some(code), None),
            How::Killed(signal) | How::Stopped(signal) => (None, Some(signal)),
        };
        for status in [code, signal] {
            lines.whole(status.map(|status| status.unsigned_abs().into()));
        }
        for memory in
            [self.peak, now.memory_limit, before.memory_limit, since(before.kills, now.kills)]
        {
            lines.whole(memory);
        }
        for time in self.cpu {
            lines.seconds(Some(time));
        }
        for quota in [now.cpu_limit, before.cpu_limit] {
            lines.number(quota);
        }
        let (before, now) = (before.throttling, now.throttling);
        for index in 0..3 {
            let number = |numbers: Throttling| numbers?.get(index).copied();
            let number = since(number(before), number(now));
            if index == 2 { lines.seconds(number) } else { lines.whole(number) }
        }
        lines.whole(Some(self.ended.reaped));
        if is_json {
            put!(lines.out, "}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const MIB: u64 = 1 << 20;

    fn full(format: Format) -> Account {
        let snapshot = |time, throttling| Snapshot {
            memory_limit: Some(400 * MIB),
            kills: Some(4),
            cpu_limit: Quota::new(1, 2),
            throttling: Some(throttling),
            time,
        };
        let throttling = [[2, 1, 100_000], [42, 6, 900_000]];
        Account {
            format,
            ended: Ended { how: How::Exited(3), is_killed: false, reaped: 2 },
            before: snapshot(1_000_000, throttling[0]),
            now: snapshot(13_345_678, throttling[1]),
            cpu: [1_500_000, 20_999],
            peak: Some(354 * MIB),
        }
    }

    fn empty(format: Format) -> Account {
        let snapshot = Snapshot {
            memory_limit: None,
            kills: None,
            cpu_limit: None,
            throttling: None,
            time: 7,
        };
        Account {
            format,
            ended: Ended { how: How::Killed(15), is_killed: false, reaped: 0 },
            before: snapshot,
            now: snapshot,
            cpu: [0, 0],
            peak: None,
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
        let text = full(Format::Json).text();
        // Two of the colons are those of the objects inside.
        assert_eq!(LINES.lines().count(), text.matches(':').count() - 2);
    }

    proptest! {
        #[test]
        fn any_account_is_json_on_one_line(
            microseconds: [u64; 2], cpu: [u64; 2], peak: Option<u64>, limit: Option<u64>,
            reaped: u64, time in 1u64.., period in 1u64..,
        ) {
            let mut account = Account { cpu, peak, ..full(Format::Json) };
            account.ended.reaped = reaped;
            [account.before.time, account.now.time] = microseconds;
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
