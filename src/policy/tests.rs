use super::*;
use crate::cgroup::go_runtime::MountRule;
use crate::cgroup::limits::{CgroupVersion, LimitFile, RuntimeError};
use crate::golang::Release;
use crate::golang::values::{MAX_GOMEMLIMIT, parse_gomemlimit};
use crate::options::{CpuMode, MemoryMode, Rounding};
use crate::sys::Errno;
use crate::units::Ratio;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const UP: Reason = Reason::Rounded(Rounding::Up);

fn controller<T>(value: LimitValue<T>) -> ControllerLimits<T> {
    let files = vec![LimitFile { path: b"/limit".to_vec(), value, in_ancestor: false }];
    ControllerLimits { version: Some(CgroupVersion::V2), files, ..ControllerLimits::none() }
}

const fn bytes(bytes: u64) -> LimitValue<Bytes> {
    LimitValue::Limit(Bytes(bytes))
}

/// A quota for a period of 100 ms.
fn quota(quota: u64) -> LimitValue<CpuQuota> {
    LimitValue::Limit(CpuQuota::new(quota, 100_000).unwrap())
}

fn limits(memory: LimitValue<Bytes>, cpu: LimitValue<CpuQuota>) -> Limits {
    Limits {
        memory: controller(memory),
        cpu: controller(cpu),
        memory_total: Some(Bytes(1024 * MIB)),
        cpus: Some(8),
        problems: Vec::new(),
        cgroups: Vec::new(),
        runtime_quota: None,
    }
}

fn limited(memory: u64, cpu: u64) -> Limits {
    limits(bytes(memory), quota(cpu))
}

fn decide<'a>(tuning: &Tuning, limits: &'a Limits, env: GoEnv<'a>) -> Plan<'a> {
    super::decide(tuning, limits, env, None, Vec::new())
}

fn values(tuning: &Tuning, limits: &Limits, env: GoEnv<'_>) -> [Option<u64>; 2] {
    let plan = decide(tuning, limits, env);
    [plan.memory.value, plan.cpu.value]
}

#[test]
fn limits_become_values_of_variables() {
    let limits = limited(400 * MIB, 20_000);
    let plan = decide(&Tuning::DEFAULT, &limits, GoEnv::default());
    assert_eq!(plan.memory.value, Some(320 * MIB));
    assert_eq!(plan.memory.source, Some(&b"/limit"[..]));
    assert_eq!(plan.memory.reason.to_string(), "80% of the limit");
    assert_eq!(plan.memory.headroom(), Some(Bytes(80 * MIB)));
    assert_eq!(plan.cpu.value, Some(1));
    assert_eq!(plan.cpu.reason.to_string(), "the quota rounded up");
    assert!(plan.warnings.is_empty());
}

#[test]
fn gomemlimit_is_the_share_or_what_the_reserve_leaves_if_that_is_less() {
    let limits = limited(400 * MIB, 20_000);
    for (ratio, reserve, value, warnings) in [
        ("0.9", 100 * MIB, 300 * MIB, 0),
        ("0.9", 10 * MIB, 360 * MIB, 0),
        ("1", 10 * MIB, 390 * MIB, 0),
        ("1", 0, 400 * MIB, 0),
        ("0.5", 400 * MIB, 200 * MIB, 1),
        ("0.5", 401 * MIB, 200 * MIB, 1),
    ] {
        let ratio = Ratio::parse(ratio.as_bytes()).unwrap();
        let tuning =
            Tuning { memory_ratio: ratio, memory_reserve: Bytes(reserve), ..Tuning::DEFAULT };
        let plan = decide(&tuning, &limits, GoEnv::default());
        assert_eq!(plan.memory.value, Some(value), "{ratio:?} {reserve}");
        assert_eq!(plan.warnings.len(), warnings, "{ratio:?} {reserve}");
    }
}

#[test]
fn gomemlimit_is_not_below_the_minimum_unless_the_limit_is() {
    let minimum = |bytes| Reason::MemoryMinimum(Bytes(bytes));
    let (share, below) = (Reason::Share(Ratio::DEFAULT), Reason::BelowMinimum(Bytes(64 * MIB)));
    let reserve = Reason::Reserve(Bytes(30 * MIB));
    for (limit, memory_min, memory_reserve, value, reason, warnings) in [
        (400 * MIB, 0, 0, 320 * MIB, share, 0),
        (400 * MIB, 64 * MIB, 0, 320 * MIB, share, 0),
        (80 * MIB, 64 * MIB, 0, 64 * MIB, share, 0),
        (80 * MIB - 1, 64 * MIB, 0, 64 * MIB, minimum(64 * MIB), 0),
        (70 * MIB, 64 * MIB, 0, 64 * MIB, minimum(64 * MIB), 0),
        (64 * MIB, 64 * MIB, 0, 64 * MIB, minimum(64 * MIB), 0),
        (64 * MIB - 1, 64 * MIB, 0, 64 * MIB - 1, below, 0),
        (1, 64 * MIB, 0, 1, below, 0),
        // The minimum takes from the reserve.
        (100 * MIB, 64 * MIB, 30 * MIB, 70 * MIB, reserve, 0),
        (90 * MIB, 64 * MIB, 30 * MIB, 64 * MIB, minimum(64 * MIB), 0),
        (70 * MIB, 64 * MIB, 70 * MIB, 64 * MIB, minimum(64 * MIB), 1),
        (400 * MIB, u64::MAX, 0, 400 * MIB, Reason::BelowMinimum(Bytes(u64::MAX)), 0),
    ] {
        let limits = limited(limit, 20_000);
        let (memory_min, memory_reserve) = (Bytes(memory_min), Bytes(memory_reserve));
        let tuning = Tuning { memory_min, memory_reserve, ..Tuning::DEFAULT };
        let plan = decide(&tuning, &limits, GoEnv::default());
        let decided = (plan.memory.value, plan.memory.reason, plan.warnings.len());
        assert_eq!(decided, (Some(value), reason, warnings), "{limit} {memory_min:?}");
    }
    let tuning = Tuning { memory_min: Bytes(MIB), ..Tuning::DEFAULT };
    let plan = |limit| decide(&tuning, Box::leak(Box::new(limited(limit, 1))), GoEnv::default());
    assert_eq!(plan(0).memory.reason, Reason::NothingLeft, "0 would be collection without pause");
    assert_eq!(plan(1025 * MIB).memory.value, None, "no limit, so no value");
}

#[test]
fn the_minimum_is_for_values_that_loadline_sets() {
    let limits = limited(70 * MIB, 20_000);
    for (memory, value, gomemlimit) in [
        (MemoryMode::Auto, None, Some(64 * MIB)),
        (MemoryMode::Auto, Some("1MiB"), None),
        (MemoryMode::Cap, Some("1MiB"), None),
        (MemoryMode::Cap, Some("60MiB"), None),
        (MemoryMode::Cap, Some("64MiB"), None),
        (MemoryMode::Cap, Some("65MiB"), Some(64 * MIB)),
        (MemoryMode::Cap, Some("off"), Some(64 * MIB)),
        (MemoryMode::Always, Some("1MiB"), Some(64 * MIB)),
        (MemoryMode::Off, None, None),
    ] {
        let tuning = Tuning { memory, memory_min: Bytes(64 * MIB), ..Tuning::DEFAULT };
        let env = GoEnv { gomemlimit: value.map(str::as_bytes), ..GoEnv::default() };
        assert_eq!(values(&tuning, &limits, env)[0], gomemlimit, "{memory:?} {value:?}");
    }
}

#[test]
fn a_limit_above_the_machines_memory_does_not_count_and_an_equal_one_does() {
    let cpu = LimitValue::Absent;
    let above = limits(bytes(1024 * MIB + 1), cpu.clone());
    let plan = decide(&Tuning::DEFAULT, &above, GoEnv::default());
    assert_eq!((plan.memory.limit, plan.memory.value), (None, None));
    assert!(matches!(plan.memory.reason, Reason::AboveTotal { .. }));
    let equal = limits(bytes(1000 * MIB), cpu);
    let tuning = Tuning { memory_limit: Some(Bytes(2000 * MIB)), ..Tuning::DEFAULT };
    assert_eq!(values(&Tuning::DEFAULT, &equal, GoEnv::default())[0], Some(800 * MIB));
    assert_eq!(values(&tuning, &equal, GoEnv::default())[0], Some(1600 * MIB));
}

#[test]
fn gomaxprocs_is_the_quota_between_the_minimum_and_the_cpus() {
    use CpuMode::{Auto, Static};
    use Rounding::{Down, Up};
    for (quota, cpu, cpu_rounding, cpu_min, value) in [
        (20_000, Auto, Up, 1, Some(1)),
        (100_000, Auto, Up, 1, Some(1)),
        (100_001, Auto, Up, 1, Some(2)),
        (150_000, Auto, Down, 1, Some(1)),
        (50_000, Auto, Down, 1, Some(1)),
        (50_000, Auto, Up, 2, Some(2)),
        // The runtime of Go 1.25 and later would use one.
        (50_000, Auto, Up, 8, Some(8)),
        (700_000, Auto, Up, 1, Some(7)),
        (700_001, Auto, Up, 1, None),
        (1_600_000, Auto, Up, 1, None),
        (700_001, Static, Up, 1, Some(8)),
        (1_600_000, Static, Up, 1, Some(8)),
    ] {
        let tuning = Tuning { cpu, cpu_rounding, cpu_min, ..Tuning::DEFAULT };
        let values = values(&tuning, &limited(MIB, quota), GoEnv::default());
        assert_eq!(values[1], value, "{quota} {cpu:?} {cpu_rounding:?} {cpu_min}");
    }
    let unknown = Limits { cpus: None, ..limited(MIB, 700_001) };
    assert_eq!(values(&Tuning::DEFAULT, &unknown, GoEnv::default())[1], Some(8));
}

#[test]
fn a_variable_that_is_set_is_left_alone_unless_the_mode_replaces_it() {
    let limits = limited(400 * MIB, 20_000);
    let env = GoEnv { gomemlimit: Some(b"300MiB"), gomaxprocs: Some(b"4"), ..GoEnv::default() };
    let plan = decide(&Tuning::DEFAULT, &limits, env);
    assert_eq!((plan.memory.value, plan.cpu.value), (None, None));
    assert_eq!(plan.memory.limit, Some(Bytes(400 * MIB)), "the limit is still reported");
    assert_eq!(plan.memory.reason, Reason::Present);
    let tuning = Tuning { memory: MemoryMode::Always, cpu: CpuMode::Static, ..Tuning::DEFAULT };
    assert_eq!(values(&tuning, &limits, env), [Some(320 * MIB), Some(1)]);
    let tuning = Tuning { memory: MemoryMode::Off, cpu: CpuMode::Off, ..Tuning::DEFAULT };
    assert_eq!(values(&tuning, &limits, GoEnv::default()), [None, None]);
}

#[test]
fn a_gomemlimit_that_go_refuses_is_warned_about() {
    let limits = limits(LimitValue::Unlimited, quota(20_000));
    for (value, fine) in [
        ("off", true),
        ("0", true),
        ("360MiB", true),
        ("1B", true),
        ("9223372036854775807", true),
        ("8388607TiB", true),
        ("8388608TiB", false),
        ("9223372036854775808", false),
        ("OFF", false),
        ("512MB", false),
        ("512M", false),
        ("512Mi", false),
        ("512m", false),
        ("1.5GiB", false),
        ("1e9", false),
        ("90%", false),
        ("-1", false),
        (" 1", false),
        ("1 ", false),
        ("MiB", false),
    ] {
        let env = GoEnv { gomemlimit: Some(value.as_bytes()), ..GoEnv::default() };
        let plan = decide(&Tuning::DEFAULT, &limits, env);
        assert_eq!(plan.warnings.is_empty(), fine, "{value:?}");
        assert_eq!(plan.memory.value, None);
    }
}

#[test]
fn a_gomemlimit_that_is_not_below_the_limit_is_one_warning_with_both_numbers() {
    let cpu = LimitValue::Absent;
    for (limit, value, is_fine) in [
        (bytes(400 * MIB), "419430399", true),
        (bytes(400 * MIB), "399MiB", true),
        (bytes(400 * MIB), "0", true),
        // Whoever writes this wants no GOMEMLIMIT.
        (bytes(400 * MIB), "off", true),
        (bytes(400 * MIB), "419430400", false),
        (bytes(400 * MIB), "400MiB", false),
        (bytes(400 * MIB), "1000GiB", false),
        (bytes(400 * MIB), "9223372036854775807", false),
        // Nothing can be said without a limit.
        (bytes(1024 * MIB + 1), "1000GiB", true),
        (LimitValue::Unlimited, "1000GiB", true),
        (LimitValue::Absent, "1000GiB", true),
        (LimitValue::Problem(FileProblem::Unreadable(Errno(13))), "1000GiB", true),
    ] {
        let limits = limits(limit, cpu.clone());
        let env = GoEnv { gomemlimit: Some(value.as_bytes()), ..GoEnv::default() };
        let plan = decide(&Tuning::DEFAULT, &limits, env);
        assert_eq!(plan.warnings.len(), usize::from(!is_fine), "{value}");
        assert_eq!((plan.memory.value, plan.memory.reason), (None, Reason::Present), "{value}");
        for memory in [MemoryMode::Always, MemoryMode::Off] {
            let plan = decide(&Tuning { memory, ..Tuning::DEFAULT }, &limits, env);
            assert!(!plan.warnings.iter().any(|it| it.to_string().contains("GOMEMLIMIT")));
        }
    }
    let env = GoEnv { gomemlimit: Some(b"1000GiB"), ..GoEnv::default() };
    let limits = limited(400 * MIB, 20_000);
    assert_eq!(
        decide(&Tuning::DEFAULT, &limits, env).warnings.first().unwrap().to_string(),
        "GOMEMLIMIT=\"1000GiB\" is left unchanged, but is too high to help: it is 1000 GiB, and the \
         memory limit is 400 MiB; --memory cap lowers it"
    );
    let tuning = Tuning { memory_limit: Some(Bytes(2000 * MIB)), ..Tuning::DEFAULT };
    let env = GoEnv { gomemlimit: Some(b"2000MiB"), ..GoEnv::default() };
    assert_eq!(decide(&tuning, &limits, env).warnings.len(), 1, "the given limit counts");
    let plan = super::decide(&Tuning::DEFAULT, &limits, env, Some(go(18)), Vec::new());
    assert!(plan.warnings.is_empty(), "Go 1.18 does not read it");
}

#[test]
fn the_mode_cap_lowers_a_higher_gomemlimit_and_leaves_a_lower_one() {
    let share = Reason::Share(Ratio::DEFAULT);
    let lowered = Some(Note::LoweredGomemlimit);
    for (limit, value, gomemlimit, reason, note, warnings) in [
        (bytes(400 * MIB), None, Some(320 * MIB), share, None, 0),
        (bytes(400 * MIB), Some("300MiB"), None, Reason::Present, None, 0),
        (bytes(400 * MIB), Some("0"), None, Reason::Present, None, 0),
        (bytes(400 * MIB), Some("320MiB"), None, Reason::Present, None, 0),
        (bytes(400 * MIB), Some("335544321"), Some(320 * MIB), share, lowered, 0),
        (bytes(400 * MIB), Some("400MiB"), Some(320 * MIB), share, lowered, 0),
        (bytes(400 * MIB), Some("1000GiB"), Some(320 * MIB), share, lowered, 0),
        (bytes(400 * MIB), Some("off"), Some(320 * MIB), share, lowered, 0),
        (bytes(400 * MIB), Some("512MB"), None, Reason::Present, None, 1),
        (bytes(0), Some("off"), None, Reason::NothingLeft, None, 0),
        (LimitValue::Unlimited, Some("1000GiB"), None, Reason::Present, None, 0),
        (LimitValue::Unlimited, None, None, Reason::Unlimited, None, 0),
        (
            LimitValue::Problem(FileProblem::Unreadable(Errno(13))),
            Some("off"),
            None,
            Reason::Present,
            None,
            1,
        ),
    ] {
        let limits = limits(limit, LimitValue::Absent);
        let env = GoEnv { gomemlimit: value.map(str::as_bytes), ..GoEnv::default() };
        let plan = decide(&Tuning { memory: MemoryMode::Cap, ..Tuning::DEFAULT }, &limits, env);
        let memory = plan.memory;
        let decided = (memory.value, memory.reason, memory.note, plan.warnings.len());
        assert_eq!(decided, (gomemlimit, reason, note, warnings), "{value:?}");
    }
}

#[test]
fn absent_unlimited_and_unreadable_differ() {
    for (value, reason, warnings) in [
        (LimitValue::Absent, Reason::Unlimited, 0),
        (LimitValue::Unlimited, Reason::Unlimited, 0),
        (LimitValue::Problem(FileProblem::Unreadable(Errno(13))), Reason::Unknown, 1),
        (LimitValue::Problem(FileProblem::Invalid(b"x".to_vec())), Reason::Unknown, 1),
        (bytes(0), Reason::NothingLeft, 0),
    ] {
        let limits = limits(value, LimitValue::Absent);
        let plan = decide(&Tuning::DEFAULT, &limits, GoEnv::default());
        assert_eq!((plan.memory.value, plan.memory.reason), (None, reason));
        assert_eq!(plan.warnings.len(), warnings);
        let tuning = Tuning { memory_limit: Some(Bytes(10 * MIB)), ..Tuning::DEFAULT };
        let plan = decide(&tuning, &limits, GoEnv::default());
        assert_eq!(plan.memory.value, Some(8 * MIB));
        assert!(plan.warnings.is_empty(), "files that do not count are not warned about");
    }
    let none = Limits {
        memory: ControllerLimits::none(),
        ..limits(LimitValue::Absent, LimitValue::Absent)
    };
    let plan = decide(&Tuning::DEFAULT, &none, GoEnv::default());
    assert_eq!(plan.memory.reason, Reason::NoCgroup);
}

fn go(minor: u16) -> GoRuntime {
    let release = Release { major: 1, minor, patch: 0 };
    GoRuntime { release: Some(release), containermaxprocs: None, updatemaxprocs: None }
}

/// A process in the cgroup `/a/b`, and possibly lower limits in the ancestor `/a`.
fn nested(is_ancestor_lower: bool) -> Limits {
    fn file<T>(path: &[u8], value: LimitValue<T>) -> LimitFile<T> {
        let in_ancestor = !path.starts_with(b"/a/b/");
        LimitFile { path: path.to_vec(), value, in_ancestor }
    }
    let mut limits = limited(400 * MIB, 150_000);
    limits.memory.files = vec![file(b"/a/b/memory.max", bytes(400 * MIB))];
    limits.cpu.files = vec![file(b"/a/b/cpu.max", quota(150_000))];
    if is_ancestor_lower {
        limits.memory.files.push(file(b"/a/memory.max", bytes(300 * MIB)));
        limits.cpu.files.push(file(b"/a/cpu.max", quota(50_000)));
    }
    limits
}

fn decided<'a>(cpu: CpuMode, limits: &'a Limits, env: GoEnv<'a>, program: GoRuntime) -> Plan<'a> {
    let tuning = Tuning { cpu, ..Tuning::DEFAULT };
    super::decide(&tuning, limits, env, Some(program), Vec::new())
}

#[test]
fn gomaxprocs_is_left_to_a_runtime_that_finds_the_same_quota() {
    use CpuMode::{Auto, Live, Static};
    let old = |minor| GoRuntime {
        containermaxprocs: Some(false),
        updatemaxprocs: Some(false),
        ..go(minor)
    };
    let own = Some(Note::OwnCgroupOnly);
    for (program, above, cpu, value, reason, note) in [
        (go(24), false, Auto, Some(2), UP, None),
        (go(24), true, Auto, Some(1), UP, None),
        (go(24), false, Live, Some(2), UP, Some(Note::CannotFollow)),
        (go(25), false, Auto, None, Reason::GoRuntime, None),
        (go(25), false, Live, None, Reason::GoRuntime, None),
        (go(25), false, Static, Some(2), UP, None),
        (go(25), true, Auto, Some(1), UP, own),
        (go(25), true, Live, Some(1), UP, own),
        (old(25), false, Auto, Some(2), UP, None),
        (old(25), true, Auto, Some(1), UP, None),
        (old(27), false, Live, None, Reason::Live, None),
        (old(27), true, Live, Some(1), UP, own),
    ] {
        let limits = nested(above);
        let plan = decided(cpu, &limits, GoEnv::default(), program);
        let decided = (plan.cpu.value, plan.cpu.reason, plan.cpu.note);
        assert_eq!(decided, (value, reason, note), "{program:?} {above} {cpu:?}");
        let debug = (reason == Reason::Live).then_some("containermaxprocs=1,updatemaxprocs=1");
        assert_eq!(plan.godebug.as_deref(), debug.map(str::as_bytes));
    }
}

#[test]
fn in_live_mode_a_quota_that_is_set_later_is_followed() {
    let old = GoRuntime { containermaxprocs: Some(false), ..go(25) };
    let unlimited = Limits { cpu: controller(LimitValue::Unlimited), ..limited(MIB, 1) };
    let none = Limits { cpu: ControllerLimits::none(), ..limited(MIB, 1) };
    for (cpu, limits, program, reason) in [
        (CpuMode::Live, &unlimited, old, Reason::Live),
        (CpuMode::Live, &unlimited, go(25), Reason::Unlimited),
        (CpuMode::Live, &unlimited, go(24), Reason::Unlimited),
        (CpuMode::Live, &none, old, Reason::NoCgroup),
        (CpuMode::Auto, &unlimited, old, Reason::Unlimited),
        (CpuMode::Static, &unlimited, old, Reason::Unlimited),
    ] {
        let plan = decided(cpu, limits, GoEnv::default(), program);
        assert_eq!((plan.cpu.value, plan.cpu.reason), (None, reason), "{cpu:?} {program:?}");
        assert_eq!(plan.godebug.is_some(), reason == Reason::Live);
    }
}

#[test]
fn gomaxprocs_is_set_for_a_runtime_that_does_not_find_the_quota() {
    use CpuMode::{Auto, Live};
    let old = GoRuntime { containermaxprocs: Some(false), ..go(27) };
    let quota = |quota| Ok(CpuQuota::new(quota, 100_000));
    let fails = Err(RuntimeError::RootIsNoPath);
    for (cpu, program, found, value, reason, note) in [
        (Auto, go(25), quota(150_000), None, Reason::GoRuntime, None),
        (Auto, go(27), Ok(CpuQuota::new(3, 2)), None, Reason::GoRuntime, None),
        (Auto, go(27), quota(150_001), Some(2), UP, Some(Note::RuntimeFindsOther)),
        (Auto, go(27), quota(50_000), Some(2), UP, Some(Note::RuntimeFindsOther)),
        (Auto, go(27), Ok(None), Some(2), UP, Some(Note::RuntimeFindsOther)),
        (Auto, go(27), fails, Some(2), UP, Some(Note::RuntimeFails(RuntimeError::RootIsNoPath))),
        (Live, old, quota(150_000), None, Reason::Live, None),
        (Live, old, fails, Some(2), UP, Some(Note::RuntimeFails(RuntimeError::RootIsNoPath))),
    ] {
        let limits = Limits { runtime_quota: Some(found), ..nested(false) };
        let plan = decided(cpu, &limits, GoEnv::default(), program);
        let decided = (plan.cpu.value, plan.cpu.reason, plan.cpu.note);
        assert_eq!(decided, (value, reason, note), "{found:?} {cpu:?}");
        assert_eq!(plan.godebug.is_some(), reason == Reason::Live);
    }
    // What a runtime without a quota does not find cannot be followed either.
    let unlimited = Limits { cpu: controller(LimitValue::Unlimited), ..limited(MIB, 1) };
    for (found, reason) in [(Ok(None), Reason::Live), (fails, Reason::Unlimited)] {
        let limits = Limits { runtime_quota: Some(found), ..unlimited.clone() };
        assert_eq!(decided(Live, &limits, GoEnv::default(), old).cpu.reason, reason);
    }
}

#[test]
fn what_the_runtime_finds_is_asked_only_if_it_matters() {
    use CpuMode::{Auto, Live, Off, Static};
    use MountRule::{AnyRoot, MatchingRoot};
    let old = |minor| GoRuntime { containermaxprocs: Some(false), ..go(minor) };
    let all_cpus = Limits { cpus: Some(2), ..nested(false) };
    let unlimited = Limits { cpu: controller(LimitValue::Unlimited), ..limited(MIB, 1) };
    for (cpu, limits, gomaxprocs, program, rule) in [
        (Auto, nested(false), None, Some(go(25)), Some(AnyRoot)),
        (Auto, nested(false), None, Some(go(26)), Some(MatchingRoot)),
        (Auto, nested(false), None, Some(go(28)), Some(MatchingRoot)),
        (Auto, nested(false), None, Some(go(24)), None),
        (Auto, nested(false), None, Some(old(27)), None),
        (Auto, nested(false), None, None, None),
        (Auto, nested(false), Some(&b"3"[..]), Some(go(27)), None),
        (Auto, nested(true), None, Some(go(27)), None),
        (Auto, all_cpus.clone(), None, Some(go(27)), None),
        (Auto, unlimited.clone(), None, Some(go(27)), None),
        (Static, nested(false), None, Some(go(27)), None),
        (Off, nested(false), None, Some(go(27)), None),
        (Live, nested(false), None, Some(old(27)), Some(MatchingRoot)),
        (Live, unlimited, None, Some(old(25)), Some(AnyRoot)),
    ] {
        let tuning = Tuning { cpu, ..Tuning::DEFAULT };
        let env = GoEnv { gomaxprocs, ..GoEnv::default() };
        assert_eq!(runtime_rule(&tuning, &limits, env, program), rule, "{cpu:?} {program:?}");
    }
    let plan = decided(Auto, &all_cpus, GoEnv::default(), go(27));
    assert_eq!(plan.cpu.reason, Reason::EnoughCpus { cpus: 2 }, "nothing is said of the runtime");
}

#[test]
fn settings_in_the_users_godebug_are_kept() {
    let old = GoRuntime { containermaxprocs: Some(false), ..go(25) };
    let limits = nested(false);
    let env = |debug: &'static str| GoEnv { godebug: Some(debug.as_bytes()), ..GoEnv::default() };
    for (debug, reason, result) in [
        ("x=1", Reason::Live, Some("x=1,containermaxprocs=1,updatemaxprocs=1")),
        ("updatemaxprocs=0", Reason::Live, Some("updatemaxprocs=0,containermaxprocs=1")),
        ("containermaxprocs=1", Reason::GoRuntime, None),
        ("containermaxprocs=1,containermaxprocs=0", Reason::Rounded(Rounding::Up), None),
        (
            "notcontainermaxprocs=1",
            Reason::Live,
            Some("notcontainermaxprocs=1,containermaxprocs=1,updatemaxprocs=1"),
        ),
    ] {
        let plan = decided(CpuMode::Live, &limits, env(debug), old);
        assert_eq!(plan.cpu.reason, reason, "{debug}");
        assert_eq!(plan.godebug.as_deref(), result.map(str::as_bytes), "{debug}");
    }
    let plan = decided(CpuMode::Auto, &limits, env("containermaxprocs=0"), go(27));
    assert_eq!(plan.cpu.reason, Reason::Rounded(Rounding::Up), "the user switches it off");
}

#[test]
fn customised_values_are_not_left_to_the_program() {
    let limits = nested(false);
    for (tuning, value) in [
        (Tuning { cpu_limit: CpuQuota::new(3, 1), ..Tuning::DEFAULT }, 3),
        (Tuning { cpu_min: 3, ..Tuning::DEFAULT }, 3),
        // All CPUs, of which the runtime alone would use fewer.
        (Tuning { cpu_limit: CpuQuota::new(16, 1), ..Tuning::DEFAULT }, 8),
        (Tuning { cpu_min: 8, ..Tuning::DEFAULT }, 8),
        (Tuning { cpu_rounding: Rounding::Down, ..Tuning::DEFAULT }, 1),
    ] {
        let plan = super::decide(&tuning, &limits, GoEnv::default(), Some(go(25)), Vec::new());
        assert_eq!(plan.cpu.value, Some(value), "{tuning:?}");
    }
}

#[test]
fn gomemlimit_is_set_for_a_runtime_that_does_not_know_it_too() {
    let limits = nested(false);
    let plan = decided(CpuMode::Auto, &limits, GoEnv::default(), go(18));
    assert_eq!((plan.memory.value, plan.memory.note), (Some(320 * MIB), Some(Note::NoEffect)));
    assert_eq!(plan.memory.headroom(), None);
    let env = GoEnv { gomemlimit: Some(b"512MB"), ..GoEnv::default() };
    assert!(decided(CpuMode::Auto, &limits, env, go(18)).warnings.is_empty());
    assert_eq!(decided(CpuMode::Auto, &limits, env, go(19)).warnings.len(), 1);
}

#[test]
fn the_last_number_in_godebug_counts() {
    let off = GoRuntime { containermaxprocs: Some(false), ..go(27) };
    for (debug, program, is_left) in [
        ("containermaxprocs=-1", go(27), false),
        ("containermaxprocs=00", go(27), false),
        ("containermaxprocs=0,containermaxprocs=x", go(27), false),
        ("containermaxprocs=x", go(27), true),
        ("containermaxprocs=x", off, false),
        ("containermaxprocs=2", off, true),
    ] {
        let env = GoEnv { godebug: Some(debug.as_bytes()), ..GoEnv::default() };
        let limits = nested(false);
        let plan = decided(CpuMode::Auto, &limits, env, program);
        assert_eq!(plan.cpu.reason == Reason::GoRuntime, is_left, "{debug}");
    }
}

#[test]
fn live_mode_switches_on_updates_if_only_they_are_off() {
    let once = GoRuntime { updatemaxprocs: Some(false), ..go(27) };
    let limits = nested(false);
    for (debug, given) in [
        (None, Some(&b"containermaxprocs=1,updatemaxprocs=1"[..])),
        (Some(&b"containermaxprocs=1"[..]), Some(&b"containermaxprocs=1,updatemaxprocs=1"[..])),
        (Some(b"updatemaxprocs=0"), None),
    ] {
        let env = GoEnv { godebug: debug, ..GoEnv::default() };
        let plan = decided(CpuMode::Live, &limits, env, once);
        assert_eq!(plan.godebug.as_deref(), given, "{debug:?}");
        assert_eq!(plan.cpu.value, None);
    }
}

#[test]
fn a_value_that_go_ignores_is_warned_about() {
    let limits = nested(false);
    for (gomaxprocs, gogc, warnings) in [
        ("4", "100", 0),
        ("1", "off", 0),
        ("2147483647", "-1", 0),
        ("0", "100", 1),
        ("-1", "100", 1),
        ("2.5", "100", 1),
        ("abc", "100", 1),
        ("+4", "100", 0),
        ("4", "-", 1),
        ("2147483648", "100", 1),
        ("4", "50%", 1),
        ("4", "OFF", 1),
    ] {
        let env = GoEnv {
            gomaxprocs: Some(gomaxprocs.as_bytes()),
            gogc: Some(gogc.as_bytes()),
            ..GoEnv::default()
        };
        let plan = decided(CpuMode::Auto, &limits, env, go(27));
        assert_eq!(plan.warnings.len(), warnings, "{gomaxprocs} {gogc}");
        assert_eq!(plan.cpu.reason, Reason::Present);
    }
}

proptest! {
    #[test]
    fn values_are_within_the_limits_and_accepted_by_go(
        limit: u64, quota in 1u64.., reserve: u64, minimum: u64, cpus in 1u32..,
        cpu_min in 1u64..100,
    ) {
        let limits = Limits { memory_total: None, cpus: Some(cpus), ..limited(limit, quota) };
        let (memory_reserve, memory_min) = (Bytes(reserve), Bytes(minimum));
        let tuning = Tuning { memory_reserve, memory_min, cpu_min, ..Tuning::DEFAULT };
        let [memory, cpu] = values(&tuning, &limits, GoEnv::default());
        if let Some(memory) = memory {
            prop_assert!(0 < memory && memory <= limit);
            prop_assert!(memory >= minimum.min(limit).min(MAX_GOMEMLIMIT.0));
            prop_assert!(parse_gomemlimit(memory.to_string().as_bytes(), None) == Some(Bytes(memory)));
        }
        // With --cpu-min all CPUs may be asked for, although the quota is lower.
        prop_assert!(cpu.is_none_or(|cpu| 1 <= cpu && cpu <= cpus.into()));
        prop_assert!(cpu.is_none_or(|cpu| cpu < cpus.into() || cpu_min >= cpus.into()));
    }
}
