//! How close the memory use of a cgroup is to its limit (v2), for a reader that runs when no memory
//! is left. All files stay open, and nothing is allocated to read them: to open a file under a full
//! limit takes memory itself, and often takes longer than the OOM killer waits.

use super::counters::{Counters, unreclaimable};
use super::limits::CgroupVersion;
use super::procfs;
use crate::sys::{self, Errno};
use crate::units::Bytes;
use std::os::fd::BorrowedFd;

/// The open files of a cgroup that tell its memory use; a file that does not exist is none.
#[derive(Clone, Copy, Debug)]
pub struct MemoryPressureFiles {
    stat: Option<BorrowedFd<'static>>,
    max: Option<BorrowedFd<'static>>,
    swap_max: Option<BorrowedFd<'static>>,
    swap_current: Option<BorrowedFd<'static>>,
}

/// The memory use of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUsage {
    /// The limit.
    pub limit: Bytes,
    /// The part of the memory in use that the kernel can neither reclaim nor swap out.
    pub unreclaimable: Bytes,
}

impl MemoryPressureFiles {
    /// Opens the files of the cgroup that sets the limit, or of the process's own cgroup if none
    /// does.
    ///
    /// # Errors
    /// What open(2) returns for a file that exists.
    pub fn open(counters: &mut Counters<'_>) -> Result<Self, Errno> {
        let mut open = |name| {
            let Some(path) = counters.limiting_file(name) else { return Ok(None) };
            match sys::open(path) {
                Ok(file) => Ok(Some(sys::keep_open(file))),
                Err(cause) if cause.is_not_found() => Ok(None),
                Err(cause) => Err(cause),
            }
        };
        Ok(Self {
            stat: open(b"memory.stat")?,
            max: open(b"memory.max")?,
            swap_max: open(b"memory.swap.max")?,
            swap_current: open(b"memory.swap.current")?,
        })
    }

    /// The memory use now, if the cgroup has a limit.
    #[must_use]
    pub fn read(&self) -> Option<MemoryUsage> {
        // Enough of memory.stat: the lines that count come first.
        let mut buffer = [0; 4096];
        let limit = read_number(self.max?, &mut buffer)?;
        let stat = sys::read_prefix(self.stat?, &mut buffer);
        let mut unreclaimable = unreclaimable(CgroupVersion::V2, stat);
        // The machine's free swap, as far as the cgroup may use it.
        let free_swap = sys::free_swap();
        if free_swap > 0
            && let (Some(max), Some(current)) = (self.swap_max, self.swap_current)
        {
            // `max` stands for no limit.
            let max = read_number(max, &mut buffer).unwrap_or(u64::MAX);
            let current = read_number(current, &mut buffer).unwrap_or_default();
            let swappable = max.saturating_sub(current).min(free_swap);
            unreclaimable = unreclaimable.saturating_sub(swappable);
        }
        Some(MemoryUsage { limit: Bytes(limit), unreclaimable: Bytes(unreclaimable) })
    }
}

/// Reads a file that contains one number.
fn read_number(file: BorrowedFd<'_>, buffer: &mut [u8]) -> Option<u64> {
    procfs::parse_number(sys::read_prefix(file, buffer))
}

#[cfg(test)]
mod tests {
    use super::super::counters::tests::counted;
    use super::*;

    const LIMIT: (&str, &str) = ("sys/fs/cgroup/pod/memory.max", "4096000\n");

    fn usage(files: &[(&str, &str)]) -> Option<MemoryUsage> {
        counted(files, |counters| MemoryPressureFiles::open(counters).unwrap().read())
    }

    /// Only the usage of that cgroup counts against the limit.
    #[test]
    fn the_usage_is_that_of_the_cgroup_that_sets_the_limit() {
        const STAT: &str = "anon 1000\nfile 70\nkernel 9\nkernel_stack 4\nshmem 200\n\
                            slab_unreclaimable 30\nslab 31\nanon_thp 5\n";
        let above = ("sys/fs/cgroup/pod/memory.stat", STAT);
        let own = ("sys/fs/cgroup/pod/app/memory.stat", "anon 1\n");
        let expected = MemoryUsage { limit: Bytes(4_096_000), unreclaimable: Bytes(1234) };
        assert_eq!(usage(&[own, above, LIMIT]), Some(expected));
        let own_limit = ("sys/fs/cgroup/pod/app/memory.max", "4000\n");
        let expected = MemoryUsage { limit: Bytes(4000), unreclaimable: Bytes(1) };
        assert_eq!(usage(&[own, above, LIMIT, own_limit]), Some(expected));
    }

    #[test]
    fn the_usage_is_unknown_without_a_file_or_a_limit() {
        let stat = ("sys/fs/cgroup/pod/memory.stat", "anon 1000\n");
        let own_stat = ("sys/fs/cgroup/pod/app/memory.stat", "anon 1000\n");
        assert_eq!(usage(&[LIMIT]), None, "no memory.stat");
        assert_eq!(usage(&[stat, own_stat]), None, "no limit");
        assert_eq!(usage(&[LIMIT, stat, ("proc/self/cgroup", "")]), None, "no cgroup");
        let (strange, limit) = ("anon x\nshmem\n\nsock -1\n", Bytes(4_096_000));
        let stat = ("sys/fs/cgroup/pod/memory.stat", strange);
        assert_eq!(usage(&[LIMIT, stat]), Some(MemoryUsage { limit, unreclaimable: Bytes(0) }));
        let stat = ("sys/fs/cgroup/pod/memory.stat", "anon 18446744073709551615\nshmem 2\n");
        assert_eq!(
            usage(&[LIMIT, stat]),
            Some(MemoryUsage { limit, unreclaimable: Bytes(u64::MAX) })
        );
    }
}
