//! The C entry point. It is C's `main` and not Rust's, because Rust's start-up would set SIGPIPE
//! to be ignored and open /dev/null in the place of closed descriptors, or abort where there is
//! none: the program must get what we were given.

#![no_main]
#![allow(unsafe_code)]

use core::ffi::{c_char, c_int};
use core::ops::ControlFlow::{Break, Continue};
use loadline::sys;

/// The allocator that costs the shipped binary least; see its module.
#[global_allocator]
static ALLOCATOR: sys::Arena = sys::Arena::new();

/// Called by the C library's start-up code.
///
/// # Safety
/// The arguments are those of C's main: null-terminated arrays of strings that live for the
/// process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(
    _argc: c_int,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    // Before anything else, so that no signal finds its default action or gets lost.
    let mask = sys::block_all();
    let mut next = {
        // SAFETY: the arrays are those the kernel made for this process (execve(2)).
        let (arguments, environment) = unsafe { (sys::strings(argv), sys::strings(envp)) };
        loadline::start(&arguments, &environment, mask)
    };
    let code = match &mut next {
        Break(code) => *code,
        Continue((started, watch)) => {
            // SAFETY: what was allocated was local to the block above or borrowed from it, and
            // nothing that the block returns borrows.
            unsafe { ALLOCATOR.clear() };
            started.supervise(watch, settle)
        }
    };
    code.into()
}

/// What an init that is to stay does about itself, when it holds up nobody.
fn settle() {
    // SAFETY: `supervise` calls this when nothing that was allocated is used any more.
    unsafe { ALLOCATOR.clear() };
    ALLOCATOR.trim();
    sys::protect_relocations();
}
