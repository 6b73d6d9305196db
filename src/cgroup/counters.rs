//! Counters of what has happened in a cgroup so far. The kernel keeps them for the life of the
//! cgroup, and they only grow. A counter that does not exist or cannot be parsed is none.
//!
//! v1 counts an OOM kill only in the cgroup of the killed process, v2 also in all its ancestors,
//! whichever limit was reached. So the process's own cgroup counts the program and what runs beside
//! it, wherever the limit is set; its ancestors count other containers too.

use super::files::FileReader;
use super::limits::{CgroupVersion, Limits, parent_dir};
use super::procfs;
use super::sysroot::{MEMINFO, SysRoot};
use crate::sys;
use crate::units::Bytes;
use core::ffi::CStr;
use core::time::Duration;
use std::os::fd::AsFd;

/// The lines of memory.stat for memory that the kernel cannot reclaim
/// (Documentation/admin-guide/cgroup-v2.rst). Most of it is memory of processes; in measurements,
/// sockets took up to 4% of a limit, and page tables 0.5%. Locked memory is in the line of its
/// kind.
const UNRECLAIMABLE: [&[u8]; 9] = [
    b"anon",
    b"shmem",
    b"slab_unreclaimable",
    b"kernel_stack",
    b"pagetables",
    b"sec_pagetables",
    b"percpu",
    b"vmalloc",
    b"sock",
];

/// The same of v1, for the cgroup and those below it: memory of processes and of tmpfs
/// (Documentation/admin-guide/cgroup-v1/memory.rst). There is no line for the memory of the kernel.
const UNRECLAIMABLE_V1: [&[u8]; 2] = [b"total_rss", b"total_shmem"];

/// The memory in memory.stat that the kernel cannot reclaim, in bytes.
pub(super) fn unreclaimable(version: CgroupVersion, stat: &[u8]) -> u64 {
    let names: &[&[u8]] = match version {
        CgroupVersion::V1 => &UNRECLAIMABLE_V1,
        CgroupVersion::V2 => &UNRECLAIMABLE,
    };
    let numbers = names.iter().filter_map(|name| procfs::number_field(stat, name));
    numbers.fold(0, u64::saturating_add)
}

/// The memory that a cgroup uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// All that counts towards the limit.
    pub used: Bytes,
    /// The part of it that the kernel cannot reclaim without swapping.
    pub unreclaimable: Bytes,
}

/// How often a CPU quota was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttling {
    /// The periods in which a process wanted to run.
    pub periods: u64,
    /// The periods in which the quota was used up.
    pub throttled_periods: u64,
    /// How long processes waited for the next period.
    pub throttled_time: Duration,
}

/// Reads the counters of the cgroups that limits were found in.
#[derive(Debug)]
pub struct Counters<'a> {
    files: FileReader<'a>,
    limits: &'a Limits,
}

impl<'a> Counters<'a> {
    /// Counters of the cgroups with these limits, which were read below the same root.
    #[must_use]
    pub const fn new(root: &SysRoot<'a>, limits: &'a Limits) -> Self {
        Self { files: FileReader::new(*root), limits }
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// The counter of processes that were OOM-killed in the process's own cgroup.
    pub fn oom_kill_counter(&mut self) -> OomKillCounter {
        let mut counter = OomKillCounter { path: [0; 256], long_path: None };
        if let Some(directory) = self.limits.memory.controller_dir()
            && let Some(name) = self.oom_events_file()
            && let Ok(path) = self.files.path(directory, name)
        {
            match counter.path.get_mut(..path.to_bytes_with_nul().len()) {
                Some(room) => room.copy_from_slice(path.to_bytes_with_nul()),
                None => counter.long_path = sys::keep_string(path),
            }
        }
        counter
    }

    /// A file of the cgroup that sets the memory limit, or of the process's own cgroup if none
    /// does. Only for v2.
    pub fn limiting_file(&mut self, name: &[u8]) -> Option<&CStr> {
        match self.limits.memory.version? {
            CgroupVersion::V1 => None,
            CgroupVersion::V2 => self.files.path(self.limiting_dir()?, name).ok(),
        }
    }

    /// The directory of the cgroup that sets the memory limit, or of the process's own cgroup if
    /// none does.
    fn limiting_dir(&self) -> Option<&'a [u8]> {
        let limiting = self.limits.oom_limit().filter(|(_, path)| *path != MEMINFO);
        match limiting {
            Some((_, path)) => Some(parent_dir(path)),
            None => self.limits.memory.controller_dir(),
        }
    }

    /// The number of processes that were OOM-killed in the process's own cgroup.
    pub fn oom_kills(&mut self) -> Option<u64> {
        self.oom_event(b"oom_kill")
    }

    /// How often all processes of a cgroup were OOM-killed together (`memory.oom.group`). Some
    /// kernels count the first victim of such a kill twice.
    pub fn group_kills(&mut self) -> Option<u64> {
        self.oom_event(b"oom_group_kill")
    }

    fn oom_event(&mut self, event: &[u8]) -> Option<u64> {
        let directory = self.limits.memory.controller_dir()?;
        let name = self.oom_events_file()?;
        procfs::number_field(self.files.read(directory, name).ok()?, event)
    }

    /// The most memory that was ever in use in the cgroup that sets the limit, or in the process's
    /// own cgroup if none does. v2 has it since Linux 5.19.
    pub fn peak(&mut self) -> Option<Bytes> {
        let name: &[u8] = match self.limits.memory.version? {
            CgroupVersion::V1 => b"memory.max_usage_in_bytes",
            CgroupVersion::V2 => b"memory.peak",
        };
        let directory = self.limiting_dir()?;
        procfs::parse_number(self.files.read(directory, name).ok()?).map(Bytes)
    }

    /// The memory in use in the cgroup that sets the limit, or in the process's own cgroup if none
    /// does.
    pub fn memory_use(&mut self) -> Option<MemoryUse> {
        let version = self.limits.memory.version?;
        let name: &[u8] = match version {
            CgroupVersion::V1 => b"memory.usage_in_bytes",
            CgroupVersion::V2 => b"memory.current",
        };
        let directory = self.limiting_dir()?;
        let used = procfs::parse_number(self.files.read(directory, name).ok()?).map(Bytes)?;
        let stat = self.files.read(directory, b"memory.stat").ok()?;
        Some(MemoryUse { used, unreclaimable: Bytes(unreclaimable(version, stat)) })
    }

    /// Whether the kernel OOM-kills all processes of our cgroup together. Only for v2.
    pub fn oom_group(&mut self) -> Option<bool> {
        let directory = match self.limits.memory.version? {
            CgroupVersion::V1 => return None,
            CgroupVersion::V2 => self.limits.memory.controller_dir()?,
        };
        let flag = self.files.read(directory, b"memory.oom.group").ok()?;
        Some(procfs::parse_number(flag)? > 0)
    }

    /// How often the lowest CPU quota was used up, in the cgroup that has it.
    pub fn throttling(&mut self) -> Option<Throttling> {
        let (_, path) = self.limits.cpu.lowest()?;
        let stat = self.files.read(parent_dir(path), b"cpu.stat").ok()?;
        let number = |name| procfs::number_field(stat, name);
        Some(Throttling {
            periods: number(b"nr_periods")?,
            throttled_periods: number(b"nr_throttled")?,
            throttled_time: match number(b"throttled_usec") {
                Some(microseconds) => Duration::from_micros(microseconds),
                // v1
                None => Duration::from_nanos(number(b"throttled_time")?),
            },
        })
    }

    /// The file that counts OOM kills.
    fn oom_events_file(&self) -> Option<&'static [u8]> {
        Some(match self.limits.memory.version? {
            CgroupVersion::V1 => b"memory.oom_control",
            CgroupVersion::V2 => b"memory.events",
        })
    }
}

/// The number of OOM-killed processes in a cgroup. Kernels before 4.13 do not count them.
#[derive(Clone, Copy, Debug)]
pub struct OomKillCounter {
    /// The path of the file, with a NUL at its end. If it is empty, nothing can be opened. On a
    /// Kubernetes node it has some 230 bytes.
    path: [u8; 256],
    /// A path that does not fit there. It takes a page.
    long_path: Option<&'static CStr>,
}

impl OomKillCounter {
    /// The number so far, if it is known.
    #[must_use]
    pub fn read(&self) -> Option<u64> {
        let path = match self.long_path {
            Some(path) => path,
            None => CStr::from_bytes_until_nul(&self.path).ok()?,
        };
        let file = sys::open(path).ok()?;
        // On the stack: this is read at the end, which needs no page for it then.
        let mut buffer = [0; 512];
        procfs::number_field(sys::read_prefix(file.as_fd(), &mut buffer), b"oom_kill")
    }
}

/// How much a counter has grown, if both values are known.
#[must_use]
pub fn delta(before: Option<u64>, now: Option<u64>) -> Option<u64> {
    Some(now?.saturating_sub(before?))
}

#[cfg(test)]
pub(super) mod tests;
