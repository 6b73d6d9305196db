//! The environment of the program: the inherited one with the planned changes. Pure.

use crate::policy::{Plan, Present};
use crate::text::{Fields, Out, Put, Strings, put};
use crate::units::integer;
use core::ffi::CStr;

/// The variable for the memory limit.
pub const MEMORY: &str = "GOMEMLIMIT";
/// The variable for the number of threads.
pub const PROCESSORS: &str = "GOMAXPROCS";
/// The variable for the runtime's own settings.
pub const DEBUG: &str = "GODEBUG";

/// The value of a variable; of several by one name the first, as for getenv(3) and for Go.
#[must_use]
pub fn lookup<'a>(environment: &[&'a CStr], name: &str) -> Option<&'a [u8]> {
    environment.iter().find_map(|entry| value(entry.to_bytes(), name.as_bytes()))
}

fn value<'a>(entry: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    entry.strip_prefix(name)?.strip_prefix(b"=")
}

/// What an environment says to Go already. An empty value says nothing to Go.
#[must_use]
pub fn present<'a>(environment: &[&'a CStr]) -> Present<'a> {
    let filled = |name| lookup(environment, name).filter(|value| !value.is_empty());
    Present {
        memory: filled(MEMORY),
        processors: filled(PROCESSORS),
        collector: filled("GOGC"),
        debug: filled(DEBUG),
    }
}

/// The variables that a plan sets, as C strings `name=value`.
#[must_use]
pub fn settings(plan: &Plan<'_>) -> Vec<u8> {
    let mut settings = Out::default();
    if let Some(bytes) = plan.memory.value {
        put!(&mut settings, MEMORY, "=", bytes);
        settings.byte(0);
    }
    if let Some(threads) = plan.cpu.value {
        put!(&mut settings, PROCESSORS, "=", threads);
        settings.byte(0);
    }
    if let Some(debug) = &plan.debug {
        put!(&mut settings, DEBUG, "=");
        settings.bytes(debug);
        settings.byte(0);
    }
    settings.into_bytes()
}

/// The inherited environment with each setting in the place of all that had its name. Nothing
/// else is touched: neither order nor bytes, nor entries that are no `name=value`.
#[must_use]
pub fn apply<'a>(inherited: &[&'a CStr], settings: Strings<'a>) -> Vec<&'a CStr> {
    let is_replaced = |entry: &CStr| {
        settings.clone().any(|setting| {
            let name = Fields::new(setting.to_bytes(), b'=').next().unwrap_or_default();
            value(entry.to_bytes(), name).is_some()
        })
    };
    let mut environment = Vec::with_capacity(inherited.len());
    for entry in inherited {
        if !is_replaced(entry) {
            environment.push(*entry);
        }
    }
    environment.extend(settings);
    environment
}

/// What stands before the process id in the variable by which sockets are handed over
/// (sd_listen_fds(3)), and its place in an environment, where it names this process: the program
/// is meant, which becomes another one if it is spawned.
#[must_use]
pub fn listener(environment: &[&CStr], own: u32) -> Option<(usize, &'static [u8])> {
    const NAME: &[u8] = b"LISTEN_PID";
    let mut entries = environment.iter().enumerate();
    let (place, named) =
        entries.find_map(|(place, entry)| Some((place, value(entry.to_bytes(), NAME)?)))?;
    (integer(named) == Some(own.into())).then_some((place, b"LISTEN_PID="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_changes() {
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
        let settings = Strings(b"GOMEMLIMIT=5\0");
        assert_eq!(
            apply(&inherited, settings),
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
        assert_eq!(apply(&inherited, Strings(b"")), inherited);
    }

    #[test]
    fn handed_over_sockets_are_for_the_program_where_they_were_for_us() {
        let environment = [c"A=1", c"LISTEN_PID=77", c"LISTEN_FDS=1"];
        assert_eq!(listener(&environment, 77), Some((1, &b"LISTEN_PID="[..])));
        assert_eq!(listener(&environment, 7), None);
        assert_eq!(listener(&[c"LISTEN_PIDS=77", c"LISTEN_PID="], 77), None);
    }

    #[test]
    fn the_first_of_a_name_counts_and_an_empty_one_says_nothing() {
        let environment = [c"GOMAXPROCS=2", c"GOMAXPROCS=3", c"GOMEMLIMIT=", c"GOMEMLIMIT=1"];
        assert_eq!(lookup(&environment, PROCESSORS), Some(&b"2"[..]));
        assert_eq!(lookup(&environment, "GOMAX"), None);
        let present = present(&environment);
        assert_eq!((present.memory, present.processors), (None, Some(&b"2"[..])));
    }
}
