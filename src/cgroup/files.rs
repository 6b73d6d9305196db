//! Reads the limit files of a cgroup and of its ancestors.

use super::limits::{FileProblem, Limit, LimitFile, LimitValue};
use super::locate::CgroupDirs;
use super::sysroot::{PathBuffer, SysRoot};
use crate::sys::{self, Errno};
use core::ffi::CStr;

/// The limit files of one controller in one version of the interface.
pub struct ControllerFiles<T: 'static> {
    /// Those of every cgroup. The first exists wherever the controller is enabled.
    pub per_cgroup: &'static [LimitFileSpec<T>],
    /// A file of the process's own cgroup with the lowest of all limits that apply, even those of
    /// ancestors that the mount does not show.
    pub effective: Option<LimitFileSpec<T>>,
}

/// A file that contains a limit.
pub struct LimitFileSpec<T> {
    /// Its name.
    pub name: &'static [u8],
    /// Parses its content; none if that is invalid.
    pub parse: fn(&[u8]) -> Option<LimitValue<T>>,
    /// The file with the period of the limit, if that is another one.
    pub period: Option<PeriodFileSpec<T>>,
}

/// A file that contains the period of a limit.
pub struct PeriodFileSpec<T> {
    /// Its name.
    pub name: &'static [u8],
    /// The limit with the period in this content; none if that is invalid.
    pub apply: fn(T, &[u8]) -> Option<T>,
}

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

    /// Whether a directory exists.
    pub fn directory_exists(&mut self, directory: &[u8]) -> bool {
        // With a slash at its end the path of another file does not.
        self.path.set_file(directory, b"").is_ok_and(sys::exists)
    }

    /// Reads the limit files of a cgroup and of its ancestors.
    pub fn read_limits<T: Limit>(
        &mut self,
        directories: &CgroupDirs,
        files: &ControllerFiles<T>,
    ) -> Vec<LimitFile<T>> {
        let leaf = directories.leaf();
        let mut found = Vec::new();
        let Some(effective) = &files.effective else {
            self.read_ancestors(directories, files.per_cgroup, &mut found);
            return found;
        };
        let effective = self.read_limit(leaf, effective);
        match effective.value {
            LimitValue::Limit(_) | LimitValue::Unlimited => {
                self.read_source(directories, files.per_cgroup, &effective.value, &mut found);
            }
            // As the kernel does not tell, every ancestor is assumed to apply.
            LimitValue::Absent | LimitValue::Problem(_) => {
                self.read_ancestors(directories, files.per_cgroup, &mut found);
            }
        }
        found.push(effective);
        found
    }

    /// Reads all files, from the leaf up.
    fn read_ancestors<T: Limit>(
        &mut self,
        directories: &CgroupDirs,
        specs: &[LimitFileSpec<T>],
        found: &mut Vec<LimitFile<T>>,
    ) {
        for directory in directories.upwards() {
            for spec in specs {
                let mut file = self.read_limit(directory, spec);
                file.in_ancestor = directories.is_ancestor(directory);
                found.push(file);
            }
        }
    }

    /// Looks for the file that the effective limit comes from, from the leaf up. The files of other
    /// ancestors are left out: their limits do not apply.
    fn read_source<T: Limit>(
        &mut self,
        directories: &CgroupDirs,
        specs: &[LimitFileSpec<T>],
        effective: &LimitValue<T>,
        found: &mut Vec<LimitFile<T>>,
    ) {
        let mut is_found = false;
        for directory in directories.upwards() {
            for spec in specs {
                let mut file = self.read_limit(directory, spec);
                file.in_ancestor = directories.is_ancestor(directory);
                // An ancestor with a lower limit does not apply (use_hierarchy is 0).
                let applies = !file.in_ancestor || !file.value.is_below(effective);
                let is_source = applies && !effective.is_below(&file.value);
                if is_source || !file.in_ancestor {
                    found.push(file);
                }
                is_found |= is_source;
            }
            if is_found {
                break;
            }
        }
    }

    /// Reads a limit file, and its period file if it contains a limit.
    fn read_limit<T: Limit>(&mut self, directory: &[u8], spec: &LimitFileSpec<T>) -> LimitFile<T> {
        let file = self.read_value(directory, spec.name, spec.parse);
        let (Some(period), LimitValue::Limit(limit)) = (&spec.period, &file.value) else {
            return file;
        };
        let parse = |text: &[u8]| (period.apply)(*limit, text).map(LimitValue::Limit);
        let period = self.read_value(directory, period.name, parse);
        match period.value {
            LimitValue::Limit(_) => LimitFile { path: file.path, ..period },
            // The kernel has both files or neither.
            LimitValue::Absent => {
                let problem = FileProblem::Unreadable(Errno(libc::ENOENT));
                LimitFile { value: LimitValue::Problem(problem), ..period }
            }
            LimitValue::Unlimited | LimitValue::Problem(_) => period,
        }
    }

    /// Reads one file of the process's own cgroup.
    fn read_value<T>(
        &mut self,
        directory: &[u8],
        name: &[u8],
        parse: impl Fn(&[u8]) -> Option<LimitValue<T>>,
    ) -> LimitFile<T> {
        let value = match self.read(directory, name) {
            Ok(text) => parse(text).unwrap_or_else(|| LimitValue::Problem(invalid(text))),
            Err(error) if error.is_not_found() => LimitValue::Absent,
            Err(error) => LimitValue::Problem(FileProblem::Unreadable(error)),
        };
        LimitFile { path: self.path.without_root().to_vec(), value, in_ancestor: false }
    }
}

/// The problem of a file with this content.
pub fn invalid(text: &[u8]) -> FileProblem {
    /// Enough to recognise it by.
    const SHOWN: usize = 32;
    FileProblem::Invalid(text.get(..SHOWN).unwrap_or(text).to_vec())
}
