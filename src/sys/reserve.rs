//! Memory that the caller can do without.

use super::Errno;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

/// How many callers of the allocator can do without the memory.
static FALLIBLE_CALLERS: AtomicU32 = AtomicU32::new(0);

/// Whether the caller of the allocator can do without the memory.
pub(super) fn is_fallible() -> bool {
    FALLIBLE_CALLERS.load(Relaxed) > 0
}

/// Calls the allocator for a caller that can do without the memory.
pub(super) fn fallible<T>(allocate: impl FnOnce() -> T) -> T {
    FALLIBLE_CALLERS.fetch_add(1, Relaxed);
    let result = allocate();
    FALLIBLE_CALLERS.fetch_sub(1, Relaxed);
    result
}

/// Reserves room for more bytes.
///
/// # Errors
/// ENOMEM.
#[inline(never)]
pub(super) fn try_reserve(buffer: &mut Vec<u8>, additional: usize) -> Result<(), Errno> {
    fallible(|| buffer.try_reserve(additional)).map_err(|_| Errno(libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_address_space_is_an_error() {
        let mut buffer = b"kept".to_vec();
        assert_eq!(try_reserve(&mut buffer, 1 << 60), Err(Errno(libc::ENOMEM)));
        assert_eq!(try_reserve(&mut buffer, 1 << 10), Ok(()));
        assert!(buffer.capacity() >= 1 << 10 && buffer == b"kept");
    }
}
