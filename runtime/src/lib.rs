//! loadline-runtime is an OCI runtime: it fits the Go program of a container to the container's limits, and
//! hands over to runc.
//!
//! ```text
//! argv ───────────────────────────> command_line ─> Call ─────────────────────┐
//! runtime.toml, annotations ──────> settings ─────> LOADLINE_ variables ──┐    │
//! config.json, host cgroups ──────> limits ───────> Limits ───────────────┤    │
//! config.json, root filesystem ───> program ──────> GoBinary ─────────────┼─> loadline's policy ─> Plan
//!                                                                         │    │                    │
//!                                                     edited config.json <┼────┼──── bundle <───────┘
//!                                                                              └─> exec runc
//! ```
//!
//! Nothing may keep a container from starting: whatever fails here is one line in the log, and runc gets
//! the bundle as it was.

#![deny(unsafe_code)]

pub mod bundle;
mod command_line;
mod create;
mod exec;
pub mod install;
mod limits;
mod log;
mod program;
mod replace;
mod settings;

use command_line::Request;
use core::ffi::CStr;
use loadline::options::Format;
use loadline::report::{JsonReport, TextReport};
use loadline::sys;
use settings::Settings;
use std::io::{Write, stdout};
use std::path::Path;

/// The exit code of an error of our own.
const FAILURE: u8 = 1;

/// Does what the command line asks for, and returns the exit code. Most often it does not return, because
/// this process becomes the runtime.
pub fn run(arguments: &[&'static CStr]) -> u8 {
    match command_line::parse(arguments) {
        Request::Print(text) => print(text),
        Request::Explain { bundle, format } => explain(bundle, format),
        Request::Install { command, arguments } => {
            let own_file = std::env::current_exe().unwrap_or_default();
            match install::run(command, &arguments, &own_file) {
                Ok(text) => print(&text),
                Err(error) => fail(&error),
            }
        }
        Request::Invalid(error) => fail(&error),
        Request::Call(call) => {
            let (settings, problems) = Settings::read(Path::new(settings::FILE));
            let log = call.create.as_ref().map(log::Log::new);
            if let (Some(create), Some(log)) = (&call.create, &log) {
                // What it says is in the log, and standard error is the runtime's.
                std::panic::set_hook(Box::new(|_| {}));
                for problem in &problems {
                    log.warn(problem);
                }
                create::prepare(create, &settings, log);
            }
            let error = exec::become_runtime(&call, &settings);
            if let Some(log) = log {
                log.error(&error);
            }
            fail(&error)
        }
    }
}

/// Explains what would be decided for a bundle.
fn explain(bundle: &Path, format: Format) -> u8 {
    let (settings, problems) = Settings::read(Path::new(settings::FILE));
    for problem in problems {
        warn(&problem);
    }
    let decision = match create::decide(bundle, &settings) {
        Ok(decision) => decision,
        Err(error) => return fail(&error),
    };
    // The explanation has the others.
    let explained = &decision.explanation.plan.warnings;
    let explained: Vec<_> = explained.iter().map(ToString::to_string).collect();
    for warning in decision.warnings.iter().filter(|warning| !explained.contains(warning)) {
        warn(warning);
    }
    if let Some(reason) = decision.left_alone {
        warn(&format!("{}: left as it is: {reason}", bundle.display()));
    }
    match format {
        Format::Text => print(&TextReport(decision.explanation).to_string()),
        Format::Json => print(&JsonReport(decision.explanation).to_string()),
    }
}

fn print(text: &str) -> u8 {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Ok(()) => 0,
        Err(error) => fail(&format!("cannot write to standard output: {error}")),
    }
}

/// Writes a line to standard error, or drops it: a pipe that is full or that nobody reads must not keep a
/// container from starting.
fn warn(message: &str) {
    // The SIGPIPE of a failed write is taken back only while it is blocked.
    let Ok(mask) = sys::block_all_signals() else { return };
    // There is nowhere else to say it.
    let _ = sys::write_stderr(format!("loadline-runtime: {message}\n").as_bytes());
    let _ = sys::set_signal_mask(mask);
}

fn fail(message: &str) -> u8 {
    warn(message);
    FAILURE
}
