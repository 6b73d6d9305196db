//! The reasons for what is decided, in the words in which people read them.

use super::Rounding;
use crate::packed::{Packed, packed};
use crate::text::{Out, Put, put};
use crate::units::{Bytes, Ratio};

/// Who reads the limits too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The runtime itself, of the quota.
    Runtime,
    /// A library that sets GOMAXPROCS from inside of the program.
    Automaxprocs,
    /// A library that sets the memory limit from inside of the program.
    Automemlimit,
}

impl Put for Reader {
    fn put(&self, out: &mut Out) {
        match self {
            Self::Runtime => put!(out, "the Go runtime"),
            Self::Automaxprocs => put!(out, "go.uber.org/automaxprocs"),
            Self::Automemlimit => put!(out, "github.com/KimMachineGun/automemlimit"),
        }
    }
}

/// Why a variable is set, or left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for that it be left alone.
    Off,
    /// It has a value.
    Present,
    /// The process is in no cgroup that could have a limit.
    NoCgroup,
    /// There is no limit, as far as can be seen.
    Unlimited,
    /// What may be a limit could not be read.
    Unknown,
    /// The limit is above the machine's memory.
    AboveTotal {
        /// The limit in bytes.
        limit: u64,
        /// The machine's memory in bytes.
        total: u64,
    },
    /// Nothing of the limit is left to Go.
    Nothing,
    /// A part of the limit.
    Share(Ratio),
    /// The limit without the reserve.
    Reserve(u64),
    /// The quota is not less than the CPUs.
    Enough {
        /// The CPUs that the process may run on.
        cpus: u64,
    },
    /// The quota in whole CPUs.
    Rounded(Rounding),
    /// The quota would give fewer threads than the least number wanted.
    Minimum(u64),
    /// The runtime finds the limit by itself.
    Runtime,
    /// The runtime is told to find the limit by itself.
    Live,
    /// A library in the program finds the limit by itself.
    Library(Reader),
    /// The quota would give more threads than there are CPUs.
    Cpus(u64),
}

const THE_CPUS: Packed = packed!(" the CPUs that the process may run on, ");

impl Put for Reason {
    fn put(&self, out: &mut Out<'_>) {
        match self {
            Self::Off => put!(out, "switched off"),
            Self::Present => put!(out, "left alone, as it has a value already"),
            Self::NoCgroup => put!(out, "no cgroup with this controller is in sight"),
            Self::Unlimited => put!(out, "no limit is set as far up as can be seen"),
            Self::Unknown => put!(out, "no limit could be read"),
            Self::AboveTotal { limit, total } => {
                let (limit, total) = (Bytes(*limit), Bytes(*total));
                put!(out, "the limit of ", limit, " is above the machine's memory of ", total);
            }
            Self::Nothing => put!(out, "the limit leaves nothing to set"),
            Self::Share(ratio) => put!(out, ratio, " of the limit"),
            Self::Reserve(bytes) => put!(out, "the limit less a reserve of ", Bytes(*bytes)),
            Self::Enough { cpus } => put!(out, "not below", THE_CPUS, cpus),
            Self::Rounded(Rounding::Up) => put!(out, "the limit rounded up"),
            Self::Rounded(Rounding::Down) => put!(out, "the limit rounded down, at least 1"),
            Self::Minimum(least) => put!(out, "at least ", least, " as asked for"),
            Self::Runtime => put!(out, "left to the Go runtime, which finds the same limit"),
            Self::Live => {
                put!(out, "left to the Go runtime, told by GODEBUG to follow the limit")
            }
            Self::Library(name) => {
                put!(out, "left to ", name, " in the program, which reads the same limit");
            }
            Self::Cpus(cpus) => put!(out, "no more than", THE_CPUS, cpus),
        }
    }
}

/// What else there is to know about a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The runtime is too old for the variable.
    NoEffect,
    /// Who else would find a limit would not find this one.
    OwnCgroupOnly(Reader),
    /// Go 1.25 takes the path in the hierarchy for the path below the mount.
    PartOfHierarchy,
    /// The runtime cannot follow changes.
    CannotFollow,
    /// The library in the program would find nothing on cgroup v2.
    TooOldForV2(Reader),
    /// The user's GODEBUG has the settings already.
    DebugPresent,
}

impl Put for Note {
    fn put(&self, out: &mut Out<'_>) {
        match self {
            Self::NoEffect => put!(out, "no effect on this program, as Go knows it from 1.19 on"),
            Self::OwnCgroupOnly(who) => {
                put!(out, who, " would look for it in the process's own cgroup only");
            }
            Self::PartOfHierarchy => {
                put!(out, "Go 1.25 would not find its cgroup below this mount")
            }
            Self::CannotFollow => put!(out, "the program's Go cannot follow changes"),
            Self::TooOldForV2(who) => put!(out, who, " in the program is too old for cgroup v2"),
            Self::DebugPresent => put!(out, "GODEBUG has a setting for it already"),
        }
    }
}
