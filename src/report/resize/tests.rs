use super::*;
use crate::options::Rounding;
use crate::policy::{Decision, Note, Reason};
use crate::stderr::LineBuffer;
use crate::units::Ratio;
use core::fmt::Write;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn decision<T>(limit: Option<T>, value: Option<u64>, reason: Reason) -> Decision<'static, T> {
    Decision { limit, source: None, value, reason, note: None, is_guess: false, is_known: true }
}

fn memory(mebibytes: u64) -> Decision<'static, Bytes> {
    let (limit, value) = (mebibytes * MIB, mebibytes * MIB / 5 * 4);
    decision(Some(Bytes(limit)), Some(value), Reason::Share(Ratio::DEFAULT))
}

/// Hundredths of a CPU, rounded up.
fn cpu(hundredths: u64) -> Decision<'static, CpuQuota> {
    let quota = CpuQuota::new(hundredths * 1000, 100_000).unwrap();
    decision(Some(quota), Some(quota.rounded_up()), Reason::Rounded(Rounding::Up))
}

fn none<T>() -> Decision<'static, T> {
    decision(None, None, Reason::Unlimited)
}

fn plan<'a>(memory: Decision<'a, Bytes>, cpu: Decision<'a, CpuQuota>) -> Plan<'a> {
    Plan { memory, cpu, godebug: None, warnings: Vec::new() }
}

fn report(before: &Plan<'_>, now: &Plan<'_>, action: OnResize) -> String {
    let memory = Change { before: before.memory.limit, now: now.memory.limit };
    let cpu = Change { before: before.cpu.limit, now: now.cpu.limit };
    ResizeReport { memory, cpu, plan: now, action }.to_string()
}

#[test]
fn the_report_says_what_has_changed_and_what_a_start_would_give() {
    assert_eq!(
        report(&plan(memory(400), cpu(50)), &plan(memory(600), cpu(200)), OnResize::Log),
        "limits changed: memory 600 MiB, CPU 2; a restart would give \
         GOMEMLIMIT=503316480 (80% of the limit; limit 600 MiB); GOMAXPROCS=2 (the quota rounded \
         up; limit 2 CPU); the program keeps its values"
    );
}

#[test]
fn the_end_of_the_report_is_in_the_line_whatever_the_paths_are() {
    let long = &*b"/x".repeat(4096).leak();
    let longest = Some(Note::OwnCgroupOnly);
    let (source, note) = (Some(long), longest);
    let memory = Decision { source, note, ..memory(600) };
    let cpu = Decision { source, note, ..cpu(200) };
    let after = Plan { godebug: Some(long.to_vec()), ..plan(memory, cpu) };
    let text = report(&plan(none(), none()), &after, OnResize::Signal(64));
    let mut line = LineBuffer::default();
    write!(line, "loadline: (4294967295 messages dropped) {text}").unwrap();
    assert!(line.as_line().ends_with(b"; sending SIGRTMAX to the program\n"), "{text}");
}

#[test]
fn only_what_has_changed_is_in_the_report() {
    let both = || plan(memory(400), cpu(50));
    for (before, now, part) in [
        (both(), plan(memory(500), cpu(50)), "changed: memory 500 MiB; a restart"),
        (both(), plan(memory(400), cpu(150)), "changed: CPU 1.5; a restart"),
        (both(), plan(none(), cpu(50)), "changed: memory none; a restart"),
        (both(), plan(memory(400), none()), "changed: CPU none; a restart"),
        (both(), plan(none(), none()), "changed: memory none, CPU none; a restart"),
        (plan(none(), none()), both(), "changed: memory 400 MiB, CPU 0.5; a restart"),
    ] {
        let text = report(&before, &now, OnResize::Log);
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn the_report_says_what_is_done() {
    for (action, ending) in [
        (OnResize::Ignore, "; the program is not affected"),
        (OnResize::Log, "; the program keeps its values"),
        (OnResize::Signal(10), "; sending SIGUSR1 to the program"),
        (OnResize::Signal(64), "; sending SIGRTMAX to the program"),
        (OnResize::Exit, "; asking the program to exit"),
    ] {
        let text = report(&plan(memory(400), cpu(50)), &plan(memory(500), cpu(50)), action);
        assert!(text.ends_with(ending), "{text}");
    }
}

proptest! {
    #[test]
    fn the_report_is_always_one_line(
        limits: [Option<u64>; 2],
        quotas: [(u64, u64); 2],
        values: [Option<u64>; 2],
        signal in 1u8..=64,
    ) {
        let [before, now] = [0, 1].map(|index| {
            let (quota, period) = quotas[index];
            let memory = decision(limits[index].map(Bytes), values[0], Reason::Unlimited);
            plan(memory, decision(CpuQuota::new(quota, period), values[1], Reason::Present))
        });
        let text = report(&before, &now, OnResize::Signal(signal));
        prop_assert_eq!(text.lines().count(), 1);
    }
}
