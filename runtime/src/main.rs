//! The C entry point.
//!
//! It is C's `main` and not Rust's, whose start-up code would ignore SIGPIPE and open /dev/null for closed
//! descriptors. The runtime must inherit what we have inherited.

#![no_main]
#![allow(unsafe_code)]

use core::ffi::{c_char, c_int};

/// Called by the C library's start-up code.
///
/// # Safety
/// The arguments are those of C's main: null-terminated arrays of strings that live as long as the
/// process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(_argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: the kernel made this array for this process (execve(2)).
    let arguments = unsafe { loadline::sys::c_strings(argv) };
    loadline_runtime::run(&arguments).into()
}
