//! How much of a memory limit is in use by what is there to stay, for one who asks when no memory is
//! left (cgroup v2). All files are opened early and stay open, and nothing is allocated later: to open
//! one under a full limit takes memory itself, and often longer than the kernel waits.

use super::counters::{Counters, number};
use crate::sys::{self, File};
use crate::text::Fields;
use core::mem::ManuallyDrop;

/// What memory.stat calls the memory that no reclaim brings back
/// (Documentation/admin-guide/cgroup-v2.rst). Mostly it is that of processes; sockets had up to 4% of
/// a limit, page tables half a percent. Locked memory is counted under its kind.
const LASTING: &[u8] =
    b"anon shmem slab_unreclaimable kernel_stack pagetables sec_pagetables percpu vmalloc sock";

/// The files of a cgroup; those that are not there are none.
#[derive(Debug)]
pub struct Gauge([Option<ManuallyDrop<File>>; 4]);

/// What a gauge shows, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The limit.
    pub limit: u64,
    /// What is there to stay.
    pub lasting: u64,
}

impl Gauge {
    /// Opens the files of the cgroup that has the limit, or of our own if none has.
    pub fn open(counters: &mut Counters<'_>) -> Self {
        let mut open =
            |name| counters.limiting_file(name).and_then(File::open).map(ManuallyDrop::new);
        Self([
            open(b"memory.stat"),
            open(b"memory.max"),
            open(b"memory.swap.max"),
            open(b"memory.swap.current"),
        ])
    }

    /// Reads them, if there is a limit.
    #[must_use]
    pub fn read(&self) -> Option<Level> {
        // Enough for what is looked for: the rest of memory.stat is behind it.
        let mut room = [0; 4096];
        let Self([stat, limit, swap_limit, swap]) = self;
        let limit = number(limit.as_ref()?.head(&mut room), b"")?;
        let text = stat.as_ref()?.head(&mut room);
        let parts = Fields::new(LASTING, b' ').filter_map(|name| number(text, name));
        let mut lasting = parts.fold(0, u64::saturating_add);
        // What can be swapped out is not there to stay.
        let free = sys::free_swap();
        if free > 0
            && let (Some(swap_limit), Some(swap)) = (swap_limit, swap)
        {
            // No limit is more than any.
            let most = number(swap_limit.head(&mut room), b"").unwrap_or(u64::MAX);
            let used = number(swap.head(&mut room), b"").unwrap_or_default();
            lasting = lasting.saturating_sub(most.saturating_sub(used).min(free));
        }
        Some(Level { limit, lasting })
    }
}

#[cfg(test)]
mod tests {
    use super::super::counters::tests::counted;
    use super::*;

    const LIMIT: (&str, &str) = ("sys/fs/cgroup/pod/memory.max", "4096000\n");

    fn level(files: &[(&str, &str)]) -> Option<Level> {
        counted(files, |counters| Gauge::open(counters).read())
    }

    /// And of no other: where the limit is, what counts against it is.
    #[test]
    fn what_is_there_to_stay_is_that_of_the_cgroup_with_the_limit() {
        const STAT: &str = "anon 1000\nfile 70\nkernel 9\nkernel_stack 4\nshmem 200\n\
                            slab_unreclaimable 30\nslab 31\nanon_thp 5\n";
        let above = ("sys/fs/cgroup/pod/memory.stat", STAT);
        let own = ("sys/fs/cgroup/pod/app/memory.stat", "anon 1\n");
        let expected = Level { limit: 4_096_000, lasting: 1234 };
        assert_eq!(level(&[own, above, LIMIT]), Some(expected));
        let own_limit = ("sys/fs/cgroup/pod/app/memory.max", "4000\n");
        let expected = Level { limit: 4000, lasting: 1 };
        assert_eq!(level(&[own, above, LIMIT, own_limit]), Some(expected));
    }

    #[test]
    fn what_is_not_there_shows_nothing() {
        let stat = ("sys/fs/cgroup/pod/memory.stat", "anon 1000\n");
        let own_stat = ("sys/fs/cgroup/pod/app/memory.stat", "anon 1000\n");
        assert_eq!(level(&[LIMIT]), None, "no memory.stat");
        assert_eq!(level(&[stat, own_stat]), None, "no limit");
        assert_eq!(level(&[LIMIT, stat, ("proc/self/cgroup", "")]), None, "no cgroup");
        let (strange, limit) = ("anon x\nshmem\n\nsock -1\n", 4_096_000);
        let stat = ("sys/fs/cgroup/pod/memory.stat", strange);
        assert_eq!(level(&[LIMIT, stat]), Some(Level { limit, lasting: 0 }));
        let stat = ("sys/fs/cgroup/pod/memory.stat", "anon 18446744073709551615\nshmem 2\n");
        assert_eq!(level(&[LIMIT, stat]), Some(Level { limit, lasting: u64::MAX }));
    }
}
