//! The plan as a text for people and as JSON for programs: the output of `--explain`.

use crate::golang::GoBinary;
use crate::policy::{Decision, Note, Plan, Reason};
use crate::text::{Escaped, JsonString, Quoted};
use core::fmt::{self, Display, Formatter};

/// The program that a plan is for.
#[derive(Clone, Copy, Debug)]
pub struct ExplainedProgram<'a> {
    /// The name on the command line; `None` if no program was given.
    pub name: Option<&'a [u8]>,
    /// The file that would be executed; `None` if the program was not found.
    pub path: Option<&'a [u8]>,
    /// What the file says about its build; `None` if it is not recognised as a Go program.
    pub go: Option<GoBinary<'a>>,
}

/// The report as text. The last field is `memory.oom.group` of our cgroup, if it could be read:
/// whether the kernel kills the init together with the program.
pub struct TextReport<'a>(pub &'a Plan<'a>, pub ExplainedProgram<'a>, pub Option<bool>);

/// The report as one line of JSON. The fields are those of [`TextReport`].
pub struct JsonReport<'a>(pub &'a Plan<'a>, pub ExplainedProgram<'a>, pub Option<bool>);

/// The reason of a decision, and its note.
pub(super) struct Why {
    reason: Reason,
    note: Option<Note>,
}

impl Why {
    pub(super) fn of<T>(decision: &Decision<'_, T>) -> Self {
        Self { reason: decision.reason, note: decision.note }
    }
}

impl Display for Why {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.note {
            Some(note) => write!(f, "{}; {note}", self.reason),
            None => write!(f, "{}", self.reason),
        }
    }
}

impl Display for TextReport<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(plan, program, oom_group) = self;
        writeln!(f, "memory")?;
        match plan.memory.limit {
            Some(limit) => writeln!(f, "  limit       {limit} ({} bytes)", limit.0)?,
            None => writeln!(f, "  limit       none")?,
        }
        write_decision(f, "GOMEMLIMIT", &plan.memory)?;
        if *oom_group == Some(true) {
            writeln!(
                f,
                "  OOM kill    kills the whole container, init included (memory.oom.group is 1); \
                 see --memory-warn, or singleProcessOOMKill of the kubelet"
            )?;
        }
        writeln!(f, "cpu")?;
        match plan.cpu.limit {
            Some(limit) => writeln!(f, "  limit       {limit} CPU")?,
            None => writeln!(f, "  limit       none")?,
        }
        write_decision(f, "GOMAXPROCS", &plan.cpu)?;
        write_if_some(f, "  GODEBUG     ", plan.godebug.as_deref())?;
        if let Some(name) = program.name {
            write_program(f, name, program)?;
        }
        for warning in &plan.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

/// Writes the lines below the limit.
fn write_decision<T>(
    f: &mut Formatter<'_>,
    variable: &str,
    decision: &Decision<'_, T>,
) -> fmt::Result {
    match decision.source {
        Some(source) => write!(f, "  source      {}", Quoted(source))?,
        None if decision.limit.is_some() => write!(f, "  source      as given")?,
        None => write!(f, "  source      none")?,
    }
    if decision.from_mount_root {
        write!(
            f,
            " (a guess: the process's own cgroup is not visible, so the mount root was read)"
        )?;
    }
    writeln!(f)?;
    match decision.value {
        Some(value) => writeln!(f, "  {variable}  {value}")?,
        None => writeln!(f, "  {variable}  not set")?,
    }
    writeln!(f, "  reason      {}", Why::of(decision))
}

fn write_program(
    f: &mut Formatter<'_>,
    name: &[u8],
    program: &ExplainedProgram<'_>,
) -> fmt::Result {
    writeln!(f, "program")?;
    let Some(path) = program.path else {
        return writeln!(
            f,
            "  path        none: {} is not found, or is not executable",
            Quoted(name)
        );
    };
    writeln!(f, "  path        {}", Quoted(path))?;
    let Some(go) = program.go else {
        return writeln!(f, "  go          not recognised as a Go program");
    };
    let default_godebug = go.default_godebug.filter(|settings| !settings.is_empty());
    writeln!(f, "  go          {}", Escaped(go.version))?;
    write_if_some(f, "  defaults    ", default_godebug)?;
    write_if_some(f, "  automaxprocs  ", go.automaxprocs)?;
    write_if_some(f, "  automemlimit  ", go.automemlimit)
}

fn write_if_some(f: &mut Formatter<'_>, label: &str, value: Option<&[u8]>) -> fmt::Result {
    match value {
        Some(value) => writeln!(f, "{label}{}", Escaped(value)),
        None => Ok(()),
    }
}

impl<'a> Display for JsonReport<'a> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(plan, program, oom_group) = self;
        let string = |text: Option<&'a [u8]>| OrNull(text.map(JsonString));

        let Decision { limit, source, value, from_mount_root, .. } = &plan.memory;
        write!(f, r#"{{"memory":{{"limit_bytes":{}"#, OrNull(limit.map(|limit| limit.0)))?;
        write!(f, r#","source":{}"#, string(*source))?;
        write!(f, r#","GOMEMLIMIT":{}"#, OrNull(value.map(QuotedNumber)))?;
        write!(f, r#","oom_group":{}"#, OrNull(*oom_group))?;
        write!(f, r#","reason":"{}""#, Why::of(&plan.memory))?;
        write!(f, r#","guessed":{from_mount_root}}}"#)?;

        let Decision { limit, source, value, from_mount_root, .. } = &plan.cpu;
        write!(f, r#","cpu":{{"limit_cpus":{}"#, OrNull(*limit))?;
        write!(f, r#","source":{}"#, string(*source))?;
        write!(f, r#","GOMAXPROCS":{}"#, OrNull(value.map(QuotedNumber)))?;
        write!(f, r#","GODEBUG":{}"#, string(plan.godebug.as_deref()))?;
        write!(f, r#","reason":"{}""#, Why::of(&plan.cpu))?;
        write!(f, r#","guessed":{from_mount_root}}}"#)?;

        let ExplainedProgram { name, path, go } = program;
        write!(f, r#","program":{{"name":{}"#, string(*name))?;
        write!(f, r#","path":{}"#, string(*path))?;
        write!(f, r#","go_version":{}"#, string(go.map(|go| go.version)))?;
        write!(f, r#","go_debug_defaults":{}"#, string(go.and_then(|go| go.default_godebug)))?;
        write!(f, r#","automaxprocs":{}"#, string(go.and_then(|go| go.automaxprocs)))?;
        write!(f, r#","automemlimit":{}"#, string(go.and_then(|go| go.automemlimit)))?;
        write!(f, r#","cgo":{}}}"#, OrNull(go.and_then(|go| go.cgo)))?;

        write!(f, r#","warnings":["#)?;
        let mut separator = "";
        for warning in &plan.warnings {
            write!(f, "{separator}{}", JsonString(warning.to_string().as_bytes()))?;
            separator = ",";
        }
        writeln!(f, "]}}")
    }
}

/// A JSON value that may be missing.
pub(super) struct OrNull<T>(pub Option<T>);

impl<T: Display> Display for OrNull<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// The value of a variable: a string, even if it is a number.
struct QuotedNumber(u64);

impl Display for QuotedNumber {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}
