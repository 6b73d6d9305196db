//! The allocator of the shipped binary: a region in .bss that grows until all of it is free again.
//!
//! loadline allocates a few kilobytes before it starts the program and next to nothing afterwards, so a
//! pointer that moves up is enough; the C library's allocator would cost more code and more
//! dirty pages than everything it is asked for. What does not fit is mapped on its own, so a
//! large input cannot exhaust it.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ffi::{c_long, c_void};
use core::ptr::{copy_nonoverlapping, null_mut};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The smallest page, which is what mmap aligns to at least.
const PAGE: usize = 4096;

/// Pages of .bss that are not touched cost nothing.
const SIZE: usize = 64 * 1024;

/// The region, aligned for anything that is allocated here.
#[repr(align(16))]
struct Region(UnsafeCell<[u8; SIZE]>);

/// A bump allocator with a mapping of its own for what does not fit.
#[repr(C)]
pub struct Arena {
    /// How many bytes are used, and above these 32 bits how many allocations there are: when the
    /// last is given back, all bytes are free.
    state: AtomicU64,
    region: Region,
}

/// One allocation, as the state counts them.
const ONE: u64 = 1 << 32;

/// The bytes in use.
const fn used(state: u64) -> usize {
    (state % ONE) as usize
}

// SAFETY: `state` is atomic, and the ranges of `region` that it hands out never overlap.
unsafe impl Sync for Arena {}

impl Arena {
    /// An empty arena.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: AtomicU64::new(0), region: Region(UnsafeCell::new([0; SIZE])) }
    }

    /// Takes everything back: an init that waits needs none of what it took to start the program.
    ///
    /// # Safety
    /// Nothing that was allocated is used any more.
    pub unsafe fn clear(&self) {
        self.state.store(0, Relaxed);
    }

    /// Gives the pages that are not used to the kernel.
    pub fn trim(&self) {
        // The ends lie in pages with other variables. Where pages are larger than this the kernel
        // refuses, and they stay.
        let first = (self.start() + used(self.state.load(Relaxed))).next_multiple_of(PAGE);
        let end = (self.start() + SIZE) / PAGE * PAGE;
        // SAFETY: the pages lie within the part of the region that nobody uses.
        unsafe {
            libc::madvise(first as *mut c_void, end.saturating_sub(first), libc::MADV_DONTNEED)
        };
    }

    fn start(&self) -> usize {
        self.region.0.get() as usize
    }

    /// The offset of an address that was handed out from the region.
    fn offset(&self, address: *mut u8) -> Option<usize> {
        let offset = (address as usize).wrapping_sub(self.start());
        (offset < SIZE).then_some(offset)
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: `alloc` returns null or a range of `layout.size()` bytes, aligned as asked, that no
// other live allocation has: either by moving the end of the used part atomically past it, or from mmap.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.start();
        let place = |state: u64| {
            let address =
                base.checked_add(used(state))?.checked_next_multiple_of(layout.align())?;
            let end = address.checked_sub(base)?.checked_add(layout.size())?;
            let count = (state / ONE).wrapping_add(1);
            (end <= SIZE).then_some((address, count * ONE + end as u64))
        };
        let taken = self.state.fetch_update(Relaxed, Relaxed, |state| Some(place(state)?.1));
        match taken.ok().and_then(place) {
            Some((address, _)) => address as *mut u8,
            None => map(layout),
        }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        match self.offset(address) {
            // The newest can be given back alone, the others with all.
            Some(offset) => {
                let end = offset.wrapping_add(layout.size());
                let _ = self.state.fetch_update(Relaxed, Relaxed, |state| {
                    let (count, used) = ((state / ONE).wrapping_sub(1), used(state));
                    let used = if used == end { offset } else { used };
                    Some(if count == 0 { 0 } else { count * ONE + used as u64 })
                });
            }
            // SAFETY: outside the region it came from `map` with this size.
            None => unsafe {
                libc::syscall(libc::SYS_munmap, address, layout.size());
            },
        }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if let Some(offset) = self.offset(address) {
            let (end, wanted) = (offset.wrapping_add(layout.size()), offset.wrapping_add(size));
            let newest = || {
                let grow =
                    |state| (used(state) == end).then_some(state - end as u64 + wanted as u64);
                self.state.fetch_update(Relaxed, Relaxed, grow).is_ok()
            };
            // The newest allocation, a growing Vec for example, grows where it is.
            if size <= layout.size() || (wanted <= SIZE && newest()) {
                return address;
            }
        }
        // SAFETY: the caller's promises about `address`, `layout` and `size` are those of
        // GlobalAlloc::realloc; both ranges hold the lesser of the two sizes and are distinct.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                copy_nonoverlapping(address, moved, layout.size().min(size));
                self.dealloc(address, layout);
            }
            moved
        }
    }
}

/// The C library's own function is ten times as long, for what is never asked of it here.
fn map(layout: Layout) -> *mut u8 {
    if layout.align() > PAGE {
        return null_mut();
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing.
    let address = unsafe {
        libc::syscall(
            libc::SYS_mmap,
            null_mut::<u8>(),
            layout.size(),
            c_long::from(protection),
            c_long::from(flags),
            -1 as c_long,
            0 as c_long,
        )
    };
    if address == -1 { null_mut() } else { address as *mut u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_aligned_distinct_and_survive_growth() {
        let arena = Arena::new();
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        // SAFETY: every layout is the one the pointer was allocated with.
        unsafe {
            let first = arena.alloc(layout(3, 1));
            let second = arena.alloc(layout(8, 8));
            assert_eq!(second as usize % 8, 0);
            first.write_bytes(1, 3);
            second.write_bytes(2, 8);
            assert_eq!(
                arena.realloc(second, layout(8, 8), 64),
                second,
                "the newest grows in place"
            );
            let moved = arena.realloc(first, layout(3, 1), 10);
            assert_ne!(moved, first);
            assert_eq!(core::slice::from_raw_parts(moved, 3), [1, 1, 1]);
            arena.dealloc(second, layout(64, 8));
            assert!(used(arena.state.load(Relaxed)) > 0, "one is left");
            arena.dealloc(moved, layout(10, 1));
            assert_eq!(arena.state.load(Relaxed), 0, "none is left, so all is free");
            let large = arena.alloc(layout(2 * SIZE, 16));
            large.write_bytes(3, 2 * SIZE);
            assert!(arena.offset(large).is_none());
            let larger = arena.realloc(large, layout(2 * SIZE, 16), 3 * SIZE);
            assert_eq!(*larger.add(2 * SIZE - 1), 3);
            arena.dealloc(larger, layout(3 * SIZE, 16));
        }
    }

    #[test]
    fn the_newest_allocation_is_given_back_and_a_full_arena_still_serves() {
        let arena = Arena::new();
        let layout = Layout::from_size_align(1000, 16).unwrap();
        // SAFETY: every layout is the one the pointer was allocated with.
        unsafe {
            for _ in 0..1000 {
                let address = arena.alloc(layout);
                assert!(arena.offset(address).is_some());
                arena.dealloc(address, layout);
            }
            for _ in 0..100 {
                let address = arena.alloc(layout);
                assert!(!address.is_null());
                address.write_bytes(7, 1000);
            }
        }
    }
}
