//! Decides when memory is running out, and when to check again. Pure.

use crate::cgroup::pressure::MemoryUsage;
use crate::units::Bytes;
use core::time::Duration;

/// How long to ignore `memory.events` after a check, unless memory is expected to run out before.
/// A service whose page cache fills the limit changes that file all the time.
pub(super) const REARM_DELAY: Duration = Duration::from_secs(60);

/// The shortest time between two checks.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Growth and headroom are compared in units of 4 KiB, so that their products fit.
const PAGE_SHIFT: u32 = 12;

impl MemoryUsage {
    /// Whether memory is running out: 95% of the limit or more cannot be reclaimed. Go programs that
    /// their garbage collector could keep at `GOMEMLIMIT` stayed below 91% in measurements; those
    /// that the kernel killed were above 96% before.
    pub(super) fn is_critical(&self) -> bool {
        self.headroom() == 0
    }

    /// How many bytes may be added before usage is critical.
    fn headroom(&self) -> u64 {
        let threshold = self.limit.0.saturating_sub(self.limit.0 / 20);
        threshold.saturating_sub(self.unreclaimable.0)
    }

    /// How long to wait before the next check, given the unreclaimable memory `elapsed` before. If
    /// usage would become critical within a minute at that rate of growth, half of that time;
    /// otherwise [`REARM_DELAY`].
    #[expect(clippy::arithmetic_side_effects, reason = "half of a constant")]
    pub(super) fn next_check_in(&self, earlier: Bytes, elapsed: Duration) -> Duration {
        let growth = self.unreclaimable.0.saturating_sub(earlier.0) >> PAGE_SHIFT;
        let headroom = self.headroom() >> PAGE_SHIFT;
        let elapsed = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let half = headroom.saturating_mul(elapsed).checked_div(growth.saturating_mul(2));
        match half.map(Duration::from_micros) {
            Some(half) if half < REARM_DELAY / 2 => half.max(MIN_CHECK_INTERVAL),
            _ => REARM_DELAY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn usage(unreclaimable: u64, limit: u64) -> MemoryUsage {
        MemoryUsage { limit: Bytes(limit), unreclaimable: Bytes(unreclaimable) }
    }

    #[test]
    fn usage_is_critical_from_19_of_20_parts_of_the_limit() {
        for (unreclaimable, limit, expected) in [
            (380 * MIB, 400 * MIB, true),
            (380 * MIB - 1, 400 * MIB, false),
            (19, 20, true),
            (18, 20, false),
            (u64::MAX, u64::MAX, true),
            (u64::MAX / 20 * 19, u64::MAX, false),
            (u64::MAX, MIB, true),
            (0, u64::MAX, false),
        ] {
            let usage = usage(unreclaimable, limit);
            assert_eq!(usage.is_critical(), expected, "{unreclaimable} of {limit}");
        }
    }

    #[test]
    fn the_next_check_is_before_usage_is_critical() {
        const SECOND: Duration = Duration::from_secs(1);
        let next_check_in = |now: u64, earlier: u64, elapsed| {
            usage(now * MIB, 400 * MIB).next_check_in(Bytes(earlier * MIB), elapsed)
        };
        // The headroom is 80 MiB, the growth 10 MiB in a second: half of eight seconds.
        assert_eq!(next_check_in(300, 290, SECOND), 4 * SECOND);
        assert_eq!(next_check_in(379, 279, SECOND), MIN_CHECK_INTERVAL, "it is nearly critical");
        for (now, earlier) in [(300, 300), (300, 310), (0, 0)] {
            assert_eq!(next_check_in(now, earlier, SECOND), REARM_DELAY, "nothing grows");
        }
        assert_eq!(next_check_in(300, 299, 10 * SECOND), REARM_DELAY, "more than a minute");
        assert_eq!(next_check_in(300, 290, Duration::ZERO), MIN_CHECK_INTERVAL);
    }

    proptest! {
        #[test]
        fn the_next_check_is_within_its_bounds_and_nothing_overflows(
            limit: u64,
            unreclaimable: u64,
            earlier: u64,
            elapsed: Duration,
        ) {
            let wait = usage(unreclaimable, limit).next_check_in(Bytes(earlier), elapsed);
            prop_assert!((MIN_CHECK_INTERVAL..=REARM_DELAY).contains(&wait));
        }
    }
}
