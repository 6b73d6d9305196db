//! Everything that can be asked for: plain data, whose strings live as long as the process.

use crate::exit::ExpectedCodes;
use crate::signal::SignalRewrites;
use crate::text::Escaped;
use crate::units::{Bytes, CpuQuota, Ratio};
use core::ffi::c_int;
use core::fmt;
use core::time::Duration;

/// An option by its name: `--memory` with its dashes, or one byte for a short option such as `-v`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionName<'a>(pub &'a [u8]);

impl OptionName<'_> {
    /// Whether it begins with two dashes.
    #[must_use]
    pub fn is_long(self) -> bool {
        self.0.starts_with(b"--")
    }
}

/// As it is written on the command line.
impl fmt::Display for OptionName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dash = if self.is_long() { "" } else { "-" };
        write!(f, "{dash}{}", Escaped(self.0))
    }
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    Text,
    /// JSON on one line.
    Json,
}

/// The form of `--explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainFormat {
    /// A report.
    Report(Format),
    /// The variables that would be set, as lines of `NAME=value`.
    Environment,
}

/// What to do when a limit changes while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnResize {
    /// Nothing: the limits are not watched.
    Ignore,
    /// Log the new limits.
    Log,
    /// Log them, and send this signal to the program.
    Signal(u8),
    /// Log them, and ask the program to exit.
    Exit,
}

/// When `GOMEMLIMIT` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryMode {
    /// If it is not set already.
    Auto,
    /// As `Auto`, but a higher value that is set already is replaced too.
    Cap,
    /// Always: a value that is set already is replaced.
    Always,
    /// Never.
    Off,
}

/// When `GOMAXPROCS` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuMode {
    /// If it is not set already, the quota is below the number of CPUs, and the Go runtime would not
    /// detect the quota itself.
    Auto,
    /// If there is a quota: a value that is set already is replaced.
    Static,
    /// As `Auto`, but a Go runtime that can follow the quota and has that switched off is told to
    /// follow it.
    Live,
    /// Never.
    Off,
}

/// How a quota becomes a whole number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The smallest number of threads that can use the whole quota.
    Up,
    /// The number of whole CPUs in the quota, at least 1.
    Down,
}

/// How limits become variables.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// When `GOMEMLIMIT` is set.
    pub memory: MemoryMode,
    /// The share of the memory limit that Go may use.
    pub memory_ratio: Ratio,
    /// The part of the memory limit that Go may not use. The lower of the two results counts.
    pub memory_reserve: Bytes,
    /// The least `GOMEMLIMIT`, unless the memory limit is below it; 0 for none.
    pub memory_min: Bytes,
    /// The memory limit to use in place of the detected one.
    pub memory_limit: Option<Bytes>,
    /// When `GOMAXPROCS` is set.
    pub cpu: CpuMode,
    /// The CPU quota to use in place of the detected one.
    pub cpu_limit: Option<CpuQuota>,
    /// The least `GOMAXPROCS`.
    pub cpu_min: u64,
    /// How a quota becomes a whole number of threads.
    pub cpu_rounding: Rounding,
}

impl Tuning {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        memory: MemoryMode::Auto,
        memory_ratio: Ratio::DEFAULT,
        memory_reserve: Bytes(0),
        memory_min: Bytes(0),
        memory_limit: None,
        cpu: CpuMode::Auto,
        cpu_limit: None,
        cpu_min: 1,
        cpu_rounding: Rounding::Up,
    };
}

/// All options.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How limits become variables.
    pub tuning: Tuning,
    /// The directory below which `proc` and `sys` are read, in place of the root.
    pub root: Option<&'static [u8]>,
    /// Replace this process by the program: no init stays behind.
    pub exec: bool,
    /// Adopt orphans even if we are not PID 1.
    pub subreaper: bool,
    /// Forward signals to the program's whole process group.
    pub signal_group: bool,
    /// The signal that we receive when our parent dies.
    pub parent_death_signal: Option<c_int>,
    /// Log a warning for each zombie that is reaped.
    pub warn_on_reap: bool,
    /// The exit codes that are reported as 0.
    pub expected_codes: ExpectedCodes,
    /// What signals are forwarded as.
    pub rewrites: SignalRewrites,
    /// How long the first termination signal is held back.
    pub stop_delay: Option<Duration>,
    /// How long the program may run on after the first termination signal.
    pub kill_after: Option<Duration>,
    /// Run on as long as the program has descendants.
    pub wait_all: bool,
    /// How long the processes that the program leaves behind may run on.
    pub drain: Option<Duration>,
    /// The form of the run summary, if it was asked for.
    pub report: Option<Format>,
    /// What to do when a limit changes.
    pub on_resize: OnResize,
    /// Warn before memory runs out.
    pub memory_warn: bool,
    /// The file for the termination message, if it is not the default one.
    pub termination_log: Option<&'static [u8]>,
    /// As in tini: warnings from 1, what is set from 2, events from 3.
    pub verbosity: u32,
    /// Whether any of the options needs an init.
    pub uses_init_options: bool,
}

impl Options {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        tuning: Tuning::DEFAULT,
        root: None,
        exec: false,
        subreaper: false,
        signal_group: false,
        parent_death_signal: None,
        warn_on_reap: false,
        expected_codes: ExpectedCodes::NONE,
        rewrites: SignalRewrites::DEFAULT,
        stop_delay: None,
        kill_after: None,
        wait_all: false,
        drain: None,
        report: None,
        on_resize: OnResize::Ignore,
        memory_warn: false,
        termination_log: None,
        verbosity: 1,
        uses_init_options: false,
    };
}
