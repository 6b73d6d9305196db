//! Deadlines. `None` means that there is no deadline.

use crate::sys::Timestamp;
use core::time::Duration;

/// The time until a deadline, zero if it has passed.
#[must_use]
pub fn remaining(deadline: Option<Timestamp>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Timestamp::now()))
}

/// Whether a deadline has passed.
#[must_use]
pub fn has_passed(deadline: Option<Timestamp>) -> bool {
    remaining(deadline) == Some(Duration::ZERO)
}

/// The deadline after this time; none if the clock cannot represent it.
#[must_use]
pub fn after(duration: Duration) -> Option<Timestamp> {
    Timestamp::now().checked_add(duration)
}

/// The shorter of two timeouts, where `None` is endless.
#[must_use]
pub fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    [one, other].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_deadline_never_comes() {
        assert_eq!(remaining(None), None);
        assert!(!has_passed(None));
        assert_eq!(after(Duration::MAX), None);
    }

    #[test]
    fn a_deadline_passes() {
        assert!(has_passed(after(Duration::ZERO)));
        assert!(!has_passed(after(Duration::from_secs(60))));
    }

    #[test]
    fn the_shorter_timeout_counts() {
        let [short, long] = [1, 2].map(|seconds| Some(Duration::from_secs(seconds)));
        assert_eq!(shorter(short, long), short);
        assert_eq!(shorter(None, long), long);
        assert_eq!(shorter(long, None), long);
        assert_eq!(shorter(None, None), None);
    }
}
