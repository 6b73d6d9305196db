//! The post-mortem: what the kernel killed for want of memory, how much of it there was, and what
//! can be done. Pure.

use super::Ended;
use crate::environment::MEMORY;
use crate::packed::{Packed, packed};
use crate::sys::How;
use crate::text::{Out, Plain, Put, Quoted, put};
use crate::units::Bytes;

/// The `GOMEMLIMIT` that the program was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoLimit {
    /// None.
    Unset,
    /// The one that we have set.
    Ours(u64),
    /// The one that was there.
    Theirs(&'static [u8]),
}

/// Who was killed, as far as that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The program, by the kernel, and so many others.
    Program(u64),
    /// So many others, by the kernel.
    Others(u64),
    /// The program, by somebody else.
    NotByKernel,
    /// The program, by somebody: the kernel does not say whether it was it.
    Unknown,
}

impl Who {
    /// Tells by how the program ended and by how many processes the kernel has killed since the
    /// start, if it says; none where nobody was killed, or the program by us alone.
    #[must_use]
    pub fn of(ended: &Ended, kills: Option<u64>) -> Option<Self> {
        let is_program = ended.how == How::Killed(libc::SIGKILL) && !ended.is_killed;
        match kills {
            Some(0) | None if !is_program => None,
            Some(0) => Some(Self::NotByKernel),
            None => Some(Self::Unknown),
            Some(kills) if is_program => Some(Self::Program(kills.saturating_sub(1))),
            Some(kills) => Some(Self::Others(kills)),
        }
    }
}

/// What is known about a kill.
#[derive(Clone, Copy, Debug)]
pub struct PostMortem<'a> {
    /// Who was killed.
    pub who: Who,
    /// Whether none of them may have been counted twice.
    pub is_exact: bool,
    /// All else.
    pub circumstances: Circumstances<'a>,
}

/// The limit, and what is to be known of its use.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The limit in bytes, and the file it is in, if one is in sight; no path where there was no time
    /// to look for it.
    pub limit: Option<(u64, &'a [u8])>,
    /// The limit at the start.
    pub limit_before: Option<u64>,
    /// The most that was in use in the cgroup that has the limit, or in our own where there is none.
    pub peak: Option<u64>,
    /// What Go was told.
    pub go: GoLimit,
}

impl Circumstances<'_> {
    /// Whether the limit may have been reached. The kernel takes memory by up to 64 pages, of 64 KiB
    /// at most, and what does not fit is not in the peak.
    fn is_reached(&self, limit: u64) -> bool {
        const STEP: u64 = 64 * (64 << 10);
        self.peak.is_none_or(|peak| peak.saturating_add(STEP) >= limit)
    }

    /// What can be done.
    fn advice(&self) -> Packed {
        match (self.limit, self.go) {
            (None, _) => packed!("the memory of the machine, or a limit out of sight, ran out"),
            (Some((limit, _)), _) if !self.is_reached(limit) => {
                packed!("not this limit, but the memory of the machine, or a limit above, ran out")
            }
            (_, GoLimit::Ours(_)) => {
                packed!(
                    "raise the limit, or leave more of it to what is not Go's heap (--memory-ratio, \
                 --memory-reserve)"
                )
            }
            (_, GoLimit::Theirs(_)) => packed!("raise the limit, or lower GOMEMLIMIT"),
            (_, GoLimit::Unset) => packed!("raise the limit, or have GOMEMLIMIT set below it"),
        }
    }
}

impl Put for PostMortem<'_> {
    fn put(&self, out: &mut Out<'_>) {
        let (head, others) = match self.who {
            Who::NotByKernel => {
                put!(out, "the program was killed by SIGKILL, but not for want of memory");
                return;
            }
            Who::Unknown => (packed!("the program was killed by SIGKILL, perhaps"), 0),
            Who::Program(0) => (packed!("the kernel killed the program"), 0),
            Who::Program(others) => (packed!("the kernel killed the program and "), others),
            Who::Others(others) => (packed!("the kernel killed "), others),
        };
        put!(out, head);
        if others > 0 {
            match others {
                _ if !self.is_exact => put!(out, "other processes"),
                1 => put!(out, "1 process"),
                _ => put!(out, others, " processes"),
            }
            put!(out, " of its container");
        }
        put!(out, " for want of memory: ", self.circumstances);
    }
}

impl Put for Circumstances<'_> {
    fn put(&self, out: &mut Out<'_>) {
        put!(out, "limit ");
        if let Some((bytes, file)) = self.limit {
            put!(out, Bytes(bytes));
            if !file.is_empty() {
                put!(out, " in ", Quoted(file));
            }
        } else {
            put!(out, "none in sight");
        }
        if self.limit.map(|(bytes, _)| bytes) != self.limit_before {
            put!(out, " (at the start ");
            match self.limit_before {
                Some(bytes) => put!(out, Bytes(bytes)),
                None => put!(out, "none"),
            }
            put!(out, ")");
        }
        if let Some(peak) = self.peak {
            put!(out, ", peak ", Bytes(peak));
        }
        put!(out, ", ", MEMORY);
        match self.go {
            GoLimit::Unset => put!(out, " unset"),
            GoLimit::Ours(bytes) => put!(out, "=", bytes),
            GoLimit::Theirs(value) => put!(out, "=", Plain(value)),
        }
        put!(out, "; ", self.advice());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn typical() -> PostMortem<'static> {
        PostMortem {
            who: Who::Program(0),
            is_exact: true,
            circumstances: Circumstances {
                limit: Some((400 * MIB, &b"/sys/fs/cgroup/memory.max"[..])),
                limit_before: Some(400 * MIB),
                peak: Some(400 * MIB),
                go: GoLimit::Ours(320 * MIB),
            },
        }
    }

    fn with(change: impl Fn(&mut Circumstances<'_>)) -> String {
        let mut message = typical();
        change(&mut message.circumstances);
        message.text()
    }

    #[test]
    fn the_common_case_is_told_whole() {
        assert_eq!(
            typical().text(),
            "the kernel killed the program for want of memory: limit 400 MiB in \
             \"/sys/fs/cgroup/memory.max\", peak 400 MiB, GOMEMLIMIT=335544320; raise the limit, or \
             leave more of it to what is not Go's heap (--memory-ratio, --memory-reserve)"
        );
    }

    #[test]
    fn it_says_who_was_killed() {
        let killed = How::Killed(libc::SIGKILL);
        for (how, is_killed, kills, is_exact, who) in [
            (killed, false, Some(1), true, Some("the kernel killed the program for want of")),
            (killed, false, Some(2), true, Some("killed the program and 1 process of its cont")),
            (killed, false, Some(4), true, Some("killed the program and 3 processes of its")),
            (How::Exited(0), false, Some(1), true, Some("the kernel killed 1 process of its")),
            (How::Exited(1), false, Some(3), true, Some("the kernel killed 3 processes of its")),
            (How::Killed(libc::SIGTERM), false, Some(1), true, Some("killed 1 process of its")),
            (How::Exited(0), false, Some(3), false, Some("killed other processes of its")),
            (killed, false, Some(3), false, Some("killed the program and other processes of")),
            (killed, false, Some(0), true, Some("killed by SIGKILL, but not for want of memory")),
            (killed, false, None, true, Some("by SIGKILL, perhaps for want of memory: limit")),
            (killed, true, Some(1), true, Some("the kernel killed 1 process of its")),
            (killed, true, Some(0), true, None),
            (killed, true, None, true, None),
            (How::Exited(137), false, Some(0), true, None),
            (How::Killed(libc::SIGTERM), false, None, true, None),
        ] {
            let found = Who::of(&Ended { how, is_killed, reaped: 0 }, kills);
            let text = found.map(|who| PostMortem { who, is_exact, ..typical() }.text());
            assert_eq!(text.is_some(), who.is_some(), "{how:?} {kills:?}");
            let (text, who) = (text.unwrap_or_default(), who.unwrap_or_default());
            assert!(text.contains(who), "{text}: {who}");
        }
    }

    #[test]
    fn it_says_what_to_try() {
        let reached = Some(400 * MIB - 4096);
        let (ours, theirs) = (GoLimit::Ours(1), GoLimit::Theirs(b"390MiB"));
        for (peak, go, part) in [
            (reached, ours, "--memory-ratio"),
            (None, ours, "--memory-ratio"),
            (reached, theirs, ", GOMEMLIMIT=390MiB; raise the limit, or lower GOMEMLIMIT"),
            (reached, GoLimit::Unset, ", GOMEMLIMIT unset; raise the limit, or have GOMEMLIMIT"),
            (Some(300 * MIB), ours, "not this limit, but the memory of the machine"),
            (Some(395 * MIB), theirs, "not this limit, but the memory of the machine"),
        ] {
            let text = with(|it| (it.peak, it.go) = (peak, go));
            assert!(text.contains(part), "{text}");
            assert_eq!(text.contains(", peak "), peak.is_some(), "{text}");
        }
        let text = with(|it| (it.limit, it.limit_before) = (None, None));
        assert!(text.contains(": limit none in sight, peak"), "{text}");
        assert!(text.contains("or a limit out of sight"), "{text}");
    }

    #[test]
    fn a_limit_that_has_changed_is_told_with_what_it_was() {
        let text = with(|it| it.limit_before = Some(500 * MIB));
        assert!(text.contains("memory.max\" (at the start 500 MiB), peak"), "{text}");
        let text = with(|it| it.limit_before = None);
        assert!(text.contains("memory.max\" (at the start none), peak"), "{text}");
    }

    proptest! {
        #[test]
        fn it_is_one_line_whatever_is_in_it(
            kills in 1u64..,
            is_exact: bool,
            bytes: Option<u64>,
            limit_before: Option<u64>,
            peak: Option<u64>,
            file in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let text = PostMortem {
                who: Who::Others(kills),
                is_exact,
                circumstances: Circumstances {
                    limit: bytes.map(|bytes| (bytes, &file[..])),
                    limit_before,
                    peak,
                    go: GoLimit::Theirs(b"a\nb"),
                },
            };
            prop_assert_eq!(text.text().lines().count(), 1);
        }
    }
}
