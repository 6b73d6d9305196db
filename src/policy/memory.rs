//! Decides about `GOMEMLIMIT`.

use super::{Note, Plan, Reason, warn_about_files};
use crate::cgroup::limits::Limits;
use crate::error::Error;
use crate::golang::values::{MAX_GOMEMLIMIT, parse_gomemlimit};
use crate::golang::{GoRuntime, Release};
use crate::options::{MemoryMode, Tuning};
use crate::units::Bytes;

/// The first release of Go that reads `GOMEMLIMIT`.
const GOMEMLIMIT_SINCE: Release = Release { major: 1, minor: 19, patch: 0 };

/// Decides what `GOMEMLIMIT` is set to, given the value that it has in the environment.
pub(super) fn decide<'a>(
    plan: &mut Plan<'a>,
    tuning: &Tuning,
    limits: &'a Limits,
    gomemlimit: Option<&'a [u8]>,
    program: Option<GoRuntime>,
) {
    let Plan { memory: decision, warnings, .. } = plan;
    // A limit above the machine's memory is never reached. An equal one counts: lxcfs shows the
    // limit of a container as its MemTotal.
    if tuning.memory_limit.is_none()
        && let (Some(limit), Some(total)) = (decision.limit, limits.memory_total)
        && limit > total
    {
        decision.limit = None;
        decision.source = None;
        decision.reason = Reason::AboveTotal { limit, total };
    }
    if tuning.memory == MemoryMode::Off {
        decision.reason = Reason::Off;
        return;
    }
    let release = program.and_then(|program| program.release);
    let has_gomemlimit = release.is_none_or(|release| release >= GOMEMLIMIT_SINCE);
    let mut note = (!has_gomemlimit).then_some(Note::NoEffect);
    let present = gomemlimit.filter(|_| tuning.memory != MemoryMode::Always);
    let present_bytes = present.and_then(|value| parse_gomemlimit(value, release));
    if let Some(value) = present {
        let may_be_lowered = tuning.memory == MemoryMode::Cap && present_bytes.is_some();
        if has_gomemlimit && !may_be_lowered {
            warn_about_value(value, present_bytes, decision.limit, warnings);
        }
        decision.reason = Reason::Present;
        decision.note = note;
        if !may_be_lowered {
            return;
        }
    }
    if tuning.memory_limit.is_none() {
        warn_about_files(&limits.memory, warnings);
    }
    let Some(limit) = decision.limit else {
        return;
    };
    let (value, reason) = gomemlimit_for(limit, tuning, warnings);
    if value == Bytes(0) {
        // With 0 Go would collect garbage without pause.
        decision.reason = Reason::NothingLeft;
        decision.note = note;
        return;
    }
    if let Some(bytes) = present_bytes {
        if bytes <= value {
            return;
        }
        note = note.or(Some(Note::LoweredGomemlimit));
    }
    decision.value = Some(value.0);
    decision.reason = reason;
    decision.note = note;
}

/// Warns about a `GOMEMLIMIT` that stays as it is, if Go refuses it or it cannot help. `off` is what
/// the user wants.
fn warn_about_value<'a>(
    value: &'a [u8],
    bytes: Option<Bytes>,
    limit: Option<Bytes>,
    warnings: &mut Vec<Error<'a>>,
) {
    match (bytes, limit) {
        (None, _) => warnings.push(Error::RefusedByGo(value)),
        (Some(bytes), Some(limit)) if bytes >= limit && value != b"off" => {
            warnings.push(Error::TooHighForLimit { value, bytes, limit });
        }
        _ => {}
    }
}

/// The value of `GOMEMLIMIT` for a limit: the share, or what the reserve leaves if that is less, but
/// not below the minimum. In no case is it above the limit.
fn gomemlimit_for(limit: Bytes, tuning: &Tuning, warnings: &mut Vec<Error<'_>>) -> (Bytes, Reason) {
    let limit = limit.min(MAX_GOMEMLIMIT);
    let minimum = tuning.memory_min;
    let (value, reason) = share_or_rest(limit, tuning, warnings);
    if minimum <= value {
        (value, reason)
    } else if minimum <= limit {
        (minimum, Reason::MemoryMinimum(minimum))
    } else {
        (limit, Reason::BelowMinimum(minimum))
    }
}

/// The share of a limit, or what the reserve leaves if that is less.
fn share_or_rest(limit: Bytes, tuning: &Tuning, warnings: &mut Vec<Error<'_>>) -> (Bytes, Reason) {
    let (ratio, reserve) = (tuning.memory_ratio, tuning.memory_reserve);
    let share = ratio.of(limit);
    let rest = Bytes(limit.0.saturating_sub(reserve.0));
    if rest == Bytes(0) {
        if reserve > Bytes(0) {
            warnings.push(Error::ReserveTooLarge { reserve: reserve.0, limit: limit.0 });
        }
    } else if rest < share {
        return (rest, Reason::Reserve(reserve));
    }
    (share, Reason::Share(ratio))
}
