//! The plan as a report that a person reads, as JSON, and as one line for the log. It decides
//! nothing.

use crate::environment::{DEBUG, MEMORY, PROCESSORS};
use crate::gobinary::GoBinary;
use crate::packed::{Packed, packed};
use crate::policy::{Decision, Plan};
use crate::text::{Json, Out, Plain, Put, Quoted, put};
use crate::units::{Bytes, Quota};

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

/// One half of a plan.
struct Topic<'a> {
    is_memory: bool,
    variable: Packed,
    decision: &'a Decision<'a>,
}

// In a frame of its own, as are other functions here and there: what is inlined where frames are large
// takes more code.
#[inline(never)]
fn topics<'a>(plan: &'a Plan<'a>) -> [Topic<'a>; 2] {
    [
        Topic { is_memory: true, variable: packed!(MEMORY), decision: &plan.memory },
        Topic { is_memory: false, variable: packed!(PROCESSORS), decision: &plan.cpu },
    ]
}

impl Topic<'_> {
    /// Adds the limit as a person reads it.
    fn put_limit(&self, limit: Quota, out: &mut Out<'_>) {
        if self.is_memory {
            put!(out, Bytes(limit.amount));
        } else {
            put!(out, limit, " CPU");
        }
    }
}

/// The reason and what else there is to know.
struct Why<'a>(&'a Decision<'a>);

impl Put for Why<'_> {
    fn put(&self, out: &mut Out<'_>) {
        put!(out, self.0.reason);
        if let Some(note) = self.0.note {
            put!(out, "; ", note);
        }
    }
}

/// One line: what is set, and from where.
pub struct Line<'a>(pub &'a Plan<'a>);

impl Put for Line<'_> {
    fn put(&self, out: &mut Out<'_>) {
        let mut separator = "";
        for topic in &topics(self.0) {
            put!(out, separator, topic.variable);
            separator = "; ";
            match topic.decision.value {
                Some(value) => put!(out, "=", value),
                None => put!(out, " not set"),
            }
            put!(out, " (", Why(topic.decision));
            if topic.decision.value.is_some()
                && let Some(limit) = topic.decision.limit
            {
                put!(out, ": ");
                topic.put_limit(limit, out);
                if let Some(source) = topic.decision.source {
                    put!(out, " in ", Quoted(source));
                }
            }
            put!(out, ")");
        }
        if let Some(debug) = &self.0.debug {
            put!(out, "; ", DEBUG, "=", Plain(debug));
        }
    }
}

/// The report; the last is whether an init is killed together with a program that takes too much
/// memory, if that is known.
pub struct Text<'a>(pub &'a Plan<'a>, pub Program<'a>, pub Option<bool>);

impl Put for Text<'_> {
    fn put(&self, out: &mut Out<'_>) {
        let Self(plan, program, dies_too) = self;
        let titles = [packed!("memory"), packed!("cpu")];
        for (title, topic) in titles.iter().zip(&topics(plan)) {
            let Decision { limit, source, value, guessed, .. } = topic.decision;
            put!(out, title, "\n  limit       ");
            match limit {
                Some(limit) => topic.put_limit(*limit, out),
                None => put!(out, "none"),
            }
            if topic.is_memory
                && let Some(limit) = limit
            {
                put!(out, " (", limit, " bytes)");
            }
            put!(out, "\n  source      ");
            match source {
                Some(source) => put!(out, Quoted(source)),
                None if limit.is_some() => put!(out, "as given"),
                None => put!(out, "none"),
            }
            if *guessed {
                put!(
                    out,
                    " (a guess: the own cgroup is out of sight, so the mount's root was read)"
                );
            }
            put!(out, "\n  ", topic.variable, "  ");
            match value {
                Some(value) => put!(out, value),
                None => put!(out, "not set"),
            }
            put!(out, "\n  reason      ", Why(topic.decision), "\n");
            if topic.is_memory && *dies_too == Some(true) {
                put!(
                    out,
                    "  OOM kill    of all at once, the init too (memory.oom.group is 1): see \
                     --memory-warn, and singleProcessOOMKill of the kubelet\n"
                );
            }
        }
        line(out, packed!("  GODEBUG     "), plan.debug.as_deref());
        if let Some(name) = program.name {
            put!(out, "program\n  path        ");
            match program.path {
                Some(path) => {
                    put!(out, Quoted(path), "\n");
                    match program.go {
                        Some(go) => {
                            let defaults = go.debug_defaults.filter(|it| !it.is_empty());
                            line(out, packed!("  go          "), Some(go.version));
                            line(out, packed!("  defaults    "), defaults);
                            line(out, packed!("  automaxprocs  "), go.automaxprocs);
                            line(out, packed!("  automemlimit  "), go.automemlimit);
                        }
                        None => put!(out, "  go          not recognised as a Go program\n"),
                    }
                }
                None => {
                    put!(out, "none: ", Quoted(name), " is not found or not executable\n");
                }
            }
        }
        for warning in &plan.warnings {
            put!(out, "warning: ", warning, "\n");
        }
    }
}

/// The report as JSON, on one line.
pub struct AsJson<'a>(pub &'a Plan<'a>, pub Program<'a>, pub Option<bool>);

impl Put for AsJson<'_> {
    fn put(&self, out: &mut Out<'_>) {
        let Self(plan, program, dies_too) = self;
        let heads =
            [packed!("{\"memory\":{\"limit_bytes\":"), packed!(",\"cpu\":{\"limit_cpus\":")];
        for (head, topic) in heads.iter().zip(&topics(plan)) {
            let Decision { limit, source, value, guessed, .. } = topic.decision;
            put!(out, head);
            match limit {
                Some(limit) => put!(out, limit),
                None => put!(out, "null"),
            }
            string_or_null(out, packed!(",\"source\":"), *source);
            put!(out, ",\"", topic.variable, "\":");
            match value {
                Some(value) => put!(out, "\"", value, "\""),
                None => put!(out, "null"),
            }
            let guessed = if *guessed { "true" } else { "false" };
            if topic.is_memory {
                put!(out, ",\"oom_group\":", boolean(*dies_too));
            } else {
                string_or_null(out, packed!(",\"GODEBUG\":"), plan.debug.as_deref());
            }
            put!(out, ",\"reason\":\"", Why(topic.decision), "\",\"guessed\":", guessed, "}");
        }
        let go = program.go;
        string_or_null(out, packed!(",\"program\":{\"name\":"), program.name);
        string_or_null(out, packed!(",\"path\":"), program.path);
        let texts =
            go.map(|go| [Some(go.version), go.debug_defaults, go.automaxprocs, go.automemlimit]);
        let [version, defaults, automaxprocs, automemlimit] = texts.unwrap_or_default();
        string_or_null(out, packed!(",\"go_version\":"), version);
        string_or_null(out, packed!(",\"go_debug_defaults\":"), defaults);
        string_or_null(out, packed!(",\"automaxprocs\":"), automaxprocs);
        string_or_null(out, packed!(",\"automemlimit\":"), automemlimit);
        let cgo = boolean(go.and_then(|go| go.cgo));
        put!(out, ",\"cgo\":", cgo, "},\"warnings\":[");
        let mut separator = "";
        for warning in &plan.warnings {
            let mut message = Out::default();
            warning.put(&mut message);
            put!(out, separator, Json(&message.into_bytes()));
            separator = ",";
        }
        put!(out, "]}\n");
    }
}

const fn boolean(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    }
}

/// A line of the report, if there is anything to say.
fn line(out: &mut Out<'_>, title: Packed, value: Option<&[u8]>) {
    if let Some(value) = value {
        put!(out, title, Plain(value), "\n");
    }
}

/// A member of a JSON object.
fn string_or_null(out: &mut Out<'_>, head: Packed, value: Option<&[u8]>) {
    put!(out, head);
    match value {
        Some(value) => put!(out, Json(value)),
        None => put!(out, "null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::policy::{Note, Reason};

    fn plan() -> Plan<'static> {
        Plan {
            memory: Decision {
                limit: Some(Quota::whole(419_430_400)),
                source: Some(b"/sys/\"\xff/memory.max"),
                value: Some(335_544_320),
                reason: Reason::Share(crate::units::Ratio::DEFAULT),
                note: Some(Note::NoEffect),
                guessed: false,
                is_known: true,
            },
            cpu: Decision {
                limit: Quota::new(1, 3),
                source: None,
                value: None,
                reason: Reason::Enough { cpus: 1 },
                note: None,
                guessed: true,
                is_known: true,
            },
            debug: Some(b"a=1,b=\xff".to_vec()),
            warnings: vec![Error::GoWillAbort(b"\"1\xffGB\"")],
        }
    }

    #[test]
    fn json_is_what_serde_json_reads() {
        let program = Program { name: Some(b"x\n"), path: None, go: None };
        let text = AsJson(&plan(), program, Some(true)).text();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(text.lines().count(), 1);
        let expected = serde_json::json!({
            "memory": {
                "limit_bytes": 419_430_400,
                "source": "/sys/\"\u{fffd}/memory.max",
                "GOMEMLIMIT": "335544320",
                "oom_group": true,
                "reason": format!("80% of the limit; {}", Note::NoEffect.text()),
                "guessed": false,
            },
            "cpu": {
                "limit_cpus": 0.333_333,
                "source": null,
                "GOMAXPROCS": null,
                "GODEBUG": "a=1,b=\u{fffd}",
                "reason": Reason::Enough { cpus: 1 }.text(),
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
            "warnings": [Error::GoWillAbort(b"\"1\xffGB\"").text()],
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
        let json = AsJson(&plan(), program, Some(true)).text();
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
        let text = Text(&plan(), program, Some(true)).text();
        for part in [
            "  limit       400 MiB (419430400 bytes)\n",
            "  source      \"/sys/\\\"\\xff/memory.max\"\n",
            "  GOMEMLIMIT  335544320\n",
            "  reason      80% of the limit; no effect",
            "  OOM kill    of all at once, the init too (memory.oom.group is 1): see --memory-warn, \
             and singleProcessOOMKill of the kubelet\n",
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
        let line = Line(&plan()).text();
        assert_eq!(
            line,
            "GOMEMLIMIT=335544320 (80% of the limit; no effect on this program, as Go knows it from \
             1.19 on: 400 MiB in \"/sys/\\\"\\xff/memory.max\"); \
             GOMAXPROCS not set (not below the CPUs that the process may run on, 1); GODEBUG=a=1,b=\\xff"
        );
    }
}
