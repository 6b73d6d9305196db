//! The three standard descriptors, which the program has too.

use super::file::{is_fifo, open_with, write};
use super::process::fork_silently;
use super::signal::{discard_signal_of_write, kill, set_parent_death_signal};
use super::wait::{SilentChild, reap_silent_child};
use super::{Errno, check};
use core::ffi::{CStr, c_int, c_long, c_short};
use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Standard input. If it is closed, calls on it return EBADF.
#[must_use]
pub fn stdin() -> BorrowedFd<'static> {
    // SAFETY: nothing here owns or closes descriptor 0; a closed one gives an error, not harm.
    unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
}

fn stdout() -> BorrowedFd<'static> {
    // SAFETY: as for standard input.
    unsafe { BorrowedFd::borrow_raw(libc::STDOUT_FILENO) }
}

fn stderr() -> BorrowedFd<'static> {
    // SAFETY: as for standard input.
    unsafe { BorrowedFd::borrow_raw(libc::STDERR_FILENO) }
}

/// Writes all of a text to standard output.
///
/// # Errors
/// What write(2) returns.
pub fn write_stdout(mut text: &[u8]) -> Result<(), Errno> {
    while !text.is_empty() {
        match write(stdout(), text) {
            Ok(written) => text = text.get(written..).unwrap_or_default(),
            Err(Errno(libc::EINTR)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What became of a message on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is written.
    Written,
    /// It is lost, at least in part: standard error is full, closed or broken.
    Dropped,
}

/// Writes a short message to standard error without blocking, or drops it.
///
/// The program shares the open file, so it cannot be made non-blocking (O_NONBLOCK, open(2)). Instead:
/// - pwritev2(2) with RWF_NOWAIT asks the kernel not to block. Some file systems support that, and
///   newer kernels for pipes and sockets.
/// - A pipe or a terminal can be opened again, non-blocking, if its owner is our user and there is
///   proc(5). Unlike the last way, that needs no memory to speak of.
/// - Anything else gets the message only if poll(2) says that it is writable. That does not promise
///   that a write does not block: a terminal may have room for a single byte (n_tty_poll() in the
///   kernel's n_tty.c), another process may be faster, and a file system may hang. So a child process
///   writes, which is killed after a while.
#[must_use]
pub fn write_stderr(message: &[u8]) -> WriteOutcome {
    let rest = match write_nowait(message) {
        Ok(written) => message.get(written..).unwrap_or_default(),
        Err(Errno(libc::EPIPE | libc::EFBIG | libc::EBADF)) => return WriteOutcome::Dropped,
        Err(_) => message,
    };
    if rest.is_empty() {
        return WriteOutcome::Written;
    }
    // SAFETY: the call takes an integer.
    let is_terminal = unsafe { libc::isatty(libc::STDERR_FILENO) } != 0;
    if (is_terminal || is_fifo(stderr()))
        && let Ok(file) = open_with(STDERR, libc::O_WRONLY)
    {
        return write_once(file.as_fd(), rest);
    }
    if !is_writable() {
        return WriteOutcome::Dropped;
    }
    match write_in_child(rest) {
        Ok(outcome) => outcome,
        // No further process is possible. Of a terminal poll(2) promises too little.
        Err(_) if is_terminal => WriteOutcome::Dropped,
        Err(_) => write_once(stderr(), rest),
    }
}

/// Our own descriptor, whatever tree the limits are read from.
const STDERR: &CStr = c"/proc/self/fd/2";

fn write_once(file: BorrowedFd<'_>, message: &[u8]) -> WriteOutcome {
    match write(file, message) {
        Ok(written) if written == message.len() => WriteOutcome::Written,
        _ => WriteOutcome::Dropped,
    }
}

/// Returns how much was written.
fn write_nowait(message: &[u8]) -> Result<usize, Errno> {
    let part = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    let current_position: c_long = -1;
    // SAFETY: one part, which points to the message and is only read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pwritev2,
            c_long::from(libc::STDERR_FILENO),
            &raw const part,
            1 as c_long,
            current_position,
            current_position,
            c_long::from(libc::RWF_NOWAIT),
        )
    };
    check(result)
        .inspect_err(|error| discard_signal_of_write(*error))
        .map(|written| written.unsigned_abs() as usize)
}

/// Writes in a child process, and kills that if it blocks.
///
/// # Errors
/// If there can be no child, or no pipe to it.
fn write_in_child(message: &[u8]) -> Result<WriteOutcome, Errno> {
    // Not even SIGKILL ends some waits for a file system. One child in such a wait is enough.
    if reap_silent_child(libc::WNOHANG) == SilentChild::Running {
        return Ok(WriteOutcome::Dropped);
    }
    let (read_end, write_end) = pipe()?;
    let child = fork_silently(|| {
        let _ = set_parent_death_signal(libc::SIGKILL);
        (write_once(stderr(), message) != WriteOutcome::Written).into()
    })?;
    drop(write_end);
    // The first time is for the write, the second for the death.
    for _ in 0..2 {
        // The child never writes to the pipe, so this is the end of it: the child has exited.
        if poll_one(read_end.as_fd(), libc::POLLIN, CHILD_TIMEOUT) != 0 {
            let has_written = reap_silent_child(0) == SilentChild::Ended(0);
            return Ok(if has_written { WriteOutcome::Written } else { WriteOutcome::Dropped });
        }
        let _ = kill(child, libc::SIGKILL);
    }
    Ok(WriteOutcome::Dropped)
}

/// A new pipe: the end to read from and the one to write to. The raw call, because musl's pipe2() has
/// a fallback for kernels without it.
fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut ends: [c_int; 2] = [0; 2];
    let flags = c_long::from(libc::O_CLOEXEC);
    // SAFETY: the array has room for both descriptors.
    check(unsafe { libc::syscall(libc::SYS_pipe2, ends.as_mut_ptr(), flags) })?;
    let [read_end, write_end] = ends;
    // SAFETY: the descriptors are new, so nothing else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(read_end), OwnedFd::from_raw_fd(write_end)) })
}

/// How long a write may take. A container that has spent its CPU quota gets no time for up to 100 ms.
const CHILD_TIMEOUT: Duration = Duration::from_millis(200);

/// Whether poll(2) says that a write to standard error does not block. A write after POLLERR fails at
/// once.
fn is_writable() -> bool {
    poll_one(stderr(), libc::POLLOUT, Duration::ZERO) & (libc::POLLOUT | libc::POLLERR) != 0
}

/// The events that have come within `timeout`.
fn poll_one(file: BorrowedFd<'_>, events: c_short, timeout: Duration) -> c_short {
    let mut file = libc::pollfd { fd: file.as_raw_fd(), events, revents: 0 };
    let milliseconds = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: one pollfd.
    unsafe { libc::poll(&raw mut file, 1, milliseconds) };
    file.revents
}
