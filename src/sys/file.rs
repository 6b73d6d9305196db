//! Files: opening, reading, checking and overwriting them.

use super::reserve::try_reserve;
use super::signal::discard_signal_of_write;
use super::{Errno, check};
use core::ffi::{CStr, c_int, c_long};
use core::mem::{forget, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Opens a file for reading. Neither a FIFO nor a terminal in its place can block us.
///
/// # Errors
/// What open(2) returns.
pub fn open(path: &CStr) -> Result<OwnedFd, Errno> {
    open_with(path, libc::O_RDONLY)
}

/// The raw call, because musl's open() adds an fcntl(2) for O_CLOEXEC.
pub(super) fn open_with(path: &CStr, flags: c_int) -> Result<OwnedFd, Errno> {
    let flags = flags | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the path is NUL-terminated.
    let file = unsafe {
        libc::syscall(
            libc::SYS_openat,
            c_long::from(libc::AT_FDCWD),
            path.as_ptr(),
            c_long::from(flags),
        )
    };
    let file = check(file as c_int)?;
    // SAFETY: the descriptor is new, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Writes once, and returns how much was written. Leaves no signal behind if that fails.
///
/// # Errors
/// What write(2) returns.
pub(super) fn write(file: BorrowedFd<'_>, text: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the text is readable for its length.
    let written = unsafe { libc::write(file.as_raw_fd(), text.as_ptr().cast(), text.len()) };
    check(written).inspect_err(|error| discard_signal_of_write(*error)).map(isize::cast_unsigned)
}

/// Keeps a file open until the process ends.
#[must_use]
pub fn keep_open(file: OwnedFd) -> BorrowedFd<'static> {
    let number = file.as_raw_fd();
    forget(file);
    // SAFETY: the owner is gone without closing the descriptor, so it stays open for good.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Reads a whole file and replaces what is in `buffer`.
///
/// # Errors
/// What open(2) and read(2) return; EFBIG for a file of more than `limit` bytes; ENOMEM.
pub fn read_file(path: &CStr, buffer: &mut Vec<u8>, limit: usize) -> Result<(), Errno> {
    /// More than a limit file and most mountinfo files have.
    const CHUNK: usize = 4096;
    buffer.clear();
    let file = open(path)?;
    loop {
        if buffer.len() > limit {
            return Err(Errno(libc::EFBIG));
        }
        if buffer.len() == buffer.capacity() {
            try_reserve(buffer, CHUNK)?;
        }
        let room = buffer.spare_capacity_mut();
        // SAFETY: the kernel writes at most `room.len()` bytes into the spare capacity.
        let read = unsafe { libc::read(file.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
        let Ok(read) = usize::try_from(read) else {
            return Err(Errno::last());
        };
        if read == 0 {
            return Ok(());
        }
        // SAFETY: the kernel has just written this many bytes after the length.
        unsafe { buffer.set_len(buffer.len().saturating_add(read)) };
    }
}

/// Reads the beginning of a file again, as much as `buffer` holds; nothing if that fails.
pub fn read_prefix<'a>(file: BorrowedFd<'_>, buffer: &'a mut [u8]) -> &'a [u8] {
    // SAFETY: the kernel writes at most `buffer.len()` bytes.
    let read =
        unsafe { libc::pread(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    buffer.get(..usize::try_from(read).unwrap_or(0)).unwrap_or_default()
}

/// Appends up to `length` bytes from `offset` in a file; fewer where it ends or cannot be read, and none
/// if there is no room for them.
///
/// pread(2) fails on directories, FIFOs and terminals, so there is no need to ask what the file is.
pub fn append_at(file: BorrowedFd<'_>, mut offset: u64, mut length: usize, buffer: &mut Vec<u8>) {
    if try_reserve(buffer, length).is_err() {
        return;
    }
    while length > 0
        && let Ok(position) = offset.try_into()
    {
        let room = buffer.spare_capacity_mut();
        let (start, most) = (room.as_mut_ptr().cast(), length.min(room.len()));
        // SAFETY: the kernel writes at most `most` bytes into the spare capacity.
        let read = unsafe { libc::pread(file.as_raw_fd(), start, most, position) };
        let read = usize::try_from(read).unwrap_or(0);
        if read == 0 {
            return;
        }
        // SAFETY: the kernel has just written this many bytes after the length.
        unsafe { buffer.set_len(buffer.len().saturating_add(read)) };
        offset = offset.saturating_add(read as u64);
        length = length.saturating_sub(read);
    }
}

/// Whether there is a file by this name that can be reached.
#[must_use]
pub fn exists(path: &CStr) -> bool {
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

/// Whether exec would find a program here: a file that we may execute and that is no directory.
#[must_use]
#[inline(never)] // `statx` is large: keeps it off the caller's stack frame.
pub fn is_executable(path: &CStr) -> bool {
    // SAFETY: the path is NUL-terminated.
    let is_denied = match check(unsafe { libc::access(path.as_ptr(), libc::X_OK) }) {
        Ok(_) => false,
        // That says nothing about the file.
        Err(Errno(libc::EPERM | libc::ENOSYS)) => true,
        Err(_) => return false,
    };
    match file_type(&status(libc::AT_FDCWD, path, 0)) {
        libc::S_IFREG => true,
        libc::S_IFDIR => false,
        // If the type cannot be read, exec will report it.
        _ => !is_denied,
    }
}

/// The type and the size of a file, relative to a directory; all zero if they cannot be read.
/// statx(2), because musl's stat() would convert the kernel's structure to its own.
fn status(directory: c_int, path: &CStr, flags: c_int) -> libc::statx {
    // SAFETY: zero is a value of the plain C structure `statx`; the path is NUL-terminated, and the
    // kernel writes at most the structure.
    unsafe {
        let mut status: libc::statx = zeroed();
        libc::syscall(
            libc::SYS_statx,
            c_long::from(directory),
            path.as_ptr(),
            c_long::from(flags),
            c_long::from(libc::STATX_TYPE | libc::STATX_SIZE),
            &raw mut status,
        );
        status
    }
}

fn file_type(status: &libc::statx) -> u32 {
    u32::from(status.stx_mode) & libc::S_IFMT
}

/// Overwrites a regular file, if it is there and has exactly `expected` bytes. Nothing else is
/// touched, and neither another type of file nor a symbolic link can block us. Returns how many
/// bytes of the file are ours then.
///
/// # Errors
/// What open(2) and write(2) return.
pub fn overwrite_if_len(path: &CStr, expected: usize, text: &[u8]) -> Result<usize, Errno> {
    let file = open_with(path, libc::O_WRONLY | libc::O_NOFOLLOW)?;
    let status = status(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH);
    if file_type(&status) == 0 {
        return Err(Errno::last());
    }
    if file_type(&status) != libc::S_IFREG || status.stx_size != expected as u64 {
        return Ok(0);
    }
    let length = write(file.as_fd(), text)?;
    // Last, so a write that fails does not lose what was there.
    // SAFETY: the call takes two integers.
    unsafe { libc::ftruncate(file.as_raw_fd(), length as libc::off_t) };
    Ok(length)
}

/// Closes all descriptors above standard error, so that no pipe stays open because of us. Before
/// Linux 5.9 there is no close_range(2), and they stay open.
///
/// Nothing in this program has such a descriptor when it calls this.
pub fn close_inherited_fds() {
    const FIRST: c_long = 3;
    const LAST: c_long = u32::MAX as c_long;
    let flags: c_long = 0;
    // SAFETY: the call takes three integers, and no descriptor above 2 is ours.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, LAST, flags) };
}
