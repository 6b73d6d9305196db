//! The limits in the directories of a v1 hierarchy.

use super::Tree;
use super::locate::Directories;
use super::proc;
use crate::limits::{Reading, Value};
use crate::sys::Errno;
use crate::units::{Quota, integer};

/// Each cgroup's own memory limit.
pub const MEMORY: &[u8] = b"memory.limit_in_bytes";
/// Each cgroup's own CPU time in a period.
pub const CPU: &[u8] = b"cpu.cfs_quota_us";

const STAT: &[u8] = b"memory.stat";
const HIERARCHICAL: &[u8] = b"hierarchical_memory_limit";
const PERIOD: &[u8] = b"cpu.cfs_period_us";

/// The memory limits. A cgroup's own file does not show those of its ancestors, but
/// `hierarchical_memory_limit` is the least of all that apply, those outside of the mount
/// included (Documentation/admin-guide/cgroup-v1/memory.rst). Where it is less, the ancestor that
/// has it is looked for, to name it. Without it every ancestor is taken to apply.
pub fn memory(tree: &mut Tree<'_>, directories: &Directories) -> Vec<Reading<u64>> {
    let leaf = tree.reading(directories.leaf(), MEMORY, bytes);
    let stat = tree.reading(directories.leaf(), STAT, hierarchical);
    let (own, all) = (limit(&leaf), limit(&stat));
    let mut files = vec![leaf];
    let is_known = matches!(stat.value, Value::Limit(_));
    let nothing_above = matches!(stat.value, Value::Unlimited) || (is_known && own <= all);
    let mut directory = if nothing_above { None } else { directories.above(directories.leaf()) };
    while let Some(ancestor) = directory {
        let reading = tree.reading(ancestor, MEMORY, bytes);
        let is_source = is_known && limit(&reading) == all;
        if is_source || !is_known {
            files.push(reading);
        }
        directory = if is_source { None } else { directories.above(ancestor) };
    }
    files.push(stat);
    files
}

/// A limit to compare with; no limit is more than any.
fn limit(reading: &Reading<u64>) -> u64 {
    if let Value::Limit(limit) = reading.value { limit } else { u64::MAX }
}

/// Reads bytes. No limit is shown as the largest number of whole pages, of 4 to 64 KiB, in a signed
/// long (PAGE_COUNTER_MAX); kernels before 3.19 counted in bytes, up to 2^63 - 1 or 2^64 - 1.
fn bytes(text: &[u8]) -> Option<Value<u64>> {
    const UNLIMITED: u64 = i64::MAX as u64 - 0xffff;
    if is_negative(text) {
        return Some(Value::Unlimited);
    }
    let bytes = integer(text)?;
    Some(if bytes >= UNLIMITED { Value::Unlimited } else { Value::Limit(bytes) })
}

/// Sandboxes with a kernel of their own leave the line out.
fn hierarchical(text: &[u8]) -> Option<Value<u64>> {
    proc::value(text, HIERARCHICAL).map_or(Some(Value::Absent), bytes)
}

/// The quotas of the cgroup and its ancestors: a cgroup does not show its parent's.
pub fn cpu(tree: &mut Tree<'_>, directories: &Directories) -> Vec<Reading<Quota>> {
    let mut files = Vec::new();
    let mut directory = Some(directories.leaf());
    while let Some(cgroup) = directory {
        files.push(quota(tree, cgroup));
        directory = directories.above(cgroup);
    }
    files
}

/// Only where there is a quota does its period matter.
fn quota(tree: &mut Tree<'_>, directory: &[u8]) -> Reading<Quota> {
    let mut time = 0;
    let quota = tree.reading(directory, CPU, |text| {
        if is_negative(text) {
            return Some(Value::Unlimited);
        }
        time = integer(text).filter(|time| *time > 0)?;
        // Replaced below, when the period is known.
        Quota::new(time, time).map(Value::Limit)
    });
    if !matches!(quota.value, Value::Limit(_)) {
        return quota;
    }
    let period =
        tree.reading(directory, PERIOD, |text| Quota::new(time, integer(text)?).map(Value::Limit));
    match period.value {
        Value::Limit(_) => Reading { value: period.value, ..quota },
        // The kernel has both or none.
        Value::Absent => Reading { value: Value::Unreadable(Errno(libc::ENOENT)), ..period },
        _ => period,
    }
}

fn is_negative(text: &[u8]) -> bool {
    text.strip_prefix(b"-").is_some_and(|number| integer(number).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unlimited_is_the_largest_number_of_pages() {
        for (text, value) in [
            ("419430400", Some(Value::Limit(419_430_400))),
            ("0", Some(Value::Limit(0))),
            // 4, 8, 16, 32 and 64 KiB pages
            ("9223372036854771712", Some(Value::Unlimited)),
            ("9223372036854767616", Some(Value::Unlimited)),
            ("9223372036854759424", Some(Value::Unlimited)),
            ("9223372036854743040", Some(Value::Unlimited)),
            ("9223372036854710272", Some(Value::Unlimited)),
            // the largest limit that is one, with 64 KiB pages
            ("9223372036854644736", Some(Value::Limit(9_223_372_036_854_644_736))),
            // older kernels
            ("9223372036854775807", Some(Value::Unlimited)),
            ("18446744073709551615", Some(Value::Unlimited)),
            ("-1", Some(Value::Unlimited)),
            ("18446744073709551616", None),
            ("max", None),
            ("-", None),
            ("--1", None),
            ("1 2", None),
            ("", None),
        ] {
            assert_eq!(bytes(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn memory_stat_may_lack_the_hierarchical_limit() {
        let found = |text: &str| hierarchical(text.as_bytes());
        assert_eq!(found("rss 1\nhierarchical_memory_limit 300\n"), Some(Value::Limit(300)));
        assert_eq!(found("rss 1\n"), Some(Value::Absent));
        assert_eq!(found(""), Some(Value::Absent));
        assert_eq!(found("hierarchical_memory_limit x\n"), None);
    }

    proptest! {
        #[test]
        fn no_input_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (bytes(&text), hierarchical(&text), is_negative(&text));
        }

        #[test]
        fn what_the_kernel_prints_parses_back(pages in 0u64..(1 << 51) - 16) {
            let limit = pages * 4096;
            prop_assert_eq!(bytes(limit.to_string().as_bytes()), Some(Value::Limit(limit)));
            let stat = format!("cache 0\nhierarchical_memory_limit {limit}\n");
            prop_assert_eq!(hierarchical(stat.as_bytes()), Some(Value::Limit(limit)));
        }
    }
}
