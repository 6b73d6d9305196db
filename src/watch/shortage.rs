//! A want of memory before the kernel kills: how much is used by what cannot be taken away. Pure.

use super::Circumstances;
use crate::text::{Out, Put, put};
use crate::units::Bytes;

/// A want of memory.
pub(super) struct Shortage<'a> {
    /// The bytes that are there to stay.
    pub lasting: u64,
    /// All else.
    pub circumstances: Circumstances<'a>,
}

impl Shortage<'_> {
    /// Whether it is one: from nine tenths of the limit on.
    pub(super) fn is_one(&self) -> bool {
        self.circumstances.limit.is_some_and(|(limit, _)| self.lasting >= limit - limit / 10)
    }
}

impl Put for Shortage<'_> {
    fn put(&self, out: &mut Out<'_>) {
        put!(out, "memory runs out, and the kernel may kill all of the container: ");
        put!(out, Bytes(self.lasting), " cannot be taken back, ", self.circumstances);
    }
}

#[cfg(test)]
mod tests {
    use super::super::GoLimit;
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn with(lasting: u64, limit: Option<u64>) -> Shortage<'static> {
        let limit_before = limit;
        let limit = limit.map(|bytes| (bytes, &b"/sys/fs/cgroup/memory.max"[..]));
        let go = GoLimit::Ours(320 * MIB);
        Shortage { lasting, circumstances: Circumstances { limit, limit_before, peak: None, go } }
    }

    #[test]
    fn it_is_told_whole() {
        assert_eq!(
            with(391 * MIB, Some(400 * MIB)).text(),
            "memory runs out, and the kernel may kill all of the container: 391 MiB cannot be \
             taken back, limit 400 MiB in \"/sys/fs/cgroup/memory.max\", GOMEMLIMIT=335544320; \
             raise the limit, or leave more of it to what is not Go's heap (--memory-ratio, \
             --memory-reserve)"
        );
    }

    #[test]
    fn it_takes_nine_tenths_of_a_limit() {
        for (lasting, limit, expected) in [
            (360 * MIB, Some(400 * MIB), true),
            (360 * MIB - 1, Some(400 * MIB), false),
            (9, Some(10), true),
            (8, Some(10), false),
            (u64::MAX, Some(u64::MAX), true),
            (u64::MAX / 10 * 9, Some(u64::MAX), false),
            (0, Some(u64::MAX), false),
            (0, Some(0), true),
            (u64::MAX, None, false),
        ] {
            assert_eq!(with(lasting, limit).is_one(), expected, "{lasting} of {limit:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_one_line_and_nothing_overflows(lasting: u64, limit: Option<u64>) {
            let message = with(lasting, limit);
            prop_assert_eq!(message.text().lines().count(), 1);
            prop_assert!(!message.is_one() || limit.is_some());
        }
    }
}
