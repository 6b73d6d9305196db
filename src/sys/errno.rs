//! The error numbers of system calls.

use core::ffi::c_int;
use core::fmt;

/// An error number, shown in the words of perror(3).
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

    /// The words of glibc's strerror(3), for the errors of the calls that are made here. musl has
    /// others, which nobody would look for.
    const fn message(self) -> Option<&'static str> {
        Some(match self.0 {
            libc::EPERM => "Operation not permitted",
            libc::ENOENT => "No such file or directory",
            libc::ESRCH => "No such process",
            libc::EINTR => "Interrupted system call",
            libc::EIO => "Input/output error",
            libc::ENXIO => "No such device or address",
            libc::E2BIG => "Argument list too long",
            libc::ENOEXEC => "Exec format error",
            libc::EBADF => "Bad file descriptor",
            libc::ECHILD => "No child processes",
            libc::EAGAIN => "Resource temporarily unavailable",
            libc::ENOMEM => "Cannot allocate memory",
            libc::EACCES => "Permission denied",
            libc::EFAULT => "Bad address",
            libc::EBUSY => "Device or resource busy",
            libc::ENODEV => "No such device",
            libc::ENOTDIR => "Not a directory",
            libc::EISDIR => "Is a directory",
            libc::EINVAL => "Invalid argument",
            libc::ENFILE => "Too many open files in system",
            libc::EMFILE => "Too many open files",
            libc::ENOTTY => "Inappropriate ioctl for device",
            libc::ETXTBSY => "Text file busy",
            libc::EFBIG => "File too large",
            libc::ENOSPC => "No space left on device",
            libc::EROFS => "Read-only file system",
            libc::EPIPE => "Broken pipe",
            libc::ENAMETOOLONG => "File name too long",
            libc::ENOSYS => "Function not implemented",
            libc::ELOOP => "Too many levels of symbolic links",
            libc::ELIBBAD => "Accessing a corrupted shared library",
            libc::EOPNOTSUPP => "Operation not supported",
            libc::ENOTCONN => "Transport endpoint is not connected",
            libc::ETIMEDOUT => "Connection timed out",
            libc::EHOSTDOWN => "Host is down",
            libc::ESTALE => "Stale file handle",
            libc::EDQUOT => "Disk quota exceeded",
            _ => return None,
        })
    }
}

impl From<nix::errno::Errno> for Errno {
    fn from(error: nix::errno::Errno) -> Self {
        Self(error as c_int)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => f.write_str(message),
            None => write!(f, "error {}", self.0),
        }
    }
}

/// A system call that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedCall {
    /// Its name.
    pub name: &'static str,
    /// The cause.
    pub cause: Errno,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    #[cfg(target_env = "gnu")]
    fn messages_are_those_of_glibc() {
        let mut known = 0;
        for number in 1..256 {
            // SAFETY: strerror returns a NUL-terminated string for any number.
            let expected = unsafe { CStr::from_ptr(libc::strerror(number)) };
            if let Some(message) = Errno(number).message() {
                assert_eq!(message.as_bytes(), expected.to_bytes(), "{number}");
                known += 1;
            }
        }
        assert_eq!(known, 37);
        assert_eq!(Errno(255).to_string(), "error 255");
    }
}
