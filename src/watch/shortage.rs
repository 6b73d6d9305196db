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
