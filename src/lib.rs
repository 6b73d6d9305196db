//! loadline is PID 1 in a container: it fits the Go program inside to the container's limits and
//! runs it.
//!
//! ```text
//! argv, LOADLINE_*, TINI_* ──> cli ─────> Options ──┐
//! /proc, /sys/fs/cgroup ─────> cgroup ──> Limits ───┤
//! the program's ELF file ────> golang ──> GoBinary ─┼─> policy ─> Plan ─> env ─> envp
//! the inherited environment ────────────────────────┘              │
//!                                                                  ├─> report      (--explain, --inspect: text, JSON)
//!                                                                  ├─> exec        (--exec: become the program)
//!                                                                  └─> supervisor  (spawn, forward, reap) ─> exit code
//!                                                                       │    ↑
//!                                                                       ↓    │
//!                                                                      monitor     (new limits, memory pressure, OOM kills)
//! ```
//!
//! Data flows one way: from the edges that read, through pure functions that decide, to the edges
//! that act. Imports point one way too. The modules below are in layers: each may use those of the
//! layers above its own, and no others (tests/architecture.rs checks that).
//!
//! This library is the inside of the binary, not an interface for others.

#![deny(unsafe_code)]
// Numbers come from files and arguments. Where one could overflow or be divided by zero, the code says what
// happens then, or why it cannot be.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

// The system.
pub mod sys;

// Bytes, and points in time.
pub mod deadline;
pub mod text;

// Numbers, signals and exit codes.
pub mod exit;
pub mod signal;
pub mod units;

// Plain data: what can be asked for.
pub mod options;

// What can go wrong.
pub mod error;

// The edges that read, and the one that logs.
pub mod cgroup;
pub mod golang;
pub mod stderr;

// Pure decisions.
pub mod cli;
pub mod path;
pub mod policy;

// The program behind an init.
pub mod wrapped;

// What comes of a decision: the program's environment, and what is printed.
pub mod env;
pub mod report;

// What is done without starting a program.
pub mod inspect;
pub mod install;

// What changes after the start.
pub mod monitor;

// The init.
pub mod supervisor;

use cgroup::SysRoot;
use cgroup::counters::Counters;
use cli::{Action, Request};
use core::ffi::CStr;
use core::fmt::Display;
use core::ops::ControlFlow::{self, Break, Continue};
use error::Error;
use inspect::RunningProgram;
use monitor::Monitor;
use options::{ExplainFormat, Format};
use report::origin::{Identity, Origin};
use report::{ExplainedProgram, Explanation, JsonReport, JsonStart, PlanSummary, TextReport};
use std::ffi::CString;
use std::os::fd::AsFd;
use stderr::{LogLevel, Stderr};
use supervisor::{Command, Supervisor};
use sys::{ExecArgs, ExecEnv, FailedCall, SignalSet};

/// A program that has been started.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    supervisor: Supervisor,
    monitor: Monitor,
}

impl Running {
    /// Runs as the program's init until the program ends, and returns the exit code. `release_memory`
    /// is called when allocated memory is free again.
    #[must_use]
    pub fn supervise(mut self, release_memory: fn()) -> u8 {
        self.supervisor.run(&mut self.monitor, release_memory)
    }
}

/// Does what the command line asks for. Returns the exit code, or the program if it was started and
/// needs an init. `mask` is the inherited signal mask; every signal is blocked now, unless that was
/// denied.
#[inline(never)]
pub fn start(
    arguments: &[&'static CStr],
    environment: &[&'static CStr],
    mask: Result<SignalSet, FailedCall>,
) -> ControlFlow<u8, Running> {
    let arguments = arguments.get(1..).unwrap_or_default();
    let mut request = cli::parse(arguments, environment);
    let mut stderr = Stderr::new(request.options.verbosity);
    let mut environment = environment;
    let running;
    let mut inspected = None;
    match request.action {
        Ok(Action::Help) => return Break(print(&cli::HELP, &mut stderr)),
        Ok(Action::License) => return Break(print(&cli::LICENSE, &mut stderr)),
        Ok(Action::Version) => return Break(print(&cli::VERSION, &mut stderr)),
        Ok(Action::Install(directory)) => {
            return Break(match install::install(directory, &mut stderr) {
                Ok(()) => 0,
                Err(error) => fail(&error, &mut stderr),
            });
        }
        Ok(Action::Inspect(format)) => {
            running = match RunningProgram::find(request.program, request.program_hint) {
                Ok(running) => running,
                Err(error) => return Break(fail(&error, &mut stderr)),
            };
            // What is explained is the plan of its loadline.
            environment = running.environment;
            request = cli::parse(running.arguments.get(1..).unwrap_or_default(), environment);
            request.warnings.extend_from_slice(running.warnings);
            request.action = Ok(Action::Explain(ExplainFormat::Report(format)));
            inspected = Some(&running);
        }
        _ => {}
    }
    let Request { action, options, program, program_hint, warnings } = request;
    let action = match action {
        Ok(action) => action,
        Err(error) => return Break(fail(&error, &mut stderr)),
    };

    let root = match inspected {
        Some(running) => running.sys_root(options.root),
        None => SysRoot::new(options.root),
    };
    let mut limits = cgroup::read(&root);
    let go_env = env::go_env(environment);

    let name = program.first().copied();
    let search_path = env::lookup(environment, "PATH");
    let candidates = name.map(|name| path::candidates(name, search_path)).unwrap_or_default();
    let executed = inspected.and_then(RunningProgram::executed_file);
    let file = executed.or_else(|| executable(&candidates));
    // Behind another init, the program decides.
    let wrapped = wrapped::program(program).first().copied().filter(|it| Some(*it) != name);
    let wrapped_candidates = wrapped.map(|name| path::candidates(name, search_path));
    let elsewhere = inspected.and_then(RunningProgram::root_elsewhere);
    let opened = match (wrapped_candidates.as_deref(), elsewhere) {
        (Some(candidates), Some(root)) => {
            candidates.iter().find_map(|file| sys::open_in_root(root, file).ok())
        }
        (candidates, _) => {
            candidates.map_or(file, executable).and_then(|file| sys::open(file).ok())
        }
    };
    let mut buffer = Vec::new();
    let read = if elsewhere.is_some() { golang::read_elf } else { golang::read };
    let go = opened.and_then(|file| read(file.as_fd(), &mut buffer));

    let runtime = go.map(|go| go.runtime());
    if let Some(rule) = policy::runtime_rule(&options.tuning, &limits, go_env, runtime) {
        limits.runtime_quota = Some(cgroup::runtime_quota(&root, &limits, rule));
    }
    let mut plan = policy::decide(&options.tuning, &limits, go_env, runtime, warnings);
    let assignments = env::assignments(&plan);
    let explained = ExplainedProgram {
        name: name.map(CStr::to_bytes),
        path: file.map(CStr::to_bytes),
        starts: wrapped.map(CStr::to_bytes),
        hint: program_hint,
        go,
    };
    let oom_group = || Counters::new(&root, &limits).oom_group();
    if let Action::Explain(ExplainFormat::Report(format)) = action {
        let explanation = Explanation { plan: &plan, program: explained, oom_group: oom_group() };
        let report: &dyn Display = match (inspected, format) {
            (Some(running), _) => {
                let counters = Counters::new(&root, &limits);
                &running.inspection(format, counters, explanation, &assignments)
            }
            (None, Format::Text) => &TextReport(explanation),
            (None, Format::Json) => &JsonReport(explanation),
        };
        return Break(print(report, &mut stderr));
    }

    let mask = match mask {
        Ok(mask) => mask,
        Err(call) => return Break(fail(&Error::Start(call), &mut stderr)),
    };
    for warning in &plan.warnings {
        stderr.log(LogLevel::Warning, warning);
    }
    if action == Action::Explain(ExplainFormat::Environment) {
        return Break(print_bytes(&env::lines(&assignments), &mut stderr));
    }
    stderr.log(LogLevel::Info, &PlanSummary(&plan));
    let args = exec_args(action, program, environment, &assignments);
    let name = name.unwrap_or_default();
    let mut command = Command { name, hint: program_hint, candidates: &candidates, args };
    if action == Action::Exec {
        if options.uses_init_options {
            stderr.log(LogLevel::Warning, &Error::NoInit);
        }
        return Break(exec(&mut command, mask, &mut stderr));
    }
    match Supervisor::start(&options, &mut command, mask, &mut stderr) {
        Ok(mut supervisor) => {
            if command.args.has_fallen_back() {
                (plan.memory.value, plan.cpu.value, plan.godebug) = (None, None, None);
            }
            let mut identity = Identity::default();
            if options.report == Some(Format::Json) {
                identity = Identity::new(&|name| env::lookup(environment, name));
                let origin = Origin { time: sys::since_epoch(), identity };
                let explanation =
                    Explanation { plan: &plan, program: explained, oom_group: oom_group() };
                supervisor.write_json(&JsonStart { origin, explanation });
            }
            let monitor = Monitor::new(&options, &limits, &plan, go_env, runtime, identity);
            Continue(Running { supervisor, monitor })
        }
        Err(call) => Break(fail(&Error::Start(call), &mut stderr)),
    }
}

/// The first of these files that can be executed.
fn executable(candidates: &[CString]) -> Option<&CStr> {
    candidates.iter().map(CString::as_c_str).find(|file| sys::is_executable(file))
}

/// What the program is executed with.
fn exec_args<'a>(
    action: Action,
    program: &'a [&'a CStr],
    inherited: &[&'a CStr],
    assignments: &'a [CString],
) -> ExecArgs<'a> {
    let exec_env = |mut environment: Vec<_>| {
        // With --exec the program has our PID.
        let pid_entries = match action {
            Action::Exec => Vec::new(),
            _ => env::hand_over(&mut environment, sys::process_id().unsigned_abs()),
        };
        ExecEnv::new(&environment, pid_entries)
    };
    // The start of the program must not fail because of what we add.
    let fallback = (!assignments.is_empty()).then(|| exec_env(inherited.to_vec()));
    ExecArgs::new(program, exec_env(env::apply(inherited, assignments)), fallback)
}

fn fail(error: &Error<'_>, stderr: &mut Stderr) -> u8 {
    stderr.error(error);
    exit::FAILURE
}

/// Prints what was asked for on standard output.
fn print(text: &dyn Display, stderr: &mut Stderr) -> u8 {
    print_bytes(text.to_string().as_bytes(), stderr)
}

fn print_bytes(text: &[u8], stderr: &mut Stderr) -> u8 {
    match sys::write_stdout(text) {
        Ok(()) => 0,
        Err(cause) => fail(&Error::Output(cause), stderr),
    }
}

/// Replaces this process by the program; returns the exit code only if that fails.
fn exec(command: &mut Command<'_>, mask: SignalSet, stderr: &mut Stderr) -> u8 {
    let (error, code) = command.exec(mask, stderr);
    stderr.error(&error);
    code
}
