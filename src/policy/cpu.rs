//! The CPU quota, `GOMAXPROCS`, and the runtime's own rule for it.

use super::go::{Setting, go_integer, is_since};
use super::{CpuMode, Note, Plan, Present, Reader, Reason, Rounding, Tuning, warn};
use crate::error::Error;
use crate::gobinary::{GoBinary, Release};
use crate::limits::{Limits, Readings, Version};
use crate::packed::packed;
use crate::units::Quota;

/// Go's names for switching its own rule for GOMAXPROCS, and its updates, on and off.
const TRACKING: [&str; 2] = ["containermaxprocs", "updatemaxprocs"];

/// The first release with a rule of its own for `GOMAXPROCS` in a cgroup.
const OWN_RULE: Release = Release { major: 1, minor: 25, patch: 0 };
/// The first release that finds its cgroup below the mount of a part of a hierarchy.
const KNOWS_PARTS: Release = Release { major: 1, minor: 26, patch: 0 };
/// The first release of automaxprocs that finds its own cgroup on v2 (uber-go/automaxprocs#53).
const KNOWS_V2: Release = Release { major: 1, minor: 5, patch: 2 };

/// Decides what becomes of `GOMAXPROCS`.
#[inline(never)]
pub(super) fn decide<'a>(
    plan: &mut Plan<'a>,
    tuning: &Tuning,
    limits: &'a Limits,
    present: Present<'a>,
    program: Option<&GoBinary<'_>>,
) {
    let Plan { cpu: decision, warnings, .. } = plan;
    let replaces = tuning.cpu == CpuMode::Static;
    if tuning.cpu == CpuMode::Off {
        decision.reason = Reason::Off;
        return;
    }
    if let Some(value) = present.processors
        && !replaces
    {
        let release = program.and_then(|program| program.release);
        if go_integer(value, release).is_none_or(|threads| threads <= 0) {
            let (name, expected) = ("GOMAXPROCS", packed!("a whole number from 1"));
            warnings.push(Error::GoWillIgnore { name, value, expected });
        }
        decision.reason = Reason::Present;
        return;
    }
    if tuning.cpu_limit.is_none() {
        warn(&limits.cpu.files, warnings);
    }
    let own_rule = program.and_then(|program| own_rule(program, present.debug));
    let left_alone = if !replaces && tuning.leaves_cpu_alone() {
        left_alone(tuning, &limits.cpu, decision.limit, program, own_rule)
    } else {
        Err(None)
    };
    let Some(quota) = decision.limit else {
        // One that is set later is to be followed then.
        if matches!(left_alone, Ok(Reason::Live)) {
            decision.reason = Reason::Live;
        }
        return;
    };
    match left_alone {
        Ok(reason) => {
            decision.reason = reason;
            return;
        }
        Err(note) => decision.note = note,
    }

    let mut value = match tuning.rounding {
        Rounding::Up => quota.rounded_up(),
        Rounding::Down => quota.rounded_down().max(1),
    };
    decision.reason = Reason::Rounded(tuning.rounding);
    if value < tuning.cpu_min {
        value = tuning.cpu_min;
        decision.reason = Reason::Minimum(value);
    }
    if let Some(cpus) = limits.cpus.map(u64::from)
        && cpus <= value
    {
        if !replaces {
            decision.note = None;
            decision.reason = Reason::Enough { cpus };
            return;
        }
        if cpus < value {
            value = cpus;
            decision.reason = Reason::Cpus(cpus);
        }
    }
    decision.value = Some(value);
}

/// Whether the program finds the quota by itself, and how; or what speaks against it.
fn left_alone(
    tuning: &Tuning,
    readings: &Readings,
    quota: Option<Quota>,
    program: Option<&GoBinary<'_>>,
    own_rule: Option<OwnRule>,
) -> Result<Reason, Option<Note>> {
    let is_in_leaf = match quota {
        Some(quota) => readings.is_in_leaf(quota),
        None => readings.version.is_some() && !readings.guessed,
    };
    let library = program.and_then(|program| program.automaxprocs);
    let is_blind = readings.version == Some(Version::V2)
        && library.is_some_and(|version| !is_since(version, KNOWS_V2));
    if library.is_some() && !is_blind {
        return if is_in_leaf {
            Ok(Reason::Library(Reader::Automaxprocs))
        } else {
            Err(Some(Note::OwnCgroupOnly(Reader::Automaxprocs)))
        };
    }
    let wants_live = tuning.cpu == CpuMode::Live;
    let Some(OwnRule { knows_parts, rule, updates }) = own_rule else {
        let note =
            if wants_live { Note::CannotFollow } else { Note::TooOldForV2(Reader::Automaxprocs) };
        return Err((wants_live || is_blind).then_some(note));
    };
    if !rule.is_on && !wants_live {
        return Err(None);
    }
    // golang/go#81180
    if !is_in_leaf {
        return Err(Some(Note::OwnCgroupOnly(Reader::Runtime)));
    }
    // golang/go#76390
    if readings.partial && !knows_parts {
        return Err(Some(Note::PartOfHierarchy));
    }
    // What is off by the user's own word stays so.
    if !rule.is_on {
        return if rule.is_set { Err(Some(Note::DebugPresent)) } else { Ok(Reason::Live) };
    }
    let is_live = wants_live && !updates.is_on && !updates.is_set;
    Ok(if is_live { Reason::Live } else { Reason::Runtime })
}

/// A runtime that has a rule of its own for `GOMAXPROCS` in a cgroup.
#[derive(Clone, Copy)]
struct OwnRule {
    /// Whether it finds its cgroup below the mount of a part of a hierarchy.
    knows_parts: bool,
    rule: Switch,
    updates: Switch,
}

/// One of its switches.
#[derive(Clone, Copy)]
struct Switch {
    is_on: bool,
    /// Whether the user has set it.
    is_set: bool,
}

/// Both are on but for what go.mod's language version (in the defaults) or the user say.
fn own_rule(program: &GoBinary<'_>, debug: Option<&[u8]>) -> Option<OwnRule> {
    let release = program.release.filter(|release| !release.is_before(OWN_RULE))?;
    let switch = |key| {
        let user = Setting::find(debug, key, Some(release));
        let default = Setting::find(program.debug_defaults, key, Some(release));
        let is_on = user.is_on.or(default.is_on).unwrap_or(true);
        Switch { is_on, is_set: user.is_present }
    };
    let [rule, updates] = TRACKING;
    let knows_parts = !release.is_before(KNOWS_PARTS);
    Some(OwnRule { knows_parts, rule: switch(rule), updates: switch(updates) })
}

/// The user's `GODEBUG` with the settings that it has not and that switch the runtime's rule on.
pub(super) fn with_tracking(debug: Option<&[u8]>) -> Vec<u8> {
    let mut value = debug.unwrap_or_default().to_vec();
    for key in &TRACKING {
        if !Setting::find(debug, key, None).is_present {
            if !value.is_empty() {
                value.push(b',');
            }
            value.extend_from_slice(key.as_bytes());
            value.extend_from_slice(b"=1");
        }
    }
    value
}
