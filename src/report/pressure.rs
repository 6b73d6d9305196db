//! The warning before the kernel kills: memory is running out.

use super::oom::OomContext;
use crate::units::Bytes;
use core::fmt::{self, Display, Formatter};

/// Memory is running out.
pub struct PressureWarning<'a> {
    /// How much of the memory in use the kernel cannot reclaim.
    pub unreclaimable: Bytes,
    /// The limit, and what else is known.
    pub context: OomContext<'a>,
}

impl Display for PressureWarning<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "memory is running out, and the kernel may kill the whole container: {} cannot be \
             reclaimed, {}",
            self.unreclaimable, self.context
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::oom::GoMemLimit;
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn warning(limit: u64, unreclaimable: u64) -> PressureWarning<'static> {
        let context = OomContext {
            limit: Some(Bytes(limit)),
            limit_file: None,
            limit_at_start: Some(Bytes(limit)),
            peak: None,
            gomemlimit: GoMemLimit::SetByUs(320 * MIB),
        };
        PressureWarning { unreclaimable: Bytes(unreclaimable), context }
    }

    #[test]
    fn the_warning_says_how_much_is_in_use_and_what_to_try() {
        assert_eq!(
            warning(400 * MIB, 391 * MIB).to_string(),
            "memory is running out, and the kernel may kill the whole container: 391 MiB cannot be \
             reclaimed, limit 400 MiB, GOMEMLIMIT=335544320; raise the limit, or leave more of it \
             to memory outside the Go heap (--memory-ratio, --memory-reserve)"
        );
    }

    proptest! {
        #[test]
        fn the_warning_is_always_one_line(limit: u64, unreclaimable: u64) {
            prop_assert_eq!(warning(limit, unreclaimable).to_string().lines().count(), 1);
        }
    }
}
