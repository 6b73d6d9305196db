//! Reads the limit files of a cgroup and of its ancestors.

use super::limits::{FileProblem, LimitFile, LimitValue};
use super::locate::CgroupDirs;
use super::sysroot::{PathBuffer, SysRoot};
use crate::sys::{self, Errno};
use core::ffi::CStr;

/// Reads the limit files of a controller in the process's own cgroup and in its ancestors. The first
/// of the files exists wherever the controller is enabled.
pub type ReadLimits<T> = fn(&mut FileReader<'_>, &CgroupDirs) -> Vec<LimitFile<T>>;

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

    /// The path to open for a file in a directory.
    pub fn path(&mut self, directory: &[u8], name: &[u8]) -> Result<&CStr, Errno> {
        self.path.set_file(directory, name)
    }

    /// Reads a file of a cgroup, without the white space around its content.
    pub fn read(&mut self, directory: &[u8], name: &[u8]) -> Result<&[u8], Errno> {
        let path = self.path.set_file(directory, name)?;
        sys::read_file(path, &mut self.content, MAX_CGROUP_FILE)?;
        Ok(self.content.trim_ascii())
    }

    /// Reads a file of at most `max` bytes.
    pub fn read_path(&mut self, path: &[u8], max: usize) -> Result<&[u8], Errno> {
        sys::read_file(self.path.set(path)?, &mut self.content, max)?;
        Ok(&self.content)
    }

    /// The path of the file that was read last, without the root.
    pub fn path_without_root(&self) -> Vec<u8> {
        self.path.without_root().to_vec()
    }

    /// Whether a directory exists.
    pub fn directory_exists(&mut self, directory: &[u8]) -> bool {
        // A path with a slash at its end exists only if it is that of a directory.
        self.path.set_file(directory, b"").is_ok_and(sys::exists)
    }

    /// Reads the files with these names in a cgroup and in its ancestors, from the leaf up.
    pub fn read_limits<T>(
        &mut self,
        directories: &CgroupDirs,
        names: &[&[u8]],
        parse: ParseLimit<T>,
    ) -> Vec<LimitFile<T>> {
        let mut found = Vec::new();
        for directory in directories.upwards() {
            for name in names {
                let mut file = self.read_limit(directory, name, parse);
                file.in_ancestor = directories.is_ancestor(directory);
                found.push(file);
            }
        }
        found
    }

    /// Reads a limit file of the process's own cgroup.
    pub fn read_limit<T>(
        &mut self,
        directory: &[u8],
        name: &[u8],
        parse: ParseLimit<T>,
    ) -> LimitFile<T> {
        let value = match self.read(directory, name) {
            Ok(text) => parse(text).unwrap_or_else(|| LimitValue::Problem(invalid(text))),
            Err(error) if error.is_not_found() => LimitValue::Absent,
            Err(error) => LimitValue::Problem(FileProblem::Unreadable(error)),
        };
        LimitFile { path: self.path_without_root(), value, in_ancestor: false }
    }
}

/// The problem of a file with this content.
pub fn invalid(text: &[u8]) -> FileProblem {
    /// Enough to recognise it by.
    const SHOWN: usize = 32;
    FileProblem::Invalid(text.get(..SHOWN).unwrap_or(text).to_vec())
}
