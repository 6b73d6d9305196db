//! Reads the limit files of a cgroup and of its ancestors.

use super::limits::{FileProblem, Limit, LimitFile, LimitValue};
use super::locate::CgroupDirs;
use super::sysroot::{Location, PathBuffer, SysRoot};
use crate::sys::{self, Errno};
use core::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// Reads the limit files of a controller in the process's own cgroup and in its ancestors. The first
/// of the files exists wherever the controller is enabled.
pub type ReadLimits<T> = fn(&mut FileReader<'_>, &CgroupDirs) -> Vec<LimitFile<T>>;

/// The files of a cgroup that contain the limits of a controller in one version of the interface.
pub struct LimitFiles<T> {
    /// Their names.
    pub names: &'static [&'static [u8]],
    /// How they are read.
    pub read: ReadLimits<T>,
}

/// Parses the content of a limit file; none if that is invalid.
pub type ParseLimit<T> = fn(&[u8]) -> Option<LimitValue<T>>;

/// Limit files have a few bytes, `memory.stat` a few kilobytes.
pub const MAX_CGROUP_FILE: usize = 64 << 10;

/// Reads files, with one buffer for their paths and one for their content.
#[derive(Debug)]
pub struct FileReader<'a> {
    path: PathBuffer<'a>,
    content: Vec<u8>,
}

impl<'a> FileReader<'a> {
    /// A reader of the files below this root.
    pub const fn new(root: SysRoot<'a>) -> Self {
        Self { path: PathBuffer::new(root), content: Vec::new() }
    }

    /// The path of a file in a directory, to keep or to watch it.
    pub fn path(&mut self, directory: &[u8], name: &[u8]) -> Result<&CStr, Errno> {
        self.path.set_file(directory, name)?.in_our_root()
    }

    /// Reads a file in a directory, such as that of a cgroup, without the white space around its content.
    pub fn read(&mut self, directory: &[u8], name: &[u8]) -> Result<&[u8], Errno> {
        let file = open(self.path.set_file(directory, name)?)?;
        sys::read_file(file.as_fd(), &mut self.content, MAX_CGROUP_FILE)?;
        Ok(self.content.trim_ascii())
    }

    /// Reads a file of at most `max` bytes.
    pub fn read_path(&mut self, path: &[u8], max: usize) -> Result<&[u8], Errno> {
        let file = open(self.path.set(path)?)?;
        sys::read_file(file.as_fd(), &mut self.content, max)?;
        Ok(&self.content)
    }

    /// Reads a file of any length, line by line.
    pub fn read_lines(
        &mut self,
        path: &[u8],
        visit: &mut dyn FnMut(&[u8]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let file = open(self.path.set(path)?)?;
        sys::read_parts(file.as_fd(), b'\n', &mut self.content, visit)
    }

    /// Whether a file exists in a directory. Without a name, whether the directory does.
    pub fn exists(&mut self, directory: &[u8], name: &[u8]) -> bool {
        // A path with a slash at its end exists only if it is that of a directory.
        self.path.set_file(directory, name).is_ok_and(|Location { root, path }| match root {
            Some(root) => sys::find_in_root(root, path).is_ok(),
            None => sys::exists(path),
        })
    }

    /// Reads the files with this name in a cgroup and in its ancestors, from the leaf up.
    pub fn read_limits<T: Limit>(
        &mut self,
        directories: &CgroupDirs,
        name: &[u8],
        parse: ParseLimit<T>,
    ) -> Vec<LimitFile<T>> {
        let mut found = Vec::new();
        for directory in directories.upwards() {
            let value = self.read_limit(directory, name, parse);
            add(&mut found, directories, directory, name, value);
        }
        found
    }

    /// Reads a limit file.
    pub fn read_limit<T>(
        &mut self,
        directory: &[u8],
        name: &[u8],
        parse: ParseLimit<T>,
    ) -> LimitValue<T> {
        match self.read(directory, name) {
            Ok(text) => limit_value(text, parse),
            Err(error) if error.is_not_found() => LimitValue::Absent,
            Err(error) => LimitValue::Problem(FileProblem::Unreadable(error)),
        }
    }
}

fn open(Location { root, path }: Location<'_>) -> Result<OwnedFd, Errno> {
    match root {
        Some(root) => sys::open_in_root(root, path),
        None => sys::open(path),
    }
}

/// Adds the next file of a kind on the way up, unless it is that of an ancestor and nothing depends on
/// it: the paths of all files in thousands of ancestors would take megabytes.
pub fn add<T: Limit>(
    files: &mut Vec<LimitFile<T>>,
    directories: &CgroupDirs,
    directory: &[u8],
    name: &[u8],
    value: LimitValue<T>,
) {
    /// More problems would tell nothing new.
    const MAX_FILES: usize = 24;
    let in_ancestor = directories.is_ancestor(directory);
    if in_ancestor && let Some(LimitFile { value: last, .. }) = files.last() {
        match value {
            LimitValue::Limit(_) if value.is_below(last) => {
                // The first two stay: one of them is that of the nearest cgroup with the controller.
                if last.limit().is_some() && files.len() > 2 {
                    files.pop();
                }
            }
            LimitValue::Unlimited if last.is_absent() => {}
            LimitValue::Problem(_) if files.len() < MAX_FILES => {}
            _ => return,
        }
    }
    files.push(LimitFile { path: file_path(directory, name), value, in_ancestor });
}

fn file_path(directory: &[u8], name: &[u8]) -> Vec<u8> {
    [directory, b"/", name].concat()
}

/// The limit in a file with this content.
pub fn limit_value<T>(text: &[u8], parse: ParseLimit<T>) -> LimitValue<T> {
    parse(text).unwrap_or_else(|| LimitValue::Problem(invalid(text)))
}

/// The problem of a file with this content.
pub fn invalid(text: &[u8]) -> FileProblem {
    /// Enough to recognise it by.
    const SHOWN: usize = 32;
    FileProblem::Invalid(text.get(..SHOWN).unwrap_or(text).to_vec())
}
