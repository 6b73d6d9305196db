//! Decides what the Go runtime is told about the limits, with a reason for every decision. Pure: it
//! reads no file, no clock and no environment.

mod cpu;
mod memory;
mod reason;

use crate::cgroup::limits::{ControllerLimits, FileProblem, Limit, LimitValue, Limits};
use crate::error::Error;
use crate::golang::GoRuntime;
use crate::golang::values::{GOGC, parse_go_integer};
use crate::options::Tuning;
use crate::units::{Bytes, CpuQuota};

pub use cpu::runtime_rule;
pub use reason::{Note, Reason};

/// The values of Go's variables in the inherited environment. None if the variable is not set, or
/// empty, which the Go runtime takes for the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct GoEnv<'a> {
    /// The value of `GOMEMLIMIT`.
    pub gomemlimit: Option<&'a [u8]>,
    /// The value of `GOMAXPROCS`.
    pub gomaxprocs: Option<&'a [u8]>,
    /// The value of `GOGC`.
    pub gogc: Option<&'a [u8]>,
    /// The value of `GODEBUG`.
    pub godebug: Option<&'a [u8]>,
}

/// A limit, and what a variable is set to because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a, T> {
    /// The limit that counts, if there is one.
    pub limit: Option<T>,
    /// The path of the file with that limit. None if the user gave the limit.
    pub source: Option<&'a [u8]>,
    /// What the variable is set to: bytes for `GOMEMLIMIT`, threads for `GOMAXPROCS`. None if it
    /// is left alone.
    pub value: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// What else there is to know.
    pub note: Option<Note>,
    /// Whether the limit is a guess, because the process's own cgroup could not be located.
    pub is_guess: bool,
    /// Whether this is known to be the limit, or known that there is none. False if no limit was
    /// found and no cgroup is visible, or a file could not be read.
    pub is_known: bool,
}

/// What the program is told.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The memory limit and `GOMEMLIMIT`.
    pub memory: Decision<'a, Bytes>,
    /// The CPU quota and `GOMAXPROCS`.
    pub cpu: Decision<'a, CpuQuota>,
    /// The new value of `GODEBUG`. None if it stays as it is.
    pub godebug: Option<Vec<u8>>,
    /// What the user should know. None of it is fatal.
    pub warnings: Vec<Error<'a>>,
}

/// Decides what a program is told. `program` is None if it is not known to be a Go program. The
/// plan's warnings begin with `warnings`.
#[must_use]
pub fn decide<'a>(
    tuning: &Tuning,
    limits: &'a Limits,
    env: GoEnv<'a>,
    program: Option<GoRuntime>,
    warnings: Vec<Error<'a>>,
) -> Plan<'a> {
    let mut plan = Plan {
        memory: Decision::of_limit(tuning.memory_limit, &limits.memory),
        cpu: Decision::of_limit(tuning.cpu_limit, &limits.cpu),
        godebug: None,
        warnings,
    };
    for (path, problem) in &limits.problems {
        warn(path, problem, &mut plan.warnings);
    }
    memory::decide(&mut plan, tuning, limits, env.gomemlimit, program);
    cpu::decide(&mut plan, tuning, limits, env, program);
    let release = program.and_then(|program| program.release);
    if let Some(value) = env.gogc
        && value != b"off"
        && parse_go_integer(value, release).is_none()
    {
        let (name, expected) = (GOGC, "a percentage such as 100, or off");
        plan.warnings.push(Error::IgnoredByGo { name, value, expected });
    }
    if plan.cpu.reason == Reason::Live {
        plan.godebug = Some(cpu::follow_quota(env.godebug));
    }
    plan
}

impl Decision<'_, Bytes> {
    /// What `GOMEMLIMIT` leaves of the limit. None if it is not set or has no effect.
    #[must_use]
    pub fn headroom(&self) -> Option<Bytes> {
        let (Bytes(limit), value) = self.limit.zip(self.value)?;
        (self.note != Some(Note::NoEffect)).then_some(Bytes(limit.saturating_sub(value)))
    }
}

impl<'a, T: Limit> Decision<'a, T> {
    /// The limit that counts, before anything is decided from it: the one that the user gave, or
    /// the lowest that was found. If there is none, the reason says why.
    fn of_limit(given: Option<T>, found: &'a ControllerLimits<T>) -> Self {
        let mut decision = Self {
            limit: given,
            source: None,
            value: None,
            reason: Reason::Unlimited,
            note: None,
            is_guess: false,
            is_known: true,
        };
        if given.is_some() {
            return decision;
        }
        if let Some((limit, path)) = found.lowest() {
            decision.limit = Some(limit);
            decision.source = Some(path);
        } else if found.files.iter().any(|it| it.value.is_problem()) {
            decision.reason = Reason::Unknown;
            decision.is_known = false;
        } else if found.version.is_none() {
            decision.reason = Reason::NoCgroup;
            decision.is_known = false;
        } else if found.files.is_empty() {
            decision.reason = Reason::OutOfSight;
            decision.is_known = false;
        }
        decision.is_guess = found.is_guess;
        decision
    }
}

/// Warns about the limit files that could not be read or parsed.
fn warn_about_files<'a, T>(limits: &'a ControllerLimits<T>, warnings: &mut Vec<Error<'a>>) {
    for file in &limits.files {
        if let LimitValue::Problem(problem) = &file.value {
            warn(&file.path, problem, warnings);
        }
    }
}

fn warn<'a>(path: &'a [u8], problem: &'a FileProblem, warnings: &mut Vec<Error<'a>>) {
    warnings.push(match problem {
        FileProblem::Unreadable(cause) => Error::UnreadableFile { path, cause: *cause },
        FileProblem::Invalid(content) => Error::InvalidFile { path, content },
    });
}

#[cfg(test)]
mod tests;
