//! The kernel's error numbers, and what they are called.

use crate::packed::{cut, pack, unpack};
use crate::text::{Out, Put, Strings, put};
use core::ffi::c_int;

/// An error number of the kernel, shown in the words of perror(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

/// The errors of the calls that are made here (errno(3)): the C library's table is three times as
/// long. The numbers are those of all architectures that loadline is built for.
const WORDS: &[(u8, &str)] = &[
    (1, "Operation not permitted"),
    (2, "No such file or directory"),
    (3, "No such process"),
    (4, "Interrupted system call"),
    (5, "Input/output error"),
    (6, "No such device or address"),
    (7, "Argument list too long"),
    (8, "Exec format error"),
    (9, "Bad file descriptor"),
    (10, "No child processes"),
    (11, "Resource temporarily unavailable"),
    (12, "Cannot allocate memory"),
    (13, "Permission denied"),
    (14, "Bad address"),
    (16, "Device or resource busy"),
    (19, "No such device"),
    (20, "Not a directory"),
    (21, "Is a directory"),
    (22, "Invalid argument"),
    (23, "Too many open files in system"),
    (24, "Too many open files"),
    (25, "Inappropriate ioctl for device"),
    (26, "Text file busy"),
    (27, "File too large"),
    (28, "No space left on device"),
    (30, "Read-only file system"),
    (32, "Broken pipe"),
    (36, "File name too long"),
    (38, "Function not implemented"),
    (40, "Too many levels of symbolic links"),
    (80, "Accessing a corrupted shared library"),
    (95, "Operation not supported"),
    (107, "Transport endpoint is not connected"),
    (110, "Connection timed out"),
    (112, "Host is down"),
    (116, "Stale file handle"),
    (122, "Disk quota exceeded"),
];

/// The number of each, its words as they are packed, and a NUL.
static PACKED: [u8; WHOLE.1] = cut(&WHOLE.0);

// In the compiler alone, which refuses what is out of bounds.
#[allow(clippy::indexing_slicing)]
const WHOLE: ([u8; 1024], usize) = {
    let (mut whole, mut end, mut left) = ([0; 1024], 0, WORDS);
    while let [(number, words), rest @ ..] = left {
        let (packed, length) = pack::<64>(words);
        whole[end] = *number;
        let mut index = 0;
        while index < length {
            whole[end + 1 + index] = packed[index];
            index += 1;
        }
        end += 1 + length;
        left = rest;
    }
    (whole, end)
};

impl Errno {
    /// The error of the call that has just failed.
    #[must_use]
    pub fn last() -> Self {
        // SAFETY: the C library's own accessor; it returns the address of this thread's errno.
        Self(unsafe { *libc::__errno_location() })
    }

    /// Whether it is what a seccomp filter makes of a system call.
    #[must_use]
    pub const fn is_refused(self) -> bool {
        matches!(self.0, libc::EPERM | libc::ENOSYS | libc::EACCES)
    }

    /// Whether it says that there is no such file.
    #[must_use]
    pub const fn is_absence(self) -> bool {
        matches!(self.0, libc::ENOENT | libc::ENOTDIR)
    }

    /// What it is called, packed.
    fn words(self) -> Option<&'static [u8]> {
        Strings(&PACKED).find_map(|entry| {
            let (number, words) = entry.to_bytes().split_first()?;
            (c_int::from(*number) == self.0).then_some(words)
        })
    }
}

impl From<nix::errno::Errno> for Errno {
    fn from(error: nix::errno::Errno) -> Self {
        Self(error as c_int)
    }
}

impl Put for Errno {
    fn put(&self, out: &mut Out<'_>) {
        match self.words() {
            Some(words) => unpack(words, out),
            None => put!(out, "error ", self.0.unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn the_words_are_those_of_perror() {
        let mut known = 0;
        for number in 1..256 {
            // SAFETY: strerror returns a NUL-terminated string for any number, in a buffer of this
            // thread if it is not constant.
            let words = unsafe { CStr::from_ptr(libc::strerror(number)) };
            let ours = Errno(number).text();
            if ours == format!("error {number}") {
                continue;
            }
            assert_eq!(ours.as_bytes(), words.to_bytes(), "{number}");
            known += 1;
        }
        assert_eq!(known, WORDS.len());
    }
}
