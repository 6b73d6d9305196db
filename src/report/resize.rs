//! The report of limits that have changed while the program runs.

use super::plan::PlanSummary;
use crate::options::OnResize;
use crate::policy::Plan;
use crate::signal::SignalName;
use crate::units::{Bytes, CpuQuota};
use core::fmt::{self, Display, Formatter};

/// The limits have changed.
pub struct ResizeReport<'a> {
    /// The memory limit.
    pub memory: Change<Bytes>,
    /// The CPU quota.
    pub cpu: Change<CpuQuota>,
    /// What would be set for a program that started now.
    pub plan: &'a Plan<'a>,
    /// What is done about it.
    pub action: OnResize,
}

/// A limit before and after a change; `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub struct Change<T> {
    /// The limit before.
    pub before: Option<T>,
    /// The limit now.
    pub now: Option<T>,
}

impl Display for ResizeReport<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("limits changed")?;
        let has_memory_changed = self.memory.write(f, ": memory ")?;
        self.cpu.write(f, if has_memory_changed { ", CPU " } else { ": CPU " })?;
        write!(f, "; a restart would give {}; ", PlanSummary(self.plan))?;
        match self.action {
            OnResize::Ignore => f.write_str("the program is not affected"),
            OnResize::Log => f.write_str("the program keeps its values"),
            OnResize::Signal(signal) => {
                write!(f, "sending {} to the program", SignalName(signal.into()))
            }
            OnResize::Exit => f.write_str("asking the program to exit"),
        }
    }
}

impl<T: PartialEq + Display> Change<T> {
    /// Writes the limit now, if it is another than before, and returns whether it is.
    fn write(&self, f: &mut Formatter<'_>, label: &str) -> Result<bool, fmt::Error> {
        if self.before == self.now {
            return Ok(false);
        }
        match &self.now {
            Some(limit) => write!(f, "{label}{limit}")?,
            None => write!(f, "{label}none")?,
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
