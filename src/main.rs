//! The C entry point.
//!
//! It is C's `main` and not Rust's: Rust's start-up code would ignore SIGPIPE and open /dev/null for
//! closed descriptors, or abort if there is none. The program must inherit what we have inherited.

#![no_main]
#![allow(unsafe_code)]

use core::ffi::{c_char, c_int};
use core::mem::needs_drop;
use core::ops::ControlFlow::{Break, Continue};
use loadline::Running;
use loadline::sys::{self, Arena};

#[global_allocator]
static ALLOCATOR: Arena = Arena::new();

// What outlives the startup owns no allocation, so the arena starts over when the startup is done.
const _: () = assert!(!needs_drop::<Running>());

/// Called by the C library's start-up code.
///
/// # Safety
/// The arguments are those of C's main: null-terminated arrays of strings that live as long as the
/// process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(
    _argc: c_int,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    // Before anything else: no signal may have its default effect or get lost.
    let inherited_mask = sys::block_all_signals();
    sys::protect_relocations();
    let started = {
        // SAFETY: the kernel made these arrays for this process (execve(2)).
        let (arguments, environment) = unsafe { (sys::c_strings(argv), sys::c_strings(envp)) };
        loadline::start(&arguments, &environment, inherited_mask)
    };
    match started {
        Break(code) => code,
        Continue(running) => running.supervise(|| ALLOCATOR.trim()),
    }
    .into()
}
