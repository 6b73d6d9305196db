//! loadline is PID 1 in a container: it fits the Go program inside to the container's limits and
//! runs it.
//!
//! ```text
//! argv, LOADLINE_*, TINI_* ──> cli ────> Options ─┐
//! /proc, /sys/fs/cgroup ─────> cgroup ─> Limits ──┼─> policy ─> Plan ─> environment ─> envp
//! the inherited environment ──────────────────────┘              │
//!                                                                ├─> explain   (text, JSON)
//!                                                                ├─> exec      (become the program)
//!                                                                └─> supervise (spawn, signals, reap) ─> exit code
//! ```
//!
//! Data flows one way: from the edges that read, through pure functions that decide, to the edges
//! that act. This library is the binary's inside, not an interface for others.

#![deny(unsafe_code)]

pub mod cgroup;
pub mod cli;
pub mod environment;
pub mod error;
pub mod exit;
pub mod explain;
pub mod limits;
pub mod policy;
pub mod program;
pub mod stderr;
pub mod supervise;
pub mod sys;
pub mod text;
pub mod units;

use cgroup::Root;
use cli::{Command, Format, Options};
use core::ffi::CStr;
use error::Error;
use explain::{AsJson, Line, Program, Text};
use limits::Limits;
use policy::Plan;
use std::ffi::CString;
use stderr::{INFO, Stderr, WARNING};
use supervise::Image;
use sys::SignalSet;

/// Does what the command line asks for and returns the exit code. Every signal is blocked, and
/// `mask` is what was blocked before.
#[must_use]
pub fn run(arguments: &[&CStr], environment: &[&CStr], mask: SignalSet) -> u8 {
    let arguments = arguments.get(1..).unwrap_or_default();
    let (command, warnings, verbosity) = cli::parse(arguments, environment);
    let mut stderr = Stderr::new(verbosity);
    match command {
        Ok(Command::Show(texts)) => show(texts, &mut stderr),
        Ok(Command::Explain(format, options)) => {
            let limits = limits(&options);
            let plan = plan(&options, &limits, environment, warnings);
            explain(format, &options, &plan, environment, &mut stderr)
        }
        Ok(Command::Exec(options)) => {
            let limits = limits(&options);
            let plan = plan(&options, &limits, environment, warnings);
            say(&plan, &mut stderr);
            with_image(&options, &plan, environment, |image| exec(image, mask, &mut stderr))
        }
        Ok(Command::Supervise(options)) => {
            let limits = limits(&options);
            let plan = plan(&options, &limits, environment, warnings);
            say(&plan, &mut stderr);
            with_image(&options, &plan, environment, |image| {
                match supervise::run(&options, image, mask, &mut stderr) {
                    Ok(outcome) => exit::code(outcome, options.remap),
                    Err(cause) => fail(Error::Spawn(cause), &mut stderr),
                }
            })
        }
        Err(error @ Error::NoProgram) => {
            stderr.fatal(format_args!("{error}\n\n{}", cli::HELP));
            exit::FAILURE
        }
        Err(error) => fail(error, &mut stderr),
    }
}

fn fail(error: Error<'_>, stderr: &mut Stderr) -> u8 {
    stderr.fatal(error);
    exit::FAILURE
}

fn show(texts: &[&str], stderr: &mut Stderr) -> u8 {
    match texts.iter().try_for_each(|text| sys::write_stdout(text.as_bytes())) {
        Ok(()) => 0,
        Err(cause) => fail(Error::Output(cause), stderr),
    }
}

fn limits(options: &Options<'_>) -> Limits {
    let root = options.root.as_deref();
    cgroup::read(&root.map_or_else(Root::system, Root::at))
}

/// The plan, with the warnings about variables before its own.
fn plan<'a>(
    options: &Options<'_>,
    limits: &'a Limits,
    environment: &[&'a CStr],
    mut warnings: Vec<Error<'a>>,
) -> Plan<'a> {
    let present = environment::present(environment);
    let mut plan = policy::decide(&options.tuning, limits, present);
    warnings.append(&mut plan.warnings);
    plan.warnings = warnings;
    plan
}

fn say(plan: &Plan<'_>, stderr: &mut Stderr) {
    for warning in &plan.warnings {
        stderr.at(WARNING, warning);
    }
    stderr.at(INFO, Line(plan));
}

fn explain(
    format: Format,
    options: &Options<'_>,
    plan: &Plan<'_>,
    environment: &[&CStr],
    stderr: &mut Stderr,
) -> u8 {
    let name = options.program.first().copied();
    let candidates = name.map(|name| candidates(name, environment)).unwrap_or_default();
    let path = candidates.iter().find(|file| sys::is_executable(file));
    let program =
        Program { name: name.map(CStr::to_bytes), path: path.map(|file| file.to_bytes()) };
    let report = match format {
        Format::Text => Text(plan, program).to_string(),
        Format::Json => AsJson(plan, program).to_string(),
    };
    match sys::write_stdout(report.as_bytes()) {
        Ok(()) => 0,
        Err(cause) => fail(Error::Output(cause), stderr),
    }
}

fn candidates(name: &CStr, environment: &[&CStr]) -> Vec<CString> {
    program::candidates(name, environment::lookup(environment, "PATH"))
}

/// Hands over all that it takes to become the program, in the planned environment.
fn with_image(
    options: &Options<'_>,
    plan: &Plan<'_>,
    environment: &[&CStr],
    then: impl FnOnce(&mut Image<'_>) -> u8,
) -> u8 {
    let name = options.program.first().copied().unwrap_or_default();
    let candidates = candidates(name, environment);
    let settings = environment::settings(plan);
    let environment = environment::apply(environment, &settings);
    let exec = sys::Exec::new(options.program, &environment);
    then(&mut Image { name, candidates: &candidates, exec })
}

/// Becomes the program, which gets the signals that have come for it so far.
fn exec(image: &mut Image<'_>, mask: SignalSet, stderr: &mut Stderr) -> u8 {
    if stderr.is_broken() {
        sys::discard_own(libc::SIGPIPE);
    }
    sys::set_mask(mask);
    let (error, code) = image.become_it();
    // Not to be ended by a broken standard error before the exit code is out.
    let _ = sys::block_all();
    stderr.fatal(error);
    code
}
