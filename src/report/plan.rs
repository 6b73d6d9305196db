//! The plan on one line.

use super::explain::Why;
use crate::policy::{Decision, Plan};
use crate::text::{Escaped, Quoted};
use core::fmt::{self, Display, Formatter};

/// What is set, why, and from which limit: a line for the log.
pub struct PlanSummary<'a>(pub &'a Plan<'a>);

impl Display for PlanSummary<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(plan) = self;
        write_decision(f, "GOMEMLIMIT", &plan.memory, "")?;
        f.write_str("; ")?;
        write_decision(f, "GOMAXPROCS", &plan.cpu, " CPU")?;
        match &plan.godebug {
            Some(godebug) => write!(f, "; GODEBUG={}", Escaped(godebug)),
            None => Ok(()),
        }
    }
}

/// `unit` follows the limit.
fn write_decision<T: Display>(
    f: &mut Formatter<'_>,
    variable: &str,
    decision: &Decision<'_, T>,
    unit: &str,
) -> fmt::Result {
    let why = Why::of(decision);
    let Some(value) = decision.value else {
        return write!(f, "{variable} not set ({why})");
    };
    write!(f, "{variable}={value} ({why}")?;
    if let Some(limit) = &decision.limit {
        write!(f, ": {limit}{unit}")?;
        if let Some(source) = decision.source {
            write!(f, " in {}", Quoted(source))?;
        }
    }
    f.write_str(")")
}
