//! The environment of the program: the inherited one, changed as the plan says. Pure.

use crate::policy::{GoEnv, Plan};
use crate::text::split_once;
use crate::units::parse_integer;
use core::ffi::CStr;
use std::ffi::CString;

/// The memory limit of the Go runtime.
pub const GOMEMLIMIT: &str = "GOMEMLIMIT";
/// The number of threads that run Go code at the same time.
pub const GOMAXPROCS: &str = "GOMAXPROCS";
/// The target of the garbage collector.
pub const GOGC: &str = "GOGC";
/// The other settings of the Go runtime.
pub const GODEBUG: &str = "GODEBUG";

/// The value of a variable. If it is there more than once, the first counts, as for getenv(3) and
/// for Go.
#[must_use]
pub fn lookup<'a>(environment: &[&'a CStr], name: &str) -> Option<&'a [u8]> {
    environment.iter().find_map(|entry| value(entry, name.as_bytes()))
}

/// The value in an entry `name=value`. None if the entry is for another variable, or for none.
fn value<'a>(entry: &'a CStr, name: &[u8]) -> Option<&'a [u8]> {
    entry.to_bytes().strip_prefix(name)?.strip_prefix(b"=")
}

/// Go's variables in an environment.
#[must_use]
pub fn go_env<'a>(environment: &[&'a CStr]) -> GoEnv<'a> {
    let non_empty = |name| lookup(environment, name).filter(|value| !value.is_empty());
    GoEnv {
        gomemlimit: non_empty(GOMEMLIMIT),
        gomaxprocs: non_empty(GOMAXPROCS),
        gogc: non_empty(GOGC),
        godebug: non_empty(GODEBUG),
    }
}

/// The variables that a plan sets, each as `name=value`.
#[must_use]
pub fn assignments(plan: &Plan<'_>) -> Vec<CString> {
    let mut assignments = Vec::new();
    let mut assign = |name: &str, value: &[u8]| {
        // No value contains a NUL byte: that of GODEBUG comes from a C string.
        if let Ok(assignment) = CString::new([name.as_bytes(), b"=", value].concat()) {
            assignments.push(assignment);
        }
    };
    if let Some(bytes) = plan.memory.value {
        assign(GOMEMLIMIT, bytes.to_string().as_bytes());
    }
    if let Some(threads) = plan.cpu.value {
        assign(GOMAXPROCS, threads.to_string().as_bytes());
    }
    if let Some(value) = &plan.godebug {
        assign(GODEBUG, value);
    }
    assignments
}

/// The inherited environment without the entries for the assigned variables, and behind it the
/// assignments. All other entries keep their order and their bytes, also those that are not
/// `name=value`.
#[must_use]
pub fn apply<'a>(inherited: &[&'a CStr], assignments: &'a [CString]) -> Vec<&'a CStr> {
    let is_replaced = |entry: &CStr| {
        assignments.iter().any(|assignment| {
            split_once(assignment.to_bytes(), b'=')
                .is_some_and(|(name, _)| value(entry, name).is_some())
        })
    };
    let mut environment = Vec::with_capacity(inherited.len());
    for entry in inherited {
        if !is_replaced(entry) {
            environment.push(*entry);
        }
    }
    environment.extend(assignments.iter().map(CString::as_c_str));
    environment
}

/// The index of the entry for `LISTEN_PID` if its value is `pid`, the process id of loadline. The
/// entry tells the program that the sockets passed to loadline are meant for it (sd_listen_fds(3)),
/// and has to name the program's process instead.
#[must_use]
pub fn listen_pid_index(environment: &[&CStr], pid: u32) -> Option<usize> {
    let mut entries = environment.iter().enumerate();
    let (index, value) =
        entries.find_map(|(index, entry)| Some((index, value(entry, b"LISTEN_PID")?)))?;
    (parse_integer(value) == Some(pid.into())).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_assigned_variables_change() {
        let inherited = [
            c"A=1",
            c"GOMEMLIMIT=",
            c"no assignment",
            c"GOMEMLIMITS=2",
            c"A=2",
            c"GOMEMLIMIT=3",
            c"\xff=\xfe",
            c"",
        ];
        let assignments = [c"GOMEMLIMIT=5".to_owned()];
        assert_eq!(
            apply(&inherited, &assignments),
            [
                c"A=1",
                c"no assignment",
                c"GOMEMLIMITS=2",
                c"A=2",
                c"\xff=\xfe",
                c"",
                c"GOMEMLIMIT=5"
            ]
        );
        assert_eq!(apply(&inherited, &[]), inherited);
    }

    #[test]
    fn listen_pid_is_found_if_it_names_this_process() {
        let environment = [c"A=1", c"LISTEN_PID=77", c"LISTEN_FDS=1"];
        assert_eq!(listen_pid_index(&environment, 77), Some(1));
        assert_eq!(listen_pid_index(&environment, 7), None);
        assert_eq!(listen_pid_index(&[c"LISTEN_PIDS=77", c"LISTEN_PID="], 77), None);
    }

    #[test]
    fn the_first_entry_for_a_variable_counts_and_an_empty_value_is_none() {
        let environment = [c"GOMAXPROCS=2", c"GOMAXPROCS=3", c"GOMEMLIMIT=", c"GOMEMLIMIT=1"];
        assert_eq!(lookup(&environment, GOMAXPROCS), Some(&b"2"[..]));
        assert_eq!(lookup(&environment, "GOMAX"), None);
        let env = go_env(&environment);
        assert_eq!((env.gomemlimit, env.gomaxprocs), (None, Some(&b"2"[..])));
    }
}
