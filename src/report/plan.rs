//! The plan on one line.

use super::decision::AnyDecision;
use crate::policy::Plan;
use crate::text::{Escaped, Quoted};
use core::fmt::{self, Display, Formatter};

/// What is set, why, and from which limit: a line for the log.
pub struct PlanSummary<'a>(pub &'a Plan<'a>);

impl Display for PlanSummary<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(plan) = self;
        write_decision(f, &AnyDecision::memory(plan))?;
        f.write_str("; ")?;
        write_decision(f, &AnyDecision::cpu(plan))?;
        match &plan.godebug {
            Some(godebug) => write!(f, "; GODEBUG={}", Escaped(godebug)),
            None => Ok(()),
        }
    }
}

fn write_decision(f: &mut Formatter<'_>, decision: &AnyDecision<'_>) -> fmt::Result {
    let AnyDecision { variable, limit, unit, source, value, why, .. } = decision;
    let Some(value) = value else {
        return write!(f, "{variable} not set ({why})");
    };
    write!(f, "{variable}={value} ({why}")?;
    if let Some(limit) = limit {
        write!(f, "; limit {limit}{unit}")?;
        if let Some(source) = source {
            write!(f, " in {}", Quoted(source))?;
        }
    }
    f.write_str(")")
}
