//! A want of memory before the kernel kills: when it is one, and when to look again. Pure.

use super::Circumstances;
use crate::cgroup::gauge::Level;
use crate::sys::SECOND;
use crate::text::{Out, Put, put};
use crate::units::{Bytes, Micros};

/// How long nobody looks after a warning, or where there is nothing to be seen coming.
pub(super) const DEAF: Micros = 60 * SECOND;
/// How soon it is looked again at the soonest.
const SOON: Micros = 10_000;

impl Level {
    /// How much is missing to a want of memory: that is one from 95% of the limit on. Go programs that
    /// their collector can keep at `GOMEMLIMIT` were measured below 91%, those that the kernel killed
    /// were above 96% before.
    fn missing(&self) -> u64 {
        (self.limit - self.limit / 20).saturating_sub(self.lasting)
    }

    /// Whether it is one.
    pub(super) fn is_short(&self) -> bool {
        self.missing() == 0
    }

    /// How long it need not be looked at: half the time in which it becomes one, if it grows as it has
    /// since it was `before`. The kernel gives notice of every page that it takes from the cache, so
    /// where nothing grows nobody looks for a minute.
    pub(super) fn pause(&self, before: u64, elapsed: Micros) -> Micros {
        let grown = self.lasting.saturating_sub(before) >> 12;
        let missing = self.missing() >> 12;
        let pause = missing.saturating_mul(elapsed).checked_div(grown.saturating_mul(2));
        // In the last minute only.
        pause.filter(|pause| *pause < DEAF / 2).map_or(DEAF, |pause| pause.max(SOON))
    }
}

/// A want of memory.
pub(super) struct Shortage<'a> {
    /// What is in use.
    pub level: Level,
    /// All else.
    pub circumstances: Circumstances<'a>,
}

impl Put for Shortage<'_> {
    fn put(&self, out: &mut Out<'_>) {
        put!(out, "memory runs out, and the kernel may kill all of the container: ");
        put!(out, Bytes(self.level.lasting), " cannot be taken back, ", self.circumstances);
    }
}

#[cfg(test)]
mod tests {
    use super::super::GoLimit;
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn with(level: Level) -> Shortage<'static> {
        let limit = Some((level.limit, &b""[..]));
        let go = GoLimit::Ours(320 * MIB);
        let limit_before = Some(level.limit);
        Shortage { level, circumstances: Circumstances { limit, limit_before, peak: None, go } }
    }

    #[test]
    fn it_is_told_whole() {
        assert_eq!(
            with(Level { limit: 400 * MIB, lasting: 391 * MIB }).text(),
            "memory runs out, and the kernel may kill all of the container: 391 MiB cannot be \
             taken back, limit 400 MiB, GOMEMLIMIT=335544320; raise the limit, or leave more of it \
             to what is not Go's heap (--memory-ratio, --memory-reserve)"
        );
    }

    #[test]
    fn it_takes_19_of_20_parts_of_a_limit() {
        for (lasting, limit, expected) in [
            (380 * MIB, 400 * MIB, true),
            (380 * MIB - 1, 400 * MIB, false),
            (19, 20, true),
            (18, 20, false),
            (u64::MAX, u64::MAX, true),
            (u64::MAX / 20 * 19, u64::MAX, false),
            (u64::MAX, MIB, true),
            (0, u64::MAX, false),
        ] {
            assert_eq!(Level { limit, lasting }.is_short(), expected, "{lasting} of {limit}");
        }
    }

    #[test]
    fn it_is_looked_again_before_it_is_one() {
        let pause = |lasting, before, elapsed| {
            Level { limit: 400 * MIB, lasting: lasting * MIB }.pause(before * MIB, elapsed)
        };
        // 80 MiB are missing, at 10 MiB in a second: half of eight seconds.
        assert_eq!(pause(300, 290, SECOND), 4 * SECOND);
        assert_eq!(pause(379, 279, SECOND), SOON, "it is there in no time");
        for (now, before) in [(300, 300), (300, 310), (0, 0)] {
            assert_eq!(pause(now, before, SECOND), DEAF, "nothing grows");
        }
        assert_eq!(pause(300, 299, 10 * SECOND), DEAF, "it takes more than a minute");
        assert_eq!(pause(300, 290, 0), SOON);
    }

    proptest! {
        #[test]
        fn it_is_one_line_and_nothing_overflows(
            limit: u64,
            lasting: u64,
            before: u64,
            elapsed: u64,
        ) {
            let level = Level { limit, lasting };
            prop_assert!((SOON..=DEAF).contains(&level.pause(before, elapsed)));
            prop_assert_eq!(with(level).text().lines().count(), 1);
        }
    }
}
