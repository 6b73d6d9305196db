//! The limits in the directories of the v2 hierarchy. A file is there where the parent hands the
//! controller down; the real root has none (Documentation/admin-guide/cgroup-v2.rst).

use super::Tree;
use super::locate::Directories;
use crate::limits::{Reading, Value};
use crate::text::Fields;
use crate::units::{Quota, integer};

/// The limit above which processes are killed.
pub const MEMORY: &[u8] = b"memory.max";
/// CPU time in a period, and the period.
pub const CPU: &[u8] = b"cpu.max";

/// The limit above which processes are slowed down and made to give back memory.
const HIGH: &[u8] = b"memory.high";

/// The memory limits of the cgroup and its ancestors.
pub fn memory(tree: &mut Tree<'_>, directories: &Directories) -> Vec<Reading<u64>> {
    let mut files = Vec::new();
    let mut directory = Some(directories.leaf());
    while let Some(cgroup) = directory {
        files.push(tree.reading(cgroup, MEMORY, bytes));
        files.push(tree.reading(cgroup, HIGH, bytes));
        directory = directories.above(cgroup);
    }
    files
}

/// The quotas of the cgroup and its ancestors.
pub fn cpu(tree: &mut Tree<'_>, directories: &Directories) -> Vec<Reading<Quota>> {
    let mut files = Vec::new();
    let mut directory = Some(directories.leaf());
    while let Some(cgroup) = directory {
        files.push(tree.reading(cgroup, CPU, quota));
        directory = directories.above(cgroup);
    }
    files
}

fn bytes(text: &[u8]) -> Option<Value<u64>> {
    if text == b"max" {
        return Some(Value::Unlimited);
    }
    integer(text).map(Value::Limit)
}

/// Reads `max 100000` or `50000 100000`; as in what is written to it, the period may be left out.
fn quota(text: &[u8]) -> Option<Value<Quota>> {
    const PERIOD: u64 = 100_000;
    let mut words = Fields::new(text, b' ').filter(|word| !word.is_empty());
    let time = words.next()?;
    let period = words.next().map_or(Some(PERIOD), integer)?;
    if words.next().is_some() {
        return None;
    }
    let is_unlimited = time == b"max";
    let quota = Quota::new(if is_unlimited { period } else { integer(time)? }, period)?;
    Some(if is_unlimited { Value::Unlimited } else { Value::Limit(quota) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_is_bytes_or_max() {
        for (text, value) in [
            ("419430400", Some(Value::Limit(419_430_400))),
            ("0", Some(Value::Limit(0))),
            ("max", Some(Value::Unlimited)),
            ("MAX", None),
            ("-1", None),
            ("400M", None),
            ("", None),
        ] {
            assert_eq!(bytes(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn cpu_is_time_and_period() {
        let limit = |time, period| Some(Value::Limit(Quota { time, period }));
        for (text, value) in [
            ("max 100000", Some(Value::Unlimited)),
            ("max", Some(Value::Unlimited)),
            ("50000 100000", limit(50_000, 100_000)),
            ("150000 50000", limit(150_000, 50_000)),
            ("50000", limit(50_000, 100_000)),
            ("50000 0", None),
            ("max 0", None),
            ("0 100000", None),
            ("-1 100000", None),
            ("50000 x", None),
            ("x 100000", None),
            ("50000 100000 1", None),
            ("", None),
        ] {
            assert_eq!(quota(text.as_bytes()), value, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (bytes(&text), quota(&text));
        }

        #[test]
        fn what_the_kernel_prints_parses_back(time in 1u64.., period in 1u64.., limit: u64) {
            let text = format!("{time} {period}");
            let expected = Value::Limit(Quota { time, period });
            prop_assert_eq!(quota(text.as_bytes()), Some(expected));
            prop_assert_eq!(bytes(limit.to_string().as_bytes()), Some(Value::Limit(limit)));
        }
    }
}
