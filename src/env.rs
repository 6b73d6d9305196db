//! The environment of the program: the inherited one, changed as the plan says. Pure.

use crate::policy::{GoEnv, Plan};
use crate::text::split_once;
use crate::units::parse_integer;
use core::ffi::CStr;
use std::ffi::CString;

pub use crate::golang::values::{GODEBUG, GOGC, GOMAXPROCS, GOMEMLIMIT};

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

/// The assignments as lines. Left out is a value that contains a line break: what reads such lines
/// would take the rest of it for another variable.
#[must_use]
pub fn lines(assignments: &[CString]) -> Vec<u8> {
    let mut lines = Vec::new();
    for assignment in assignments.iter().map(|it| it.to_bytes()) {
        if !assignment.contains(&b'\n') {
            lines.extend_from_slice(assignment);
            lines.push(b'\n');
        }
    }
    lines
}

/// The inherited environment without the entries for the assigned variables, followed by the
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

/// The variables that tell a process that it is the one they are meant for, by its PID
/// (sd_listen_fds(3), sd_watchdog_enabled(3), systemd.exec(5)). `MANAGERPID` and `MAINPID` name
/// other processes.
const PID_VARIABLES: [&str; 3] = [LISTEN_PID, "WATCHDOG_PID", "SYSTEMD_EXEC_PID"];
/// The process for which the passed sockets are.
const LISTEN_PID: &str = "LISTEN_PID";
/// The same process by the inode number of its pidfd. If it is unset, `LISTEN_PID` suffices.
const LISTEN_PIDFDID: &str = "LISTEN_PIDFDID";

/// Prepares an environment in which variables name `pid`, the process ID of loadline, for the
/// program's own process. Returns the entries that are to have the program's PID: their indices and
/// names.
///
/// `LISTEN_PIDFDID` is left out with `LISTEN_PID`, because the program's pidfd is not known yet.
#[must_use]
pub fn hand_over(environment: &mut Vec<&CStr>, pid: u32) -> Vec<(usize, String)> {
    let mut pid_entries = Vec::new();
    for name in PID_VARIABLES {
        if lookup(environment, name).and_then(parse_integer) != Some(pid.into()) {
            continue;
        }
        // The first of them, so the indices of the others are found afterwards.
        if name == LISTEN_PID {
            while let Some(index) = position(environment, LISTEN_PIDFDID) {
                environment.remove(index);
            }
        }
        if let Some(index) = position(environment, name) {
            pid_entries.push((index, name.to_owned()));
        }
    }
    pid_entries
}

/// The index of the entry that counts for a variable.
fn position(environment: &[&CStr], name: &str) -> Option<usize> {
    environment.iter().position(|entry| value(entry, name.as_bytes()).is_some())
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
    fn each_assignment_is_a_line_unless_it_contains_a_line_break() {
        let assignments = [c"A=1", c"GODEBUG=x=1\nB=2", c"C=\xff"].map(CStr::to_owned);
        assert_eq!(lines(&assignments), b"A=1\nC=\xff\n");
        assert_eq!(lines(&[]), b"");
    }

    #[test]
    fn variables_that_name_this_process_are_handed_over() {
        let mut environment = vec![
            c"A=77",
            c"LISTEN_PIDFDID=5",
            c"LISTEN_PID=77",
            c"LISTEN_FDS=1",
            c"MANAGERPID=77",
            c"WATCHDOG_PID=77",
            c"SYSTEMD_EXEC_PID=77",
        ];
        let inherited = environment.clone();
        assert_eq!(hand_over(&mut environment, 7), []);
        assert_eq!(environment, inherited);
        let expected = [(1, "LISTEN_PID"), (4, "WATCHDOG_PID"), (5, "SYSTEMD_EXEC_PID")];
        let expected = expected.map(|(index, name)| (index, name.to_owned()));
        assert_eq!(hand_over(&mut environment, 77), expected);
        assert_eq!(environment, [&inherited[..1], &inherited[2..]].concat());
    }

    #[test]
    fn variables_that_name_another_process_stay() {
        let inherited = [
            c"LISTEN_PID=7",
            c"LISTEN_PIDFDID=5",
            c"WATCHDOG_PID=",
            c"SYSTEMD_EXEC_PIDS=77",
            c"LISTEN_PID",
        ];
        let mut environment = inherited.to_vec();
        assert_eq!(hand_over(&mut environment, 77), []);
        assert_eq!(environment, inherited);
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
