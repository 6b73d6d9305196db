//! Looks through the command line of a known init to the program that it starts. Pure.
//!
//! Such an init changes nothing that matters to the program's Go runtime, so the program decides which
//! variables are set. What else starts a program, such as a shell, is not looked through: nothing tells
//! what it starts.

use crate::cli;
use core::ffi::CStr;

/// How many inits are looked through, one behind the other.
const MAX_INITS: usize = 4;

/// The command line of the program that a command line starts in the end. It is the command line itself
/// if that is not one of a known init; empty if an init has no program.
#[must_use]
pub fn program<'a>(command: &'a [&'static CStr]) -> &'a [&'static CStr] {
    chain(command).last().unwrap_or_default()
}

/// A command line, the one that it starts if it is one of a known init, and so on.
pub fn chain<'a>(command: &'a [&'static CStr]) -> impl Iterator<Item = &'a [&'static CStr]> {
    core::iter::successors(Some(command), |command| started(command)).take(MAX_INITS + 1)
}

/// The command line that a known init starts.
fn started<'a>(command: &'a [&'static CStr]) -> Option<&'a [&'static CStr]> {
    let (init, arguments) = command.split_first()?;
    Some(match file_name(init.to_bytes()) {
        // The options of tini are among ours. The container engines call their init by other names.
        b"loadline" | b"tini" | b"tini-static" | b"docker-init" => {
            cli::parse(arguments, &[]).program
        }
        b"dumb-init" => operands(arguments, &[b"-r", b"--rewrite"]),
        b"catatonit" | b"podman-init" => operands(arguments, &[]),
        _ => return None,
    })
}

/// The arguments after the options. `with_value` are the options whose next argument is their value.
fn operands<'a>(arguments: &'a [&'static CStr], with_value: &[&[u8]]) -> &'a [&'static CStr] {
    let mut rest = arguments;
    while let Some((first, others)) = rest.split_first() {
        rest = match first.to_bytes() {
            b"--" => return others,
            option if with_value.contains(&option) => others.get(1..).unwrap_or_default(),
            [b'-', _, ..] => others,
            _ => break,
        };
    }
    rest
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &str) -> Vec<&'static CStr> {
        let string = |word: &str| &*format!("{word}\0").leak();
        let strings = words.split_whitespace().map(string);
        strings.map(|string| CStr::from_bytes_with_nul(string.as_bytes()).unwrap()).collect()
    }

    #[test]
    fn known_inits_are_looked_through() {
        for command in [
            "/service -x",
            "/tini /service -x",
            "/sbin/docker-init -- /service -x",
            "tini -g -p SIGTERM -e143 -- /service -x",
            "/loadline --exec --memory-ratio 0.5 -- /tini -s /service -x",
            "dumb-init -c --rewrite 15:3 -r 1:2 -v /service -x",
            "dumb-init --rewrite=15:3 -- /service -x",
            "/run/podman-init -g -- /service -x",
        ] {
            assert_eq!(program(&strings(command)), strings("/service -x"), "{command}");
        }
    }

    #[test]
    fn other_programs_are_not() {
        for command in ["sh -c /service", "/tini-2 -- /service", "", "env A=1 /tini -- /service"] {
            assert_eq!(program(&strings(command)), strings(command));
        }
    }

    #[test]
    fn an_init_without_a_program_starts_none_and_many_inits_end() {
        for command in ["/tini", "tini --", "dumb-init -r", "catatonit -h", "loadline --version"] {
            assert_eq!(program(&strings(command)), strings(""), "{command}");
        }
        let tower = "tini ".repeat(MAX_INITS + 1);
        assert_eq!(program(&strings(&tower)), strings("tini"));
    }
}
