//! The limit files of the v2 hierarchy. They exist where the parent enables the controller; the
//! real root has none (Documentation/admin-guide/cgroup-v2.rst).

use super::DEFAULT_PERIOD;
use super::files::{FileReader, LimitFiles};
use super::limits::{LimitFile, LimitValue, MEMORY_HIGH};
use super::locate::CgroupDirs;
use crate::text::split_once;
use crate::units::{Bytes, CpuQuota, parse_integer};

const MEMORY_MAX: &[u8] = b"memory.max";
const CPU_MAX: &[u8] = b"cpu.max";

/// The files of the memory controller.
pub const MEMORY: LimitFiles<Bytes> =
    LimitFiles { names: &[MEMORY_MAX, MEMORY_HIGH], read: read_memory };
/// The file of the CPU controller.
pub const CPU: LimitFiles<CpuQuota> = LimitFiles { names: &[CPU_MAX], read: read_cpu };

/// Above `memory.max` the kernel kills processes; above `memory.high` it slows them down and
/// reclaims their memory.
fn read_memory(reader: &mut FileReader<'_>, directories: &CgroupDirs) -> Vec<LimitFile<Bytes>> {
    let mut files = reader.read_limits(directories, MEMORY_MAX, parse_memory_limit);
    files.append(&mut reader.read_limits(directories, MEMORY_HIGH, parse_memory_limit));
    files
}

/// CPU time, and the period that it is for.
fn read_cpu(reader: &mut FileReader<'_>, directories: &CgroupDirs) -> Vec<LimitFile<CpuQuota>> {
    reader.read_limits(directories, CPU_MAX, parse_cpu_max)
}

/// Parses the content of `memory.max` or `memory.high`: bytes, or `max`.
#[must_use]
pub fn parse_memory_limit(text: &[u8]) -> Option<LimitValue<Bytes>> {
    match text {
        b"max" => Some(LimitValue::Unlimited),
        digits => parse_integer(digits).map(|bytes| LimitValue::Limit(Bytes(bytes))),
    }
}

/// Parses the content of `cpu.max`: `max 100000` or `50000 100000`. The period may be missing, as it may in what is written
/// to the file.
#[must_use]
pub fn parse_cpu_max(text: &[u8]) -> Option<LimitValue<CpuQuota>> {
    let (quota, period) = match split_once(text, b' ') {
        Some((quota, period)) => (quota, parse_integer(period)?),
        None => (text, DEFAULT_PERIOD),
    };
    match quota {
        b"max" => (period > 0).then_some(LimitValue::Unlimited),
        digits => CpuQuota::new(parse_integer(digits)?, period).map(LimitValue::Limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_memory_limit_is_bytes_or_max() {
        for (text, value) in [
            ("419430400", Some(LimitValue::Limit(Bytes(419_430_400)))),
            ("0", Some(LimitValue::Limit(Bytes(0)))),
            ("max", Some(LimitValue::Unlimited)),
            ("MAX", None),
            ("-1", None),
            ("400M", None),
            ("", None),
        ] {
            assert_eq!(parse_memory_limit(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn a_cpu_limit_is_a_quota_and_a_period() {
        let limit = |quota, period| CpuQuota::new(quota, period).map(LimitValue::Limit);
        for (text, value) in [
            ("max 100000", Some(LimitValue::Unlimited)),
            ("max", Some(LimitValue::Unlimited)),
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
            assert_eq!(parse_cpu_max(text.as_bytes()), value, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (parse_memory_limit(&text), parse_cpu_max(&text));
        }

        #[test]
        fn every_limit_that_the_kernel_prints_is_parsed(
            quota in 1u64..,
            period in 1u64..,
            limit: u64,
        ) {
            let text = format!("{quota} {period}");
            let expected = LimitValue::Limit(CpuQuota::new(quota, period).unwrap());
            prop_assert_eq!(parse_cpu_max(text.as_bytes()), Some(expected));
            let expected = LimitValue::Limit(Bytes(limit));
            prop_assert_eq!(parse_memory_limit(limit.to_string().as_bytes()), Some(expected));
        }
    }
}
