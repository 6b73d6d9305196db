//! The memory limit, and `GOMEMLIMIT`.

use super::go::{go_accepts, is_since};
use super::{MemoryMode, Note, Plan, Reader, Reason, Tuning, warn};
use crate::error::Error;
use crate::gobinary::{GoBinary, Release};
use crate::limits::Limits;
use crate::units::Quota;

/// The first release that knows `GOMEMLIMIT`.
const GOMEMLIMIT: Release = Release { major: 1, minor: 19, patch: 0 };
/// The first release of automemlimit that reads more than the process's own cgroup.
const SEES_ANCESTORS: Release = Release { major: 0, minor: 7, patch: 5 };

/// Decides what becomes of `GOMEMLIMIT`.
#[inline(never)]
pub(super) fn decide<'a>(
    plan: &mut Plan<'a>,
    tuning: &Tuning,
    limits: &'a Limits,
    present: Option<&'a [u8]>,
    program: Option<&GoBinary<'_>>,
) {
    let Plan { memory: decision, warnings, .. } = plan;
    let release = program.and_then(|program| program.release);
    let is_known = release.is_none_or(|release| !release.is_before(GOMEMLIMIT));
    // The kernel never lets it be reached. Equal is a limit: lxcfs shows it as the total.
    if let (Some(Quota { amount: limit, .. }), Some(total)) = (decision.limit, limits.memory_total)
        && limit > total
        && tuning.memory_limit.is_none()
    {
        decision.limit = None;
        decision.source = None;
        decision.reason = Reason::AboveTotal { limit, total };
    }
    if tuning.memory == MemoryMode::Off {
        decision.reason = Reason::Off;
        return;
    }
    if let Some(value) = present
        && tuning.memory == MemoryMode::Auto
    {
        decision.note = (!is_known).then_some(Note::NoEffect);
        if is_known && !go_accepts(value, release) {
            warnings.push(Error::GoWillAbort(value));
        }
        decision.reason = Reason::Present;
        return;
    }
    if tuning.memory_limit.is_none() {
        warn(&limits.memory.files, warnings);
    }
    let Some(limit) = decision.limit else {
        return;
    };
    if tuning.memory == MemoryMode::Auto
        && tuning.leaves_memory_alone()
        && let Some(version) = program.and_then(|program| program.automemlimit)
    {
        // None finds an ancestor of a cgroup that it does not find.
        let sees_ancestors = is_since(version, SEES_ANCESTORS) && !limits.memory.guessed;
        let is_high = decision.source.is_some_and(|file| file.ends_with(b"/memory.high"));
        if limits.memory.is_in_leaf(limit) || (sees_ancestors && !is_high) {
            decision.reason = Reason::Library(Reader::Automemlimit);
            return;
        }
        decision.note = Some(Note::OwnCgroupOnly(Reader::Automemlimit));
    }
    if !is_known {
        decision.note = Some(Note::NoEffect);
    }
    // More would stop Go at its start, and cannot be reached.
    let limit = limit.amount.min(i64::MAX.unsigned_abs());
    let share = tuning.ratio.of(limit);
    let (value, reason) = match limit.checked_sub(tuning.reserve) {
        Some(rest) if rest > 0 && rest < share => (rest, Reason::Reserve(tuning.reserve)),
        Some(rest) if rest > 0 => (share, Reason::Share(tuning.ratio)),
        _ => {
            if tuning.reserve > 0 {
                warnings.push(Error::ReserveTooLarge { reserve: tuning.reserve, limit });
            }
            (share, Reason::Share(tuning.ratio))
        }
    };
    // Zero would mean that Go collects without end.
    decision.value = (value > 0).then_some(value);
    decision.reason = if value > 0 { reason } else { Reason::Nothing };
}
