//! The plan as a report that a person reads, as JSON, and as one line for the log. It decides
//! nothing.

use crate::environment::{DEBUG, MEMORY, PROCESSORS};
use crate::gobinary::GoBinary;
use crate::policy::{Decision, Note, Plan, Reason};
use crate::text::{Json, Plain, Quoted};
use crate::units::{Bytes, Quota};
use core::fmt::{self, Display, Write};

/// The program of which a plan is told.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// Its name as it was given, none if none was.
    pub name: Option<&'a [u8]>,
    /// The file that would be executed, none if there is none.
    pub path: Option<&'a [u8]>,
    /// What is known of it, if it is a Go program.
    pub go: Option<GoBinary<'a>>,
}

/// One half of a plan, in the form that all reports need.
struct Topic<'a> {
    variable: &'static str,
    limit: Option<Amount>,
    source: Option<&'a [u8]>,
    value: Option<u64>,
    why: Why,
    guessed: bool,
}

/// The reason and what else there is to know.
#[derive(Clone, Copy)]
struct Why(Reason, Option<Note>);

impl Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        match self.1 {
            Some(note) => write!(f, "; {note}"),
            None => Ok(()),
        }
    }
}

/// A limit of either kind.
#[derive(Clone, Copy)]
enum Amount {
    Memory(u64),
    Cpu(Quota),
}

/// As a person reads it.
impl Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => Bytes(*bytes).fmt(f),
            Self::Cpu(quota) => write!(f, "{quota} CPU"),
        }
    }
}

fn topics<'a>(plan: &Plan<'a>) -> [Topic<'a>; 2] {
    fn topic<'a>(
        variable: &'static str,
        decision: &Decision<'a>,
        amount: fn(Quota) -> Amount,
    ) -> Topic<'a> {
        let Decision { limit, source, value, reason, note, guessed } = *decision;
        let why = Why(reason, note);
        Topic { variable, limit: limit.map(amount), source, value, why, guessed }
    }
    [
        topic(MEMORY, &plan.memory, |bytes| Amount::Memory(bytes.amount)),
        topic(PROCESSORS, &plan.cpu, Amount::Cpu),
    ]
}

/// One line: what is set, and from where.
pub struct Line<'a>(pub &'a Plan<'a>);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for Topic { variable, limit, source, value, why, .. } in topics(self.0) {
            f.write_str(separator)?;
            separator = "; ";
            match (value, limit) {
                (Some(value), Some(limit)) => {
                    write!(f, "{variable}={value} ({why}: {limit}")?;
                    if let Some(source) = source {
                        write!(f, " in {}", Quoted(source))?;
                    }
                    f.write_char(')')?;
                }
                _ => write!(f, "{variable} not set ({why})")?,
            }
        }
        if let Some(debug) = &self.0.debug {
            write!(f, "; {DEBUG}={}", Plain(debug))?;
        }
        Ok(())
    }
}

/// The report.
pub struct Text<'a>(pub &'a Plan<'a>, pub Program<'a>);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(plan, program) = self;
        let titles = ["memory", "cpu"];
        for (title, topic) in titles.iter().zip(topics(plan)) {
            let Topic { variable, limit, source, value, why, guessed } = topic;
            write!(f, "{title}\n  limit       ")?;
            match limit {
                Some(limit) => write!(f, "{limit}")?,
                None => f.write_str("none")?,
            }
            if let Some(Amount::Memory(bytes)) = limit {
                write!(f, " ({bytes} bytes)")?;
            }
            f.write_str("\n  source      ")?;
            match source {
                Some(source) => write!(f, "{}", Quoted(source))?,
                None if limit.is_some() => f.write_str("as given")?,
                None => f.write_str("none")?,
            }
            if guessed {
                f.write_str(
                    " (a guess: the own cgroup is out of sight, so the mount's root was read)",
                )?;
            }
            write!(f, "\n  {variable}  ")?;
            match value {
                Some(value) => write!(f, "{value}")?,
                None => f.write_str("not set")?,
            }
            writeln!(f, "\n  reason      {why}")?;
        }
        if let Some(debug) = &plan.debug {
            writeln!(f, "  {DEBUG}     {}", Plain(debug))?;
        }
        if let Some(name) = program.name {
            f.write_str("program\n  path        ")?;
            match program.path {
                Some(path) => writeln!(f, "{}", Quoted(path))?,
                None => writeln!(f, "none: {} is not found or not executable", Quoted(name))?,
            }
            if program.path.is_some() {
                write_go(f, program.go)?;
            }
        }
        for warning in &plan.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

/// The report as JSON, on one line.
pub struct AsJson<'a>(pub &'a Plan<'a>, pub Program<'a>);

impl Display for AsJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(plan, program) = self;
        let heads = ["{\"memory\":{\"limit_bytes\":", ",\"cpu\":{\"limit_cpus\":"];
        for (head, topic) in heads.iter().zip(topics(plan)) {
            let Topic { variable, limit, source, value, why, guessed } = topic;
            f.write_str(head)?;
            match limit {
                Some(Amount::Memory(bytes)) => write!(f, "{bytes}")?,
                Some(Amount::Cpu(quota)) => write!(f, "{quota}")?,
                None => f.write_str("null")?,
            }
            f.write_str(",\"source\":")?;
            string_or_null(f, source)?;
            write!(f, ",\"{variable}\":")?;
            match value {
                Some(value) => write!(f, "\"{value}\"")?,
                None => f.write_str("null")?,
            }
            let guessed = if guessed { "true" } else { "false" };
            if variable == PROCESSORS {
                write!(f, ",\"{DEBUG}\":")?;
                string_or_null(f, plan.debug.as_deref())?;
            }
            write!(f, ",\"reason\":\"{why}\",\"guessed\":{guessed}}}")?;
        }
        f.write_str(",\"program\":{\"name\":")?;
        string_or_null(f, program.name)?;
        f.write_str(",\"path\":")?;
        string_or_null(f, program.path)?;
        let go = program.go;
        for (key, value) in [
            ("go_version", go.map(|go| go.version)),
            ("go_debug_defaults", go.and_then(|go| go.debug_defaults)),
            ("automaxprocs", go.and_then(|go| go.automaxprocs)),
            ("automemlimit", go.and_then(|go| go.automemlimit)),
        ] {
            write!(f, ",\"{key}\":")?;
            string_or_null(f, value)?;
        }
        f.write_str(match go.and_then(|go| go.cgo) {
            Some(true) => ",\"cgo\":true",
            Some(false) => ",\"cgo\":false",
            None => ",\"cgo\":null",
        })?;
        f.write_str("},\"warnings\":[")?;
        let mut separator = "";
        for warning in &plan.warnings {
            f.write_str(separator)?;
            separator = ",";
            Json(warning.to_string().as_bytes()).fmt(f)?;
        }
        f.write_str("]}\n")
    }
}

fn write_go(f: &mut fmt::Formatter<'_>, go: Option<GoBinary<'_>>) -> fmt::Result {
    let Some(go) = go else {
        return f.write_str("  go          not recognised as a Go program\n");
    };
    writeln!(f, "  go          {}", Plain(go.version))?;
    for (title, value) in [
        ("defaults    ", go.debug_defaults.filter(|it| !it.is_empty())),
        ("automaxprocs", go.automaxprocs),
        ("automemlimit", go.automemlimit),
    ] {
        if let Some(value) = value {
            writeln!(
                f,
                "  {title}{}{}",
                if title.ends_with(' ') { "" } else { "  " },
                Plain(value)
            )?;
        }
    }
    Ok(())
}

fn string_or_null(f: &mut fmt::Formatter<'_>, bytes: Option<&[u8]>) -> fmt::Result {
    match bytes {
        Some(bytes) => Json(bytes).fmt(f),
        None => f.write_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn plan() -> Plan<'static> {
        Plan {
            memory: Decision {
                limit: Some(Quota::whole(419_430_400)),
                source: Some(b"/sys/\"\xff/memory.max"),
                value: Some(377_487_360),
                reason: Reason::Share(crate::units::Ratio::DEFAULT),
                note: Some(Note::NoEffect),
                guessed: false,
            },
            cpu: Decision {
                limit: Quota::new(1, 3),
                source: None,
                value: None,
                reason: Reason::Enough { cpus: 1 },
                note: None,
                guessed: true,
            },
            debug: Some(b"a=1,b=\xff".to_vec()),
            warnings: vec![Error::GoWillAbort(b"\"1\xffGB\"")],
        }
    }

    #[test]
    fn json_is_what_serde_json_reads() {
        let program = Program { name: Some(b"x\n"), path: None, go: None };
        let text = AsJson(&plan(), program).to_string();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(text.lines().count(), 1);
        let expected = serde_json::json!({
            "memory": {
                "limit_bytes": 419_430_400,
                "source": "/sys/\"\u{fffd}/memory.max",
                "GOMEMLIMIT": "377487360",
                "reason": format!("90% of the limit; {}", Note::NoEffect),
                "guessed": false,
            },
            "cpu": {
                "limit_cpus": 0.333_333,
                "source": null,
                "GOMAXPROCS": null,
                "GODEBUG": "a=1,b=\u{fffd}",
                "reason": Reason::Enough { cpus: 1 }.to_string(),
                "guessed": true,
            },
            "program": {
                "name": "x\n",
                "path": null,
                "go_version": null,
                "go_debug_defaults": null,
                "automaxprocs": null,
                "automemlimit": null,
                "cgo": null,
            },
            "warnings": [Error::GoWillAbort(b"\"1\xffGB\"").to_string()],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn the_report_and_the_line_say_what_and_why() {
        let go = GoBinary {
            version: b"go1.25.3",
            release: None,
            debug_defaults: Some(b"containermaxprocs=0"),
            cgo: Some(true),
            automaxprocs: None,
            automemlimit: Some(b"v0.7.4"),
        };
        let program = Program { name: Some(b"/app"), path: Some(b"/app"), go: Some(go) };
        let json = AsJson(&plan(), program).to_string();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!({
            "name": "/app",
            "path": "/app",
            "go_version": "go1.25.3",
            "go_debug_defaults": "containermaxprocs=0",
            "automaxprocs": null,
            "automemlimit": "v0.7.4",
            "cgo": true,
        });
        assert_eq!(json["program"], expected);
        let text = Text(&plan(), program).to_string();
        for part in [
            "  limit       400 MiB (419430400 bytes)\n",
            "  source      \"/sys/\\\"\\xff/memory.max\"\n",
            "  GOMEMLIMIT  377487360\n",
            "  reason      90% of the limit; no effect",
            "  limit       0.333333 CPU\n",
            "  source      as given (a guess",
            "  GOMAXPROCS  not set\n",
            "  GODEBUG     a=1,b=\\xff\n",
            "  path        \"/app\"\n",
            "  go          go1.25.3\n",
            "  defaults    containermaxprocs=0\n",
            "  automemlimit  v0.7.4\n",
            "warning: GOMEMLIMIT is left",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        let line = Line(&plan()).to_string();
        assert_eq!(
            line,
            "GOMEMLIMIT=377487360 (90% of the limit; no effect on this program, as Go knows it from \
             1.19 on: 400 MiB in \"/sys/\\\"\\xff/memory.max\"); \
             GOMAXPROCS not set (not below the CPUs that the process may run on, 1); GODEBUG=a=1,b=\\xff"
        );
    }
}
