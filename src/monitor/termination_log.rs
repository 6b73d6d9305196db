//! The termination message: the file in which the kubelet looks for the reason of a container's end.

use crate::error::Error;
use crate::stderr::{LineBuffer, LogLevel, PREFIX, Stderr};
use crate::sys::{Errno, overwrite_if_len};
use core::ffi::CStr;
use core::fmt::{Display, Write};

/// Where the kubelet puts the file, unless the manifest says otherwise.
const DEFAULT_PATH: &[u8] = b"/dev/termination-log";

/// The file, which exists on Kubernetes only.
#[derive(Clone, Copy, Debug)]
pub(super) struct TerminationLog {
    path: &'static [u8],
    /// Whether the path was asked for.
    is_required: bool,
    /// How many bytes of it we have written. What somebody else writes makes it longer, and stays.
    length: usize,
}

impl TerminationLog {
    pub(super) fn new(path: Option<&'static [u8]>) -> Self {
        Self { path: path.unwrap_or(DEFAULT_PATH), is_required: path.is_some(), length: 0 }
    }

    /// Whether it holds a message of ours.
    pub(super) fn is_ours(&self) -> bool {
        self.length > 0
    }

    /// Leaves a message, unless somebody else has written one.
    pub(super) fn write(&mut self, message: &dyn Display, stderr: &mut Stderr) {
        let mut line = LineBuffer::default();
        // Writing to the buffer cannot fail.
        let _ = write!(line, "{PREFIX}{message}");
        self.replace(line.as_line(), stderr);
    }

    /// Removes our message.
    pub(super) fn clear(&mut self, stderr: &mut Stderr) {
        if self.is_ours() {
            self.replace(b"", stderr);
        }
    }

    fn replace(&mut self, text: &[u8], stderr: &mut Stderr) {
        /// With the NUL, the longest path that the kernel takes (PATH_MAX).
        const MAX_PATH: usize = 4096;
        let path = self.path;
        // On the stack: under memory pressure an allocation may need a new page.
        let mut buffer = [0; MAX_PATH];
        let result = match buffer.get_mut(..path.len()) {
            Some(start) if path.len() < MAX_PATH => {
                start.copy_from_slice(path);
                let path = CStr::from_bytes_until_nul(&buffer);
                path.map_err(|_| Errno(libc::EINVAL))
                    .and_then(|path| overwrite_if_len(path, self.length, text))
            }
            _ => Err(Errno(libc::ENAMETOOLONG)),
        };
        match result {
            Ok(length) => self.length = length,
            Err(Errno(libc::ENOENT)) if !self.is_required => {}
            Err(cause) => {
                stderr.log(LogLevel::Warning, &Error::TerminationLog { path, cause });
            }
        }
    }
}
