//! The limit files of a v1 hierarchy.

use super::files::{FileReader, LimitFiles, add, invalid};
use super::limits::{FileProblem, LimitFile, LimitValue};
use super::locate::CgroupDirs;
use super::{DEFAULT_PERIOD, procfs};
use crate::units::{Bytes, CpuQuota, parse_integer};

const MEMORY_LIMIT: &[u8] = b"memory.limit_in_bytes";
const MEMORY_STAT: &[u8] = b"memory.stat";
const CPU_QUOTA: &[u8] = b"cpu.cfs_quota_us";
const CPU_PERIOD: &[u8] = b"cpu.cfs_period_us";

/// The files of the memory controller.
pub const MEMORY: LimitFiles<Bytes> = LimitFiles { names: &[MEMORY_LIMIT], read: read_memory };
/// The files of the CPU controller.
pub const CPU: LimitFiles<CpuQuota> =
    LimitFiles { names: &[CPU_QUOTA, CPU_PERIOD], read: read_cpu };

/// The file of a cgroup does not show the limits of its ancestors, but `hierarchical_memory_limit`
/// does, even of those that the mount does not show
/// (Documentation/admin-guide/cgroup-v1/memory.rst). So the files are read from the leaf up to the
/// one that has this limit. Those of other ancestors are left out: their limits do not apply.
fn read_memory(reader: &mut FileReader<'_>, directories: &CgroupDirs) -> Vec<LimitFile<Bytes>> {
    let leaf = directories.leaf();
    let effective = reader.read_limit(leaf, MEMORY_STAT, parse_hierarchical_limit);
    let is_known = matches!(effective, LimitValue::Limit(_) | LimitValue::Unlimited);
    let mut files = Vec::new();
    for directory in directories.upwards() {
        let value = reader.read_limit(directory, MEMORY_LIMIT, parse_bytes);
        let in_ancestor = directories.is_ancestor(directory);
        // An ancestor with a lower limit does not apply (use_hierarchy is 0).
        let applies = !in_ancestor || !value.is_below(&effective);
        let is_source = is_known && applies && !effective.is_below(&value);
        // If the kernel does not tell the limit, every ancestor is assumed to apply.
        if is_source || !in_ancestor || !is_known {
            add(&mut files, directories, directory, MEMORY_LIMIT, value);
        }
        if is_source {
            break;
        }
    }
    add(&mut files, directories, leaf, MEMORY_STAT, effective);
    files
}

/// CPU time, and the period that it is for (Documentation/scheduler/sched-bwc.rst). A cgroup does
/// not show the quotas of its ancestors.
fn read_cpu(reader: &mut FileReader<'_>, directories: &CgroupDirs) -> Vec<LimitFile<CpuQuota>> {
    let mut files = Vec::new();
    for directory in directories.upwards() {
        let mut name = CPU_QUOTA;
        let mut value = reader.read_limit(directory, name, parse_quota);
        if let LimitValue::Limit(quota) = value {
            // The kernel has both files or neither, so a missing one is a problem too.
            let result = match reader.read(directory, CPU_PERIOD) {
                Ok(text) => apply_period(quota, text).ok_or_else(|| invalid(text)),
                Err(error) => Err(FileProblem::Unreadable(error)),
            };
            value = match result {
                Ok(limit) => LimitValue::Limit(limit),
                Err(problem) => {
                    name = CPU_PERIOD;
                    LimitValue::Problem(problem)
                }
            };
        }
        add(&mut files, directories, directory, name, value);
    }
    files
}

/// Parses bytes. The kernel prints "unlimited" as the largest number of whole pages, of 4 to 64
/// KiB, in a signed long. On 32 bits, the long counts pages of 4 KiB (PAGE_COUNTER_MAX). Kernels
/// before 3.19 counted in bytes, up to 2^63 - 1 or 2^64 - 1.
fn parse_bytes(text: &[u8]) -> Option<LimitValue<Bytes>> {
    const UNLIMITED: u64 = i64::MAX as u64 - 0xffff;
    const UNLIMITED_32: u64 = i32::MAX as u64 * 4096;
    if is_negative(text) {
        return Some(LimitValue::Unlimited);
    }
    let bytes = parse_integer(text)?;
    let is_unlimited = bytes >= UNLIMITED || bytes == UNLIMITED_32;
    Some(if is_unlimited { LimitValue::Unlimited } else { LimitValue::Limit(Bytes(bytes)) })
}

/// Parses `memory.stat`. Sandboxes with a kernel of their own leave the line out.
fn parse_hierarchical_limit(text: &[u8]) -> Option<LimitValue<Bytes>> {
    match procfs::field(text, b"hierarchical_memory_limit") {
        Some(value) => parse_bytes(value),
        None => Some(LimitValue::Absent),
    }
}

/// Parses microseconds per default period; a negative number is no limit.
fn parse_quota(text: &[u8]) -> Option<LimitValue<CpuQuota>> {
    if is_negative(text) {
        return Some(LimitValue::Unlimited);
    }
    CpuQuota::new(parse_integer(text)?, DEFAULT_PERIOD).map(LimitValue::Limit)
}

/// Replaces the period of a quota by that of a period file.
fn apply_period(quota: CpuQuota, text: &[u8]) -> Option<CpuQuota> {
    CpuQuota::new(quota.quota, parse_integer(text)?)
}

fn is_negative(text: &[u8]) -> bool {
    text.strip_prefix(b"-").is_some_and(|digits| parse_integer(digits).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unlimited_is_the_largest_number_of_whole_pages() {
        for (text, value) in [
            ("419430400", Some(LimitValue::Limit(Bytes(419_430_400)))),
            ("0", Some(LimitValue::Limit(Bytes(0)))),
            // 32 bits, and a page less
            ("8796093018112", Some(LimitValue::Unlimited)),
            ("8796093014016", Some(LimitValue::Limit(Bytes(8_796_093_014_016)))),
            // 4, 8, 16, 32 and 64 KiB pages
            ("9223372036854771712", Some(LimitValue::Unlimited)),
            ("9223372036854767616", Some(LimitValue::Unlimited)),
            ("9223372036854759424", Some(LimitValue::Unlimited)),
            ("9223372036854743040", Some(LimitValue::Unlimited)),
            ("9223372036854710272", Some(LimitValue::Unlimited)),
            // the largest limit that is one, with 64 KiB pages
            ("9223372036854644736", Some(LimitValue::Limit(Bytes(9_223_372_036_854_644_736)))),
            // older kernels
            ("9223372036854775807", Some(LimitValue::Unlimited)),
            ("18446744073709551615", Some(LimitValue::Unlimited)),
            ("-1", Some(LimitValue::Unlimited)),
            ("18446744073709551616", None),
            ("max", None),
            ("-", None),
            ("--1", None),
            ("1 2", None),
            ("", None),
        ] {
            assert_eq!(parse_bytes(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn memory_stat_may_lack_the_hierarchical_limit() {
        let found = |text: &str| parse_hierarchical_limit(text.as_bytes());
        assert_eq!(
            found("rss 1\nhierarchical_memory_limit 300\n"),
            Some(LimitValue::Limit(Bytes(300)))
        );
        assert_eq!(found("rss 1\n"), Some(LimitValue::Absent));
        assert_eq!(found(""), Some(LimitValue::Absent));
        assert_eq!(found("hierarchical_memory_limit x\n"), None);
    }

    #[test]
    fn a_quota_has_the_period_of_the_period_file() {
        let quota = |quota, period| CpuQuota::new(quota, period).map(LimitValue::Limit);
        for (text, value) in [
            ("50000", quota(50_000, 100_000)),
            ("-1", Some(LimitValue::Unlimited)),
            ("0", None),
            ("max", None),
            ("", None),
        ] {
            assert_eq!(parse_quota(text.as_bytes()), value, "{text:?}");
        }
        let quota = CpuQuota::new(50_000, 100_000).unwrap();
        assert_eq!(apply_period(quota, b"25000"), CpuQuota::new(50_000, 25_000));
        for period in [&b"0"[..], b"-1", b"x", b""] {
            assert_eq!(apply_period(quota, period), None);
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (parse_bytes(&text), parse_hierarchical_limit(&text), parse_quota(&text));
        }

        #[test]
        fn every_limit_that_the_kernel_prints_is_parsed(pages in 0u64..(1 << 51) - 16) {
            let limit = pages * 4096;
            let expected = Some(LimitValue::Limit(Bytes(limit)));
            prop_assert_eq!(parse_bytes(limit.to_string().as_bytes()), expected.clone());
            let stat = format!("cache 0\nhierarchical_memory_limit {limit}\n");
            prop_assert_eq!(parse_hierarchical_limit(stat.as_bytes()), expected);
        }
    }
}
