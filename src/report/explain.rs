//! The plan as a text for people and as JSON for programs: the output of `--explain`.

use super::decision::AnyDecision;
use super::json::{JsonStrings, OrNull};
use super::origin::Origin;
use crate::golang::GoBinary;
use crate::policy::Plan;
use crate::text::{Escaped, JsonString, Quoted};
use core::fmt::{self, Display, Formatter};

/// The program that a plan is for.
#[derive(Clone, Copy, Debug)]
pub struct ExplainedProgram<'a> {
    /// The name on the command line; `None` if no program was given.
    pub name: Option<&'a [u8]>,
    /// The file that would be executed; `None` if the program was not found.
    pub path: Option<&'a [u8]>,
    /// The program that it starts, if it is a known init.
    pub starts: Option<&'a [u8]>,
    /// What may have been meant if there is no such program: the end of a message.
    pub hint: &'static str,
    /// What the file says about its build; `None` if it is not recognised as a Go program.
    pub go: Option<GoBinary<'a>>,
}

/// What `--explain` shows.
#[derive(Clone, Copy)]
pub struct Explanation<'a> {
    /// The limits and the decisions.
    pub plan: &'a Plan<'a>,
    /// The program that they are for.
    pub program: ExplainedProgram<'a>,
    /// `memory.oom.group` of our cgroup, if it could be read: whether the kernel kills the init
    /// together with the program.
    pub oom_group: Option<bool>,
}

/// An explanation as text.
pub struct TextReport<'a>(pub Explanation<'a>);

/// An explanation as one line of JSON.
pub struct JsonReport<'a>(pub Explanation<'a>);

impl Display for TextReport<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(Explanation { plan, program, oom_group }) = self;
        writeln!(f, "memory")?;
        match plan.memory.limit {
            Some(limit) => writeln!(f, "  limit       {limit} ({} bytes)", limit.0)?,
            None => write_no_limit(f, plan.memory.is_known)?,
        }
        write_decision(f, &AnyDecision::memory(plan))?;
        if let Some(headroom) = plan.memory.headroom() {
            writeln!(f, "  headroom    {headroom} for bursts and for memory outside the heap")?;
        }
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
            None => write_no_limit(f, plan.cpu.is_known)?,
        }
        write_decision(f, &AnyDecision::cpu(plan))?;
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

fn write_no_limit(f: &mut Formatter<'_>, is_known: bool) -> fmt::Result {
    f.write_str(if is_known { "  limit       none\n" } else { "  limit       unknown\n" })
}

/// Writes the lines below the limit.
fn write_decision(f: &mut Formatter<'_>, decision: &AnyDecision<'_>) -> fmt::Result {
    let AnyDecision { variable, limit, source, is_guess, value, why, .. } = decision;
    match source {
        Some(source) => write!(f, "  source      {}", Quoted(source))?,
        None if limit.is_some() => write!(f, "  source      set by an option or variable")?,
        None => write!(f, "  source      none")?,
    }
    if *is_guess {
        write!(f, " (a guess: the process's own cgroup could not be located)")?;
    }
    match value {
        Some(value) => writeln!(f, "\n  {variable}  {value}")?,
        None => writeln!(f, "\n  {variable}  not set")?,
    }
    writeln!(f, "  reason      {why}")
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
            "  path        none: {} is not found, or is not executable{}",
            Quoted(name),
            program.hint
        );
    };
    writeln!(f, "  path        {}", Quoted(path))?;
    if let Some(starts) = program.starts {
        writeln!(f, "  starts      {}", Quoted(starts))?;
    }
    let Some(go) = program.go else {
        return writeln!(f, "  go          not recognised as a Go program");
    };
    let default_godebug = go.default_godebug.filter(|settings| !settings.is_empty());
    writeln!(f, "  go          {}", Escaped(go.version))?;
    write_if_some(f, "  defaults    ", default_godebug)
}

fn write_if_some(f: &mut Formatter<'_>, label: &str, value: Option<&[u8]>) -> fmt::Result {
    match value {
        Some(value) => writeln!(f, "{label}{}", Escaped(value)),
        None => Ok(()),
    }
}

impl Display for JsonReport<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{{{}}}", JsonMembers(self.0))
    }
}

/// What is decided for a program that has been started, as one line of JSON.
pub struct JsonStart<'a> {
    /// When and where.
    pub origin: Origin<'a>,
    /// What is decided.
    pub explanation: Explanation<'a>,
}

impl Display for JsonStart<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { origin, explanation } = self;
        write!(f, "{{\"event\":\"start\",{origin}{}}}", JsonMembers(*explanation))
    }
}

/// The members of the JSON object.
pub(super) struct JsonMembers<'a>(pub Explanation<'a>);

impl Display for JsonMembers<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(Explanation { plan, program, oom_group }) = self;

        let AnyDecision { source, is_guess, value, why, .. } = AnyDecision::memory(plan);
        let limit = OrNull(plan.memory.limit.map(|limit| limit.0));
        let source = OrNull(source.map(JsonString));
        let value = OrNull(value.map(QuotedNumber));
        let oom_group = OrNull(*oom_group);
        write!(
            f,
            "\"memory\":{{\
             \"limit_bytes\":{limit},\
             \"source\":{source},\
             \"GOMEMLIMIT\":{value},\
             \"oom_group\":{oom_group},\
             \"reason\":\"{why}\",\
             \"guessed\":{is_guess}}},"
        )?;

        let AnyDecision { source, is_guess, value, why, .. } = AnyDecision::cpu(plan);
        let limit = OrNull(plan.cpu.limit);
        let source = OrNull(source.map(JsonString));
        let value = OrNull(value.map(QuotedNumber));
        let godebug = OrNull(plan.godebug.as_deref().map(JsonString));
        write!(
            f,
            "\"cpu\":{{\
             \"limit_cpus\":{limit},\
             \"source\":{source},\
             \"GOMAXPROCS\":{value},\
             \"GODEBUG\":{godebug},\
             \"reason\":\"{why}\",\
             \"guessed\":{is_guess}}},"
        )?;

        let ExplainedProgram { name, path, starts, go, .. } = program;
        let name = OrNull(name.map(JsonString));
        let path = OrNull(path.map(JsonString));
        let starts = OrNull(starts.map(JsonString));
        let version = OrNull(go.map(|go| JsonString(go.version)));
        let default_godebug = OrNull(go.and_then(|go| go.default_godebug).map(JsonString));
        let cgo = OrNull(go.and_then(|go| go.cgo));
        let warnings: Vec<_> = plan.warnings.iter().map(ToString::to_string).collect();
        let warnings: Vec<_> = warnings.iter().map(String::as_bytes).collect();
        write!(
            f,
            "\"program\":{{\
             \"name\":{name},\
             \"path\":{path},\
             \"starts\":{starts},\
             \"go_version\":{version},\
             \"go_debug_defaults\":{default_godebug},\
             \"cgo\":{cgo}}},\
             \"warnings\":{}",
            JsonStrings(&warnings)
        )
    }
}

/// The value of a variable: a string, even if it is a number.
struct QuotedNumber(u64);

impl Display for QuotedNumber {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}
