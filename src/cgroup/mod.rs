//! Reads the limits of the cgroup that this process is in, v1 or v2, for memory and CPU each on
//! its own, from its own directory up to the root of the mount.
//!
//! Nothing here fails: what cannot be read or understood is part of the result.

pub mod locate;
pub mod proc;
mod v1;
mod v2;

use crate::limits::{Limits, Reading, Readings, Value, Version};
use crate::sys::{self, Errno};
use core::ffi::CStr;
use core::mem;
use locate::Directories;

/// Where the files of the kernel are looked up: in the running system, or in a captured tree.
#[derive(Clone, Debug)]
pub struct Root {
    /// What goes before a path; empty for the running system.
    prefix: Vec<u8>,
    is_system: bool,
}

impl Root {
    /// The running system.
    #[must_use]
    pub const fn system() -> Self {
        Self { prefix: Vec::new(), is_system: true }
    }

    /// A tree with `proc` and `sys` in this directory.
    #[must_use]
    pub fn at(directory: &[u8]) -> Self {
        Self { prefix: directory.to_vec(), is_system: false }
    }
}

const PROC: &[u8] = b"/proc";
const PROC_SELF: &[u8] = b"/proc/self";

/// One controller: its name, and where nearly every system has it.
struct Controller {
    name: &'static [u8],
    v1: Place,
    v2: Place,
}

/// A mount point, and a file that every cgroup with the controller has there.
struct Place {
    mount_point: &'static [u8],
    file: &'static [u8],
}

const MEMORY: Controller = Controller {
    name: b"memory",
    v1: Place { mount_point: b"/sys/fs/cgroup/memory", file: v1::MEMORY },
    v2: Place { mount_point: b"/sys/fs/cgroup", file: v2::MEMORY },
};

const CPU: Controller = Controller {
    name: b"cpu",
    v1: Place { mount_point: b"/sys/fs/cgroup/cpu", file: v1::CPU },
    v2: Place { mount_point: b"/sys/fs/cgroup", file: v2::CPU },
};

impl Controller {
    const fn place(&self, version: Version) -> &Place {
        match version {
            Version::V1 => &self.v1,
            Version::V2 => &self.v2,
        }
    }
}

/// What `proc/self/cgroup` says about a controller, and where that was found.
struct Search<'a> {
    controller: &'a Controller,
    version: Version,
    membership: Vec<u8>,
    directories: Option<Directories>,
}

/// Finds all the limits there are.
#[must_use]
pub fn read(root: &Root) -> Limits {
    let mut tree = Tree::new(root);
    let (memory_total, cpus, pid) = if root.is_system {
        (sys::memory_total(), sys::allowed_cpus(), Some(std::process::id()))
    } else {
        tree.machine()
    };
    let mut searches = tree.memberships();
    for search in searches.iter_mut().flatten() {
        search.directories = tree.conventional(search, pid);
    }
    tree.search_mounts(&mut searches);

    let [memory, cpu] = searches;
    let memory = readings(memory, |version, directories| match version {
        Version::V1 => v1::memory(&mut tree, directories),
        Version::V2 => v2::memory(&mut tree, directories),
    });
    let cpu = readings(cpu, |version, directories| match version {
        Version::V1 => v1::cpu(&mut tree, directories),
        Version::V2 => v2::cpu(&mut tree, directories),
    });
    Limits { memory, cpu, memory_total, cpus, problems: tree.problems }
}

fn readings<T>(
    search: Option<Search<'_>>,
    files: impl FnOnce(Version, &Directories) -> Vec<Reading<T>>,
) -> Readings<T> {
    let Some(Search { version, directories, .. }) = search else {
        return Readings::none();
    };
    let (guessed, partial) =
        directories.as_ref().map_or((false, false), |it| (it.guessed, it.partial));
    let files = directories.map_or_else(Vec::new, |it| files(version, &it));
    Readings { version: Some(version), guessed, partial, files }
}

/// Limit files are a few bytes, `memory.stat` a few kilobytes.
const SMALL: usize = 64 << 10;
/// There may be thousands of mounts.
const LARGE: usize = 1 << 20;

/// The files of a tree. All of them share one buffer for the path and one for the text.
struct Tree<'a> {
    prefix: &'a [u8],
    path: Vec<u8>,
    text: Vec<u8>,
    problems: Vec<Reading<()>>,
}

impl<'a> Tree<'a> {
    const fn new(root: &'a Root) -> Self {
        let prefix = root.prefix.as_slice();
        Self { prefix, path: Vec::new(), text: Vec::new(), problems: Vec::new() }
    }

    /// The memory of the machine, the CPUs that the process may run on, and its ID, as a captured
    /// tree has them.
    fn machine(&mut self) -> (Option<u64>, Option<u32>, Option<u32>) {
        let meminfo = self.proc_file(PROC, b"meminfo").unwrap_or_default();
        let total = proc::value(meminfo, b"MemTotal:").and_then(proc::kilobytes);
        let status = self.proc_file(PROC_SELF, b"status").unwrap_or_default();
        let cpus = proc::value(status, b"Cpus_allowed_list:").and_then(proc::count_cpus);
        let pid = proc::value(status, b"Pid:").and_then(crate::units::integer);
        (total, cpus, pid.and_then(|pid| pid.try_into().ok()))
    }

    /// The cgroups of the process for memory and CPU.
    fn memberships(&mut self) -> [Option<Search<'a>>; 2] {
        const FILE: &[u8] = b"cgroup";
        let Some(text) = self.proc_file(PROC_SELF, FILE) else {
            return [None, None];
        };
        let searches = [&MEMORY, &CPU].map(|controller| {
            let proc::Membership { version, path } = proc::membership(text, controller.name)?;
            Some(Search { controller, version, membership: path.to_vec(), directories: None })
        });
        let garbage = proc::is_garbage(text).then(|| garbage(text));
        let problem = garbage.map(|value| Reading { file: file(PROC_SELF, FILE), value });
        self.problems.extend(problem);
        searches
    }

    /// Tries the place where the cgroup is in most containers, because the list of mounts is by
    /// far the most expensive file to read.
    ///
    /// What is there may still be another cgroup of the same name: a mount made outside of our
    /// cgroup namespace shows the cgroups of the host, and below a mount of a part of the
    /// hierarchy there may be the same path once more. So the cgroup has to list this process,
    /// unless it is the root of the mount: that is what the list of mounts would lead to as well,
    /// though as a guess where the mount was made outside; and the list of a host's root is long.
    fn conventional(&mut self, search: &Search<'_>, pid: Option<u32>) -> Option<Directories> {
        if locate::climbs(&search.membership) {
            return None;
        }
        let place = search.controller.place(search.version);
        let directories = Directories::new(place.mount_point, &search.membership);
        let leaf = directories.leaf();
        if !self.exists(leaf, place.file) {
            return None;
        }
        let is_ours = leaf == place.mount_point
            || pid.is_some_and(|pid| {
                self.read(leaf, b"cgroup.procs", SMALL).is_ok_and(|it| proc::lists(it, pid))
            });
        is_ours.then_some(directories)
    }

    /// Looks through the mounts for what has not been found yet.
    fn search_mounts(&mut self, searches: &mut [Option<Search<'_>>; 2]) {
        let missing = searches.iter_mut().flatten().filter(|it| it.directories.is_none());
        let mut missing = missing.peekable();
        if missing.peek().is_none() {
            return;
        }
        let is_readable = self.proc_file(PROC_SELF, b"mountinfo").is_some();
        let text = mem::take(&mut self.text);
        let mounts: Option<Vec<_>> = is_readable.then(|| proc::mounts(&text).collect());
        for search in missing {
            let Search { controller, version, membership, .. } = search;
            let locate =
                |mounts: &[_]| locate::directories(*version, controller.name, membership, mounts);
            let found = match &mounts {
                Some(mounts) => locate(mounts),
                // Nobody can say what is mounted where: the usual place is as good as any.
                None => {
                    let point = controller.place(*version).mount_point.into();
                    let (root, options) = (b"/".into(), controller.name);
                    let usual = proc::Mount { version: *version, root, point, options };
                    locate(&[usual]).map(Directories::as_a_guess)
                }
            };
            // A sandbox may show the path on its host, and mounts of its own.
            search.directories = found.map(|directories| {
                if self.exists(directories.leaf(), b"") { directories } else { directories.top() }
            });
        }
        self.text = text;
    }

    /// Reads a file of proc(5). That there is none is no problem.
    fn proc_file(&mut self, directory: &[u8], name: &[u8]) -> Option<&[u8]> {
        if let Err(error) = self.read(directory, name, LARGE) {
            let value = failure(error);
            if value != Value::Absent {
                self.problems.push(Reading { file: file(directory, name), value });
            }
            return None;
        }
        Some(&self.text)
    }

    /// Reads a limit file; what `parse` does not take is garbage.
    fn reading<T>(
        &mut self,
        directory: &[u8],
        name: &[u8],
        parse: impl FnOnce(&[u8]) -> Option<Value<T>>,
    ) -> Reading<T> {
        let value = match self.read(directory, name, SMALL) {
            Ok(text) => parse(text).unwrap_or_else(|| garbage(text)),
            Err(error) => failure(error),
        };
        Reading { file: file(directory, name), value }
    }

    fn exists(&mut self, directory: &[u8], name: &[u8]) -> bool {
        path(&mut self.path, [self.prefix, directory, name]).is_ok_and(sys::exists)
    }

    /// Reads a file without the white space around its text.
    fn read(&mut self, directory: &[u8], name: &[u8], limit: usize) -> Result<&[u8], Errno> {
        let path = path(&mut self.path, [self.prefix, directory, name])?;
        sys::read_file(path, &mut self.text, limit)?;
        Ok(self.text.trim_ascii())
    }
}

/// Builds the path of a file in a directory below a prefix. A NUL within it can only come from a
/// captured mountinfo that was tampered with (`\000`); the kernel allows none either.
fn path<'a>(
    buffer: &'a mut Vec<u8>,
    [prefix, directory, name]: [&[u8]; 3],
) -> Result<&'a CStr, Errno> {
    buffer.clear();
    for part in [prefix, directory, b"/", name, b"\0"] {
        buffer.extend_from_slice(part);
    }
    let path = sys::c_str(buffer).filter(|path| path.to_bytes_with_nul().len() == buffer.len());
    path.ok_or(Errno(libc::EINVAL))
}

/// The path of a file as a process in the tree sees it.
fn file(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let length = directory.len().saturating_add(name.len()).saturating_add(1);
    let mut file = Vec::with_capacity(length);
    for part in [directory, b"/", name] {
        file.extend_from_slice(part);
    }
    file
}

fn failure<T>(error: Errno) -> Value<T> {
    match error.0 {
        libc::ENOENT | libc::ENOTDIR => Value::Absent,
        _ => Value::Unreadable(error),
    }
}

fn garbage<T>(text: &[u8]) -> Value<T> {
    /// Enough to recognise it by.
    const SHOWN: usize = 32;
    Value::Garbage(text.get(..SHOWN).unwrap_or(text).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Quota;
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
        read(&Root::at(tree.as_os_str().as_bytes()))
    }

    fn names<T>(readings: &Readings<T>) -> Vec<&str> {
        readings.files.iter().map(|it| core::str::from_utf8(&it.file).unwrap()).collect()
    }

    #[test]
    fn the_running_system_has_memory_and_cpus() {
        let limits = read(&Root::system());
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
        let expected = [Value::Unlimited, Value::Absent, Value::Absent, Value::Limit(1000)];
        assert_eq!(values, expected);
        assert_eq!(names(&limits.cpu), ["/sys/fs/cgroup/a/cpu.max", "/sys/fs/cgroup/cpu.max"]);
        let least = limits.cpu.least(|a, b| a.is_below(*b)).unwrap();
        assert_eq!(least.0, &Quota { time: 50_000, period: 100_000 });
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
            (*limits.memory.least(u64::lt).unwrap().0, limits.memory.guessed)
        };
        // A mount of the parent of our namespace's root, and one of our cgroup elsewhere.
        let mountinfo = "1 2 0:3 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
                         3 2 0:3 /a /mnt rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found("6\n7\n", "Pid:\t7\n", Some(mountinfo)), (1, false));
        assert_eq!(found("6\n77\n", "Pid:\t7\n", Some(mountinfo)), (2, false));
        assert_eq!(found("7\n", "", Some(mountinfo)), (2, false));
        // Nothing to tell by.
        assert_eq!(found("7\n", "", None), (1, true));
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
            let least = limits.memory.least(u64::lt);
            least.map(|(limit, file)| (*limit, core::str::from_utf8(file).unwrap().to_owned()))
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
        let problem = Reading { file: b"/proc/self/cgroup".to_vec(), value };
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
        assert_eq!(values, [Value::Unreadable(Errno(libc::EFBIG)), Value::Limit(1)]);
        let shown = Value::Garbage(b"x".repeat(32));
        assert!(limits.cpu.files.iter().all(|it| it.value == shown));
    }
}
