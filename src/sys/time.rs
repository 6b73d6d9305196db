//! The clock.

use super::system::sysinfo;
use core::ffi::c_long;
use core::time::Duration;

/// A point in time on a clock that nobody sets (CLOCK_MONOTONIC).
///
/// Not std's `Instant`: that panics if a seccomp filter denies clock_gettime(2). It also goes through
/// the vDSO, whose page would count as ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// Now. If the call is denied, a deadline passes with the second of the time since boot.
    #[must_use]
    pub fn now() -> Self {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel writes the structure.
        let result = unsafe {
            let clock = c_long::from(libc::CLOCK_MONOTONIC);
            libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time)
        };
        if result == -1 {
            time.tv_sec = sysinfo().uptime as _;
        }
        let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
        Self(seconds.saturating_add(Duration::from_nanos(time.tv_nsec.unsigned_abs())))
    }

    /// This point in time and a duration; none if the clock cannot represent it.
    #[must_use]
    pub const fn checked_add(self, duration: Duration) -> Option<Self> {
        match self.0.checked_add(duration) {
            Some(time) => Some(Self(time)),
            None => None,
        }
    }

    /// The time since an earlier point; zero if that is later.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time that has passed since.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }
}
