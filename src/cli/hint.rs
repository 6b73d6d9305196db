//! Guesses what was meant by an option or a program that there is not. Pure.
//!
//! A hint is the end of a message and begins with a semicolon. It is empty if there is nothing to say.

use super::spec::parse_format;

/// For an argument whose option is unknown, or is short and has an invalid value. Go's flags have one
/// dash: `-exec` is `-e` with the value `xec`.
pub fn for_option(argument: &[u8]) -> &'static str {
    match argument {
        [b'-', b'-', ..] | [_, _] => "",
        _ => "; long options begin with --",
    }
}

const FORMAT: &str = "; a format follows a =: --report=json, --explain=json";

/// For the operand that is taken for the program, if there is no such program. `before` is the
/// argument with the last option, or the `--`.
pub fn for_program(before: &[u8], program: &[u8]) -> &'static str {
    match (before, program) {
        (b"--", [b'-', ..]) => {
            "; options for loadline go before the -- (see ENTRYPOINT), or into variables"
        }
        (b"--report" | b"--explain", _) if parse_format(program).is_some() => FORMAT,
        (b"--inspect", b"text" | b"json") => FORMAT,
        _ if program.contains(&b' ') => "; it contains a space",
        _ => "",
    }
}
