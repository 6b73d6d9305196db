//! What the reports say about a decision, for memory and CPU alike.

use crate::golang::values::{GOMAXPROCS, GOMEMLIMIT};
use crate::policy::{Decision, Note, Plan, Reason};
use core::fmt::{self, Display, Formatter};

/// A decision about either variable: the limit is shown as text.
pub(super) struct AnyDecision<'a> {
    /// The variable.
    pub variable: &'static str,
    /// The limit, if there is one.
    pub limit: Option<&'a dyn Display>,
    /// What follows the limit.
    pub unit: &'static str,
    /// The file that the limit is from, if it is from one.
    pub source: Option<&'a [u8]>,
    /// Whether the file is a guess.
    pub is_guess: bool,
    /// What the variable is set to, if it is set.
    pub value: Option<u64>,
    /// Why.
    pub why: Why,
}

/// The reason of a decision, and its note.
pub(super) struct Why {
    reason: Reason,
    note: Option<Note>,
}

impl<'a> AnyDecision<'a> {
    /// The decision about `GOMEMLIMIT`.
    pub(super) fn memory(plan: &'a Plan<'a>) -> Self {
        Self::new(GOMEMLIMIT, &plan.memory, "")
    }

    /// The decision about `GOMAXPROCS`.
    pub(super) fn cpu(plan: &'a Plan<'a>) -> Self {
        Self::new(GOMAXPROCS, &plan.cpu, " CPU")
    }

    fn new<T: Display>(
        variable: &'static str,
        decision: &'a Decision<'a, T>,
        unit: &'static str,
    ) -> Self {
        let &Decision { ref limit, source, value, reason, note, is_guess, .. } = decision;
        let limit = limit.as_ref().map(|limit| limit as &dyn Display);
        Self { variable, limit, unit, source, is_guess, value, why: Why { reason, note } }
    }
}

impl Display for Why {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.note {
            Some(note) => write!(f, "{}; {note}", self.reason),
            None => write!(f, "{}", self.reason),
        }
    }
}
