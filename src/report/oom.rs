//! The report of an OOM kill: what was killed, how much memory there was, and what to try.

use crate::sys::ExitStatus;
use crate::text::{Escaped, Quoted};
use crate::units::Bytes;
use core::fmt::{self, Display, Formatter};

/// The `GOMEMLIMIT` that the program was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoMemLimit {
    /// None.
    Unset,
    /// The one that loadline has set, in bytes.
    SetByUs(u64),
    /// The one that was in the environment already.
    Inherited(&'static [u8]),
}

/// What was killed, as far as that can be known: the kernel counts the processes that it has
/// killed, but does not say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OomVictim {
    /// The program was OOM-killed, and this number of other processes.
    ProgramAnd(u64),
    /// Only this number of other processes was OOM-killed.
    Others(u64),
    /// The program was killed by SIGKILL, but the kernel has counted no OOM kill.
    NotOom,
    /// The program was killed by SIGKILL, and the number of OOM kills is unknown.
    Unknown,
}

impl OomVictim {
    /// Decides from how the program ended, whether loadline has sent it SIGKILL, and the number of
    /// OOM kills since the start, if it is known. `None` if there is nothing to report.
    #[must_use]
    pub fn of(status: ExitStatus, killed_by_us: bool, oom_kills: Option<u64>) -> Option<Self> {
        // If the count rose, the program is taken to be one of them.
        let program_killed = status == ExitStatus::Signaled(libc::SIGKILL) && !killed_by_us;
        match (oom_kills, program_killed) {
            (Some(0) | None, false) => None,
            (Some(0), true) => Some(Self::NotOom),
            (None, true) => Some(Self::Unknown),
            (Some(kills), true) => Some(Self::ProgramAnd(kills.saturating_sub(1))),
            (Some(kills), false) => Some(Self::Others(kills)),
        }
    }
}

/// The report of an OOM kill, or of a SIGKILL that may have been one.
#[derive(Clone, Copy, Debug)]
pub struct OomReport<'a> {
    /// What was killed.
    pub victim: OomVictim,
    /// Whether the number of processes is exact. With `memory.oom.group` some kernels count the
    /// first victim twice.
    pub is_exact: bool,
    /// The limit and its use.
    pub context: OomContext<'a>,
}

/// The memory limit and what is known of its use.
#[derive(Clone, Copy, Debug)]
pub struct OomContext<'a> {
    /// The limit at which the kernel kills, if one is visible.
    pub limit: Option<Bytes>,
    /// The file that the limit is in; `None` if there was no time to look for it.
    pub limit_file: Option<&'a [u8]>,
    /// The limit at the start.
    pub limit_at_start: Option<Bytes>,
    /// The peak of the cgroup that has the limit, or of our own if none has.
    pub peak: Option<Bytes>,
    /// What the Go runtime was told.
    pub gomemlimit: GoMemLimit,
}

impl OomContext<'_> {
    /// Whether the limit may have been reached. The kernel charges memory in batches of up to 64
    /// pages (`MEMCG_CHARGE_BATCH`) of up to 64 KiB, and a batch that does not fit is not in the
    /// peak.
    fn may_have_reached(&self, limit: Bytes) -> bool {
        const CHARGE_BATCH: u64 = 64 * (64 << 10);
        self.peak.is_none_or(|peak| peak.0.saturating_add(CHARGE_BATCH) >= limit.0)
    }

    /// What to try.
    fn advice(&self) -> &'static str {
        match (self.limit, self.gomemlimit) {
            (None, _) => "the machine, or a limit that is not visible, ran out of memory",
            (Some(limit), _) if !self.may_have_reached(limit) => {
                "not this limit, but the machine, or a limit above it, ran out of memory"
            }
            (_, GoMemLimit::SetByUs(_)) => {
                "raise the limit, or leave more of it to memory outside the Go heap \
                 (--memory-ratio, --memory-reserve)"
            }
            (_, GoMemLimit::Inherited(_)) => "raise the limit, or lower GOMEMLIMIT",
            (_, GoMemLimit::Unset) => "raise the limit, or set GOMEMLIMIT below it",
        }
    }
}

impl Display for OomReport<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.victim {
            OomVictim::NotOom => {
                return f.write_str("the program was killed by SIGKILL, but not by the OOM killer");
            }
            OomVictim::Unknown => {
                f.write_str("the program was killed by SIGKILL, possibly by the OOM killer")?;
            }
            OomVictim::ProgramAnd(others) => {
                f.write_str("the kernel OOM-killed the program")?;
                match others {
                    0 => {}
                    _ if !self.is_exact => f.write_str(" and other processes of the container")?,
                    1 => f.write_str(" and 1 other process of the container")?,
                    _ => write!(f, " and {others} other processes of the container")?,
                }
            }
            OomVictim::Others(_) if !self.is_exact => {
                f.write_str("the kernel OOM-killed other processes of the container")?;
            }
            OomVictim::Others(1) => {
                f.write_str("the kernel OOM-killed 1 process of the container")?;
            }
            OomVictim::Others(others) => {
                write!(f, "the kernel OOM-killed {others} processes of the container")?;
            }
        }
        // The words that alerts on logs look for: OOM, and these.
        write!(f, " (out of memory): {}", self.context)
    }
}

impl Display for OomContext<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.limit {
            Some(limit) => write!(f, "limit {limit}")?,
            None => f.write_str("no visible limit")?,
        }
        if let Some(file) = self.limit_file {
            write!(f, " in {}", Quoted(file))?;
        }
        if self.limit_at_start != self.limit {
            match self.limit_at_start {
                Some(limit) => write!(f, " ({limit} at start)")?,
                None => f.write_str(" (none at start)")?,
            }
        }
        if let Some(peak) = self.peak {
            write!(f, ", peak {peak}")?;
        }
        match self.gomemlimit {
            GoMemLimit::Unset => f.write_str(", GOMEMLIMIT unset")?,
            GoMemLimit::SetByUs(bytes) => write!(f, ", GOMEMLIMIT={bytes}")?,
            GoMemLimit::Inherited(value) => write!(f, ", GOMEMLIMIT={}", Escaped(value))?,
        }
        write!(f, "; {}", self.advice())
    }
}

#[cfg(test)]
mod tests;
