//! Where the kernel's files are: every path below `/proc` and `/sys` that the program needs, and
//! the root directory that they are looked up in.
//!
//! One exception: `sys` lists its own descriptors, and opens standard error again, in `/proc/self/fd`.

use crate::sys::Errno;
use core::ffi::CStr;

/// The cgroups of this process, one line per hierarchy (cgroups(7)).
pub const SELF_CGROUP: &[u8] = b"/proc/self/cgroup";
/// The mounts that this process sees (`proc_pid_mountinfo(5)`).
pub const SELF_MOUNTINFO: &[u8] = b"/proc/self/mountinfo";
/// The PID of this process and the CPUs that it may run on (`proc_pid_status(5)`).
pub const SELF_STATUS: &[u8] = b"/proc/self/status";
/// How our user namespace maps user IDs to those of its parent (user_namespaces(7)).
pub const SELF_UID_MAP: &[u8] = b"/proc/self/uid_map";
/// The machine's memory (`proc_meminfo(5)`).
pub const MEMINFO: &[u8] = b"/proc/meminfo";
/// The machine's CPUs (Documentation/admin-guide/cputopology.rst).
pub const CPU_DIRECTORY: &[u8] = b"/sys/devices/system/cpu";

/// The children of the calling thread, in the running system (`proc_tid_children(5)`).
pub const THREAD_CHILDREN: &CStr = c"/proc/thread-self/children";

/// The file that this process executes, in the running system (`proc_pid_exe(5)`).
pub const SELF_EXE: &CStr = c"/proc/self/exe";

/// What the paths of a process's own files begin with.
const SELF: &[u8] = b"/proc/self";

/// The directory with the files about a process, in the running system (proc(5)).
#[must_use]
pub fn process_dir(pid: i32) -> &'static [u8] {
    format!("/proc/{pid}").leak().as_bytes()
}

/// The path of a file about a process, in the running system. The name contains no NUL.
#[must_use]
pub fn process_file(pid: i32, name: &str) -> &'static CStr {
    let path = format!("/proc/{pid}/{name}\0").leak();
    CStr::from_bytes_until_nul(path.as_bytes()).unwrap_or_default()
}

/// The conventional mounts of the cgroup hierarchies, in the format of mountinfo: nearly every
/// system has them.
pub const DEFAULT_MOUNTINFO: &[u8] = b"1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
2 0 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup memory
3 0 0:3 / /sys/fs/cgroup/cpu rw - cgroup cgroup cpu
";

/// The root directory for `/proc` and `/sys`: that of the running system, a captured tree, or what
/// another process sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysRoot<'a> {
    /// The directory of a captured tree, or that of a process in proc(5).
    directory: Option<&'a [u8]>,
    /// The root directory of that process.
    process_root: Option<&'a CStr>,
}

impl<'a> SysRoot<'a> {
    /// The running system.
    #[must_use]
    pub const fn system() -> Self {
        Self { directory: None, process_root: None }
    }

    /// A captured tree: a directory that contains `proc` and `sys`.
    #[must_use]
    pub const fn at(directory: &'a [u8]) -> Self {
        Self { directory: Some(directory), process_root: None }
    }

    /// What a process sees that has this directory in proc(5): this root directory of its own, and itself
    /// as `/proc/self`.
    #[must_use]
    pub const fn of_process(directory: &'a [u8], root: &'a CStr) -> Self {
        Self { directory: Some(directory), process_root: Some(root) }
    }

    /// A captured tree if there is a directory (`--root`), and the running system otherwise, or if the
    /// directory is `/`.
    #[must_use]
    pub const fn new(directory: Option<&'a [u8]>) -> Self {
        match directory {
            Some(b"/") | None => Self::system(),
            Some(directory) => Self::at(directory),
        }
    }

    /// Whether this is the running system, so that system calls and its files agree.
    #[must_use]
    pub const fn is_system(self) -> bool {
        self.directory.is_none()
    }
}

/// Where to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The root directory that the path is in, if that is not ours. Others control what is there.
    pub root: Option<&'a CStr>,
    /// The path.
    pub path: &'a CStr,
}

impl<'a> Location<'a> {
    /// The path, for those who can only follow it from our root directory.
    ///
    /// # Errors
    /// EXDEV if it is in another root directory.
    pub fn in_our_root(self) -> Result<&'a CStr, Errno> {
        match self.root {
            Some(_) => Err(Errno(libc::EXDEV)),
            None => Ok(self.path),
        }
    }
}

/// A path in a [`SysRoot`], in one buffer for file after file.
#[derive(Debug)]
pub struct PathBuffer<'a> {
    root: SysRoot<'a>,
    /// The path to open, and a NUL.
    bytes: Vec<u8>,
}

impl<'a> PathBuffer<'a> {
    /// An empty buffer.
    #[must_use]
    pub const fn new(root: SysRoot<'a>) -> Self {
        Self { root, bytes: Vec::new() }
    }

    /// The path to open for an absolute path.
    ///
    /// # Errors
    /// EINVAL for a path that contains a NUL, as a captured mountinfo can (`\000`). The kernel
    /// never prints one.
    pub fn set(&mut self, path: &[u8]) -> Result<Location<'_>, Errno> {
        let root = self.start(path);
        self.finish(root)
    }

    /// The path to open for a file in a directory, or for the directory itself if `name` is empty.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_file(&mut self, directory: &[u8], name: &[u8]) -> Result<Location<'_>, Errno> {
        let root = self.start(directory);
        self.bytes.push(b'/');
        self.bytes.extend_from_slice(name);
        self.finish(root)
    }

    fn start(&mut self, path: &[u8]) -> Option<&'a CStr> {
        let SysRoot { directory, process_root } = self.root;
        let directory = directory.unwrap_or_default();
        let (root, directory, path) = match (process_root, path.strip_prefix(SELF)) {
            (Some(_), Some(file)) => (None, directory, file),
            (Some(root), None) => (Some(root), &b""[..], path),
            (None, _) => (None, directory, path),
        };
        self.bytes.clear();
        self.bytes.extend_from_slice(directory);
        self.bytes.extend_from_slice(path);
        root
    }

    fn finish(&mut self, root: Option<&'a CStr>) -> Result<Location<'_>, Errno> {
        self.bytes.push(0);
        let path = CStr::from_bytes_with_nul(&self.bytes).map_err(|_| Errno(libc::EINVAL))?;
        Ok(Location { root, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_opened_below_the_root() {
        for (root, opened) in
            [(SysRoot::system(), c"/a/b"), (SysRoot::at(b"/captured"), c"/captured/a/b")]
        {
            let mut path = PathBuffer::new(root);
            let expected = Ok(Location { root: None, path: opened });
            assert_eq!(path.set(b"/a/b"), expected);
            assert_eq!(path.set_file(b"/a", b"b"), expected);
            assert_eq!(path.set_file(b"/a\0", b"b"), Err(Errno(libc::EINVAL)));
        }
        let mut path = PathBuffer::new(SysRoot::of_process(b"/proc/7", c"/proc/7/root"));
        let location = |root, path| Ok(Location { root, path });
        assert_eq!(path.set(SELF_CGROUP), location(None, c"/proc/7/cgroup"));
        assert_eq!(path.set(MEMINFO), location(Some(c"/proc/7/root"), c"/proc/meminfo"));
        assert_eq!(path.set_file(b"/sys", b"x"), location(Some(c"/proc/7/root"), c"/sys/x"));
        assert_eq!(path.set(SELF_CGROUP).unwrap().in_our_root(), Ok(c"/proc/7/cgroup"));
        assert_eq!(path.set(MEMINFO).unwrap().in_our_root(), Err(Errno(libc::EXDEV)));
        assert!(SysRoot::new(None).is_system() && SysRoot::new(Some(b"/")).is_system());
        assert!(!SysRoot::new(Some(b"/captured")).is_system());
    }
}
