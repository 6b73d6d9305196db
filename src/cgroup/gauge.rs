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
