//! The formats of proc(5) and of the files in a cgroup: bytes in, values out.

use super::limits::CgroupVersion;
use crate::text::split_once;
use crate::units::{Bytes, parse_integer};

/// The cgroup of this process in the hierarchy of one controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupPath<'a> {
    /// The controller.
    pub controller: &'a [u8],
    /// The version of the hierarchy.
    pub version: CgroupVersion,
    /// The path in the hierarchy, as the process's cgroup namespace shows it.
    pub path: &'a [u8],
}

/// Finds the cgroup of a controller in `/proc/self/cgroup`: that in the controller's own v1
/// hierarchy if it has one, and that in the v2 hierarchy otherwise.
#[must_use]
pub fn cgroup_path<'a>(text: &'a [u8], controller: &'a [u8]) -> Option<CgroupPath<'a>> {
    let mut unified = None;
    for Hierarchy { id, controllers, path } in lines(text).filter_map(Hierarchy::parse) {
        if fields(controllers, b',').any(|name| name == controller) {
            return Some(CgroupPath { controller, version: CgroupVersion::V1, path });
        }
        if id == b"0" && controllers.is_empty() && unified.is_none() {
            unified = Some(CgroupPath { controller, version: CgroupVersion::V2, path });
        }
    }
    unified
}

/// Whether no line of `/proc/self/cgroup` is in the format that cgroups(7) describes: it is missing or
/// hidden, or the kernel has no hierarchy mounted.
#[must_use]
pub fn names_no_cgroup(text: &[u8]) -> bool {
    lines(text).all(|line| Hierarchy::parse(line).is_none())
}

/// A line of `/proc/self/cgroup`: a hierarchy and the process's cgroup in it.
pub struct Hierarchy<'a> {
    /// Its number; 0 for v2.
    pub id: &'a [u8],
    /// The names of its controllers; none for v2.
    pub controllers: &'a [u8],
    /// The path of the cgroup.
    pub path: &'a [u8],
}

impl<'a> Hierarchy<'a> {
    /// Parses `hierarchy-ID:controller-list:cgroup-path`. Only the path may contain more colons.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        /// The size of the buffer that the kernel prints the path from. It also bounds the number of
        /// ancestors.
        const PATH_MAX: usize = 4096;
        let (id, rest) = split_once(line, b':')?;
        let (controllers, path) = split_once(rest, b':')?;
        let is_valid = path.starts_with(b"/") && path.len() < PATH_MAX;
        is_valid.then_some(Self { id, controllers, path })
    }
}

/// The content of `/proc/self/cgroup` with another path in each hierarchy: this one, or if it does not
/// begin with a slash, one below the present path in v1 and one beside it in v2, as runc does it: a cgroup
/// of v2 that has processes cannot have others below it. `.` and `..` are folded, and lead no higher.
#[must_use]
pub fn with_paths(text: &[u8], path: &[u8]) -> Vec<u8> {
    let mut below = Vec::new();
    for part in fields(path, b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(below.pop()),
            part => below.push(part),
        }
    }
    let mut changed = Vec::new();
    for Hierarchy { id, controllers, path: own } in lines(text).filter_map(Hierarchy::parse) {
        let mut parts: Vec<_> = fields(own, b'/').filter(|part| !part.is_empty()).collect();
        if path.starts_with(b"/") {
            parts.clear();
        } else if controllers.is_empty() {
            parts.pop();
        }
        parts.extend_from_slice(&below);
        changed.extend([id, b":", controllers, b":/", &parts.join(&b'/'), b"\n"].concat());
    }
    changed
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    fields(text, b'\n')
}

/// The parts of a text between separators.
pub fn fields(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> + Clone {
    text.split(move |byte| *byte == separator)
}

/// A mounted cgroup hierarchy, or a mounted part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// The version of the hierarchy.
    pub version: CgroupVersion,
    /// The cgroup that the mount point shows, escaped.
    pub root: &'a [u8],
    /// The directory that it is mounted at, escaped.
    pub mount_point: &'a [u8],
    /// The options of the file system. In v1 the controllers are among them.
    pub options: &'a [u8],
}

impl Mount<'_> {
    /// Whether this is a mount of the hierarchy that the cgroup is in.
    #[must_use]
    pub fn serves(&self, cgroup: &CgroupPath<'_>) -> bool {
        self.version == cgroup.version
            && match self.version {
                CgroupVersion::V1 => fields(self.options, b',').any(|it| it == cgroup.controller),
                CgroupVersion::V2 => true,
            }
    }
}

/// The cgroup mounts in `/proc/self/mountinfo`, the oldest first. Other lines are skipped.
pub fn mounts(text: &[u8]) -> impl Iterator<Item = Mount<'_>> + Clone {
    lines(text).filter_map(mount)
}

/// Whether a line of `/proc/self/mountinfo` is that of a cgroup mount.
#[must_use]
pub fn is_cgroup_mount(line: &[u8]) -> bool {
    mount(line).is_some()
}

/// A line of `/proc/self/mountinfo`. What comes from file systems is escaped.
pub struct MountLine<'a> {
    /// What the mount point shows of the file system.
    pub root: &'a [u8],
    /// The directory that it is mounted at.
    pub mount_point: &'a [u8],
    /// The type of the file system.
    pub file_system: &'a [u8],
    /// Its source, a space and its options.
    pub source_and_options: &'a [u8],
}

impl<'a> MountLine<'a> {
    /// Parses `id parent device root mount-point options [optional ...] - type source super-options`.
    /// The super options of cgroup file systems contain no spaces. Those of others do: WSL mounts
    /// `path=C:\Program Files\...`.
    pub fn parse(mut line: &'a [u8]) -> Option<Self> {
        let mut field = || {
            let (field, rest) = split_once(line, b' ')?;
            line = rest;
            Some(field)
        };
        let (_id, _parent, _device) = (field()?, field()?, field()?);
        let (root, mount_point, _options) = (field()?, field()?, field()?);
        while field()? != b"-" {}
        let file_system = field()?;
        Some(Self { root, mount_point, file_system, source_and_options: line })
    }

    /// The version of the hierarchy, if it is one of cgroups.
    pub fn version(&self) -> Option<CgroupVersion> {
        match self.file_system {
            b"cgroup" => Some(CgroupVersion::V1),
            b"cgroup2" => Some(CgroupVersion::V2),
            _ => None,
        }
    }
}

fn mount(line: &[u8]) -> Option<Mount<'_>> {
    let line = MountLine::parse(line)?;
    let version = line.version()?;
    let (_source, options) = split_once(line.source_and_options, b' ')?;
    let MountLine { root, mount_point, .. } = line;
    let is_valid = root.starts_with(b"/") && mount_point.starts_with(b"/");
    is_valid.then_some(Mount { version, root, mount_point, options })
}

/// Reverses the escapes of the kernel for spaces, tabs, newlines and backslashes, such as `\040`.
#[must_use]
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        let (byte, tail) = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                ((a & 3) << 6 | (b & 7) << 3 | (c & 7), tail)
            }
            [byte, tail @ ..] => (*byte, tail),
            [] => return bytes,
        };
        bytes.push(byte);
        rest = tail;
    }
}

/// The value in a line `name value`, as in `memory.stat`, or `Name: value`, where the name is given
/// with its colon.
#[must_use]
pub fn field<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines(text).find_map(|line| match line.strip_prefix(name)? {
        value @ [b' ' | b'\t', ..] => Some(value.trim_ascii()),
        _ => None,
    })
}

/// The number in a line `name number`.
#[must_use]
pub fn number_field(text: &[u8], name: &[u8]) -> Option<u64> {
    parse_integer(field(text, name)?)
}

/// The number that is the whole text, but for white space around it.
#[must_use]
pub fn parse_number(text: &[u8]) -> Option<u64> {
    parse_integer(text.trim_ascii())
}

/// The machine's memory by `/proc/meminfo`.
#[must_use]
pub fn memory_total(meminfo: &[u8]) -> Option<Bytes> {
    field(meminfo, b"MemTotal:").and_then(parse_kilobytes)
}

/// Parses a value of `/proc/meminfo`: `16384 kB`.
fn parse_kilobytes(value: &[u8]) -> Option<Bytes> {
    parse_integer(value.strip_suffix(b" kB")?)?.checked_mul(1024).map(Bytes)
}

/// Whether `/proc/self/uid_map` is that of the initial user namespace, where every ID stands for itself
/// (user_namespaces(7)). Without such namespaces the kernel has no such file.
#[must_use]
pub fn is_initial_uid_map(text: &[u8]) -> bool {
    let numbers = text.split(u8::is_ascii_whitespace).filter(|it| !it.is_empty());
    text.is_empty() || numbers.map(parse_integer).eq([0, 0, u32::MAX.into()].map(Some))
}

/// Counts the CPUs in a list such as `0-3,8`.
#[must_use]
pub fn count_cpus(list: &[u8]) -> Option<u32> {
    /// The most that Linux can be built for (NR_CPUS).
    const MAX: u64 = 8192;
    let mut count = 0u64;
    for range in fields(list, b',') {
        let (first, last) = split_once(range, b'-').unwrap_or((range, range));
        let (first, last) = (parse_integer(first)?, parse_integer(last)?);
        if last >= MAX {
            return None;
        }
        count = count.checked_add(last.checked_sub(first)?)?.checked_add(1)?;
        if count > MAX {
            return None;
        }
    }
    u32::try_from(count).ok()
}

/// Whether a list of PIDs, one per line, contains this one.
#[must_use]
pub fn contains_pid(text: &[u8], pid: u64) -> bool {
    lines(text).any(|line| parse_integer(line) == Some(pid))
}

#[cfg(test)]
mod tests;
