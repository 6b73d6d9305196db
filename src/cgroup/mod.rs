//! Finds the memory and CPU limits of the cgroup that this process is in: for each controller in v1
//! or v2, from the process's own cgroup up to the root of the mount.
//!
//! Nothing here fails: a file that cannot be read or parsed is part of the result.

pub mod counters;
mod files;
pub mod go_runtime;
pub mod limits;
mod locate;
pub mod pressure;
pub mod procfs;
pub mod sysroot;
mod v1;
mod v2;

use crate::sys::{self, Errno};
use crate::units::{Bytes, CpuQuota, parse_integer};
use core::ffi::CStr;
use files::{FileReader, LimitFiles, invalid};
use go_runtime::{MountRule, MountSearch};
use limits::{
    CgroupVersion, ControllerLimits, FileProblem, Limit, LimitFile, LimitValue, Limits,
    RuntimeError, RuntimeQuota, parent_dir,
};
use locate::CgroupDirs;
use procfs::CgroupPath;
use sysroot::{
    CPU_DIRECTORY, DEFAULT_MOUNTINFO, Location, MEMINFO, PathBuffer, SELF_CGROUP, SELF_MOUNTINFO,
    SELF_STATUS, SELF_UID_MAP,
};

pub use files::limit_value;
pub use sysroot::SysRoot;
pub use v2::{parse_cpu_max, parse_memory_limit};

/// A controller: its name, and the files with its limits.
struct Controller<T> {
    name: &'static [u8],
    v1: LimitFiles<T>,
    v2: LimitFiles<T>,
}

const MEMORY: Controller<Bytes> = Controller { name: b"memory", v1: v1::MEMORY, v2: v2::MEMORY };
const CPU: Controller<CpuQuota> = Controller { name: b"cpu", v1: v1::CPU, v2: v2::CPU };

impl<T> Controller<T> {
    const fn files(&self, version: CgroupVersion) -> &LimitFiles<T> {
        match version {
            CgroupVersion::V1 => &self.v1,
            CgroupVersion::V2 => &self.v2,
        }
    }
}

/// The kernel's default period of CPU quotas, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// The list of the processes in a cgroup.
const CGROUP_PROCS: &[u8] = b"cgroup.procs";

/// The most that is kept of a file of proc(5): enough for the cgroups of 256 hierarchies with the longest
/// paths, and for thousands of cgroup mounts.
const MAX_PROC_FILE: usize = 1 << 20;

/// Finds all limits of this process.
#[must_use]
pub fn read(root: &SysRoot<'_>) -> Limits {
    let mut search = Search::new(*root);
    let memory_total = search.memory_total(root);
    let Process { pid, cpus } =
        if root.is_system() { Process::running() } else { search.captured_process() };
    search.pid = pid;
    let cgroups = search.read_proc(SELF_CGROUP).to_vec();
    if procfs::names_no_cgroup(&cgroups) && !cgroups.trim_ascii().is_empty() {
        search.problems.push((SELF_CGROUP.to_vec(), invalid(&cgroups)));
    }
    let mut memory = search.controller_limits(&MEMORY, &cgroups);
    let cpu = search.controller_limits(&CPU, &cgroups);
    if root.is_system()
        && let Some(total) = memory_total
    {
        memory.files.extend(search.meminfo_limit(&memory, total));
    }
    let problems = search.problems;
    Limits { memory, cpu, memory_total, cpus, problems, cgroups, runtime_quota: None }
}

/// Finds the limits above a cgroup that is yet to be made: those of its ancestors, as far as they
/// exist, and none of its own. The CPUs are those of the nearest one. `path` is one as a container's
/// configuration has it (OCI runtime specification): if it begins with a slash, it begins at the root
/// that we see.
#[must_use]
pub fn read_above(root: &SysRoot<'_>, path: &[u8]) -> Limits {
    let mut search = Search::new(*root);
    let memory_total = search.memory_total(root);
    let own = search.read_proc(SELF_CGROUP).to_vec();
    let cgroups = procfs::with_paths(&own, path);
    let mut memory = search.limits_above(&MEMORY, &cgroups);
    let cpu = search.limits_above(&CPU, &cgroups);
    let cpus = search.cpus_above(&cgroups);
    if root.is_system()
        && let Some(total) = memory_total
    {
        memory.files.extend(search.meminfo_limit(&memory, total));
    }
    let problems = search.problems;
    Limits { memory, cpu, memory_total, cpus, problems, cgroups, runtime_quota: None }
}

/// Finds the cgroup of the user's own systemd (`user@UID.service`) if we run below it and are not root on
/// the host. That systemd then makes the cgroups of our containers, below its own.
#[must_use]
pub fn user_manager(root: &SysRoot<'_>) -> Option<Vec<u8>> {
    let mut search = Search::new(*root);
    let effective = procfs::field(search.read_proc(SELF_STATUS), b"Uid:")
        .and_then(|ids| ids.split(u8::is_ascii_whitespace).nth(1).and_then(parse_integer));
    if effective == Some(0) && procfs::is_initial_uid_map(search.read_proc(SELF_UID_MAP)) {
        return None;
    }
    let cgroups = search.read_proc(SELF_CGROUP);
    let path = procfs::cgroup_path(cgroups, MEMORY.name)?.path;
    let is_manager = |name: &[u8]| name.starts_with(b"user@") && name.ends_with(b".service");
    let mut parts: Vec<_> = procfs::fields(path, b'/').collect();
    parts.truncate(parts.iter().position(|part| is_manager(part))?.saturating_add(1));
    Some(parts.join(&b'/'))
}

/// Finds what the program's Go runtime will find as its CPU quota.
///
/// # Errors
/// Why the runtime will not find its quota.
pub fn runtime_quota(root: &SysRoot<'_>, limits: &Limits, rule: MountRule) -> RuntimeQuota {
    let cgroup = go_runtime::cpu_cgroup(&limits.cgroups)?;
    let mut files = FileReader::new(*root);
    let mut search = MountSearch::new(rule, cgroup);
    let mut found = Ok(None);
    let read = files.read_lines(SELF_MOUNTINFO, &mut |line| {
        // The runtime reads no further than it must.
        if found == Ok(None) {
            found = search.visit(line);
        }
        Ok(())
    });
    let directory = match (found?, read) {
        (Some(directory), _) => directory,
        (None, Ok(())) => search.finish()?,
        (None, Err(_)) => return Err(RuntimeError::Unreadable),
    };
    // What was read is not read again: the quota may have changed since then.
    let is_read = |file: &&LimitFile<CpuQuota>| parent_dir(&file.path) == directory;
    if let Some(file) = limits.cpu.files.first().filter(is_read) {
        return quota_in(file);
    }
    let files = (CPU.files(cgroup.version).read)(&mut files, &CgroupDirs::only(directory));
    files.first().map_or(Err(RuntimeError::NotFound), quota_in)
}

fn quota_in(file: &LimitFile<CpuQuota>) -> RuntimeQuota {
    match &file.value {
        LimitValue::Limit(quota) => Ok(Some(*quota)),
        LimitValue::Unlimited => Ok(None),
        LimitValue::Absent | LimitValue::Problem(_) => Err(RuntimeError::NotFound),
    }
}

/// Calls `visit` for every file that can set a limit of the process: in the directories of its own
/// cgroup and of all ancestors. Some of the files may not exist.
pub fn for_each_limit_file(root: &SysRoot<'_>, limits: &Limits, visit: &mut dyn FnMut(&CStr)) {
    let Limits { memory, cpu, .. } = limits;
    let mut path = PathBuffer::new(*root);
    let mut visit_upwards = |leaf_dir: Option<&[u8]>, names: &[&[u8]]| {
        let mut next = leaf_dir;
        while let Some(directory) = next {
            for name in names {
                if let Ok(path) = path.set_file(directory, name).and_then(Location::in_our_root) {
                    visit(path);
                }
            }
            next = (!directory.is_empty()).then(|| parent_dir(directory));
        }
    };
    if let Some(version) = memory.version {
        visit_upwards(memory.leaf_dir(), MEMORY.files(version).names);
    }
    if let Some(version) = cpu.version {
        visit_upwards(cpu.leaf_dir(), CPU.files(version).names);
    }
}

/// This process. What is unknown is none.
struct Process {
    pid: Option<u64>,
    /// The number of CPUs that it may run on.
    cpus: Option<u32>,
}

impl Process {
    fn running() -> Self {
        Self { pid: Some(sys::process_id().unsigned_abs().into()), cpus: sys::allowed_cpus() }
    }
}

/// Where the limits of a controller may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the process's cgroup below the conventional mount point.
    Conventional,
    /// In the process's cgroup below the mount that shows it.
    Listed,
    /// At the root of a mount, which is a guess, if nothing tells the process's cgroup. In a container
    /// that has a cgroup namespace of its own, it is the process's cgroup.
    Root(CgroupVersion),
}

impl Place {
    const IN_ORDER: [Self; 4] = [
        Self::Conventional,
        Self::Listed,
        Self::Root(CgroupVersion::V1),
        Self::Root(CgroupVersion::V2),
    ];
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

    /// The memory of the machine, or of the one that the tree was captured on.
    fn memory_total(&mut self, root: &SysRoot<'_>) -> Option<Bytes> {
        if root.is_system() {
            sys::memory_total().map(Bytes)
        } else {
            procfs::memory_total(self.read_proc(MEMINFO))
        }
    }

    /// The process that the tree was captured from.
    fn captured_process(&mut self) -> Process {
        let status = self.read_proc(SELF_STATUS);
        let pid = procfs::field(status, b"Pid:").and_then(parse_integer);
        let cpus = procfs::field(status, b"Cpus_allowed_list:").and_then(procfs::count_cpus);
        Process { pid, cpus }
    }

    /// Finds the limits of a controller. `cgroups` is the content of `/proc/self/cgroup`.
    fn controller_limits<T: Limit>(
        &mut self,
        controller: &Controller<T>,
        cgroups: &[u8],
    ) -> ControllerLimits<T> {
        for place in Place::IN_ORDER {
            let Some((version, directories)) = self.find(place, controller.name, cgroups) else {
                continue;
            };
            let limits = ControllerLimits {
                version: Some(version),
                is_guess: directories.is_guess,
                files: (controller.files(version).read)(&mut self.files, &directories),
            };
            // Without the controller, this has to be the process's cgroup for certain, and visible.
            let is_found = limits.has_controller()
                || (place == Place::Listed
                    && (limits.controller_dir().is_some()
                        || (!limits.is_guess && self.is_cgroup(version, directories.leaf()))));
            if is_found {
                return limits;
            }
        }
        let version = procfs::cgroup_path(cgroups, controller.name).map(|it| it.version);
        ControllerLimits { version, ..ControllerLimits::none() }
    }

    /// Finds the limits above the cgroup of a controller in `cgroups`, which has the format of
    /// `/proc/self/cgroup`.
    fn limits_above<T: Limit>(
        &mut self,
        controller: &Controller<T>,
        cgroups: &[u8],
    ) -> ControllerLimits<T> {
        let Some(cgroup) = procfs::cgroup_path(cgroups, controller.name) else {
            return ControllerLimits::none();
        };
        let version = Some(cgroup.version);
        let Some(directories) = self.dirs_above(&cgroup) else {
            return ControllerLimits { version, ..ControllerLimits::none() };
        };
        let mut files = (controller.files(cgroup.version).read)(&mut self.files, &directories);
        for file in &mut files {
            file.in_ancestor = true;
        }
        ControllerLimits { version, is_guess: false, files }
    }

    /// The number of CPUs of the nearest cgroup above the one in `cgroups`; if none has a list, the number
    /// of online CPUs. Our own affinity says little about the container: if the engine is bound to a few
    /// CPUs (`CPUAffinity=` in systemd.exec(5)), runtimes undo that for the container. A runc from
    /// before September 2025 does not on Linux 6.2 and later (opencontainers/runc#4858).
    fn cpus_above(&mut self, cgroups: &[u8]) -> Option<u32> {
        if let Some(cgroup) = procfs::cgroup_path(cgroups, b"cpuset")
            && let Some(directories) = self.dirs_above(&cgroup)
        {
            let name = match cgroup.version {
                CgroupVersion::V1 => &b"cpuset.effective_cpus"[..],
                CgroupVersion::V2 => b"cpuset.cpus.effective",
            };
            for directory in directories.upwards() {
                // A new cpuset has an empty list (v1) until the runtime copies that of its parent.
                let list = self.files.read(directory, name).ok();
                if let Some(count) = list.and_then(procfs::count_cpus) {
                    return Some(count);
                }
            }
        }
        procfs::count_cpus(self.files.read(CPU_DIRECTORY, b"online").ok()?)
    }

    /// The directories of the nearest cgroup above this one that exists, and of its ancestors.
    fn dirs_above(&mut self, cgroup: &CgroupPath<'_>) -> Option<CgroupDirs> {
        let mut directories = locate::find(cgroup, self.mountinfo()).filter(|it| !it.is_guess)?;
        while directories.leave_out_leaf() && !self.files.exists(directories.leaf(), b"") {}
        Some(directories)
    }

    /// The directories of the process's cgroup at this place.
    fn find(
        &mut self,
        place: Place,
        controller: &'static [u8],
        cgroups: &[u8],
    ) -> Option<(CgroupVersion, CgroupDirs)> {
        let cgroup = match place {
            Place::Conventional | Place::Listed => procfs::cgroup_path(cgroups, controller)?,
            Place::Root(version) if procfs::names_no_cgroup(cgroups) => {
                CgroupPath { controller, version, path: b"/" }
            }
            Place::Root(_) => return None,
        };
        let mut directories = match place {
            Place::Conventional => self.conventional_dirs(&cgroup)?,
            Place::Listed | Place::Root(_) => self.mountinfo_dirs(&cgroup)?,
        };
        if let Place::Root(_) = place {
            directories.fall_back_to_mount_root();
        }
        Some((cgroup.version, directories))
    }

    /// Whether a directory is that of a cgroup, and nothing else is mounted over it. These files are in
    /// every cgroup, that at the root of the hierarchy included.
    fn is_cgroup(&mut self, version: CgroupVersion, directory: &[u8]) -> bool {
        let name = match version {
            CgroupVersion::V1 => CGROUP_PROCS,
            CgroupVersion::V2 => b"cgroup.controllers",
        };
        self.files.exists(directory, name)
    }

    /// The memory limit that lxcfs shows in place of the machine's memory, which is `total` according to
    /// the kernel. It may be set above the cgroups that the process sees. The file is read only if none
    /// of these has a limit that can be reached: reading takes time, and the limit of a visible cgroup
    /// is the lower one nearly always.
    fn meminfo_limit(
        &mut self,
        memory: &ControllerLimits<Bytes>,
        total: Bytes,
    ) -> Option<LimitFile<Bytes>> {
        if memory.lowest().is_some_and(|(limit, _)| limit <= total) {
            return None;
        }
        let value = match self.files.read_path(MEMINFO, MAX_PROC_FILE) {
            // The file shows whole kilobytes.
            Ok(text) => LimitValue::Limit(
                procfs::memory_total(text).filter(|shown| shown.0 / 1024 < total.0 / 1024)?,
            ),
            Err(error) if error.is_not_found() => return None,
            Err(error) => LimitValue::Problem(FileProblem::Unreadable(error)),
        };
        Some(LimitFile { path: MEMINFO.to_vec(), value, in_ancestor: true })
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
        let mountinfo = self.mountinfo();
        let is_known = !mountinfo.is_empty();
        let mut directories =
            locate::find(cgroup, if is_known { mountinfo } else { DEFAULT_MOUNTINFO })?;
        // Without a list of mounts, the conventional mount points are the best guess.
        directories.is_guess |= !is_known;
        // A sandbox may show the path on its host, but have its own mounts.
        if !self.files.exists(directories.leaf(), b"") {
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
            let list = self.files.read(directory, CGROUP_PROCS);
            list.is_ok_and(|list| procfs::contains_pid(list, pid))
        });
        if is_own {
            self.verified_dir = directory.to_vec();
        }
        is_own
    }

    /// The list of mounts, which is read once; empty if there is none.
    fn mountinfo(&mut self) -> &[u8] {
        if self.mountinfo.is_none() {
            self.mountinfo = Some(self.read_mountinfo());
        }
        self.mountinfo.as_deref().unwrap_or_default()
    }

    /// Reads the list of mounts, and keeps those of cgroups. Nothing is kept if there is no list: so
    /// its first line is kept in any case.
    fn read_mountinfo(&mut self) -> Vec<u8> {
        let mut kept = Vec::new();
        let result = self.files.read_lines(SELF_MOUNTINFO, &mut |line| {
            if kept.is_empty() || procfs::is_cgroup_mount(line) {
                if kept.len().saturating_add(line.len()) > MAX_PROC_FILE {
                    return Err(Errno(libc::EFBIG));
                }
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
            Ok(())
        });
        if let Err(error) = result {
            add_problem(&mut self.problems, SELF_MOUNTINFO, error);
            kept.clear();
        }
        kept
    }

    /// Reads a file of proc(5). One that cannot be read is taken as empty.
    fn read_proc(&mut self, path: &[u8]) -> &[u8] {
        match self.files.read_path(path, MAX_PROC_FILE) {
            Ok(content) => content,
            Err(error) => {
                add_problem(&mut self.problems, path, error);
                b""
            }
        }
    }
}

/// A file that does not exist is not a problem.
fn add_problem(problems: &mut Vec<(Vec<u8>, FileProblem)>, path: &[u8], error: Errno) {
    if !error.is_not_found() {
        problems.push((path.to_vec(), FileProblem::Unreadable(error)));
    }
}

#[cfg(test)]
mod tests;
