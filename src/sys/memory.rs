//! Memory in whole pages.

use core::ffi::c_long;
use core::ptr::null_mut;

/// The size of a page, in bytes.
pub(super) fn page_size() -> usize {
    // SAFETY: the call takes an integer.
    unsafe { libc::getauxval(libc::AT_PAGESZ) as usize }
}

/// mmap(2). On 32-bit machines the older call has other arguments.
#[cfg(target_pointer_width = "64")]
const SYS_MMAP: c_long = libc::SYS_mmap;
#[cfg(target_pointer_width = "32")]
const SYS_MMAP: c_long = libc::SYS_mmap2;

/// A new mapping, or null with the cause in errno. The raw call, because musl's mmap() is ten times as
/// long, for cases that do not occur here.
pub(super) fn map(size: usize) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at an address that the kernel chooses touches nothing.
    let address = unsafe {
        libc::syscall(
            SYS_MMAP,
            null_mut::<u8>(),
            size,
            c_long::from(protection),
            c_long::from(flags),
            -1 as c_long,
            0 as c_long,
        )
    };
    if address == -1 { null_mut() } else { address as *mut u8 }
}

/// Removes a mapping.
///
/// # Safety
/// The mapping was made by `map` with this size, and nothing uses it any more.
pub(super) unsafe fn unmap(address: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::syscall(libc::SYS_munmap, address, size) };
}
