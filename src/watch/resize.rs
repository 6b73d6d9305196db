//! What a change of limits means for a program that runs. Pure.

use crate::cli::OnResize;
use crate::explain::Line;
use crate::policy::{Decision, Plan, Reason};
use crate::supervise::Name;
use crate::text::{Out, Put, put};
use crate::units::{Bytes, Quota};
use core::num::NonZero;

/// Of memory and of CPU time, what there is and what the program goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The limits.
    pub limits: [Option<Quota>; 2],
    /// What the program is told, or reads once: what the runtime follows by itself is neither.
    pub told: [Option<Quota>; 2],
}

impl Seen {
    /// What there is by a plan.
    pub(super) fn new(plan: &Plan<'_>) -> Self {
        Self { limits: [None; 2], told: [None; 2] }.again(plan)
    }

    /// What there is by a later plan. Where nothing could be read this time all stays as it was.
    pub(super) fn again(mut self, plan: &Plan<'_>) -> Self {
        let places = self.limits.iter_mut().zip(&mut self.told);
        for ((limit, told), decision) in places.zip([&plan.memory, &plan.cpu]) {
            let &Decision { limit: found, value, reason, is_known, .. } = decision;
            if is_known {
                *limit = found;
                *told = match reason {
                    Reason::Library(_) => found,
                    _ => value.map(Quota::whole),
                };
            }
        }
        self
    }
}

/// A change of limits.
pub(super) struct Resized<'a> {
    pub before: Seen,
    pub now: Seen,
    /// What a program that started now would be told.
    pub plan: &'a Plan<'a>,
    /// What is done about it.
    pub act: OnResize,
}

impl Put for Resized<'_> {
    fn put(&self, out: &mut Out<'_>) {
        put!(out, "the limits have changed");
        let limits = self.before.limits.iter().zip(&self.now.limits);
        for ((before, now), title) in limits.zip([", memory to ", ", CPU to "]) {
            if before != now {
                put!(out, title);
                match now {
                    None => put!(out, "none"),
                    Some(Quota { amount, per: NonZero::<u64>::MIN }) => put!(out, Bytes(*amount)),
                    Some(quota) => put!(out, quota),
                }
            }
        }
        put!(out, "; at a start now: ", Line(self.plan), "; the program ");
        match self.act {
            OnResize::Ignore => put!(out, "need not know"),
            OnResize::Log => put!(out, "keeps what it has"),
            OnResize::Signal(signal) => put!(out, "gets ", Name(signal.into())),
            OnResize::Exit => put!(out, "is told to end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Reader, Rounding};
    use crate::units::Ratio;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;
    const UP: Reason = Reason::Rounded(Rounding::Up);
    const SHARE: Reason = Reason::Share(Ratio::DEFAULT);

    fn decision(limit: Option<Quota>, value: Option<u64>, reason: Reason) -> Decision<'static> {
        let is_known = !matches!(reason, Reason::Unknown | Reason::NoCgroup);
        Decision { limit, source: None, value, reason, note: None, guessed: false, is_known }
    }

    fn memory(mebibytes: u64) -> Decision<'static> {
        let limit = Quota::whole(mebibytes * MIB);
        decision(Some(limit), Some(mebibytes * MIB / 5 * 4), SHARE)
    }

    /// So many hundredths of a CPU, rounded up.
    fn cpu(hundredths: u64) -> Decision<'static> {
        let quota = Quota::new(hundredths * 1000, 100_000).unwrap();
        decision(Some(quota), Some(quota.rounded_up()), UP)
    }

    fn none(reason: Reason) -> Decision<'static> {
        decision(None, None, reason)
    }

    fn plan<'a>(memory: Decision<'a>, cpu: Decision<'a>) -> Plan<'a> {
        Plan { memory, cpu, debug: None, warnings: Vec::new() }
    }

    fn told(before: &Plan<'_>, plan: &Plan<'_>, act: OnResize) -> String {
        let before = Seen::new(before);
        Resized { before, now: before.again(plan), plan, act }.text()
    }

    #[test]
    fn what_has_changed_is_told_with_what_a_start_would_bring() {
        assert_eq!(
            told(&plan(memory(400), cpu(50)), &plan(memory(600), cpu(200)), OnResize::Log),
            "the limits have changed, memory to 600 MiB, CPU to 2; at a start now: \
             GOMEMLIMIT=503316480 (80% of the limit: 600 MiB); GOMAXPROCS=2 (the limit rounded up: \
             2 CPU); the program keeps what it has"
        );
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let (none, both) = (|| none(Reason::Unlimited), || plan(memory(400), cpu(50)));
        for (before, now, part) in [
            (both(), plan(memory(500), cpu(50)), "changed, memory to 500 MiB; at a start"),
            (both(), plan(memory(400), cpu(150)), "changed, CPU to 1.5; at a start"),
            (both(), plan(none(), cpu(50)), "changed, memory to none; at a start"),
            (both(), plan(memory(400), none()), "changed, CPU to none; at a start"),
            (both(), plan(none(), none()), "changed, memory to none, CPU to none; at a start"),
            (plan(none(), none()), both(), "changed, memory to 400 MiB, CPU to 0.5; at a start"),
        ] {
            let text = told(&before, &now, OnResize::Log);
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn what_is_done_is_told() {
        for (act, end) in [
            (OnResize::Ignore, "; the program need not know"),
            (OnResize::Log, "; the program keeps what it has"),
            (OnResize::Signal(10), "; the program gets SIGUSR1"),
            (OnResize::Signal(64), "; the program gets signal 64"),
            (OnResize::Exit, "; the program is told to end"),
        ] {
            let text = told(&plan(memory(400), cpu(50)), &plan(memory(500), cpu(50)), act);
            assert!(text.ends_with(end), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_stays_as_it_was() {
        let before = Seen::new(&plan(memory(400), cpu(50)));
        for reason in [Reason::Unknown, Reason::NoCgroup] {
            assert_eq!(before.again(&plan(none(reason), none(reason))), before);
            let now = before.again(&plan(none(reason), cpu(300)));
            assert_eq!(now, Seen::new(&plan(memory(400), cpu(300))), "the other is not touched");
        }
        assert_ne!(before.again(&plan(none(Reason::Unlimited), cpu(50))), before);
    }

    /// By value, by what a library reads once, or by nothing.
    #[test]
    fn program_goes_by_what_it_is_told() {
        let told = |plan: &Plan<'_>| Seen::new(plan).told;
        let after = |now: fn(u64) -> Decision<'static>| {
            let [before, now] = [50, 100].map(|it| plan(memory(400), now(it)));
            (told(&before) != told(&now), Seen::new(&before) != Seen::new(&now))
        };
        let quota = |hundredths| cpu(hundredths).limit;
        assert_eq!(after(cpu), (false, true), "both are one thread");
        assert_eq!(after(|it| cpu(2 * it)), (true, true));
        let library = Reason::Library(Reader::Automaxprocs);
        assert_eq!(told(&plan(memory(400), decision(quota(50), None, library)))[1], quota(50));
        assert_eq!(
            after(|it| decision(cpu(it).limit, None, Reason::Library(Reader::Automaxprocs))),
            (true, true),
            "the library has read it once"
        );
        for reason in [Reason::Runtime, Reason::Live, Reason::Present, Reason::Off] {
            let told = told(&plan(decision(memory(400).limit, None, reason), none(reason)));
            assert_eq!(told, [None; 2], "{reason:?}");
        }
    }

    fn any_decision() -> impl Strategy<Value = Decision<'static>> {
        let quota = proptest::option::of((any::<u64>(), any::<u64>()));
        let quota = quota.prop_map(|it| it.and_then(|(time, period)| Quota::new(time, period)));
        let reason = prop_oneof![
            Just(Reason::Unknown),
            Just(Reason::Unlimited),
            Just(Reason::Present),
            Just(Reason::Library(Reader::Automemlimit)),
            Just(UP),
            Just(SHARE),
        ];
        (quota, any::<Option<u64>>(), reason)
            .prop_map(|(limit, value, reason)| decision(limit, value, reason))
    }

    proptest! {
        #[test]
        fn it_is_one_line_whatever_is_in_it(
            before in [any_decision(), any_decision()],
            now in [any_decision(), any_decision()],
            signal in 1u8..=64,
        ) {
            let [[memory, cpu], [later, faster]] = [before, now];
            let (before, now) = (plan(memory, cpu), plan(later, faster));
            prop_assert_eq!(told(&before, &now, OnResize::Signal(signal)).lines().count(), 1);
            let seen = Seen::new(&before).again(&now);
            prop_assert_eq!(seen.again(&now), seen, "what is seen again is no change");
        }
    }
}
