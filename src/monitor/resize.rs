//! Decides whether changed limits concern a program that runs. Pure.

use crate::policy::{Decision, Plan, Reason};
use crate::units::{Bytes, CpuQuota};

/// The limits, and what a program that is started under them is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AppliedLimits {
    /// The memory limit.
    pub memory: Applied<Bytes>,
    /// The CPU quota.
    pub cpu: Applied<CpuQuota>,
}

/// A limit, and what a program that is started under it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Applied<T> {
    /// The limit, if there is one.
    pub limit: Option<T>,
    /// What a program is given at its start.
    pub start_value: StartValue<T>,
}

/// What a program is given at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartValue<T> {
    /// Nothing: no value was set, or the Go runtime follows the limit itself.
    Nothing,
    /// The value of `GOMEMLIMIT` or `GOMAXPROCS`.
    Value(u64),
    /// The limit: a library in the program has read it.
    Limit(T),
}

impl AppliedLimits {
    /// The limits at the start.
    pub(super) fn of(plan: &Plan<'_>) -> Self {
        let none = Self {
            memory: Applied { limit: None, start_value: StartValue::Nothing },
            cpu: Applied { limit: None, start_value: StartValue::Nothing },
        };
        none.updated_by(plan)
    }

    /// The limits by a later plan. A limit that could not be read then stays as it was.
    pub(super) fn updated_by(self, plan: &Plan<'_>) -> Self {
        Self { memory: self.memory.updated_by(&plan.memory), cpu: self.cpu.updated_by(&plan.cpu) }
    }

    /// Whether the limits are the same.
    pub(super) fn has_limits_of(&self, other: &Self) -> bool {
        self.memory.limit == other.memory.limit && self.cpu.limit == other.cpu.limit
    }

    /// Whether a program would go by the same values. If so, a change of limits does not concern it.
    pub(super) fn has_start_values_of(&self, other: &Self) -> bool {
        self.memory.start_value == other.memory.start_value
            && self.cpu.start_value == other.cpu.start_value
    }
}

impl<T: Copy> Applied<T> {
    fn updated_by(self, decision: &Decision<'_, T>) -> Self {
        if !decision.is_known {
            return self;
        }
        let start_value = match (decision.reason, decision.limit, decision.value) {
            (Reason::Library(_), Some(limit), _) => StartValue::Limit(limit),
            (Reason::Library(_), None, _) | (_, _, None) => StartValue::Nothing,
            (_, _, Some(value)) => StartValue::Value(value),
        };
        Self { limit: decision.limit, start_value }
    }
}

#[cfg(test)]
mod tests;
