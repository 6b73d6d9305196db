//! The three standard descriptors, which the program has too.

use super::file::{open_with, write};
use super::signal::discard_signal_of_write;
use super::{Errno, check};
use core::ffi::{CStr, c_int, c_long};
use std::os::fd::{AsFd, BorrowedFd};

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
    /// It is lost: standard error is full, closed or broken.
    Dropped,
}

/// Writes a short message to standard error, whole and without blocking, or drops it.
///
/// The program shares the descriptor, so it cannot be made non-blocking. Instead:
/// - pwritev2(2) with RWF_NOWAIT asks the kernel not to block.
/// - A terminal does not support that, and poll(2) speaks only of its first byte. It is opened
///   again, non-blocking.
/// - Any other file that does not support it, such as a regular one, gets an ordinary write if
///   poll(2) says that it is writable. A pipe then has room for PIPE_BUF bytes, so the message is
///   not written in part.
#[must_use]
pub fn write_stderr(message: &[u8]) -> WriteOutcome {
    match write_nowait(message) {
        Ok(()) => return WriteOutcome::Written,
        Err(Errno(libc::EPIPE | libc::EFBIG | libc::EBADF)) => return WriteOutcome::Dropped,
        Err(_) => {}
    }
    if let Some(outcome) = write_to_terminal(message) {
        return outcome;
    }
    if !is_writable() {
        return WriteOutcome::Dropped;
    }
    write_once(stderr(), message)
}

fn write_once(file: BorrowedFd<'_>, message: &[u8]) -> WriteOutcome {
    if write(file, message).is_ok() { WriteOutcome::Written } else { WriteOutcome::Dropped }
}

fn write_nowait(message: &[u8]) -> Result<(), Errno> {
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
    check(result).inspect_err(|error| discard_signal_of_write(*error)).map(drop)
}

/// Writes to standard error if it is a terminal that can be opened again. Without proc(5) it cannot.
fn write_to_terminal(message: &[u8]) -> Option<WriteOutcome> {
    /// Our own descriptor, whatever tree the limits are read from.
    const STDERR: &CStr = c"/proc/self/fd/2";
    // SAFETY: the call takes an integer.
    if unsafe { libc::isatty(libc::STDERR_FILENO) } == 0 {
        return None;
    }
    let terminal = open_with(STDERR, libc::O_WRONLY).ok()?;
    Some(write_once(terminal.as_fd(), message))
}

/// Whether a write to standard error would not block. A write after POLLERR fails at once.
fn is_writable() -> bool {
    let no_wait: c_int = 0;
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd.
    let ready = unsafe { libc::poll(&raw mut stderr, 1, no_wait) };
    ready == 1 && stderr.revents & (libc::POLLOUT | libc::POLLERR) != 0
}
