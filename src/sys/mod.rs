//! System calls as typed functions: all unsafe code except the C entry point in main.rs.
//!
//! Calls that `nix` types well are made through `nix` where they are needed. What is here must be
//! exact: signals are raw numbers and 64-bit masks, because the C libraries keep some realtime
//! signals for themselves (musl 32 to 34, glibc 32 and 33; see signal(7)) and an init forwards
//! every one of them.

#![allow(unsafe_code)]

mod allocator;
mod errno;
mod file;
mod memory;
mod poll;
mod process;
mod reserve;
mod signal;
mod stdio;
mod system;
mod time;
mod wait;

use core::ffi::{CStr, c_char};

pub use allocator::{Arena, keep_string};
pub use errno::{Errno, FailedCall};
pub use file::{
    append_at, close_inherited_fds, copy_program, exists, find_below, find_in_root, is_executable,
    keep_open, open, open_in_root, overwrite_if_len, read_file, read_parts, read_prefix,
};
pub use poll::{PollEvents, Poller};
pub use process::{ExecArgs, ExecEnv, exec, spawn};
pub use signal::{
    Disposition, SignalInfo, SignalQueueLimit, SignalSet, block_all_signals,
    deliver_pending_sigtstp, disposition, kill, queue_signal, set_disposition,
    set_parent_death_signal, set_signal_mask, take_pending_signal, wait_signal,
};
pub use stdio::{WriteOutcome, stdin, write_stderr, write_stdout};
pub use system::{
    allowed_cpus, chdir_root, children_cpu_time, exit, free_swap, memory_total, parent_id,
    prefault_stack, process_id, protect_relocations, release_startup_code,
};
pub use time::{Timestamp, since_epoch};
pub use wait::{
    ChildEvent, ExitStatus, WaitStatus, has_children, is_child, is_silent_child,
    probe_wait_syscalls, wait_any,
};

/// The result of a system call that returns -1 for an error.
fn check<T: From<i8> + PartialEq>(result: T) -> Result<T, Errno> {
    if result == T::from(-1) { Err(Errno::last()) } else { Ok(result) }
}

/// The strings of `argv` or `envp`.
///
/// # Safety
/// `array` is null, or points to pointers to NUL-terminated strings, the last of which is null. All
/// of them live and stay unchanged until the process ends.
#[must_use]
pub unsafe fn c_strings(array: *const *const c_char) -> Vec<&'static CStr> {
    let mut strings = Vec::new();
    if array.is_null() {
        return strings;
    }
    let mut next = array;
    loop {
        // SAFETY: the caller's promise; the walk ends at the null pointer.
        let string = unsafe { *next };
        if string.is_null() {
            return strings;
        }
        // SAFETY: the caller's promise: this is a NUL-terminated string.
        strings.push(unsafe { CStr::from_ptr(string) });
        // SAFETY: a pointer that is not null is followed by another one.
        next = unsafe { next.add(1) };
    }
}
