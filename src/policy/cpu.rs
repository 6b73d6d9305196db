//! Decides about `GOMAXPROCS`, and about the Go runtime's own rule for it.

use super::{GoEnv, Note, Plan, Reason, warn_about_files};
use crate::cgroup::go_runtime::MountRule;
use crate::cgroup::limits::{Limits, RuntimeQuota};
use crate::error::Error;
use crate::golang::values::{
    CONTAINERMAXPROCS, GOMAXPROCS, GodebugSetting, UPDATEMAXPROCS, parse_go_integer,
};
use crate::golang::{GoRuntime, Release};
use crate::options::{CpuMode, Rounding, Tuning};
use crate::units::CpuQuota;

/// The first release of Go with these settings.
const CONTAINERMAXPROCS_SINCE: Release = Release { major: 1, minor: 25, patch: 0 };
/// The first release of Go that looks for a mount that shows its cgroup.
const MATCHING_ROOT_SINCE: Release = Release { major: 1, minor: 26, patch: 0 };

/// Decides what `GOMAXPROCS` is set to.
pub(super) fn decide<'a>(
    plan: &mut Plan<'a>,
    tuning: &Tuning,
    limits: &'a Limits,
    env: GoEnv<'a>,
    program: Option<GoRuntime>,
) {
    let Plan { cpu: decision, warnings, .. } = plan;
    if tuning.cpu == CpuMode::Off {
        decision.reason = Reason::Off;
        return;
    }
    let is_static = tuning.cpu == CpuMode::Static;
    if let Some(value) = present(tuning, env) {
        let release = program.and_then(|program| program.release);
        if parse_go_integer(value, release).is_none_or(|threads| threads <= 0) {
            let (name, expected) = (GOMAXPROCS, "a whole number from 1");
            warnings.push(Error::IgnoredByGo { name, value, expected });
        }
        decision.reason = Reason::Present;
        return;
    }
    if tuning.cpu_limit.is_none() {
        warn_about_files(&limits.cpu, warnings);
    }
    let note = match setter(tuning, limits, decision.limit, env.godebug, program) {
        Setter::Loadline(note) => note,
        Setter::Runtime(reason, _) => {
            let note = why_runtime_differs(limits.runtime_quota, decision.limit);
            // Without a quota only for `--cpu live`, so that the runtime follows one that is set later.
            if note.is_none() && (decision.limit.is_some() || reason == Reason::Live) {
                decision.reason = reason;
                return;
            }
            note
        }
    };
    let Some(quota) = decision.limit else {
        return;
    };

    let mut threads = match tuning.cpu_rounding {
        Rounding::Up => quota.rounded_up(),
        Rounding::Down => quota.rounded_down().max(1),
    };
    decision.reason = Reason::Rounded(tuning.cpu_rounding);
    if threads < tuning.cpu_min {
        threads = tuning.cpu_min;
        decision.reason = Reason::Minimum(threads);
    }
    if let Some(cpus) = limits.cpus.map(u64::from) {
        // By itself, Go 1.25 and later uses the quota that it finds, whatever was asked for.
        let finds_fewer = limits.cpu.lowest().is_some_and(|(quota, _)| quota.rounded_up() < cpus);
        if cpus <= threads && !finds_fewer && !is_static {
            decision.reason = Reason::EnoughCpus { cpus };
            return;
        }
        if cpus < threads {
            threads = cpus;
            decision.reason = Reason::CappedAtCpus(cpus);
        }
    }
    decision.value = Some(threads);
    decision.note = note;
}

/// How the program's Go runtime looks for its CPU quota, if the decision depends on what it finds: then
/// [`super::decide`] needs to have that in [`Limits::runtime_quota`].
#[must_use]
pub fn runtime_rule(
    tuning: &Tuning,
    limits: &Limits,
    env: GoEnv<'_>,
    program: Option<GoRuntime>,
) -> Option<MountRule> {
    if tuning.cpu == CpuMode::Off || present(tuning, env).is_some() {
        return None;
    }
    let quota = limits.cpu.lowest().map(|(quota, _)| quota);
    match setter(tuning, limits, quota, env.godebug, program) {
        Setter::Runtime(_, rule) => Some(rule),
        Setter::Loadline(_) => None,
    }
}

/// The value in the environment, unless it is replaced.
fn present<'a>(tuning: &Tuning, env: GoEnv<'a>) -> Option<&'a [u8]> {
    env.gomaxprocs.filter(|_| tuning.cpu != CpuMode::Static)
}

/// Whether the user asked for something that only loadline can do.
fn is_customised(tuning: &Tuning) -> bool {
    tuning.cpu == CpuMode::Static
        || tuning.cpu_limit.is_some()
        || tuning.cpu_min > 1
        || tuning.cpu_rounding != Rounding::Up
}

/// Why the runtime would not use this quota, given what it finds.
fn why_runtime_differs(found: Option<RuntimeQuota>, quota: Option<CpuQuota>) -> Option<Note> {
    match (found?, quota) {
        (Err(error), _) => Some(Note::RuntimeFails(error)),
        (Ok(None), None) => None,
        (Ok(Some(found)), Some(quota)) if !found.is_below(quota) && !quota.is_below(found) => None,
        (Ok(_), _) => Some(Note::RuntimeFindsOther),
    }
}

/// Who sets the number of threads.
enum Setter {
    /// The Go runtime, if it finds the same quota by this rule.
    Runtime(Reason, MountRule),
    /// loadline. The note says why the runtime does not.
    Loadline(Option<Note>),
}

/// Decides whether the number of threads can be left to the program's runtime.
fn setter(
    tuning: &Tuning,
    limits: &Limits,
    quota: Option<CpuQuota>,
    godebug: Option<&[u8]>,
    program: Option<GoRuntime>,
) -> Setter {
    let is_live = tuning.cpu == CpuMode::Live;
    let has_effect =
        quota.is_some_and(|quota| limits.cpus.is_none_or(|cpus| quota.rounded_up() < cpus.into()));
    if is_customised(tuning) || !has_effect && !is_live {
        return Setter::Loadline(None);
    }
    let Some(program) = program else {
        return Setter::Loadline(is_live.then_some(Note::CannotFollow));
    };
    let rule = match program.release {
        Some(release) if release >= MATCHING_ROOT_SINCE => MountRule::MatchingRoot,
        Some(release) if release >= CONTAINERMAXPROCS_SINCE => MountRule::AnyRoot,
        _ => return Setter::Loadline(is_live.then_some(Note::CannotFollow)),
    };
    let state = |name, default| GodebugState::of(program, godebug, name, default);
    let containermaxprocs = state(CONTAINERMAXPROCS, program.containermaxprocs);
    if !containermaxprocs.is_on && !is_live {
        return Setter::Loadline(None);
    }
    let finds_quota = match quota {
        Some(quota) => limits.cpu.leaf_shows(quota),
        None => !limits.cpu.files.is_empty() && !limits.cpu.is_guess,
    };
    // golang/go#81180
    if !finds_quota {
        return Setter::Loadline(Some(Note::OwnCgroupOnly));
    }
    // What the user switches off stays off.
    if !containermaxprocs.is_on {
        return if containermaxprocs.is_set_by_user {
            Setter::Loadline(Some(Note::GodebugPresent))
        } else {
            Setter::Runtime(Reason::Live, rule)
        };
    }
    let updatemaxprocs = state(UPDATEMAXPROCS, program.updatemaxprocs);
    if is_live && !updatemaxprocs.is_on && !updatemaxprocs.is_set_by_user {
        Setter::Runtime(Reason::Live, rule)
    } else {
        Setter::Runtime(Reason::GoRuntime, rule)
    }
}

/// A setting in `GODEBUG` of a Go runtime that knows it.
struct GodebugState {
    is_on: bool,
    /// Whether it is in the user's GODEBUG, with whatever value.
    is_set_by_user: bool,
}

impl GodebugState {
    fn of(program: GoRuntime, godebug: Option<&[u8]>, name: &str, default: Option<bool>) -> Self {
        let user = GodebugSetting::find(godebug, name, program.release);
        // The toolchain's default is on. It records "off" in the program if go.mod names an older
        // version of Go.
        Self { is_on: user.is_on.or(default).unwrap_or(true), is_set_by_user: user.is_present }
    }
}

/// The user's `GODEBUG`, extended by the settings that make the runtime follow the quota. Those
/// that the user sets stay as they are.
pub(super) fn follow_quota(godebug: Option<&[u8]>) -> Vec<u8> {
    let mut value = godebug.unwrap_or_default().to_vec();
    for name in [CONTAINERMAXPROCS, UPDATEMAXPROCS] {
        if !GodebugSetting::find(godebug, name, None).is_present {
            if !value.is_empty() {
                value.push(b',');
            }
            value.extend_from_slice(name.as_bytes());
            value.extend_from_slice(b"=1");
        }
    }
    value
}
