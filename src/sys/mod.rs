//! The system calls, as typed functions: the only module with `unsafe` in it.
//!
//! What `nix` types well is called through `nix` where it is used; here is what must be exact.
//! Signals are raw 64-bit masks and raw numbers, because the C libraries keep realtime signals
//! for themselves (musl 32 to 34, glibc 32 and 33; `signal(7)`) and an init must pass on every
//! one of them.

#![allow(unsafe_code)]

mod arena;
mod errno;
mod event;
mod file;
mod process;
mod signal;

use core::ffi::{CStr, c_char, c_int};
use std::os::fd::BorrowedFd;

pub use arena::Arena;
pub use errno::Errno;
pub use event::{Events, Told};
pub use file::{
    File, Writable, exists, is_executable, let_go, read_file, read_head, replace, write_if_ready,
    write_stdout,
};
pub use process::{
    Change, Exec, How, allowed_cpus, can_wait, children_cpu, exec, free_swap, has_children,
    is_child, memory_total, next_change, protect_relocations, send_signal, spawn, touch_stack,
};
pub use signal::{
    Disposition, NEVER, Received, SECOND, SignalSet, block_all, discard_own, disposition,
    forward_queued, now, pending_signal, set_disposition, set_mask, stop_by_default, until,
    wait_signal,
};

use signal::timespec;

/// The result of a system call that returns -1 for an error.
fn check(result: c_int) -> Result<c_int, Errno> {
    if result == -1 { Err(Errno::last()) } else { Ok(result) }
}

/// Standard input, for the calls that ask a terminal. It may be closed: they then return EBADF.
#[must_use]
pub fn stdin() -> BorrowedFd<'static> {
    // SAFETY: nothing here owns or closes descriptor 0; a closed one gives an error, not harm.
    unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
}

/// The C string at the start of some bytes, none without a NUL. The standard library would search
/// by whole words, and so does its `contains` for bytes.
#[must_use]
pub fn c_str(bytes: &[u8]) -> Option<&CStr> {
    let length = bytes.iter().position(|byte| *byte == 0)?;
    let string = bytes.get(..=length)?;
    // SAFETY: the last byte is the first that is NUL.
    Some(unsafe { CStr::from_bytes_with_nul_unchecked(string) })
}

/// A C string of the file itself, of which its address is all there is to know: half of a slice,
/// and so less to hand over.
#[derive(Clone, Copy, Debug)]
pub struct Literal(*const u8);

impl Literal {
    /// Takes bytes that have a NUL at their end.
    #[must_use]
    pub const fn new(bytes: &'static [u8]) -> Self {
        assert!(matches!(bytes.last(), Some(0)), "there must be a NUL at the end");
        Self(bytes.as_ptr())
    }

    /// The bytes before the first NUL.
    #[must_use]
    pub fn bytes(self) -> &'static [u8] {
        // SAFETY: it points to bytes with a NUL at their end that live as long as the process.
        unsafe { CStr::from_ptr(self.0.cast()) }.to_bytes()
    }
}

/// The strings of `argv` or `envp`, as the kernel laid them out for the life of the process.
///
/// # Safety
/// `array` is null or points to pointers to NUL-terminated strings, the last pointer being null,
/// all of which live and stay unchanged until the process ends.
#[must_use]
pub unsafe fn strings(array: *const *const c_char) -> Vec<&'static CStr> {
    let mut count = 0;
    // SAFETY: the caller's promise; the walk stops at the null that ends the array.
    while !array.is_null() && unsafe { !(*array.add(count)).is_null() } {
        count += 1;
    }
    let mut strings = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: below the count just found, each pointer is a NUL-terminated string.
        strings.push(unsafe { CStr::from_ptr(*array.add(index)) });
    }
    strings
}
