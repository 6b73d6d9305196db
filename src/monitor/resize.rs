//! Decides whether changed limits concern a program that runs. Pure.

use crate::policy::{Decision, Plan};
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
    /// The value of `GOMEMLIMIT` or `GOMAXPROCS` that a program is given at its start. None if it is
    /// given none, or if the Go runtime follows the limit itself.
    pub start_value: Option<u64>,
}

impl AppliedLimits {
    /// The limits at the start.
    pub(super) fn of(plan: &Plan<'_>) -> Self {
        let none = Self {
            memory: Applied { limit: None, start_value: None },
            cpu: Applied { limit: None, start_value: None },
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
        Self { limit: decision.limit, start_value: decision.value }
    }
}

#[cfg(test)]
mod tests;
