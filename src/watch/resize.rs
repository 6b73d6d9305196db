//! What a change of limits means for a program that runs. Pure.

use crate::explain::Line;
use crate::policy::{Decision, Plan, Reason};
use crate::supervise::Name;
use crate::text::{Out, Put, put};
use crate::units::{Bytes, Quota};

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

/// What is done about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Nothing, as there is nothing that the program would have to know.
    Nothing,
    /// Nothing but to say so.
    Log,
    /// The program gets this signal.
    Signal(u8),
    /// It is told to end.
    Stop,
}

/// A change of limits.
pub(super) struct Resized<'a> {
    pub before: Seen,
    pub now: Seen,
    /// What a program that started now would be told.
    pub plan: &'a Plan<'a>,
    pub done: Done,
}

impl Put for Resized<'_> {
    fn put(&self, out: &mut Out<'_>) {
        let mut separator = "the limits have changed: ";
        let limits = self.before.limits.iter().zip(&self.now.limits);
        for ((before, now), name) in limits.zip(["memory", "CPU"]) {
            if before != now {
                put!(out, separator, name);
                separator = ", ";
                for (preposition, limit) in [(" from ", before), (" to ", now)] {
                    put!(out, preposition);
                    match limit {
                        None => put!(out, "none"),
                        Some(limit) if name == "CPU" => put!(out, limit),
                        Some(limit) => put!(out, Bytes(limit.amount)),
                    }
                }
            }
        }
        put!(out, "; at a start now: ", Line(self.plan), "; ");
        match self.done {
            Done::Nothing => put!(out, "the program need not know"),
            Done::Log => put!(out, "the program keeps what it has"),
            Done::Signal(signal) => put!(out, "the program gets ", Name(signal.into())),
            Done::Stop => put!(out, "the program is told to end"),
        }
    }
}
