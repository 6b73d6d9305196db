//! Decides about `GOMAXPROCS`, and about the Go runtime's own rule for it.

use super::{GoEnv, Note, Plan, Reason, warn_about_files};
use crate::cgroup::limits::{ControllerLimits, Limits};
use crate::error::Error;
use crate::golang::values::{GOMAXPROCS, GodebugSetting, parse_go_integer};
use crate::golang::{GoBinary, Release};
use crate::options::{CpuMode, Rounding, Tuning};
use crate::units::CpuQuota;

/// The `GODEBUG` setting that makes the runtime derive GOMAXPROCS from the quota.
const CONTAINERMAXPROCS: &str = "containermaxprocs";
/// The `GODEBUG` setting that makes the runtime follow changes of the quota.
const UPDATEMAXPROCS: &str = "updatemaxprocs";

/// The first release of Go with these settings.
const CONTAINERMAXPROCS_SINCE: Release = Release { major: 1, minor: 25, patch: 0 };
/// The first release of Go that finds its cgroup if the mount shows only a subtree of the
/// hierarchy (golang/go#76390).
const SUBTREE_MOUNT_SINCE: Release = Release { major: 1, minor: 26, patch: 0 };

/// Decides what `GOMAXPROCS` is set to.
pub(super) fn decide<'a>(
    plan: &mut Plan<'a>,
    tuning: &Tuning,
    limits: &'a Limits,
    env: GoEnv<'a>,
    program: Option<&GoBinary<'_>>,
) {
    let Plan { cpu: decision, warnings, .. } = plan;
    if tuning.cpu == CpuMode::Off {
        decision.reason = Reason::Off;
        return;
    }
    let is_static = tuning.cpu == CpuMode::Static;
    if !is_static && let Some(value) = env.gomaxprocs {
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
    let setter = if is_static || is_customised(tuning) {
        Setter::Loadline(None)
    } else {
        setter(tuning.cpu, &limits.cpu, decision.limit, program, env.godebug)
    };
    let (quota, note) = match (decision.limit, setter) {
        (Some(quota), Setter::Loadline(note)) => (quota, note),
        // Without a quota too, so that the runtime follows one that is set later.
        (Some(_), Setter::Runtime(reason)) | (None, Setter::Runtime(reason @ Reason::Live)) => {
            decision.reason = reason;
            return;
        }
        (None, _) => return,
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
        if cpus <= threads && !is_static {
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

/// Whether the user asked for something that only loadline can do.
fn is_customised(tuning: &Tuning) -> bool {
    tuning.cpu_limit.is_some() || tuning.cpu_min > 1 || tuning.cpu_rounding != Rounding::Up
}

/// Who sets the number of threads.
enum Setter {
    /// The Go runtime, which finds the same quota.
    Runtime(Reason),
    /// loadline. The note says why the runtime does not.
    Loadline(Option<Note>),
}

/// Decides whether the program's runtime can be trusted to find the quota itself.
fn setter(
    mode: CpuMode,
    limits: &ControllerLimits<CpuQuota>,
    quota: Option<CpuQuota>,
    program: Option<&GoBinary<'_>>,
    godebug: Option<&[u8]>,
) -> Setter {
    let finds_quota = match quota {
        Some(quota) => limits.leaf_shows(quota),
        None => limits.version.is_some() && !limits.is_guess,
    };
    let is_live = mode == CpuMode::Live;
    let reads_quota = |program: &&GoBinary<'_>| {
        program.release.is_some_and(|release| release >= CONTAINERMAXPROCS_SINCE)
    };
    let Some(program) = program.filter(reads_quota) else {
        return Setter::Loadline(is_live.then_some(Note::CannotFollow));
    };
    let containermaxprocs = GodebugState::of(program, godebug, CONTAINERMAXPROCS);
    if !containermaxprocs.is_on && !is_live {
        return Setter::Loadline(None);
    }
    // golang/go#81180
    if !finds_quota {
        return Setter::Loadline(Some(Note::OwnCgroupOnly));
    }
    if limits.subtree_mount && program.release.is_some_and(|release| release < SUBTREE_MOUNT_SINCE)
    {
        return Setter::Loadline(Some(Note::SubtreeMount));
    }
    // What the user switches off stays off.
    if !containermaxprocs.is_on {
        return if containermaxprocs.is_set_by_user {
            Setter::Loadline(Some(Note::GodebugPresent))
        } else {
            Setter::Runtime(Reason::Live)
        };
    }
    let updatemaxprocs = GodebugState::of(program, godebug, UPDATEMAXPROCS);
    if is_live && !updatemaxprocs.is_on && !updatemaxprocs.is_set_by_user {
        Setter::Runtime(Reason::Live)
    } else {
        Setter::Runtime(Reason::GoRuntime)
    }
}

/// A setting in `GODEBUG` of a Go runtime that knows it.
struct GodebugState {
    is_on: bool,
    /// Whether it is in the user's GODEBUG, with whatever value.
    is_set_by_user: bool,
}

impl GodebugState {
    fn of(program: &GoBinary<'_>, godebug: Option<&[u8]>, name: &str) -> Self {
        let user = GodebugSetting::find(godebug, name, program.release);
        // The toolchain's default is on. It records "off" in the program if go.mod names an older
        // version of Go.
        let default = GodebugSetting::find(program.default_godebug, name, program.release);
        Self {
            is_on: user.is_on.or(default.is_on).unwrap_or(true),
            is_set_by_user: user.is_present,
        }
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
