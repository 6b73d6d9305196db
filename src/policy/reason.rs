//! Why a variable is set or left alone, and how that is worded.

use crate::cgroup::limits::RuntimeError;
use crate::options::Rounding;
use crate::units::{Bytes, Ratio};
use std::fmt::{self, Display, Formatter};

/// Why a variable is set to its value, or left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The user disabled it.
    Off,
    /// The environment sets the variable already.
    Present,
    /// The process is in no visible cgroup that has the controller.
    NoCgroup,
    /// No mount shows the process's cgroup.
    OutOfSight,
    /// No visible cgroup sets a limit.
    Unlimited,
    /// A file that may hold a limit could not be read or parsed.
    Unknown,
    /// The limit is above the machine's memory, so it is never reached.
    AboveTotal {
        /// The limit.
        limit: Bytes,
        /// The machine's memory.
        total: Bytes,
    },
    /// The limit is so low that GOMEMLIMIT would be 0.
    NothingLeft,
    /// A share of the limit.
    Share(Ratio),
    /// The limit minus a reserve.
    Reserve(Bytes),
    /// The minimum that the user asked for, which is above the share and what the reserve leaves.
    MemoryMinimum(Bytes),
    /// The whole limit, which is below the minimum that the user asked for.
    BelowMinimum(Bytes),
    /// The value would not be below the number of CPUs.
    EnoughCpus {
        /// How many CPUs the process may run on.
        cpus: u64,
    },
    /// The quota in whole CPUs.
    Rounded(Rounding),
    /// The minimum that the user asked for, which is above the quota.
    Minimum(u64),
    /// The Go runtime finds the same limit.
    GoRuntime,
    /// The Go runtime finds the same limit, and follows its changes, because GODEBUG is set.
    Live,
    /// The number of CPUs, which is below the quota.
    CappedAtCpus(u64),
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("disabled"),
            Self::Present => f.write_str("already set"),
            Self::NoCgroup => f.write_str("no cgroup with this controller is visible"),
            Self::OutOfSight => {
                f.write_str("limits are out of sight: no mount shows the process's cgroup")
            }
            Self::Unlimited => f.write_str("no visible cgroup sets a limit"),
            Self::Unknown => f.write_str("the limit could not be read"),
            Self::AboveTotal { limit, total } => {
                write!(f, "the limit of {limit} is above the machine's memory of {total}")
            }
            Self::NothingLeft => f.write_str("the limit leaves nothing for Go"),
            Self::Share(ratio) => write!(f, "{ratio} of the limit"),
            Self::Reserve(reserve) => write!(f, "the limit minus a reserve of {reserve}"),
            Self::MemoryMinimum(minimum) => write!(f, "raised to the minimum of {minimum}"),
            Self::BelowMinimum(minimum) => {
                write!(f, "the whole limit, which is below the minimum of {minimum}")
            }
            Self::EnoughCpus { cpus } => {
                write!(f, "the value would not be below the number of usable CPUs ({cpus})")
            }
            Self::Rounded(Rounding::Up) => f.write_str("the quota rounded up"),
            Self::Rounded(Rounding::Down) => f.write_str("the quota rounded down, at least 1"),
            Self::Minimum(minimum) => write!(f, "raised to the minimum of {minimum}"),
            Self::GoRuntime => f.write_str("left to the Go runtime, which finds the same limit"),
            Self::Live => {
                f.write_str("left to the Go runtime, which follows the limit because of GODEBUG")
            }
            Self::CappedAtCpus(cpus) => write!(f, "capped at the number of usable CPUs ({cpus})"),
        }
    }
}

/// What else there is to know about a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The program's Go is older than the variable.
    NoEffect,
    /// The environment sets GOMEMLIMIT to a higher value.
    LoweredGomemlimit,
    /// The Go runtime reads the quota of the process's own cgroup only, and this one is of another.
    OwnCgroupOnly,
    /// The Go runtime does not find its quota.
    RuntimeFails(RuntimeError),
    /// The Go runtime finds another quota, that of another cgroup.
    RuntimeFindsOther,
    /// The program's Go is older than the runtime's updates of GOMAXPROCS.
    CannotFollow,
    /// The user's GODEBUG switches the runtime's own rule off.
    GodebugPresent,
}

impl Display for Note {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEffect => f.write_str("no effect on this program: it needs Go 1.19 or later"),
            Self::LoweredGomemlimit => f.write_str("the value in the environment is higher"),
            Self::OwnCgroupOnly => {
                f.write_str("the Go runtime reads only the process's own cgroup")
            }
            Self::RuntimeFails(RuntimeError::Unreadable) => {
                f.write_str("the Go runtime cannot read the list of mounts")
            }
            Self::RuntimeFails(RuntimeError::Malformed) => {
                f.write_str("the Go runtime cannot parse the list of mounts")
            }
            Self::RuntimeFails(RuntimeError::RootIsNoPath) => f.write_str(
                "the Go runtime stops at a mount whose root is no path (golang/go#81864)",
            ),
            Self::RuntimeFails(RuntimeError::NotFound) => {
                f.write_str("the Go runtime does not find its cgroup")
            }
            Self::RuntimeFindsOther => {
                f.write_str("the Go runtime reads the quota of another cgroup")
            }
            Self::CannotFollow => f.write_str("the program's Go version cannot follow changes"),
            Self::GodebugPresent => f.write_str("GODEBUG already sets it"),
        }
    }
}
