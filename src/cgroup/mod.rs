//! Reads the limits of the cgroup that this process is in, v1 or v2, for memory and CPU each on
//! its own, from its own directory up to the root of the mount.
//!
//! Nothing here fails: what cannot be read or understood is part of the result.

pub mod counters;
pub mod gauge;
pub mod locate;
pub mod proc;
mod v1;
mod v2;

use crate::limits::{Limits, Reading, Readings, Value, Version, directory};
use crate::sys::{self, Errno};
use crate::text::Fields;
use crate::units::Quota;
use core::ffi::CStr;
use locate::Directories;
use proc::Membership;

/// Where the files of the kernel are looked up: in the running system, or in a captured tree.
#[derive(Clone, Copy, Debug)]
pub struct Root<'a> {
    /// What goes before a path; empty for the running system.
    prefix: &'a [u8],
    is_system: bool,
}

impl<'a> Root<'a> {
    /// The running system.
    #[must_use]
    pub const fn system() -> Self {
        Self { prefix: b"", is_system: true }
    }

    /// A tree with `proc` and `sys` in this directory.
    #[must_use]
    pub const fn at(directory: &'a [u8]) -> Self {
        Self { prefix: directory, is_system: false }
    }
}

/// One controller: its name, and the files in which its limits are.
struct Controller {
    name: &'static [u8],
    v1: Files,
    v2: Files,
}

const MEMORY: Controller = Controller { name: b"memory", v1: v1::MEMORY, v2: v2::MEMORY };
const CPU: Controller = Controller { name: b"cpu", v1: v1::CPU, v2: v2::CPU };

/// The files of one controller in one version.
struct Files {
    /// Those in each cgroup; the first is there wherever the controller is.
    each: &'static [File],
    /// One in the process's own cgroup that knows the least of all limits that apply, those
    /// outside of the mount included.
    all: Option<File>,
}

/// A file that holds a limit.
struct File {
    name: &'static [u8],
    /// What its text says, none if that is no limit.
    parse: fn(&[u8]) -> Option<Value>,
    /// The file with the period that the limit is per, if that is not in the same one.
    period: Option<&'static [u8]>,
}

impl File {
    const fn new(name: &'static [u8], parse: fn(&[u8]) -> Option<Value>) -> Self {
        Self { name, parse, period: None }
    }
}

/// What is mounted where on nearly every system, in the words of mountinfo.
const USUAL: &[u8] = b"1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
2 0 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup memory
3 0 0:3 / /sys/fs/cgroup/cpu rw - cgroup cgroup cpu
";

/// Finds all the limits there are; `buffer` is replaced.
#[must_use]
pub fn read(root: &Root<'_>, buffer: &mut Vec<u8>) -> Limits {
    let mut tree = Tree::new(root, buffer);
    let (memory_total, cpus, pid) = if root.is_system {
        (sys::memory_total(), sys::allowed_cpus(), Some(std::process::id().into()))
    } else {
        tree.machine()
    };
    tree.pid = pid;
    let cgroups = tree.proc_file(b"self/cgroup").to_vec();
    if proc::is_garbage(&cgroups) {
        let problem =
            Reading { file: tree.path.inside(), value: garbage(&cgroups), is_above: false };
        tree.problems.push(problem);
    }
    let memory = tree.readings(&MEMORY, &cgroups);
    let cpu = tree.readings(&CPU, &cgroups);
    Limits { memory, cpu, memory_total, cpus, problems: tree.problems }
}

/// Names all files in which limits of the process are, or would be: of its own cgroup and of every
/// directory above, though most of them are in none.
pub fn files(root: &Root<'_>, limits: &Limits, name: &mut dyn FnMut(&CStr)) {
    const NAMES: &[u8] = b"memory.max memory.high cpu.max \
        memory.limit_in_bytes cpu.cfs_quota_us cpu.cfs_period_us";
    let mut path = Path::new(root);
    for readings in [&limits.memory, &limits.cpu] {
        let mut place = readings.files.first().map_or(&b""[..], |first| &first.file);
        while !place.is_empty() {
            place = directory(place);
            for file in Fields::new(NAMES, b' ') {
                if let Ok(path) = path.set(place, file) {
                    name(path);
                }
            }
        }
    }
}

/// Limit files are a few bytes, `memory.stat` a few kilobytes.
const SMALL: usize = 64 << 10;
/// There may be thousands of mounts.
const LARGE: usize = 1 << 20;

/// The files of a tree. All of them share one buffer for the path and one for the text.
struct Tree<'a> {
    path: Path<'a>,
    text: &'a mut Vec<u8>,
    /// The process's ID in it, if it is known.
    pid: Option<u64>,
    /// A directory whose cgroup it is in.
    ours: Vec<u8>,
    /// What is mounted where, once that was asked for.
    mounts: Option<Vec<u8>>,
    problems: Vec<Reading>,
}

impl<'a> Tree<'a> {
    const fn new(root: &Root<'a>, text: &'a mut Vec<u8>) -> Self {
        Self {
            path: Path::new(root),
            text,
            pid: None,
            ours: Vec::new(),
            mounts: None,
            problems: Vec::new(),
        }
    }

    /// The memory of the machine, the CPUs that the process may run on, and its ID, as a captured
    /// tree has them.
    fn machine(&mut self) -> (Option<u64>, Option<u32>, Option<u64>) {
        let meminfo = self.proc_file(b"meminfo");
        let total = proc::value(meminfo, b"MemTotal:").and_then(proc::kilobytes);
        let status = self.proc_file(b"self/status");
        let cpus = proc::value(status, b"Cpus_allowed_list:").and_then(proc::count_cpus);
        let pid = proc::value(status, b"Pid:").and_then(crate::units::integer);
        (total, cpus, pid)
    }

    /// Reads all files of a controller, of which `cgroups` says where the process is.
    fn readings(&mut self, controller: &Controller, cgroups: &[u8]) -> Readings {
        let Some(membership) = proc::membership(cgroups, controller.name) else {
            return Readings::none();
        };
        let version = membership.version;
        let files = match version {
            Version::V1 => &controller.v1,
            Version::V2 => &controller.v2,
        };
        let none = Readings { version: Some(version), ..Readings::none() };
        if let Some(usual) = self.usual_place(&membership) {
            let readings = self.walk(&usual, files);
            let first = readings.first().map_or(&Value::Absent, |first| &first.value);
            if *first != Value::Absent {
                return Readings { files: readings, ..none };
            }
        }
        let Some(directories) = self.listed_place(&membership) else {
            return none;
        };
        let Directories { guessed, partial, .. } = directories;
        Readings { guessed, partial, files: self.walk(&directories, files), ..none }
    }

    /// The usual place of a cgroup, if it is there. It is tried first, because the list of mounts is
    /// by far the most expensive file to read.
    ///
    /// What is there may still be another cgroup of the same name: a mount made outside of our
    /// cgroup namespace shows the cgroups of the host, and below a mount of a part of the
    /// hierarchy there may be the same path once more. So the cgroup has to list this process,
    /// unless it is the root of the mount: that is what the list of mounts would lead to as well,
    /// though as a guess where the mount was made outside; and the list of a host's root is long.
    fn usual_place(&mut self, cgroup: &Membership<'_>) -> Option<Directories> {
        let usual = locate::directories(cgroup, USUAL)?;
        let leaf = usual.leaf();
        let is_it = !usual.guessed && (usual.above(leaf).is_none() || self.is_ours(leaf));
        is_it.then_some(usual)
    }

    /// The place of a cgroup by the list of mounts.
    fn listed_place(&mut self, cgroup: &Membership<'_>) -> Option<Directories> {
        if self.mounts.is_none() {
            let mounts = self.proc_file(b"self/mountinfo").to_vec();
            self.mounts = Some(mounts);
        }
        let mounts = self.mounts.as_deref()?;
        // Where nobody can say, the usual place is as good as any.
        let is_known = !mounts.is_empty();
        let mut found = locate::directories(cgroup, if is_known { mounts } else { USUAL })?;
        found.guessed |= !is_known;
        // A sandbox may show the path on its host, and mounts of its own.
        if !self.exists(found.leaf(), b"") {
            found.cut_to_top();
        }
        Some(found)
    }

    /// Whether the process is in the cgroup of this directory.
    fn is_ours(&mut self, directory: &[u8]) -> bool {
        if self.ours == directory {
            return true;
        }
        let is_ours = self.pid.is_some_and(|pid| {
            self.read(directory, b"cgroup.procs", SMALL).is_ok_and(|list| proc::lists(list, pid))
        });
        if is_ours {
            self.ours = directory.to_vec();
        }
        is_ours
    }

    /// Reads the files of the cgroup and its ancestors. Where one file knows the least of all
    /// limits, the ancestor that has it is looked for, to name it; else every ancestor is taken to
    /// apply.
    fn walk(&mut self, directories: &Directories, files: &Files) -> Vec<Reading> {
        let leaf = directories.leaf();
        let all = files.all.as_ref().map(|file| self.reading(leaf, file));
        let least = match all {
            Some(Reading { value: Value::Limit(limit), .. }) => Some(limit.amount),
            Some(Reading { value: Value::Unlimited, .. }) => Some(u64::MAX),
            _ => None,
        };
        let mut readings = Vec::new();
        let mut directory = Some(leaf);
        while let Some(cgroup) = directory {
            directory = directories.above(cgroup);
            for file in files.each {
                let mut reading = self.reading(cgroup, file);
                // No limit is more than any.
                let limit = if let Value::Limit(it) = reading.value { it.amount } else { u64::MAX };
                let is_leaf = cgroup.len() == leaf.len();
                reading.is_above = !is_leaf;
                if least.is_some_and(|least| least == limit || (is_leaf && limit < least)) {
                    directory = None;
                } else if least.is_some() && !is_leaf {
                    continue;
                }
                readings.push(reading);
            }
        }
        if let Some(all) = all {
            readings.push(all);
        }
        readings
    }

    /// Reads a file of proc(5). Where there is none it counts as empty, which is no problem.
    fn proc_file(&mut self, name: &[u8]) -> &[u8] {
        if let Err(error) = self.read(b"/proc", name, LARGE) {
            let value = failure(error);
            if value != Value::Absent {
                let problem = Reading { file: self.path.inside(), value, is_above: false };
                self.problems.push(problem);
            }
            return b"";
        }
        self.text
    }

    /// Reads a limit. Only where there is one does its period matter.
    fn reading(&mut self, directory: &[u8], file: &File) -> Reading {
        let mut reading = self.value(directory, file.name, file.parse);
        if let (Some(period), Value::Limit(time)) = (file.period, &mut reading.value) {
            let period = self.value(directory, period, v1::positive);
            if let Value::Limit(period) = period.value
                && let Some(quota) = Quota::new(time.amount, period.amount)
            {
                *time = quota;
            } else {
                reading = period;
                // The kernel has both or none.
                if reading.value == Value::Absent {
                    reading.value = Value::Unreadable(Errno(libc::ENOENT));
                }
            }
        }
        reading
    }

    /// Reads a file; what `parse` does not take is garbage.
    fn value(
        &mut self,
        directory: &[u8],
        name: &[u8],
        parse: fn(&[u8]) -> Option<Value>,
    ) -> Reading {
        let value = match self.read(directory, name, SMALL) {
            Ok(text) => parse(text).unwrap_or_else(|| garbage(text)),
            Err(error) => failure(error),
        };
        Reading { file: self.path.inside(), value, is_above: false }
    }

    fn exists(&mut self, directory: &[u8], name: &[u8]) -> bool {
        self.path.set(directory, name).is_ok_and(sys::exists)
    }

    /// Reads a file without the white space around its text.
    fn read(&mut self, directory: &[u8], name: &[u8], limit: usize) -> Result<&[u8], Errno> {
        sys::read_file(self.path.set(directory, name)?, self.text, limit)?;
        Ok(self.text.trim_ascii())
    }
}

/// The path of the file that is looked at.
struct Path<'a> {
    prefix: &'a [u8],
    bytes: Vec<u8>,
}

impl<'a> Path<'a> {
    const fn new(root: &Root<'a>) -> Self {
        Self { prefix: root.prefix, bytes: Vec::new() }
    }

    /// Goes to another file. A NUL in its path can only come from a captured mountinfo that was
    /// tampered with (`\000`); the kernel allows none either.
    fn set(&mut self, directory: &[u8], name: &[u8]) -> Result<&CStr, Errno> {
        self.bytes.clear();
        self.bytes.extend_from_slice(self.prefix);
        self.bytes.extend_from_slice(directory);
        self.bytes.push(b'/');
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        let path = sys::c_str(&self.bytes);
        let whole = path.filter(|it| it.to_bytes_with_nul().len() == self.bytes.len());
        whole.ok_or(Errno(libc::EINVAL))
    }

    /// The path as a process in the tree sees it.
    fn inside(&self) -> Vec<u8> {
        let end = self.bytes.len().saturating_sub(1);
        self.bytes.get(self.prefix.len()..end).unwrap_or_default().to_vec()
    }
}

fn failure(error: Errno) -> Value {
    if error.is_absence() { Value::Absent } else { Value::Unreadable(error) }
}

fn garbage(text: &[u8]) -> Value {
    /// Enough to recognise it by.
    const SHOWN: usize = 32;
    Value::Garbage(text.get(..SHOWN).unwrap_or(text).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    const MOUNTINFO: &str = "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = tree.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        tree
    }

    fn read_at(tree: &Path) -> Limits {
        read(&Root::at(tree.as_os_str().as_bytes()), &mut Vec::new())
    }

    fn names(readings: &Readings) -> Vec<&str> {
        readings.files.iter().map(|it| core::str::from_utf8(&it.file).unwrap()).collect()
    }

    #[test]
    fn the_running_system_has_memory_and_cpus() {
        let limits = read(&Root::system(), &mut Vec::new());
        assert!(limits.memory_total > Some(0) && limits.cpus > Some(0));
        assert_eq!(limits.problems, []);
    }

    #[test]
    fn an_empty_tree_has_nothing_and_no_problems() {
        let nothing = Limits {
            memory: Readings::none(),
            cpu: Readings::none(),
            memory_total: None,
            cpus: None,
            problems: Vec::new(),
        };
        assert_eq!(read_at(tree(&[]).path()), nothing);
        assert_eq!(read_at(Path::new("/nonexistent")), nothing);
        assert_eq!(read_at(tree(&[("proc", "")]).path()), nothing, "ENOTDIR");
    }

    #[test]
    fn every_file_looked_at_is_listed_as_the_process_would_name_it() {
        let tree = tree(&[
            ("proc/self/cgroup", "0::/a\n"),
            ("proc/self/mountinfo", MOUNTINFO),
            ("proc/self/status", "Name:\tx\nPid:\t7\nCpus_allowed_list:\t0-3,8\n"),
            ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            ("sys/fs/cgroup/a/memory.max", "max\n"),
            ("sys/fs/cgroup/a/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/memory.high", "1000\n"),
            ("sys/fs/cgroup/cpu.max", "50000 100000\n"),
        ]);
        let limits = read_at(tree.path());
        assert_eq!((limits.memory_total, limits.cpus), (Some(16 << 20), Some(5)));
        assert_eq!(
            names(&limits.memory),
            [
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/a/memory.high",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory.high",
            ]
        );
        let values: Vec<_> = limits.memory.files.into_iter().map(|it| it.value).collect();
        let limit = Value::Limit(Quota::whole(1000));
        let expected = [Value::Unlimited, Value::Absent, Value::Absent, limit];
        assert_eq!(values, expected);
        assert_eq!(names(&limits.cpu), ["/sys/fs/cgroup/a/cpu.max", "/sys/fs/cgroup/cpu.max"]);
        let least = limits.cpu.least().unwrap();
        assert_eq!(Some(least.0), Quota::new(50_000, 100_000));
    }

    #[test]
    fn the_conventional_place_is_taken_only_if_it_is_ours() {
        let found = |procs: &str, status: &str, mountinfo: Option<&str>| {
            let tree = tree(&[
                ("proc/self/cgroup", "0::/a\n"),
                ("proc/self/status", status),
                ("sys/fs/cgroup/a/memory.max", "1\n"),
                ("sys/fs/cgroup/a/cgroup.procs", procs),
                ("mnt/memory.max", "2\n"),
            ]);
            if let Some(text) = mountinfo {
                fs::write(tree.path().join("proc/self/mountinfo"), text).unwrap();
            }
            let limits = read_at(tree.path());
            (limits.memory.least().unwrap().0.amount, limits.memory.guessed)
        };
        // A mount of the parent of our namespace's root, and one of our cgroup elsewhere.
        let mountinfo = "1 2 0:3 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
                         3 2 0:3 /a /mnt rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found("6\n7\n", "Pid:\t7\n", Some(mountinfo)), (1, false));
        assert_eq!(found("6\n77\n", "Pid:\t7\n", Some(mountinfo)), (2, false));
        assert_eq!(found("7\n", "", Some(mountinfo)), (2, false));
        // Nothing to tell by.
        assert_eq!(found("7\n", "", None), (1, true));
        assert_eq!(found("7\n", "", Some("")), (1, true));
    }

    #[test]
    fn the_source_of_a_hierarchical_limit_is_the_ancestor_that_has_it() {
        let found = |ancestor: &str, stat: Option<&str>| {
            let tree = tree(&[
                ("proc/self/cgroup", "4:memory:/a/b/c\n"),
                ("sys/fs/cgroup/memory/a/b/c/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "200\n"),
                ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", ancestor),
            ]);
            if let Some(text) = stat {
                let stat = tree.path().join("sys/fs/cgroup/memory/a/b/c/memory.stat");
                fs::write(stat, text).unwrap();
            }
            let limits = read_at(tree.path());
            let least = limits.memory.least();
            least
                .map(|(limit, file)| (limit.amount, core::str::from_utf8(file).unwrap().to_owned()))
        };
        let at = |limit, file: &str| Some((limit, format!("/sys/fs/cgroup/memory/a/{file}")));
        let stat = Some("cache 0\nhierarchical_memory_limit 300\n");
        assert_eq!(found("300\n", stat), at(300, "memory.limit_in_bytes"));
        // The lesser limit of /a/b does not apply (use_hierarchy=0), nor is there one of 300.
        assert_eq!(found("400\n", stat), at(300, "b/c/memory.stat"));
        assert_eq!(found("max\n", stat), at(300, "b/c/memory.stat"));
        // Without that line all that can be seen applies.
        assert_eq!(found("300\n", None), at(200, "b/memory.limit_in_bytes"));
        assert_eq!(found("100\n", Some("cache 0\n")), at(100, "memory.limit_in_bytes"));
        let unlimited = Some("hierarchical_memory_limit 9223372036854771712\n");
        assert_eq!(found("300\n", unlimited), None);
    }

    #[test]
    fn what_is_no_file_is_unreadable_and_holds_nobody_up() {
        let tree = tree(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", MOUNTINFO),
            ("sys/fs/cgroup/cpu.max", "\x001\n"),
            ("sys/fs/cgroup/memory.high/x", ""),
        ]);
        let fifo = tree.path().join("sys/fs/cgroup/memory.max");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let limits = read_at(tree.path());
        let values: Vec<_> = limits.memory.files.iter().map(|it| &it.value).collect();
        // Nobody has the FIFO open for writing: it is an empty file.
        let expected = [&Value::Garbage(Vec::new()), &Value::Unreadable(Errno(libc::EISDIR))];
        assert_eq!(values, expected);
        let expected = Value::Garbage(b"\x001".to_vec());
        assert!(limits.cpu.files.iter().all(|it| it.value == expected));

        let cgroup = tree.path().join("proc/self/cgroup");
        fs::remove_file(&cgroup).unwrap();
        std::os::unix::fs::symlink("cgroup", &cgroup).unwrap();
        let limits = read_at(tree.path());
        let value = Value::Unreadable(Errno(libc::ELOOP));
        let problem = Reading { file: b"/proc/self/cgroup".to_vec(), value, is_above: false };
        assert_eq!(limits.problems, [problem]);
        assert_eq!(limits.memory, Readings::none());
    }

    #[test]
    fn more_than_the_kernel_would_print_is_refused() {
        let tree = tree(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", MOUNTINFO),
            ("sys/fs/cgroup/memory.max", &" ".repeat(SMALL + 1)),
            ("sys/fs/cgroup/memory.high", &format!("{}1\n", "0".repeat(SMALL - 2))),
            ("sys/fs/cgroup/cpu.max", &"x".repeat(100)),
        ]);
        let limits = read_at(tree.path());
        let values: Vec<_> = limits.memory.files.into_iter().map(|it| it.value).collect();
        assert_eq!(values, [Value::Unreadable(Errno(libc::EFBIG)), Value::Limit(Quota::whole(1))]);
        let shown = Value::Garbage(b"x".repeat(32));
        assert!(limits.cpu.files.iter().all(|it| it.value == shown));
    }
}
