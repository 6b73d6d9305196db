//! The allocator of the shipped binary.
//!
//! loadline allocates a few kilobytes before it starts the program and next to nothing afterwards.
//! A region and a position in it are enough. The C library's allocator would cost more code and more
//! dirty pages than everything that is allocated.
//!
//! Without memory, Rust would abort the process without a word. Before the program is started, that is
//! an error like any other. Afterwards everything fits into the region, large inputs aside, and whoever
//! reads those goes on without them ([`super::reserve`]).

use super::memory::{map, unmap};
use super::reserve::is_fallible;
use super::stdio::write_stderr;
use super::system::exit;
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{CStr, c_void};
use core::ptr::{copy_nonoverlapping, null_mut};
use core::sync::atomic::Ordering::{AcqRel, Acquire};
use core::sync::atomic::{AtomicPtr, AtomicU32};

/// Every allocation takes a multiple of this, so each is aligned for whatever is stored here.
const UNIT: usize = 16;

/// The size of the region. Pages that are never touched cost nothing.
const SIZE: usize = 512 * 1024;
const UNITS: u16 = (SIZE / UNIT) as u16;

/// The size from which an allocation gets a mapping of its own, so that the region is left to those of
/// which none is large.
const LARGE: usize = 64 * 1024;

/// The smallest page, and the alignment that mmap(2) gives at least.
const PAGE: usize = 4096;

/// A bump allocator that starts over when its last allocation is freed. An allocation that is large, or
/// does not fit into the region, gets a mapping of its own.
pub struct Arena {
    /// The region, null before the first allocation. It is mapped and not in .bss, where it would
    /// push the C library's variables into a page of their own.
    region: AtomicPtr<u8>,
    /// A [`State`], in one word so that it changes atomically.
    state: AtomicU32,
}

/// How much of the region is in use.
#[derive(Clone, Copy)]
struct State {
    /// Where the next allocation begins, in units.
    used: u16,
    /// The number of allocations. Each takes at least one unit, so it cannot overflow.
    allocations: u16,
}

impl State {
    const fn unpack(word: u32) -> Self {
        Self { used: word as u16, allocations: (word >> 16) as u16 }
    }

    const fn pack(self) -> u32 {
        (self.allocations as u32) << 16 | self.used as u32
    }

    /// Takes `units` more.
    fn allocate(self, units: u16) -> Option<Self> {
        let used = self.used.checked_add(units).filter(|used| *used <= UNITS)?;
        Some(Self { used, allocations: self.allocations.checked_add(1)? })
    }

    /// Frees the units from `start` to `end`. They can be used again if they are the last ones, or
    /// if nothing else is in use.
    fn free(self, start: u16, end: u16) -> Self {
        let allocations = self.allocations.saturating_sub(1);
        let used = match allocations {
            0 => 0,
            _ if end == self.used => start,
            _ => self.used,
        };
        Self { used, allocations }
    }
}

impl Arena {
    /// An empty arena.
    #[must_use]
    pub const fn new() -> Self {
        Self { region: AtomicPtr::new(null_mut()), state: AtomicU32::new(0) }
    }

    /// Returns the pages that are not in use to the kernel.
    pub fn trim(&self) {
        // Taken like an allocation, so nobody else uses them meanwhile.
        let Some(before) = self.update(|state| state.allocate(UNITS.checked_sub(state.used)?))
        else {
            return;
        };
        // The first page may hold an allocation.
        let start = (usize::from(before.used) * UNIT).next_multiple_of(PAGE);
        let region = self.region.load(Acquire);
        // SAFETY: these pages are the part of the region that was just taken. If there is no region
        // yet, or if pages are larger, the kernel refuses the range, and nothing changes.
        unsafe {
            let start_address = region.wrapping_add(start).cast::<c_void>();
            libc::madvise(start_address, SIZE.saturating_sub(start), libc::MADV_DONTNEED);
        }
        self.update(|state| Some(state.free(before.used, UNITS)));
    }

    /// The region, which the first call maps; null if there is no memory.
    fn region(&self) -> *mut u8 {
        let region = self.region.load(Acquire);
        if !region.is_null() {
            return region;
        }
        let new = map(SIZE);
        match self.region.compare_exchange(null_mut(), new, AcqRel, Acquire) {
            Ok(_) => new,
            Err(other) => {
                // SAFETY: the mapping is new, and nobody else knows of it.
                unsafe { unmap(new, SIZE) };
                other
            }
        }
    }

    /// Changes the state, and returns the one before.
    fn update(&self, change: impl Fn(State) -> Option<State>) -> Option<State> {
        let change = |word| change(State::unpack(word)).map(State::pack);
        self.state.fetch_update(AcqRel, Acquire, change).ok().map(State::unpack)
    }

    /// The first unit of an allocation, if it is in the region.
    fn unit_of(&self, address: *mut u8) -> Option<u16> {
        let offset = (address as usize).wrapping_sub(self.region.load(Acquire) as usize);
        if offset < SIZE { u16::try_from(offset / UNIT).ok() } else { None }
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// The exit code if there is no memory: the same as for other failures of loadline.
const FAILURE: u8 = 1;

/// How many units a number of bytes takes.
fn units(size: usize) -> Option<u16> {
    u16::try_from(size.div_ceil(UNIT)).ok()
}

// SAFETY: `alloc` returns null or `layout.size()` bytes, aligned as asked, that no other allocations
// allocation has: from the part of the region that `update` took for it alone, or from mmap(2).
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let region = self.region();
        if layout.align() <= UNIT
            && layout.size() < LARGE
            && !region.is_null()
            && let Some(units) = units(layout.size())
            && let Some(before) = self.update(|state| state.allocate(units))
        {
            return region.wrapping_add(usize::from(before.used) * UNIT);
        }
        // A mapping is aligned to a page.
        let address = if layout.align() <= PAGE { map(layout.size()) } else { null_mut() };
        if address.is_null() && !is_fallible() {
            let _ = write_stderr(b"loadline: cannot allocate memory: mmap failed\n");
            exit(FAILURE);
        }
        address
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        if let Some(start) = self.unit_of(address) {
            let end = start.saturating_add(units(layout.size()).unwrap_or(0));
            self.update(|state| Some(state.free(start, end)));
        } else {
            // SAFETY: outside of the region the memory comes from `map`, with this size, and the
            // caller does not use it any more.
            unsafe { unmap(address, layout.size()) };
        }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The last allocation, such as a Vec that grows, grows where it is.
        if let Some(start) = self.unit_of(address)
            && let Some(old_end) = start.checked_add(units(layout.size()).unwrap_or(0))
            && size < LARGE
            && let Some(new_end) = units(size).and_then(|units| start.checked_add(units))
            && (new_end == old_end
                || (new_end <= UNITS
                    && self
                        .update(|state| {
                            (state.used == old_end).then_some(State { used: new_end, ..state })
                        })
                        .is_some()))
        {
            return address;
        }
        // SAFETY: the caller promises what GlobalAlloc::realloc asks for. Both allocations hold the
        // lesser of the two sizes, and they do not overlap.
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

/// Copies a string into memory of its own, where it stays until the process ends; none if there is no
/// memory. In the region it would keep the pages in front of it.
#[must_use]
pub fn keep_string(string: &CStr) -> Option<&'static CStr> {
    let bytes = string.to_bytes_with_nul();
    let copy = map(bytes.len());
    // SAFETY: the mapping is new, and large enough for the string with its NUL. Nothing changes or
    // unmaps it.
    (!copy.is_null()).then(|| unsafe {
        copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
        CStr::from_ptr(copy.cast())
    })
}

#[cfg(test)]
mod tests;
