//! The error numbers of system calls.

use core::ffi::{CStr, c_int};
use core::fmt;

/// An error number, shown in the words of strerror(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl Errno {
    /// The error of the call that has just failed.
    #[must_use]
    pub fn last() -> Self {
        // SAFETY: the C library returns the address of this thread's errno.
        Self(unsafe { *libc::__errno_location() })
    }

    /// Whether there is no such file.
    #[must_use]
    pub const fn is_not_found(self) -> bool {
        matches!(self.0, libc::ENOENT | libc::ENOTDIR)
    }

    /// Whether a seccomp filter may have refused the call.
    #[must_use]
    pub const fn is_denied(self) -> bool {
        matches!(self.0, libc::EPERM | libc::ENOSYS | libc::EACCES)
    }
}

impl From<nix::errno::Errno> for Errno {
    fn from(error: nix::errno::Errno) -> Self {
        Self(error as c_int)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: strerror(3) returns a NUL-terminated string for any number. musl's strings are
        // constant, so a child that shares our memory may call it too.
        let message = unsafe { CStr::from_ptr(libc::strerror(self.0)) };
        match message.to_str() {
            Ok(message) => f.write_str(message),
            Err(_) => write!(f, "error {}", self.0),
        }
    }
}
