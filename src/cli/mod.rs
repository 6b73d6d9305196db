//! Parses the command line and the environment variables that stand for options. Pure.
//!
//! tini's options and variables mean what they mean in tini. Our own options are long, and each
//! that tunes something has a variable `LOADLINE_<NAME>`. The command line wins over a variable.

mod getopt;
mod help;
mod hint;
mod spec;
#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::options::{ExplainFormat, Format, OptionName, Options};
use crate::text::split_once;
use core::ffi::CStr;
use getopt::Parser;
use spec::{Argument, EXPECTED_FORMAT, ON, OptionSpec, parse_format};

pub use help::{HELP, LICENSE, VERSION};

/// What loadline is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `-h`, `--help`: print [`HELP`].
    Help,
    /// `-l`: print [`LICENSE`].
    License,
    /// `--version`: print [`VERSION`].
    Version,
    /// `--explain`: print the limits and the decisions.
    Explain(ExplainFormat),
    /// `--inspect`: look at a program that is running. The operand is a process ID.
    Inspect(Format),
    /// `--install`: copy our own file into this directory.
    Install(&'static [u8]),
    /// `--exec`: become the program.
    Exec,
    /// Without any of them: run the program as its init.
    Supervise,
}

/// The parsed command line and environment.
#[derive(Debug)]
pub struct Request<'a> {
    /// What to do; an error if the command line is invalid, and then nothing may be started.
    pub action: Result<Action, Error<'static>>,
    /// How to do it.
    pub options: Options,
    /// The program and its arguments. Not empty if the action is `Exec` or `Supervise`.
    pub program: &'a [&'static CStr],
    /// What may have been meant if there is no such program: the end of a message.
    pub program_hint: &'static str,
    /// One warning for each invalid variable: a typo in one of them must not keep a pod down.
    pub warnings: Vec<Error<'static>>,
}

/// Parses the arguments, without the name of our own program, and the environment.
#[must_use]
pub fn parse<'a>(arguments: &'a [&'static CStr], environment: &[&'static CStr]) -> Request<'a> {
    let mut options = Options::DEFAULT;
    let mut warnings = Vec::new();
    // Backwards, so that the first of several entries of one name wins, as for getenv(3).
    for entry in environment.iter().rev() {
        if let Err(warning) = apply_variable(entry.to_bytes(), &mut options) {
            warnings.push(warning);
        }
    }
    let mut parser = Parser::new(arguments);
    let action = apply_arguments(&mut parser, &mut options);
    let program = parser.operands();
    let name = program.first().copied().unwrap_or_default();
    let program_hint = hint::for_program(parser.last_argument(), name.to_bytes());
    Request { action, options, program, program_hint, warnings }
}

/// Whether an entry of an environment sets an option.
#[must_use]
pub fn is_setting(entry: &[u8]) -> bool {
    split_once(entry, b'=').is_some_and(|(name, _)| OptionSpec::by_variable(name).is_some())
}

fn apply_variable(entry: &'static [u8], options: &mut Options) -> Result<(), Error<'static>> {
    let Some((name, value)) = split_once(entry, b'=') else {
        return Ok(());
    };
    // Not ours, even if it begins with LOADLINE_: for a Service named "loadline", Kubernetes sets
    // LOADLINE_PORT.
    let Some(spec) = OptionSpec::by_variable(name) else {
        return Ok(());
    };
    if value.is_empty() && !matches!(spec.argument, Argument::Flag) {
        return Ok(());
    }
    let expected = spec.expected;
    (spec.set)(options, value).ok_or(Error::InvalidVariable { name, value, expected })?;
    options.uses_init_options |= spec.init_only;
    Ok(())
}

fn apply_arguments(
    parser: &mut Parser<'_>,
    options: &mut Options,
) -> Result<Action, Error<'static>> {
    let mut instead = None;
    let mut verbose_count = 0u32;
    while let Some(option) = parser.next_option() {
        let mut print = None;
        match option.0 {
            b"h" | b"--help" => print = Some(Action::Help),
            b"l" => print = Some(Action::License),
            b"--version" => print = Some(Action::Version),
            b"v" => verbose_count = verbose_count.saturating_add(1),
            b"--root" => {
                let directory = parser.required_value().ok_or(Error::MissingValue(option))?;
                options.root = Some(directory);
            }
            b"--explain" | b"--inspect" => instead = Some(parse_report(option, parser)?),
            b"--install" => {
                let directory = parser.required_value().ok_or(Error::MissingValue(option))?;
                instead = Some(Action::Install(directory));
            }
            _ => apply_option(option, parser, options)?,
        }
        if let Some(value) = parser.joined_value() {
            return Err(Error::UnexpectedValue { option, value });
        }
        if let Some(action) = print {
            return Ok(action);
        }
    }
    if verbose_count > 0 {
        // Whatever TINI_VERBOSITY says.
        options.verbosity = Options::DEFAULT.verbosity.saturating_add(verbose_count);
    }
    match instead {
        Some(action) => Ok(action),
        None if parser.operands().is_empty() => Err(Error::NoProgram),
        None if options.exec => Ok(Action::Exec),
        None => Ok(Action::Supervise),
    }
}

/// What `--explain` or `--inspect` asks for.
fn parse_report(
    option: OptionName<'static>,
    parser: &mut Parser<'_>,
) -> Result<Action, Error<'static>> {
    let is_explain = option == OptionName(b"--explain");
    let value = parser.joined_value().unwrap_or(ON);
    let expected = if is_explain { "text, json or env" } else { EXPECTED_FORMAT };
    Ok(match parse_format(value) {
        Some(format) if is_explain => Action::Explain(ExplainFormat::Report(format)),
        Some(format) => Action::Inspect(format),
        None if is_explain && value == b"env" => Action::Explain(ExplainFormat::Environment),
        None => return Err(Error::InvalidOption { option, value, expected, hint: "" }),
    })
}

fn apply_option(
    option: OptionName<'static>,
    parser: &mut Parser<'_>,
    options: &mut Options,
) -> Result<(), Error<'static>> {
    let hint = hint::for_option(parser.last_argument());
    let spec = OptionSpec::by_option(option).ok_or(Error::UnknownOption { option, hint })?;
    let value = match spec.argument {
        Argument::Flag => ON,
        Argument::Optional => parser.joined_value().unwrap_or(ON),
        Argument::Required => parser.required_value().ok_or(Error::MissingValue(option))?,
    };
    let expected = spec.expected;
    (spec.set)(options, value).ok_or(Error::InvalidOption { option, value, expected, hint })?;
    options.uses_init_options |= spec.init_only;
    Ok(())
}
