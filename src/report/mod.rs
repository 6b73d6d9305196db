//! What loadline prints about limits and runs. Pure: everything it needs is an argument.

mod decision;
pub mod explain;
pub mod inspect;
mod json;
pub mod oom;
pub mod origin;
pub mod plan;
pub mod pressure;
pub mod resize;
pub mod summary;
#[cfg(test)]
mod tests;

pub use explain::{ExplainedProgram, Explanation, JsonReport, JsonStart, TextReport};
pub use plan::PlanSummary;
