//! What a change of limits means for a program that runs. Pure.

use super::Act;
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
            let &Decision { limit: found, value, reason, .. } = decision;
            if !matches!(reason, Reason::Unknown | Reason::NoCgroup) {
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
    pub act: Act,
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
            Act::Nothing => put!(out, "need not know"),
            Act::Log => put!(out, "keeps what it has"),
            Act::Signal(signal) => put!(out, "gets ", Name(signal.into())),
            Act::Stop => put!(out, "is told to end"),
        }
    }
}
