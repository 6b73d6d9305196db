//! The limits that a container will have: those in its configuration, and those of the cgroups above it
//! on the host, which it cannot see itself.

use crate::bundle::{Config, Cpu, Linux, Memory, Resources};
use loadline::cgroup::limits::{CgroupVersion, LimitFile, LimitValue, Limits};
use loadline::cgroup::{self, SysRoot};
use loadline::units::{Bytes, CpuQuota};

/// The kernel's default period of CPU quotas, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// Finds the limits of a container. `systemd` tells who makes the cgroup, and `id` is the container's.
#[must_use]
pub fn read(root: &SysRoot<'_>, config: &Config<'_>, systemd: bool, id: &[u8]) -> Limits {
    let linux = config.linux.as_ref();
    let user_manager = if systemd { cgroup::user_manager(root) } else { None };
    let path = cgroup_path(linux, systemd, user_manager.as_deref(), id);
    let mut limits = cgroup::read_above(root, &path);
    if let Some(resources) = linux.and_then(|linux| linux.resources.as_ref()) {
        let is_v2 = |version| version == Some(CgroupVersion::V2);
        let (memory, cpu) = (limits.memory.version, limits.cpu.version);
        limits.memory.files.splice(..0, memory_limits(resources, is_v2(memory)));
        limits.cpu.files.splice(..0, cpu_quota(resources, is_v2(cpu)));
        let cpus = resources.cpu.as_ref().and_then(|cpu| cpu.cpus.as_ref());
        if let Some(count) = cpus.and_then(|list| cgroup::procfs::count_cpus(list.as_bytes())) {
            limits.cpus = Some(limits.cpus.map_or(count, |all| all.min(count)));
        }
    }
    limits
}

/// The path of the container's cgroup, as runc finds it. It is relative if it is below runc's own. Without
/// root, `user_manager` is the cgroup of the systemd that makes it.
fn cgroup_path(
    linux: Option<&Linux<'_>>,
    systemd: bool,
    user_manager: Option<&[u8]>,
    id: &[u8],
) -> Vec<u8> {
    let given = linux.and_then(|linux| linux.cgroups_path.as_deref()).unwrap_or_default();
    if !systemd {
        return if given.is_empty() { id.to_vec() } else { given.as_bytes().to_vec() };
    }
    let mut parts = given.splitn(3, ':');
    let (slice, prefix, name) = match (parts.next(), parts.next(), parts.next()) {
        (Some(slice), Some(prefix), Some(name)) => (slice, prefix, name.as_bytes()),
        _ => ("", "runc", id),
    };
    let default_slice = if user_manager.is_some() { "user.slice" } else { "system.slice" };
    let slice = if slice.is_empty() { default_slice } else { slice };
    let scope = match prefix {
        "" => name.to_vec(),
        prefix => [prefix.as_bytes(), b"-", name].concat(),
    };
    let unit = if scope.ends_with(b".slice") { scope } else { [&scope[..], b".scope"].concat() };
    [user_manager.unwrap_or_default(), expanded_slice(slice).as_bytes(), b"/", &unit].concat()
}

/// The path of a slice: `a-b.slice` is in `a.slice` (systemd.slice(5)).
fn expanded_slice(slice: &str) -> String {
    let mut path = String::new();
    let Some(name) = slice.strip_suffix(".slice").filter(|name| *name != "-") else {
        return path;
    };
    for (end, _) in name.match_indices('-').chain([(name.len(), "")]) {
        path += &format!("/{}.slice", name.get(..end).unwrap_or_default());
    }
    path
}

fn memory_limits(resources: &Resources, is_v2: bool) -> Vec<LimitFile<Bytes>> {
    let limit = resources.memory.as_ref().and_then(|Memory { limit }| *limit);
    let limit = limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
    let mut files = vec![file(
        "linux.resources.memory.limit",
        limit.map_or(LimitValue::Unlimited, |limit| LimitValue::Limit(Bytes(limit))),
    )];
    for name in ["memory.max", "memory.high"] {
        if let Some(text) = unified(resources, is_v2, name) {
            let value = cgroup::limit_value(text, parse_written_memory_limit);
            files.push(file(&format!("linux.resources.unified.{name}"), value));
        }
    }
    // As the runtime writes it last.
    if files.iter().any(|file| file.path.ends_with(b".memory.max")) {
        files.remove(0);
    }
    files
}

fn cpu_quota(resources: &Resources, is_v2: bool) -> Vec<LimitFile<CpuQuota>> {
    if let Some(text) = unified(resources, is_v2, "cpu.max") {
        let value = cgroup::limit_value(text, cgroup::parse_cpu_max);
        return vec![file("linux.resources.unified.cpu.max", value)];
    }
    let quota = resources.cpu.as_ref().and_then(|Cpu { quota, period, .. }| {
        let period = period.filter(|period| *period > 0).unwrap_or(DEFAULT_PERIOD);
        CpuQuota::new(u64::try_from((*quota)?).ok()?, period)
    });
    vec![file("linux.resources.cpu.quota", quota.map_or(LimitValue::Unlimited, LimitValue::Limit))]
}

/// Parses a limit as the kernel does when it is written. It may end with a letter for a power of 1024 (memparse()).
fn parse_written_memory_limit(text: &[u8]) -> Option<LimitValue<Bytes>> {
    let power = |letter: &u8| b"kmgtpe".iter().position(|it| *it == letter.to_ascii_lowercase());
    let (Some(power), Some((_, number))) = (text.last().and_then(power), text.split_last()) else {
        return cgroup::parse_memory_limit(text);
    };
    match cgroup::parse_memory_limit(number)? {
        LimitValue::Limit(Bytes(number)) => {
            let unit = 1024u64.checked_pow(u32::try_from(power).ok()?.saturating_add(1))?;
            number.checked_mul(unit).map(|bytes| LimitValue::Limit(Bytes(bytes)))
        }
        _ => None,
    }
}

/// A file of cgroup v2 that is set by its name.
fn unified<'a>(resources: &'a Resources, is_v2: bool, name: &str) -> Option<&'a [u8]> {
    let text = resources.unified.as_ref()?.get(name).filter(|_| is_v2)?;
    Some(text.trim().as_bytes())
}

/// A limit that is not in a file of a cgroup yet.
fn file<T>(place: &str, value: LimitValue<T>) -> LimitFile<T> {
    LimitFile { path: place.as_bytes().to_vec(), value, in_ancestor: false }
}

#[cfg(test)]
mod tests;
