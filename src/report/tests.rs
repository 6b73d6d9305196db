use super::*;
use crate::error::Error;
use crate::golang::GoBinary;
use crate::policy::{Decision, Note, Plan, Reason};
use crate::units::{Bytes, CpuQuota, Ratio};

fn plan() -> Plan<'static> {
    Plan {
        memory: Decision {
            limit: Some(Bytes(419_430_400)),
            source: Some(b"/sys/\"\xff/memory.max"),
            value: Some(335_544_320),
            reason: Reason::Share(Ratio::DEFAULT),
            note: Some(Note::NoEffect),
            is_guess: false,
            is_known: true,
        },
        cpu: Decision {
            limit: CpuQuota::new(1, 3),
            source: None,
            value: None,
            reason: Reason::EnoughCpus { cpus: 1 },
            note: None,
            is_guess: true,
            is_known: true,
        },
        godebug: Some(b"a=1,b=\xff".to_vec()),
        warnings: vec![Error::RefusedByGo(b"\"1\xffGB\"")],
    }
}

fn explanation<'a>(
    plan: &'a Plan<'a>,
    program: ExplainedProgram<'a>,
    oom_group: Option<bool>,
) -> Explanation<'a> {
    Explanation { plan, program, oom_group }
}

#[test]
fn the_json_report_can_be_parsed() {
    let program =
        ExplainedProgram { name: Some(b"x\n"), path: None, starts: None, hint: "", go: None };
    let text = JsonReport(explanation(&plan(), program, Some(true))).to_string();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(text.lines().count(), 1);
    let expected = serde_json::json!({
        "memory": {
            "limit_bytes": 419_430_400,
            "source": "/sys/\"\u{fffd}/memory.max",
            "GOMEMLIMIT": "335544320",
            "oom_group": true,
            "reason": format!("80% of the limit; {}", Note::NoEffect),
            "guessed": false,
        },
        "cpu": {
            "limit_cpus": 0.333_333,
            "source": null,
            "GOMAXPROCS": null,
            "GODEBUG": "a=1,b=\u{fffd}",
            "reason": Reason::EnoughCpus { cpus: 1 }.to_string(),
            "guessed": true,
        },
        "program": {
            "name": "x\n",
            "path": null,
            "starts": null,
            "go_version": null,
            "go_debug_defaults": null,
            "cgo": null,
        },
        "warnings": [Error::RefusedByGo(b"\"1\xffGB\"").to_string()],
    });
    assert_eq!(json, expected);
}

#[test]
fn the_keys_of_the_json_report_keep_their_order() {
    let program =
        ExplainedProgram { name: Some(b"x"), path: None, starts: None, hint: "", go: None };
    let plan = Plan { warnings: Vec::new(), ..plan() };
    assert_eq!(
        JsonReport(explanation(&plan, program, None)).to_string(),
        format!(
            "{{\"memory\":{{\"limit_bytes\":419430400,\"source\":\"/sys/\\\"\u{fffd}/memory.max\",\
             \"GOMEMLIMIT\":\"335544320\",\"oom_group\":null,\"reason\":\"80% of the limit; {}\",\
             \"guessed\":false}},\"cpu\":{{\"limit_cpus\":0.333333,\"source\":null,\
             \"GOMAXPROCS\":null,\"GODEBUG\":\"a=1,b=\u{fffd}\",\"reason\":\"{}\",\
             \"guessed\":true}},\"program\":{{\"name\":\"x\",\"path\":null,\"starts\":null,\"go_version\":null,\
             \"go_debug_defaults\":null,\"cgo\":null}},\"warnings\":[]}}\n",
            Note::NoEffect,
            Reason::EnoughCpus { cpus: 1 },
        )
    );
}

#[test]
fn the_reports_and_the_summary_say_what_is_set_and_why() {
    let go = GoBinary {
        version: b"go1.25.3",
        release: None,
        default_godebug: Some(b"containermaxprocs=0"),
        cgo: Some(true),
    };
    let program = ExplainedProgram {
        name: Some(b"/app"),
        path: Some(b"/app"),
        starts: None,
        hint: "",
        go: Some(go),
    };
    let json = JsonReport(explanation(&plan(), program, Some(true))).to_string();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let expected = serde_json::json!({
        "name": "/app",
        "path": "/app",
        "starts": null,
        "go_version": "go1.25.3",
        "go_debug_defaults": "containermaxprocs=0",
        "cgo": true,
    });
    assert_eq!(json["program"], expected);
    let text = TextReport(explanation(&plan(), program, Some(true))).to_string();
    for part in [
        "memory\n  limit       400 MiB (419430400 bytes)\n",
        "  source      \"/sys/\\\"\\xff/memory.max\"\n",
        "  GOMEMLIMIT  335544320\n",
        "  reason      80% of the limit; no effect",
        "  OOM kill    kills the whole container, init included (memory.oom.group is 1); see \
         --memory-warn, or singleProcessOOMKill of the kubelet\n",
        "cpu\n  limit       0.333333 CPU\n",
        "  source      set by an option or variable (a guess: the process's own cgroup could not be \
         located)\n",
        "  GOMAXPROCS  not set\n",
        "  GODEBUG     a=1,b=\\xff\n",
        "program\n  path        \"/app\"\n",
        "  go          go1.25.3\n",
        "  defaults    containermaxprocs=0\n",
        "warning: GOMEMLIMIT=\"\\\"1\\xffGB\\\"\" is left unchanged",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains("headroom"), "{text}");
    let mut effective = plan();
    effective.memory.note = None;
    let text = TextReport(explanation(&effective, program, None)).to_string();
    let part = "limit\n  headroom    80 MiB for bursts and for memory outside the heap\ncpu\n";
    assert!(text.contains(part), "{part:?} is not in {text}");
    assert_eq!(
        PlanSummary(&plan()).to_string(),
        "GOMEMLIMIT=335544320 (80% of the limit; no effect on this program: it needs Go 1.19 \
         or later; limit 400 MiB in \"/sys/\\\"\\xff/memory.max\"); GOMAXPROCS not set (the value would \
         not be below the number of usable CPUs (1)); GODEBUG=a=1,b=\\xff"
    );
}

#[test]
fn the_text_report_says_what_is_missing() {
    let none = |program| {
        TextReport(explanation(&Plan { godebug: None, ..plan() }, program, None)).to_string()
    };
    let text = none(ExplainedProgram { name: None, path: None, starts: None, hint: "", go: None });
    assert!(!text.contains("program\n") && !text.contains("OOM kill"), "{text}");
    assert!(!text.contains("GODEBUG"), "{text}");
    let text =
        none(ExplainedProgram { name: Some(b"x"), path: None, starts: None, hint: "", go: None });
    let expected = "program\n  path        none: \"x\" is not found, or is not executable\n";
    assert!(text.contains(expected), "{text}");
    let hint = "; a hint";
    let text =
        none(ExplainedProgram { name: Some(b"x"), path: None, starts: None, hint, go: None });
    assert!(text.contains("\"x\" is not found, or is not executable; a hint\n"), "{text}");
    let text = none(ExplainedProgram {
        name: Some(b"x"),
        path: Some(b"/x"),
        starts: None,
        hint: "",
        go: None,
    });
    assert!(text.contains("  go          not recognised as a Go program\n"), "{text}");
}
