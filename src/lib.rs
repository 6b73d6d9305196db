//! loadline is PID 1 in a container: it fits the Go program inside to the container's limits and
//! runs it.
//!
//! ```text
//! argv, LOADLINE_*, TINI_* ──> cli ──────> Options ──┐
//! /proc, /sys/fs/cgroup ─────> cgroup ───> Limits ───┤
//! the program's ELF ─────────> gobinary ─> GoBinary ─┼─> policy ─> Plan ─> environment ─> envp
//! the inherited environment ─────────────────────────┘              │
//!                                                                   ├─> explain   (text, JSON)
//!                                                                   ├─> exec      (become the program)
//!                                                                   └─> supervise (spawn, signals, reap) ─> exit code
//!                                                                        │   ↑
//!                                                                        ↓   │
//!                                                                       watch (new limits, want of memory, post-mortem, account)
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
pub mod getopt;
pub mod gobinary;
pub mod limits;
pub mod packed;
pub mod policy;
pub mod program;
pub mod stderr;
pub mod supervise;
pub mod sys;
pub mod text;
pub mod units;
pub mod watch;

use cli::{Command, Format, Request};
use core::ffi::CStr;
use core::mem::ManuallyDrop;
use core::ops::ControlFlow::{self, Break, Continue};
use error::Error;
use explain::{AsJson, Line, Program, Text};
use stderr::{INFO, Stderr, WARNING};
use supervise::{Image, Started};
use sys::{File, SignalSet};
use text::{Out, Put, Strings, put};
use watch::Watch;

/// Does what the command line asks for: that is the exit code, or a program that was started and
/// is to be supervised. Every signal is blocked, and `mask` is what was blocked before.
pub fn start(
    arguments: &[&'static CStr],
    environment: &[&'static CStr],
    mask: SignalSet,
) -> ControlFlow<u8, (Started, Watch)> {
    let arguments = arguments.get(1..).unwrap_or_default();
    let Request { command, options, program: line, warnings } = cli::parse(arguments, environment);
    let mut stderr = Stderr::new(options.verbosity);
    let command = match &command {
        Ok(Command::Show(texts)) => {
            let mut out = Out::default();
            texts.iter().for_each(|text| put!(&mut out, text));
            return Break(show(out, &mut stderr));
        }
        Ok(command) => *command,
        Err(error) => return Break(fail(error, &mut stderr)),
    };

    let root = options.root();
    // Never freed one by one: all memory is given back at once, when the program is started.
    let mut buffer = ManuallyDrop::new(Vec::new());
    let limits = ManuallyDrop::new(cgroup::read(&root, &mut buffer));
    let present = environment::present(environment);

    let name = line.first().copied();
    let path = environment::lookup(environment, "PATH");
    let candidates = name.map(|name| program::candidates(name, path)).unwrap_or_default();
    let candidates = ManuallyDrop::new(candidates);
    let path = Strings(&candidates).find(|file| sys::is_executable(file));
    let go = path.and_then(File::open).and_then(|file| gobinary::read(&file, &mut buffer));

    let plan = policy::decide(&options.tuning, &limits, present, go, warnings);
    let plan = ManuallyDrop::new(plan);
    if let Command::Explain(format) = command {
        let (name, path) = (name.map(CStr::to_bytes), path.map(|path| path.to_bytes()));
        let program = Program { name, path, go };
        let mut report = Out::default();
        let dies_too = watch::dies_too(&root, &limits);
        match format {
            Format::Text => Text(&plan, program, dies_too).put(&mut report),
            Format::Json => AsJson(&plan, program, dies_too).put(&mut report),
        }
        return Break(show(report, &mut stderr));
    }

    for warning in &plan.warnings {
        stderr.at(WARNING, warning);
    }
    stderr.at(INFO, &Line(&plan));
    let settings = ManuallyDrop::new(environment::settings(&plan));
    let environment = ManuallyDrop::new(environment::apply(environment, Strings(&settings)));
    let listener = environment::listener(&environment, std::process::id());
    let exec = sys::Exec::new(line, &environment, listener);
    let name = name.unwrap_or_default();
    let mut image = ManuallyDrop::new(Image { name, candidates: &candidates, exec });
    if matches!(command, Command::Exec) {
        if options.is_for_an_init {
            stderr.at(WARNING, &Error::NoInit);
        }
        return Break(become_it(&mut image, mask, &mut stderr));
    }
    match supervise::start(&options, &mut image, mask, &mut stderr) {
        Ok(started) => Continue((started, Watch::begin(&options, &limits, &plan, present))),
        Err(cause) => Break(fail(&Error::Spawn(cause), &mut stderr)),
    }
}

fn fail(error: &Error<'_>, stderr: &mut Stderr) -> u8 {
    stderr.fatal(error);
    exit::FAILURE
}

fn show(out: Out<'_>, stderr: &mut Stderr) -> u8 {
    match sys::write_stdout(&out.into_bytes()) {
        Ok(()) => 0,
        Err(cause) => fail(&Error::Output(cause), stderr),
    }
}

/// Becomes the program. The signals that have come so far take effect then.
fn become_it(image: &mut Image<'_>, mask: SignalSet, stderr: &mut Stderr) -> u8 {
    if stderr.is_broken() {
        sys::discard_own(libc::SIGPIPE);
    }
    let (error, code) = image.become_it(mask);
    stderr.fatal(&error);
    code
}
