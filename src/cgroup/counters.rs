//! What has happened in a cgroup so far: counters that only grow, as the kernel keeps them for the
//! life of the cgroup. What is not there, or not understood, is none.

use super::{Path, Root, SMALL, proc};
use crate::limits::Version;
use crate::sys;
use crate::units::integer;
use core::mem::ManuallyDrop;

/// Processes that the kernel has killed for want of memory, whoever's limit it was.
///
/// v1 counts them in their own cgroup alone, v2 there and in all above. So the cgroup that knows of
/// the program, and of what else runs beside it, is our own, wherever the limit is set. Above it v2
/// counts other containers too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kills {
    /// The processes.
    pub processes: u64,
    /// How many times a whole cgroup was killed (`memory.oom.group`), whose first victim some
    /// kernels count twice among the processes.
    pub groups: u64,
}

impl Kills {
    /// What has been added.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            processes: self.processes.saturating_sub(before.processes),
            groups: self.groups.saturating_sub(before.groups),
        }
    }
}

/// How often a quota of CPU time was used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// The periods in which there was something to run.
    pub periods: u64,
    /// Those of them in which the quota was used up.
    pub throttled: u64,
    /// For how long anything waited then.
    pub microseconds: u64,
}

impl Throttling {
    /// What has been added.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            periods: self.periods.saturating_sub(before.periods),
            throttled: self.throttled.saturating_sub(before.throttled),
            microseconds: self.microseconds.saturating_sub(before.microseconds),
        }
    }
}

/// Reads the counters in a directory.
pub struct Counters<'a> {
    path: Path<'a>,
    text: Vec<u8>,
}

impl<'a> Counters<'a> {
    /// Those in a tree.
    #[must_use]
    pub const fn new(root: &Root<'a>) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self { path: Path::new(root), text: Vec::new() })
    }

    /// The kills in a cgroup. Kernels before 4.13 do not count them.
    pub fn kills(&mut self, version: Version, directory: &[u8]) -> Option<Kills> {
        kills(self.read(
            directory,
            match version {
                Version::V1 => b"memory.oom_control",
                Version::V2 => b"memory.events",
            },
        )?)
    }

    /// The most memory that was ever in use in a cgroup, in bytes. v2 tells it since Linux 5.19.
    pub fn peak(&mut self, version: Version, directory: &[u8]) -> Option<u64> {
        integer(self.read(
            directory,
            match version {
                Version::V1 => b"memory.max_usage_in_bytes",
                Version::V2 => b"memory.peak",
            },
        )?)
    }

    /// What a quota has done in the cgroup that has it.
    pub fn throttling(&mut self, directory: &[u8]) -> Option<Throttling> {
        throttling(self.read(directory, b"cpu.stat")?)
    }

    /// Whether the kernel kills all that is in a cgroup of v2 together.
    pub fn kills_all(&mut self, directory: &[u8]) -> Option<bool> {
        Some(integer(self.read(directory, b"memory.oom.group")?)? > 0)
    }

    fn read(&mut self, directory: &[u8], name: &[u8]) -> Option<&[u8]> {
        sys::read_file(self.path.set(directory, name).ok()?, &mut self.text, SMALL).ok()?;
        Some(self.text.trim_ascii())
    }
}

fn kills(text: &[u8]) -> Option<Kills> {
    let processes = number(text, b"oom_kill")?;
    Some(Kills { processes, groups: number(text, b"oom_group_kill").unwrap_or(0) })
}

/// v1 has nanoseconds, v2 microseconds.
fn throttling(text: &[u8]) -> Option<Throttling> {
    let nanoseconds = || number(text, b"throttled_time").map(|time| time / 1000);
    Some(Throttling {
        periods: number(text, b"nr_periods")?,
        throttled: number(text, b"nr_throttled")?,
        microseconds: number(text, b"throttled_usec").or_else(nanoseconds)?,
    })
}

fn number(text: &[u8], name: &[u8]) -> Option<u64> {
    integer(proc::value(text, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kills_are_found_in_both_versions() {
        let v1 = b"oom_kill_disable 0\nunder_oom 0\noom_kill 2\n";
        assert_eq!(kills(v1), Some(Kills { processes: 2, groups: 0 }));
        let v2 = b"low 0\nhigh 0\nmax 7\noom 1\noom_kill 3\noom_group_kill 1\n";
        assert_eq!(kills(v2), Some(Kills { processes: 3, groups: 1 }));
        // Linux 4.12, v1
        assert_eq!(kills(b"oom_kill_disable 0\nunder_oom 0\n"), None);
        assert_eq!(kills(b"oom_kill x\n"), None);
    }

    #[test]
    fn throttling_is_found_in_both_versions() {
        let v1 = b"nr_periods 10\nnr_throttled 4\nthrottled_time 1500000\n";
        let expected = Throttling { periods: 10, throttled: 4, microseconds: 1500 };
        assert_eq!(throttling(v1), Some(expected));
        let v2 = b"usage_usec 9\nnr_periods 10\nnr_throttled 4\nthrottled_usec 1500\n";
        assert_eq!(throttling(v2), Some(expected));
        // v2 without the controller, v2's root
        assert_eq!(throttling(b"usage_usec 9\nuser_usec 5\nsystem_usec 4\n"), None);
    }

    proptest! {
        #[test]
        fn no_input_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (kills(&text), throttling(&text));
        }
    }
}
