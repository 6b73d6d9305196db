//! Finds the memory and CPU limits of the cgroup that this process is in: for each controller in v1
//! or v2, from the process's own cgroup up to the root of the mount.
//!
//! Nothing here fails: a file that cannot be read or parsed is part of the result.

pub mod counters;
mod files;
pub mod limits;
mod locate;
pub mod pressure;
mod procfs;
pub mod sysroot;
mod v1;
mod v2;

use crate::sys;
use crate::units::{Bytes, CpuQuota, parse_integer};
use core::ffi::CStr;
use files::{FileReader, ReadLimits, invalid};
use limits::{CgroupVersion, ControllerLimits, FileProblem, Limits, parent_dir};
use locate::CgroupDirs;
use procfs::CgroupPath;
use sysroot::{DEFAULT_MOUNTINFO, MEMINFO, PathBuffer, SELF_CGROUP, SELF_MOUNTINFO, SELF_STATUS};

pub use sysroot::SysRoot;

/// A controller: its name, and how its limits are read.
struct Controller<T> {
    name: &'static [u8],
    v1: ReadLimits<T>,
    v2: ReadLimits<T>,
}

const MEMORY: Controller<Bytes> =
    Controller { name: b"memory", v1: v1::read_memory, v2: v2::read_memory };
const CPU: Controller<CpuQuota> = Controller { name: b"cpu", v1: v1::read_cpu, v2: v2::read_cpu };

/// All files that contain limits, in v1 or v2.
const LIMIT_FILES: [&[u8]; 6] = [
    b"memory.max",
    b"memory.high",
    b"cpu.max",
    b"memory.limit_in_bytes",
    b"cpu.cfs_quota_us",
    b"cpu.cfs_period_us",
];

/// The kernel's default period of CPU quotas, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// The largest file of proc(5) that is read: a list of mounts may have thousands of lines.
const MAX_PROC_FILE: usize = 1 << 20;

/// Finds all limits of this process.
#[must_use]
pub fn read(root: &SysRoot<'_>) -> Limits {
    let mut search = Search::new(*root);
    let system = if root.is_system() { System::running() } else { search.captured_system() };
    search.pid = system.pid;
    let cgroups = search.read_proc(SELF_CGROUP).to_vec();
    if procfs::is_invalid_cgroup_list(&cgroups) {
        search.problems.push((SELF_CGROUP.to_vec(), invalid(&cgroups)));
    }
    let memory = search.controller_limits(&MEMORY, &cgroups);
    let cpu = search.controller_limits(&CPU, &cgroups);
    let System { memory_total, cpus, .. } = system;
    Limits { memory, cpu, memory_total, cpus, problems: search.problems }
}

/// Calls `visit` for every file that can set a limit of the process: in the directories of its own
/// cgroup and of all ancestors, for v1 and v2. Most of the files do not exist.
pub fn for_each_limit_file(root: &SysRoot<'_>, limits: &Limits, visit: &mut dyn FnMut(&CStr)) {
    let leaf_files = [
        limits.memory.files.first().map(|file| &file.path[..]),
        limits.cpu.files.first().map(|file| &file.path[..]),
    ];
    let mut path = PathBuffer::new(*root);
    for leaf_file in leaf_files.into_iter().flatten() {
        let mut directory = leaf_file;
        while !directory.is_empty() {
            directory = parent_dir(directory);
            for name in LIMIT_FILES {
                if let Ok(path) = path.set_file(directory, name) {
                    visit(path);
                }
            }
        }
    }
}

/// The system, as far as limits are compared with it, and this process. What is unknown is none.
struct System {
    memory_total: Option<Bytes>,
    /// The number of CPUs that the process may run on.
    cpus: Option<u32>,
    pid: Option<u64>,
}

impl System {
    fn running() -> Self {
        Self {
            memory_total: sys::memory_total().map(Bytes),
            cpus: sys::allowed_cpus(),
            pid: Some(sys::process_id().unsigned_abs().into()),
        }
    }
}

/// A search for limits, and what its steps have found out so far.
struct Search<'a> {
    files: FileReader<'a>,
    /// The process's ID, if it is known.
    pid: Option<u64>,
    /// A directory that is known to be the process's cgroup.
    verified_dir: Vec<u8>,
    /// The list of mounts, once it was needed.
    mountinfo: Option<Vec<u8>>,
    problems: Vec<(Vec<u8>, FileProblem)>,
}

impl<'a> Search<'a> {
    const fn new(root: SysRoot<'a>) -> Self {
        Self {
            files: FileReader::new(root),
            pid: None,
            verified_dir: Vec::new(),
            mountinfo: None,
            problems: Vec::new(),
        }
    }

    /// The machine that the tree was captured on.
    fn captured_system(&mut self) -> System {
        let meminfo = self.read_proc(MEMINFO);
        let memory_total = procfs::field(meminfo, b"MemTotal:").and_then(procfs::parse_kilobytes);
        let status = self.read_proc(SELF_STATUS);
        let cpus = procfs::field(status, b"Cpus_allowed_list:").and_then(procfs::count_cpus);
        let pid = procfs::field(status, b"Pid:").and_then(parse_integer);
        System { memory_total, cpus, pid }
    }

    /// Finds the limits of a controller. `cgroups` is the content of `/proc/self/cgroup`.
    fn controller_limits<T>(
        &mut self,
        controller: &Controller<T>,
        cgroups: &[u8],
    ) -> ControllerLimits<T> {
        let mut limits = ControllerLimits::none();
        let Some(cgroup) = procfs::cgroup_path(cgroups, controller.name) else {
            return limits;
        };
        limits.version = Some(cgroup.version);
        let read = match cgroup.version {
            CgroupVersion::V1 => controller.v1,
            CgroupVersion::V2 => controller.v2,
        };
        if let Some(directories) = self.conventional_dirs(&cgroup) {
            limits.files = read(&mut self.files, &directories);
        }
        if !limits.has_controller()
            && let Some(directories) = self.mountinfo_dirs(&cgroup)
        {
            limits.is_guess = directories.is_guess;
            limits.subtree_mount = directories.subtree_mount;
            limits.files = read(&mut self.files, &directories);
        }
        limits
    }

    /// The directories of a cgroup below the conventional mount points, if it is there. They are
    /// tried first because the list of mounts is by far the most expensive file to read.
    ///
    /// The directory may belong to another cgroup with the same path: a mount that was made outside
    /// of our cgroup namespace shows the cgroups of the host, and a mount of a part of the hierarchy
    /// may contain the same path again. So the cgroup has to list this process. Only the mount root
    /// is not checked: the list of mounts would lead there as well (as a guess, if the mount was
    /// made outside), and the list of processes in the root of a host is long.
    fn conventional_dirs(&mut self, cgroup: &CgroupPath<'_>) -> Option<CgroupDirs> {
        let directories = locate::find(cgroup, DEFAULT_MOUNTINFO)?;
        let is_own = !directories.is_guess
            && (directories.is_mount_root() || self.is_own_cgroup(directories.leaf()));
        is_own.then_some(directories)
    }

    /// The directories of a cgroup according to the list of mounts.
    fn mountinfo_dirs(&mut self, cgroup: &CgroupPath<'_>) -> Option<CgroupDirs> {
        if self.mountinfo.is_none() {
            let mountinfo = self.read_proc(SELF_MOUNTINFO).to_vec();
            self.mountinfo = Some(mountinfo);
        }
        let mountinfo = self.mountinfo.as_deref().filter(|mountinfo| !mountinfo.is_empty());
        let mut directories = locate::find(cgroup, mountinfo.unwrap_or(DEFAULT_MOUNTINFO))?;
        // Without a list of mounts, the conventional mount points are the best guess.
        directories.is_guess |= mountinfo.is_none();
        // A sandbox may show the path on its host, but have its own mounts.
        if !self.files.directory_exists(directories.leaf()) {
            directories.fall_back_to_mount_root();
        }
        Some(directories)
    }

    /// Whether the process is in the cgroup with this directory.
    fn is_own_cgroup(&mut self, directory: &[u8]) -> bool {
        if self.verified_dir == directory {
            return true;
        }
        let is_own = self.pid.is_some_and(|pid| {
            let list = self.files.read(directory, b"cgroup.procs");
            list.is_ok_and(|list| procfs::contains_pid(list, pid))
        });
        if is_own {
            self.verified_dir = directory.to_vec();
        }
        is_own
    }

    /// Reads a file of proc(5). One that does not exist is taken as empty, and is not a problem.
    fn read_proc(&mut self, path: &[u8]) -> &[u8] {
        match self.files.read_path(path, MAX_PROC_FILE) {
            Ok(content) => content,
            Err(error) => {
                if !error.is_not_found() {
                    self.problems.push((path.to_vec(), FileProblem::Unreadable(error)));
                }
                b""
            }
        }
    }
}

#[cfg(test)]
mod tests;
