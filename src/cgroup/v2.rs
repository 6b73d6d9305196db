//! The limits in the directories of the v2 hierarchy. A file is there where the parent hands the
//! controller down; the real root has none (Documentation/admin-guide/cgroup-v2.rst).

use super::{File, Files};
use crate::limits::Value;
use crate::text::Fields;
use crate::units::{Quota, integer};

/// Above the first, processes are killed; above the second they are slowed down and made to give
/// back memory.
pub const MEMORY: Files =
    Files { each: &[File::new(b"memory.max", bytes), File::new(b"memory.high", bytes)], all: None };

/// CPU time in a period, and the period.
pub const CPU: Files = Files { each: &[File::new(b"cpu.max", quota)], all: None };

fn bytes(text: &[u8]) -> Option<Value> {
    if text == b"max" {
        return Some(Value::Unlimited);
    }
    integer(text).map(|bytes| Value::Limit(Quota::whole(bytes)))
}

/// Reads `max 100000` or `50000 100000`; as in what is written to it, the period may be left out.
fn quota(text: &[u8]) -> Option<Value> {
    const PERIOD: u64 = 100_000;
    let mut words = Fields::new(text, b' ');
    let time = words.next()?;
    let period = words.rest().map_or(Some(PERIOD), integer)?;
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
            ("419430400", Some(Value::Limit(Quota::whole(419_430_400)))),
            ("0", Some(Value::Limit(Quota::whole(0)))),
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
        let limit = |time, period| Quota::new(time, period).map(Value::Limit);
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
            let expected = Value::Limit(Quota::new(time, period).unwrap());
            prop_assert_eq!(quota(text.as_bytes()), Some(expected));
            prop_assert_eq!(bytes(limit.to_string().as_bytes()), Some(Value::Limit(Quota::whole(limit))));
        }
    }
}
