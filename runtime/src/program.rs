//! Finds the program of a container in its root filesystem, as the container would find it.
//!
//! We run on the host, as root, and the image may be hostile. So every path is resolved inside the root
//! filesystem by the kernel (openat2(2), RESOLVE_IN_ROOT), and what is found is opened for reading only if
//! it is a regular file: neither a FIFO nor a device is ever opened.

use crate::bundle::Mount;
use core::ffi::CStr;
use loadline::path::candidates;
use loadline::sys;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A program that was found.
#[derive(Debug)]
pub struct Program {
    /// Its path in the container, by which it was found.
    pub path: Vec<u8>,
    /// The file.
    pub file: File,
}

/// The longest entry that an environment can have (MAX_ARG_STRLEN, execve(2)).
const MAX_SEARCH_PATH: usize = 128 << 10;

/// Finds a program by its name, `PATH` and the working directory of the container. None if it cannot be
/// found, or if a mount of the container may hide it.
pub fn find(
    root: &Path,
    mounts: &[Mount],
    name: &CStr,
    search_path: Option<&[u8]>,
    cwd: &str,
) -> Option<Program> {
    // No process can be started with more, and the candidates would fill the memory.
    if search_path.is_some_and(|path| path.len() > MAX_SEARCH_PATH) {
        return None;
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(root, flags, Mode::empty()).ok()?;
    for candidate in candidates(name, search_path) {
        let candidate = candidate.to_bytes();
        let path = match candidate {
            [b'/', ..] => candidate.to_vec(),
            _ => [cwd.as_bytes(), b"/", candidate].concat(),
        };
        let is_mounted = |mount: &Mount| is_below(&path, mount.destination.as_bytes());
        let Some(found) = look_up(directory.as_fd(), &path) else {
            // Not in the image, but perhaps in a volume.
            if mounts.iter().any(is_mounted) {
                return None;
            }
            continue;
        };
        // Behind links, it may be anywhere, and so may the mounts.
        let real = real_path(&found)?;
        let inside = real.strip_prefix(real_path(&directory)?.as_slice())?;
        let is_hidden = |mount: &Mount| {
            let destination = mount.destination.as_bytes();
            let place = resolve(directory.as_fd(), destination).and_then(|it| real_path(&it));
            is_below(inside, destination) || place.is_some_and(|place| is_below(&real, &place))
        };
        if mounts.iter().any(is_hidden) {
            return None;
        }
        let file = reopen(&found)?;
        return Some(Program { path, file });
    }
    None
}

/// A file or a directory in the root filesystem, without opening it.
fn resolve(root: BorrowedFd<'_>, path: &[u8]) -> Option<OwnedFd> {
    let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS | libc::RESOLVE_NO_XDEV;
    sys::find_below(root, &CString::new(path).ok()?, resolve).ok()
}

/// A regular file that may be executed, without opening it.
fn look_up(root: BorrowedFd<'_>, path: &[u8]) -> Option<OwnedFd> {
    let found = resolve(root, path)?;
    let FileStat { st_mode, .. } = fstat(&found).ok()?;
    let is_regular = SFlag::from_bits_truncate(st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    (is_regular && st_mode & 0o111 != 0).then_some(found)
}

/// Where a file is on the host.
fn real_path(file: &OwnedFd) -> Option<Vec<u8>> {
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    Some(path.as_os_str().as_bytes().to_vec())
}

/// Opens a file for reading that was found.
fn reopen(found: &OwnedFd) -> Option<File> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()
}

/// Whether a path is this directory or in it.
fn is_below(path: &[u8], directory: &[u8]) -> bool {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests;
