//! The clock.

use super::signal::Timespec;
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
        let time = read_clock(libc::CLOCK_MONOTONIC);
        Self(time.unwrap_or_else(|| Duration::from_secs(sysinfo().uptime as _)))
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

/// The time since the beginning of 1970 (CLOCK_REALTIME); none if the call is denied.
#[must_use]
pub fn since_epoch() -> Option<Duration> {
    read_clock(libc::CLOCK_REALTIME)
}

fn read_clock(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = Timespec::default();
    // SAFETY: the kernel writes the structure.
    let result =
        unsafe { libc::syscall(libc::SYS_clock_gettime, c_long::from(clock), &raw mut time) };
    // Without a sign, a 32-bit number of seconds lasts until 2106.
    let [seconds, nanoseconds] = time.map(c_long::cast_unsigned);
    let seconds = Duration::from_secs(seconds as _);
    let time = seconds.saturating_add(Duration::from_nanos(nanoseconds as _));
    (result != -1).then_some(time)
}
