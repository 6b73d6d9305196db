use super::*;
use crate::options::Rounding;
use crate::policy::Reason;
use crate::units::Ratio;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const UP: Reason = Reason::Rounded(Rounding::Up);
const SHARE: Reason = Reason::Share(Ratio::DEFAULT);

fn decision<T>(limit: Option<T>, value: Option<u64>, reason: Reason) -> Decision<'static, T> {
    let is_known = !matches!(reason, Reason::Unknown | Reason::NoCgroup);
    let is_guess = false;
    Decision { limit, source: None, value, reason, note: None, is_guess, is_known }
}

fn memory(mebibytes: u64) -> Decision<'static, Bytes> {
    let (limit, value) = (mebibytes * MIB, mebibytes * MIB / 5 * 4);
    decision(Some(Bytes(limit)), Some(value), SHARE)
}

/// Hundredths of a CPU, rounded up.
fn cpu(hundredths: u64) -> Decision<'static, CpuQuota> {
    let quota = CpuQuota::new(hundredths * 1000, 100_000).unwrap();
    decision(Some(quota), Some(quota.rounded_up()), UP)
}

fn none<T>(reason: Reason) -> Decision<'static, T> {
    decision(None, None, reason)
}

fn plan<'a>(memory: Decision<'a, Bytes>, cpu: Decision<'a, CpuQuota>) -> Plan<'a> {
    Plan { memory, cpu, godebug: None, warnings: Vec::new() }
}

#[test]
fn a_limit_that_cannot_be_read_stays_as_it_was() {
    let before = AppliedLimits::of(&plan(memory(400), cpu(50)));
    for reason in [Reason::Unknown, Reason::NoCgroup] {
        assert_eq!(before.updated_by(&plan(none(reason), none(reason))), before);
        let now = before.updated_by(&plan(none(reason), cpu(300)));
        let expected = AppliedLimits::of(&plan(memory(400), cpu(300)));
        assert_eq!(now, expected, "the other limit is updated");
    }
    let now = before.updated_by(&plan(none(Reason::Unlimited), cpu(50)));
    assert_ne!(now, before);
    assert!(!now.has_limits_of(&before));
}

/// By a value, or by none.
#[test]
fn a_program_goes_by_the_value_that_it_was_given_at_its_start() {
    let applied = |plan: &Plan<'_>| AppliedLimits::of(plan);
    let after = |now: fn(u64) -> Decision<'static, CpuQuota>| {
        let [before, now] = [50, 100].map(|it| applied(&plan(memory(400), now(it))));
        (!before.has_start_values_of(&now), !before.has_limits_of(&now))
    };
    assert_eq!(after(cpu), (false, true), "both are one thread");
    assert_eq!(after(|it| cpu(2 * it)), (true, true));
    for reason in [Reason::GoRuntime, Reason::Live, Reason::Present, Reason::Off] {
        let applied = applied(&plan(decision(memory(400).limit, None, reason), none(reason)));
        assert_eq!(applied.memory.start_value, None, "{reason:?}");
        assert_eq!(applied.cpu.start_value, None, "{reason:?}");
    }
}

fn any_decision<T: std::fmt::Debug + Clone + 'static>(
    limit: impl Strategy<Value = Option<T>>,
) -> impl Strategy<Value = Decision<'static, T>> {
    let reason = prop_oneof![
        Just(Reason::Unknown),
        Just(Reason::Unlimited),
        Just(Reason::Present),
        Just(UP),
        Just(SHARE),
    ];
    (limit, any::<Option<u64>>(), reason)
        .prop_map(|(limit, value, reason)| decision(limit, value, reason))
}

fn any_plan() -> impl Strategy<Value = Plan<'static>> {
    let bytes = any::<Option<u64>>().prop_map(|bytes| bytes.map(Bytes));
    let quota =
        (any::<u64>(), any::<u64>()).prop_map(|(quota, period)| CpuQuota::new(quota, period));
    (any_decision(bytes), any_decision(quota)).prop_map(|(memory, cpu)| plan(memory, cpu))
}

proptest! {
    #[test]
    fn the_same_plan_again_is_no_change(before in any_plan(), now in any_plan()) {
        let applied = AppliedLimits::of(&before).updated_by(&now);
        prop_assert_eq!(applied.updated_by(&now), applied);
    }
}
