//! Small files read whole, and descriptors written without harm.

use super::{Errno, check};
use core::ffi::{CStr, c_int, c_long};

/// Reads a file into `buffer`, replacing what was there; more than `limit` bytes are an error.
///
/// The descriptor is closed before any program is started, so it needs no close-on-exec flag.
///
/// # Errors
/// What open and read return; EFBIG for a file larger than the limit.
pub fn read_file(path: &CStr, buffer: &mut Vec<u8>, limit: usize) -> Result<(), Errno> {
    buffer.clear();
    let file = open(path, libc::O_RDONLY)?;
    let result = read_all(file, buffer, limit);
    close(file);
    result
}

/// Opens a file so that neither a FIFO nor a terminal in its place can hold us up. Not by the C
/// library's own function, which may make a file too, and is longer for it.
pub(super) fn open(path: &CStr, flags: c_int) -> Result<c_int, Errno> {
    let flags = flags | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: the path is NUL-terminated.
    let file = unsafe {
        libc::syscall(
            libc::SYS_openat,
            c_long::from(libc::AT_FDCWD),
            path.as_ptr(),
            c_long::from(flags),
        )
    };
    check(file as c_int)
}

fn read_all(file: c_int, buffer: &mut Vec<u8>, limit: usize) -> Result<(), Errno> {
    /// More than any limit file and any common mountinfo.
    const CHUNK: usize = 4096;
    loop {
        if buffer.len() > limit {
            return Err(Errno(libc::EFBIG));
        }
        if buffer.len() == buffer.capacity() {
            buffer.reserve(CHUNK);
        }
        let room = buffer.spare_capacity_mut();
        // SAFETY: the kernel writes at most the length given into the spare room.
        let read = unsafe { libc::read(file, room.as_mut_ptr().cast(), room.len()) };
        let Ok(read) = usize::try_from(read) else {
            return Err(Errno::last());
        };
        if read == 0 {
            return Ok(());
        }
        // SAFETY: so many bytes beyond the length have just been written.
        unsafe { buffer.set_len(buffer.len().saturating_add(read)) };
    }
}

/// Reads the beginning of a file, as much as there is room for.
#[must_use]
pub fn read_head<'a>(path: &CStr, room: &'a mut [u8]) -> Option<&'a [u8]> {
    File::open(path).map(|file| file.head(room))
}

/// Closes a descriptor that is ours.
fn close(file: c_int) {
    // SAFETY: nothing else uses it.
    unsafe { libc::close(file) };
}

/// A file that is open to be read in parts.
#[derive(Debug)]
pub struct File(c_int);

impl File {
    /// Opens a file.
    ///
    /// There is no need to ask what it is: pread(2) fails on directories, FIFOs and terminals, and
    /// what it reads from another device ends the same way as a file with that in it. It is closed
    /// before any program is started, or opened after that, so it needs no close-on-exec flag.
    #[must_use]
    pub fn open(path: &CStr) -> Option<Self> {
        open(path, libc::O_RDONLY).ok().map(Self)
    }

    /// Reads its beginning anew, as much as there is room for; nothing where that fails.
    pub fn head<'a>(&self, room: &'a mut [u8]) -> &'a [u8] {
        // SAFETY: the kernel writes at most the length given.
        let read = unsafe { libc::pread(self.0, room.as_mut_ptr().cast(), room.len(), 0) };
        room.get(..usize::try_from(read).unwrap_or(0)).unwrap_or_default()
    }

    /// Appends up to `length` bytes from a place in the file; fewer where it ends or fails.
    pub fn append(&self, mut offset: u64, mut length: usize, buffer: &mut Vec<u8>) {
        buffer.reserve(length);
        while length > 0
            && let Ok(place) = offset.try_into()
        {
            let room = buffer.spare_capacity_mut();
            let room_length = length.min(room.len());
            // SAFETY: the kernel writes at most the length given into the spare room.
            let read = unsafe { libc::pread(self.0, room.as_mut_ptr().cast(), room_length, place) };
            let read = usize::try_from(read).unwrap_or(0);
            if read == 0 {
                return;
            }
            // SAFETY: so many bytes beyond the length have just been written.
            unsafe { buffer.set_len(buffer.len().saturating_add(read)) };
            offset = offset.saturating_add(read as u64);
            length = length.saturating_sub(read);
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Whether there is a file by this name.
#[must_use]
pub fn exists(path: &CStr) -> bool {
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

/// Whether exec would find a program here: something that we may execute and that is no directory.
///
/// In a frame of its own, as what it asks for is large.
#[must_use]
#[inline(never)]
pub fn is_executable(path: &CStr) -> bool {
    // SAFETY: the path is NUL-terminated.
    if unsafe { libc::access(path.as_ptr(), libc::X_OK) } != 0 {
        return false;
    }
    let file = status(libc::AT_FDCWD, path, 0);
    // Where that cannot be asked, exec will tell.
    kind(&file) != libc::S_IFDIR
}

/// The kind and the size of a file, relative to a directory; all zero where they cannot be asked.
/// The C library would convert what the kernel has to another structure.
fn status(directory: c_int, path: &CStr, flags: c_int) -> libc::statx {
    // SAFETY: statx is a plain C structure, for which zero is a value; the path is NUL-terminated,
    // and the kernel writes at most the structure.
    unsafe {
        let mut file: libc::statx = core::mem::zeroed();
        libc::syscall(
            libc::SYS_statx,
            c_long::from(directory),
            path.as_ptr(),
            c_long::from(flags),
            c_long::from(libc::STATX_TYPE | libc::STATX_SIZE),
            &raw mut file,
        );
        file
    }
}

fn kind(file: &libc::statx) -> u32 {
    u32::from(file.stx_mode) & libc::S_IFMT
}

/// Lets go of what was inherited for the program alone: the descriptors above standard error and,
/// unless it is needed, the working directory, so that no pipe stays open and no mount stays busy
/// because of us. Where the kernel is too old (close_range(2)) they stay.
pub fn let_go(directory: bool) {
    const FIRST: c_long = 3;
    const LAST: c_long = u32::MAX as c_long;
    let flags: c_long = 0;
    // SAFETY: nothing here has a descriptor above standard error; the path is NUL-terminated.
    unsafe {
        libc::syscall(libc::SYS_close_range, FIRST, LAST, flags);
        if directory {
            libc::chdir(c"/".as_ptr());
        }
    }
}

/// What came of an attempt to write without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// It was written.
    Yes,
    /// It was not: full, closed, or gone.
    No,
    /// Nobody will ever read it: EPIPE, for which a SIGPIPE of our own is now pending.
    Broken,
}

/// Writes a short message to standard error if that can be done at once.
///
/// The descriptor is shared with the program, so it cannot be made non-blocking. The kernel is
/// asked not to wait (preadv2(2)). A terminal knows no such request, and what poll(2) says of it is
/// true of the first byte only: it is opened anew, without waiting. Any other file that knows no
/// such request, or is a regular one, gets an ordinary write if poll says that it can take one: for
/// a pipe that is PIPE_BUF bytes, so that nothing is written in part.
#[must_use]
pub fn write_if_ready(message: &[u8]) -> Writable {
    const STDERR: c_int = libc::STDERR_FILENO;
    let part = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    let here: c_long = -1;
    // SAFETY: one part that points to the message, which is only read; position -1 is "where the
    // descriptor is".
    let mut result = unsafe {
        libc::syscall(
            libc::SYS_pwritev2,
            c_long::from(STDERR),
            &raw const part,
            1 as c_long,
            here,
            here,
            c_long::from(libc::RWF_NOWAIT),
        )
    };
    let mut error = Errno::last().0;
    if result == -1 && error != libc::EPIPE && error != libc::EBADF {
        if let Some(written) = write_to_terminal(message) {
            return written;
        }
        let mut ready = libc::pollfd { fd: STDERR, events: libc::POLLOUT, revents: 0 };
        // SAFETY: one pollfd, and no waiting.
        let polled = unsafe { libc::poll(&raw mut ready, 1, 0) };
        if polled != 1 || ready.revents & (libc::POLLOUT | libc::POLLERR) == 0 {
            return Writable::No;
        }
        // SAFETY: the message is readable for its length.
        result = unsafe { libc::write(STDERR, message.as_ptr().cast(), message.len()) } as c_long;
        error = Errno::last().0;
    }
    match result {
        -1 if error == libc::EPIPE => Writable::Broken,
        -1 => Writable::No,
        _ => Writable::Yes,
    }
}

/// Writes to standard error if that is a terminal that can be opened anew. Where it cannot, for want
/// of proc(5), an ordinary write has to do.
fn write_to_terminal(message: &[u8]) -> Option<Writable> {
    /// Our own descriptor, whatever tree the limits are read from.
    const STDERR: &CStr = c"/proc/self/fd/2";
    // SAFETY: the message is readable for its length, and the new descriptor is ours.
    let written = unsafe {
        if libc::isatty(libc::STDERR_FILENO) == 0 {
            return None;
        }
        let terminal = open(STDERR, libc::O_WRONLY).ok()?;
        let written = libc::write(terminal, message.as_ptr().cast(), message.len());
        libc::close(terminal);
        written
    };
    Some(if written == -1 { Writable::No } else { Writable::Yes })
}

/// Puts a text in the place of what is in a file, if that is there, is a regular one, and has this
/// size; nothing else is touched. Neither what else may be there nor a symbolic link to it can hold
/// us up. Returns how many bytes of it are ours then.
///
/// # Errors
/// What open(2) and write(2) return.
pub fn replace(path: &CStr, size: usize, text: &[u8]) -> Result<usize, Errno> {
    let file = open(path, libc::O_WRONLY | libc::O_NOFOLLOW)?;
    let status = status(file, c"", libc::AT_EMPTY_PATH);
    let mut result = 0;
    if kind(&status) == libc::S_IFREG && status.stx_size == size as u64 {
        // SAFETY: the text is readable for its length.
        result = unsafe { libc::write(file, text.as_ptr().cast(), text.len()) };
        if result != -1 {
            // Last, so that what was there is not lost for nothing.
            // SAFETY: the call takes integers.
            unsafe { libc::ftruncate(file, result as libc::off_t) };
        }
    }
    let error = Errno::last();
    close(file);
    usize::try_from(result).map_err(|_| error)
}

/// Writes all of what was asked for on the command line to standard output.
///
/// # Errors
/// What write(2) returns.
pub fn write_stdout(mut text: &[u8]) -> Result<(), Errno> {
    while !text.is_empty() {
        // SAFETY: the text is readable for its length.
        let written = unsafe { libc::write(libc::STDOUT_FILENO, text.as_ptr().cast(), text.len()) };
        match usize::try_from(written) {
            Ok(written) => text = text.get(written..).unwrap_or_default(),
            Err(_) if Errno::last().0 == libc::EINTR => {}
            Err(_) => return Err(Errno::last()),
        }
    }
    Ok(())
}
