use super::super::origin::Identity;
use super::*;
use proptest::prelude::*;
use serde_json::json;

const MIB: u64 = 1 << 20;

fn throttling(periods: u64, throttled_periods: u64, milliseconds: u64) -> Option<Throttling> {
    let throttled_time = Duration::from_millis(milliseconds);
    Some(Throttling { periods, throttled_periods, throttled_time })
}

/// The first second of 1970, on a host with this name.
fn origin() -> Origin<'static> {
    let identity = Identity::new(&|name| (name == "HOSTNAME").then_some(b"\"web\""));
    Origin { time: Some(Duration::ZERO), identity }
}

fn full(format: Format) -> RunSummary<'static> {
    let time = Timestamp::now();
    let before = Snapshot {
        memory_limit: Some(Bytes(400 * MIB)),
        oom_kills: Some(4),
        cpu_limit: CpuQuota::new(1, 2),
        throttling: throttling(2, 1, 100),
        time: Some(time),
    };
    let now = Snapshot {
        throttling: throttling(42, 6, 900),
        time: time.checked_add(Duration::from_micros(12_345_678)),
        ..before
    };
    RunSummary {
        format,
        origin: origin(),
        status: ExitStatus::Exited(3),
        reaped: 2,
        before,
        now,
        cpu_time: [Duration::from_micros(1_500_000), Duration::from_micros(20_999)],
        peak: Some(Bytes(354 * MIB)),
    }
}

fn empty(format: Format) -> RunSummary<'static> {
    let snapshot = Snapshot {
        memory_limit: None,
        oom_kills: None,
        cpu_limit: None,
        throttling: None,
        time: Some(Timestamp::now()),
    };
    RunSummary {
        format,
        origin: Origin { time: None, identity: Identity::default() },
        status: ExitStatus::Signaled(15),
        reaped: 0,
        before: snapshot,
        now: snapshot,
        cpu_time: [Duration::ZERO; 2],
        peak: None,
    }
}

#[test]
fn the_text_has_what_is_known() {
    assert_eq!(
        full(Format::Text).to_string(),
        "the program ended: run time 12.345 s; exit code 3; peak memory 354 MiB; memory \
         limit 400 MiB; OOM kills 0; user CPU time 1.5 s; system CPU time 0.02 s; CPU limit \
         0.5; CPU periods 40; throttled periods 5; throttled time 0.8 s; zombies reaped 2"
    );
    assert_eq!(
        empty(Format::Text).to_string(),
        "the program ended: run time 0 s; killed by signal 15; user CPU time 0 s; system CPU \
         time 0 s; zombies reaped 0"
    );
}

#[test]
fn a_limit_that_has_changed_comes_with_the_one_at_the_start() {
    let mut summary = full(Format::Text);
    summary.before.memory_limit = None;
    summary.before.cpu_limit = CpuQuota::new(3, 2);
    summary.now.cpu_limit = None;
    let text = summary.to_string();
    assert!(text.contains("; memory limit 400 MiB; memory limit at start none; "), "{text}");
    assert!(text.contains(" s; CPU limit at start 1.5; "), "{text}");
}

#[test]
fn the_json_has_what_is_known_and_null_for_the_rest() {
    let read = |summary: RunSummary| -> serde_json::Value {
        serde_json::from_str(&summary.to_string()).unwrap()
    };
    let expected = json!({
        "event": "end", "time": "1970-01-01T00:00:00.000Z",
        "hostname": "\"web\"", "pod": null, "namespace": null, "container": null,
        "seconds": 12.345, "exit_code": 3, "signal": null,
        "memory": {
            "peak_bytes": 354 * MIB, "limit_bytes": 400 * MIB,
            "limit_bytes_at_start": 400 * MIB, "oom_kills": 0,
        },
        "cpu": {
            "user_seconds": 1.5, "system_seconds": 0.02, "limit_cpus": 0.5,
            "limit_cpus_at_start": 0.5, "periods": 40, "throttled_periods": 5,
            "throttled_seconds": 0.8,
        },
        "zombies_reaped": 2,
    });
    assert_eq!(read(full(Format::Json)), expected);
    let expected = json!({
        "event": "end", "time": null,
        "hostname": null, "pod": null, "namespace": null, "container": null,
        "seconds": 0, "exit_code": null, "signal": 15,
        "memory": {
            "peak_bytes": null, "limit_bytes": null, "limit_bytes_at_start": null,
            "oom_kills": null,
        },
        "cpu": {
            "user_seconds": 0, "system_seconds": 0, "limit_cpus": null,
            "limit_cpus_at_start": null, "periods": null, "throttled_periods": null,
            "throttled_seconds": null,
        },
        "zombies_reaped": 0,
    });
    assert_eq!(read(empty(Format::Json)), expected);
}

#[test]
fn the_keys_of_the_json_keep_their_order() {
    assert_eq!(
        full(Format::Json).to_string(),
        "{\"event\":\"end\",\"time\":\"1970-01-01T00:00:00.000Z\",\"hostname\":\"\\\"web\\\"\",\
         \"pod\":null,\"namespace\":null,\"container\":null,\"seconds\":12.345,\"exit_code\":3,\"signal\":null,\
         \"memory\":{\"peak_bytes\":371195904,\"limit_bytes\":419430400,\
         \"limit_bytes_at_start\":419430400,\"oom_kills\":0},\
         \"cpu\":{\"user_seconds\":1.5,\"system_seconds\":0.02,\"limit_cpus\":0.5,\
         \"limit_cpus_at_start\":0.5,\"periods\":40,\"throttled_periods\":5,\
         \"throttled_seconds\":0.8},\"zombies_reaped\":2}"
    );
}

proptest! {
    #[test]
    fn any_summary_is_json_on_one_line(
        run_times in [0u64..1 << 62, 0u64..1 << 62], cpu_times: [u64; 2], peak: Option<u64>,
        limit: Option<u64>, reaped: u64, quota in 1u64.., period in 1u64..,
    ) {
        let mut summary = full(Format::Json);
        summary.cpu_time = cpu_times.map(Duration::from_micros);
        summary.peak = peak.map(Bytes);
        summary.reaped = reaped;
        let start = Timestamp::now();
        let [before, now] = run_times.map(|time| start.checked_add(Duration::from_micros(time)));
        (summary.before.time, summary.now.time) = (before, now);
        summary.before.memory_limit = limit.map(Bytes);
        summary.now.cpu_limit = CpuQuota::new(quota, period);
        let text = summary.to_string();
        prop_assert_eq!(text.lines().count(), 1);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read["memory"]["peak_bytes"].as_u64(), peak);
        prop_assert_eq!(read["zombies_reaped"].as_u64(), Some(reaped));
    }
}
