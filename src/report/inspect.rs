//! What is known of a program that is running, as a text for people and as JSON for programs: the
//! output of `--inspect`. What is not known is missing in the text, and `null` in the JSON.

use super::explain::{Explanation, JsonMembers, TextReport};
use super::json::{JsonStrings, OrNull};
use crate::cgroup::counters::{MemoryUse, Throttling};
use crate::options::Format;
use crate::text::{Escaped, JsonString};
use crate::units::{Bytes, Seconds};
use core::fmt::{self, Display, Formatter};

/// What `--inspect` shows.
pub struct Inspection<'a> {
    /// The form of the report.
    pub format: Format,
    /// The process ID of the program.
    pub pid: i32,
    /// The version of Go that the program was built with.
    pub go_version: Option<&'a [u8]>,
    /// Go's variables.
    pub variables: [Variable<'a>; 3],
    /// The process ID of the program's loadline, if it has one.
    pub init: Option<i32>,
    /// The command line of that loadline.
    pub command: Vec<&'a [u8]>,
    /// The variables that set its options, each as `name=value`.
    pub settings: Vec<&'a [u8]>,
    /// What the cgroup uses.
    pub usage: Usage,
    /// What would be decided now.
    pub now: Explanation<'a>,
}

/// A variable of the program.
pub struct Variable<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its value at the start, if it was set; none if that cannot be read.
    pub given: Option<Option<&'a [u8]>>,
    /// Its value after a restart, if it would be set; none if that is not known.
    pub now: Option<Option<&'a [u8]>>,
}

/// What a cgroup uses.
pub struct Usage {
    /// The memory in use.
    pub memory: Option<MemoryUse>,
    /// The most memory that was ever in use.
    pub peak: Option<Bytes>,
    /// The number of processes that the kernel has OOM-killed.
    pub oom_kills: Option<u64>,
    /// How often the CPU quota was used up.
    pub throttling: Option<Throttling>,
}

impl Variable<'_> {
    /// Whether a restart would change it, if that is known.
    fn would_change(&self) -> Option<bool> {
        Some(self.given? != self.now?)
    }
}

impl Inspection<'_> {
    /// Whether a restart would change any of the variables, if that is known.
    fn would_change(&self) -> Option<bool> {
        let changes = self.variables.iter().filter_map(Variable::would_change);
        changes.reduce(|one, other| one || other)
    }

    fn write_text(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "running program\n  PID         {}", self.pid)?;
        if let Some(version) = self.go_version {
            write!(f, "\n  go          {}", Escaped(version))?;
        }
        for Variable { name, given, .. } in &self.variables {
            write!(f, "\n  {name:10}  ")?;
            match given {
                Some(Some(value)) => Escaped(value).fmt(f)?,
                Some(None) => f.write_str("not set")?,
                None => f.write_str("unknown")?,
            }
        }
        f.write_str("\n  loadline    ")?;
        match self.init {
            Some(init) => write!(f, "PID {init}:")?,
            None => f.write_str("none")?,
        }
        for argument in &self.command {
            write!(f, " {}", Escaped(argument))?;
        }
        for setting in &self.settings {
            write!(f, "\n  variable    {}", Escaped(setting))?;
        }
        f.write_str("\nin use\n")?;
        let Usage { memory, peak, oom_kills, throttling } = self.usage;
        if let Some(MemoryUse { used, unreclaimable }) = memory {
            writeln!(f, "  memory      {used}, of which {unreclaimable} cannot be reclaimed")?;
        }
        if let Some(peak) = peak {
            writeln!(f, "  peak        {peak}")?;
        }
        if let Some(oom_kills) = oom_kills {
            writeln!(f, "  OOM kills   {oom_kills}")?;
        }
        if let Some(Throttling { periods, throttled_periods, throttled_time }) = throttling {
            let time = Seconds(throttled_time);
            writeln!(f, "  throttled   {time} s, in {throttled_periods} of {periods} periods")?;
        }
        f.write_str("now")?;
        if self.would_change() == Some(false) {
            f.write_str(": a restart would change nothing")?;
        }
        let mut separator = ": a restart would change ";
        for Variable { name, .. } in
            self.variables.iter().filter(|it| it.would_change() == Some(true))
        {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        f.write_str("\n")?;
        TextReport(self.now).fmt(f)
    }

    fn write_json(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (pid, now) = (self.pid, JsonMembers(self.now));
        let go_version = OrNull(self.go_version.map(JsonString));
        write!(f, "{{\"pid\":{pid},\"go_version\":{go_version},\"given\":")?;
        let mut separator = "{";
        for Variable { name, given, .. } in &self.variables {
            write!(f, "{separator}\"{name}\":{}", OrNull(given.flatten().map(JsonString)))?;
            separator = ",";
        }
        let init = OrNull(self.init);
        let (command, settings) = (JsonStrings(&self.command), JsonStrings(&self.settings));
        let would_change = OrNull(self.would_change());
        let Usage { memory, peak, oom_kills, throttling } = self.usage;
        let bytes = |bytes: Option<Bytes>| OrNull(bytes.map(|Bytes(bytes)| bytes));
        let used = bytes(memory.map(|memory| memory.used));
        let unreclaimable = bytes(memory.map(|memory| memory.unreclaimable));
        let (peak, oom_kills) = (bytes(peak), OrNull(oom_kills));
        let periods = OrNull(throttling.map(|it| it.periods));
        let throttled_periods = OrNull(throttling.map(|it| it.throttled_periods));
        let throttled_time = OrNull(throttling.map(|it| Seconds(it.throttled_time)));
        writeln!(
            f,
            "}},\"init\":{{\
             \"pid\":{init},\
             \"command\":{command},\
             \"variables\":{settings}}},\
             \"usage\":{{\
             \"memory_bytes\":{used},\
             \"unreclaimable_bytes\":{unreclaimable},\
             \"peak_bytes\":{peak},\
             \"oom_kills\":{oom_kills},\
             \"periods\":{periods},\
             \"throttled_periods\":{throttled_periods},\
             \"throttled_seconds\":{throttled_time}}},\
             \"restart_would_change\":{would_change},\
             \"now\":{{{now}}}}}"
        )
    }
}

impl Display for Inspection<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.format {
            Format::Text => self.write_text(f),
            Format::Json => self.write_json(f),
        }
    }
}
