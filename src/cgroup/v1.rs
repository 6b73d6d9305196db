//! The limits in the directories of a v1 hierarchy.

use super::{File, Files, proc};
use crate::limits::Value;
use crate::units::{Quota, integer};

/// A cgroup's own file does not show the limits of its ancestors, but `hierarchical_memory_limit`
/// does (Documentation/admin-guide/cgroup-v1/memory.rst).
pub const MEMORY: Files = Files {
    each: &[File::new(b"memory.limit_in_bytes", bytes)],
    all: Some(File::new(b"memory.stat", hierarchical)),
};

/// CPU time in a period. A cgroup does not show its parent's.
pub const CPU: Files = Files {
    each: &[File { period: Some(b"cpu.cfs_period_us"), ..File::new(b"cpu.cfs_quota_us", time) }],
    all: None,
};

/// Reads bytes. No limit is shown as the largest number of whole pages, of 4 to 64 KiB, in a signed
/// long (PAGE_COUNTER_MAX); kernels before 3.19 counted in bytes, up to 2^63 - 1 or 2^64 - 1.
fn bytes(text: &[u8]) -> Option<Value> {
    const UNLIMITED: u64 = i64::MAX as u64 - 0xffff;
    if is_negative(text) {
        return Some(Value::Unlimited);
    }
    let bytes = integer(text)?;
    Some(if bytes >= UNLIMITED { Value::Unlimited } else { Value::Limit(Quota::whole(bytes)) })
}

/// Sandboxes with a kernel of their own leave the line out.
fn hierarchical(text: &[u8]) -> Option<Value> {
    proc::value(text, b"hierarchical_memory_limit").map_or(Some(Value::Absent), bytes)
}

/// Reads microseconds; less than none is no limit.
fn time(text: &[u8]) -> Option<Value> {
    if is_negative(text) { Some(Value::Unlimited) } else { positive(text) }
}

/// Reads microseconds of which there have to be some.
pub fn positive(text: &[u8]) -> Option<Value> {
    integer(text).filter(|number| *number > 0).map(|number| Value::Limit(Quota::whole(number)))
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
            ("419430400", Some(Value::Limit(Quota::whole(419_430_400)))),
            ("0", Some(Value::Limit(Quota::whole(0)))),
            // 4, 8, 16, 32 and 64 KiB pages
            ("9223372036854771712", Some(Value::Unlimited)),
            ("9223372036854767616", Some(Value::Unlimited)),
            ("9223372036854759424", Some(Value::Unlimited)),
            ("9223372036854743040", Some(Value::Unlimited)),
            ("9223372036854710272", Some(Value::Unlimited)),
            // the largest limit that is one, with 64 KiB pages
            ("9223372036854644736", Some(Value::Limit(Quota::whole(9_223_372_036_854_644_736)))),
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
        assert_eq!(
            found("rss 1\nhierarchical_memory_limit 300\n"),
            Some(Value::Limit(Quota::whole(300)))
        );
        assert_eq!(found("rss 1\n"), Some(Value::Absent));
        assert_eq!(found(""), Some(Value::Absent));
        assert_eq!(found("hierarchical_memory_limit x\n"), None);
    }

    proptest! {
        #[test]
        fn no_input_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (bytes(&text), hierarchical(&text), time(&text));
        }

        #[test]
        fn what_the_kernel_prints_parses_back(pages in 0u64..(1 << 51) - 16) {
            let limit = pages * 4096;
            prop_assert_eq!(bytes(limit.to_string().as_bytes()), Some(Value::Limit(Quota::whole(limit))));
            let stat = format!("cache 0\nhierarchical_memory_limit {limit}\n");
            prop_assert_eq!(hierarchical(stat.as_bytes()), Some(Value::Limit(Quota::whole(limit))));
        }
    }
}
