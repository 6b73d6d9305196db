//! Decides what the Go runtime is told, with a reason for every decision. Pure: everything it
//! needs is an argument.

mod cpu;
mod go;
mod memory;
mod reason;

use crate::error::Error;
use crate::gobinary::GoBinary;
use crate::limits::{Limits, Reading, Readings, Value};
use crate::packed::packed;
use crate::units::{Quota, Ratio};
use go::go_integer;

pub use reason::{Note, Reader, Reason};

/// When `GOMEMLIMIT` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryMode {
    /// Where it has no value yet.
    Auto,
    /// In the place of a value it has.
    Always,
    /// Never.
    Off,
}

/// When `GOMAXPROCS` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuMode {
    /// Where it has no value yet and the quota is less than the CPUs.
    Auto,
    /// Wherever there is a quota, in the place of a value it has.
    Static,
    /// As `Auto`, but where the runtime has a rule of its own that is switched off, that is
    /// switched on instead, so that it follows changes.
    Live,
    /// Never.
    Off,
}

/// What becomes of a part of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The smallest number of threads that can spend the whole quota.
    Up,
    /// No more threads than the quota has whole CPUs.
    Down,
}

/// What may be tuned.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// When `GOMEMLIMIT` is set.
    pub memory: MemoryMode,
    /// The part of the limit that Go may use.
    pub ratio: Ratio,
    /// The bytes of the limit that Go may not use; the lesser of both counts.
    pub reserve: u64,
    /// A limit in bytes to be taken for the detected one.
    pub memory_limit: Option<u64>,
    /// When `GOMAXPROCS` is set.
    pub cpu: CpuMode,
    /// A quota to be taken for the detected one.
    pub cpu_limit: Option<Quota>,
    /// The least number of threads.
    pub cpu_min: u64,
    /// What becomes of a part of a CPU.
    pub rounding: Rounding,
}

impl Tuning {
    /// Whether nobody asked for anything that only we can do.
    fn leaves_memory_alone(&self) -> bool {
        self.memory_limit.is_none() && self.reserve == 0 && self.ratio == Ratio::DEFAULT
    }

    /// The same for the CPUs.
    fn leaves_cpu_alone(&self) -> bool {
        self.cpu_limit.is_none() && self.cpu_min <= 1 && self.rounding == Rounding::Up
    }

    /// What fits the common case.
    pub const DEFAULT: Self = Self {
        memory: MemoryMode::Auto,
        ratio: Ratio::DEFAULT,
        reserve: 0,
        memory_limit: None,
        cpu: CpuMode::Auto,
        cpu_limit: None,
        cpu_min: 1,
        rounding: Rounding::Up,
    };
}

/// What the inherited environment says already; an empty value says nothing, as for Go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Present<'a> {
    /// The value of `GOMEMLIMIT`.
    pub memory: Option<&'a [u8]>,
    /// The value of `GOMAXPROCS`.
    pub processors: Option<&'a [u8]>,
    /// The value of `GOGC`.
    pub collector: Option<&'a [u8]>,
    /// The value of `GODEBUG`.
    pub debug: Option<&'a [u8]>,
}

/// A limit and what was decided from it.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The limit that counts, if there is one.
    pub limit: Option<Quota>,
    /// The file it is from, if it is from one.
    pub source: Option<&'a [u8]>,
    /// What the variable is set to, if it is set.
    pub value: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// What else there is to know about that.
    pub note: Option<Note>,
    /// Whether the limit was read at the mount's root for want of a better place.
    pub guessed: bool,
    /// Whether it is known that this is the limit, or that there is none.
    pub is_known: bool,
}

/// What the program is told.
#[derive(Debug)]
pub struct Plan<'a> {
    /// From the memory limit, for `GOMEMLIMIT`.
    pub memory: Decision<'a>,
    /// From the CPU quota, for `GOMAXPROCS`.
    pub cpu: Decision<'a>,
    /// The value for `GODEBUG`, if it is to change.
    pub debug: Option<Vec<u8>>,
    /// What a person should know; nothing of it is fatal.
    pub warnings: Vec<Error<'a>>,
}

/// Decides for a program, of which nothing may be known. What there is to warn about is added to
/// `warnings`.
#[must_use]
pub fn decide<'a>(
    tuning: &Tuning,
    limits: &'a Limits,
    present: Present<'a>,
    program: Option<GoBinary<'_>>,
    warnings: Vec<Error<'a>>,
) -> Plan<'a> {
    let mut plan = Plan {
        memory: undecided(tuning.memory_limit.map(Quota::whole), &limits.memory),
        cpu: undecided(tuning.cpu_limit, &limits.cpu),
        debug: None,
        warnings,
    };
    warn(&limits.problems, &mut plan.warnings);
    let program = program.as_ref();
    memory::decide(&mut plan, tuning, limits, present.memory, program);
    cpu::decide(&mut plan, tuning, limits, present, program);
    if let Some(value) = present.collector
        && value != b"off"
        && go_integer(value, program.and_then(|program| program.release)).is_none()
    {
        let (name, expected) = ("GOGC", packed!("a percentage such as 100, or off"));
        plan.warnings.push(Error::GoWillIgnore { name, value, expected });
    }
    if matches!(plan.cpu.reason, Reason::Live) {
        plan.debug = Some(cpu::with_tracking(present.debug));
    }
    plan
}

/// The limit that counts, the one given or the least of those that were read, before anything is
/// decided from it.
fn undecided(given: Option<Quota>, readings: &Readings) -> Decision<'_> {
    let mut decision = Decision {
        limit: given,
        source: None,
        value: None,
        reason: Reason::Unlimited,
        note: None,
        guessed: false,
        is_known: true,
    };
    if given.is_some() {
        return decision;
    }
    decision.guessed = readings.guessed;
    if let Some((limit, file)) = readings.least() {
        decision.limit = Some(limit);
        decision.source = Some(file);
    }
    let is_problem =
        |reading: &Reading| matches!(reading.value, Value::Unreadable(_) | Value::Garbage(_));
    if readings.version.is_none() {
        decision.reason = Reason::NoCgroup;
    } else if readings.files.iter().any(is_problem) {
        decision.reason = Reason::Unknown;
    } else {
        return decision;
    }
    decision.is_known = decision.limit.is_some();
    decision
}

/// Warns about the files that have not told anything.
fn warn<'a>(files: &'a [Reading], warnings: &mut Vec<Error<'a>>) {
    for Reading { file, value, .. } in files {
        warnings.push(match value {
            Value::Unreadable(cause) => Error::Unreadable { file, cause: *cause },
            Value::Garbage(content) => Error::Garbage { file, content },
            Value::Absent | Value::Unlimited | Value::Limit(_) => continue,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::go::go_accepts;
    use super::*;
    use crate::gobinary::Release;
    use crate::limits::Version;
    use crate::sys::Errno;
    use crate::text::Put;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn readings(value: Value) -> Readings {
        let files = vec![Reading { file: b"/limit".to_vec(), value, is_above: false }];
        Readings { version: Some(Version::V2), guessed: false, partial: false, files }
    }

    fn bytes(bytes: u64) -> Value {
        Value::Limit(Quota::whole(bytes))
    }

    fn limits(memory: Value, cpu: Value) -> Limits {
        Limits {
            memory: readings(memory),
            cpu: readings(cpu),
            memory_total: Some(1024 * MIB),
            cpus: Some(8),
            problems: Vec::new(),
        }
    }

    fn limited(memory: u64, time: u64) -> Limits {
        limits(bytes(memory), Value::Limit(Quota::new(time, 100_000).unwrap()))
    }

    fn decide<'a>(tuning: &Tuning, limits: &'a Limits, present: Present<'a>) -> Plan<'a> {
        super::decide(tuning, limits, present, None, Vec::new())
    }

    fn values(tuning: &Tuning, limits: &Limits, present: Present<'_>) -> [Option<u64>; 2] {
        let plan = decide(tuning, limits, present);
        [plan.memory.value, plan.cpu.value]
    }

    #[test]
    fn the_limits_become_variables() {
        let limits = limited(400 * MIB, 20_000);
        let plan = decide(&Tuning::DEFAULT, &limits, Present::default());
        assert_eq!(plan.memory.value, Some(320 * MIB));
        assert_eq!(plan.memory.source, Some(&b"/limit"[..]));
        assert_eq!(plan.memory.reason.text(), "80% of the limit");
        assert_eq!(plan.cpu.value, Some(1));
        assert_eq!(plan.cpu.reason.text(), "the limit rounded up");
        assert!(plan.warnings.is_empty());
    }

    #[test]
    fn memory_is_the_lesser_of_ratio_and_reserve() {
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
            let tuning = Tuning { ratio, reserve, ..Tuning::DEFAULT };
            let plan = decide(&tuning, &limits, Present::default());
            assert_eq!(plan.memory.value, Some(value), "{ratio:?} {reserve}");
            assert_eq!(plan.warnings.len(), warnings, "{ratio:?} {reserve}");
        }
    }

    #[test]
    fn a_limit_above_the_machine_is_none_and_an_equal_one_is_one() {
        let cpu = Value::Absent;
        let above = limits(bytes(1024 * MIB + 1), cpu.clone());
        let plan = decide(&Tuning::DEFAULT, &above, Present::default());
        assert_eq!((plan.memory.limit, plan.memory.value), (None, None));
        assert!(matches!(plan.memory.reason, Reason::AboveTotal { .. }));
        let equal = limits(bytes(1000 * MIB), cpu);
        let tuning = Tuning { memory_limit: Some(2000 * MIB), ..Tuning::DEFAULT };
        assert_eq!(values(&Tuning::DEFAULT, &equal, Present::default())[0], Some(800 * MIB));
        assert_eq!(values(&tuning, &equal, Present::default())[0], Some(1600 * MIB));
    }

    #[test]
    fn threads_follow_the_quota_within_their_bounds() {
        use CpuMode::{Auto, Static};
        use Rounding::{Down, Up};
        for (time, cpu, rounding, cpu_min, value) in [
            (20_000, Auto, Up, 1, Some(1)),
            (100_000, Auto, Up, 1, Some(1)),
            (100_001, Auto, Up, 1, Some(2)),
            (150_000, Auto, Down, 1, Some(1)),
            (50_000, Auto, Down, 1, Some(1)),
            (50_000, Auto, Up, 2, Some(2)),
            (50_000, Auto, Up, 8, None),
            (700_000, Auto, Up, 1, Some(7)),
            (700_001, Auto, Up, 1, None),
            (1_600_000, Auto, Up, 1, None),
            (700_001, Static, Up, 1, Some(8)),
            (1_600_000, Static, Up, 1, Some(8)),
        ] {
            let tuning = Tuning { cpu, rounding, cpu_min, ..Tuning::DEFAULT };
            let values = values(&tuning, &limited(MIB, time), Present::default());
            assert_eq!(values[1], value, "{time} {cpu:?} {rounding:?} {cpu_min}");
        }
        let unknown = Limits { cpus: None, ..limited(MIB, 700_001) };
        assert_eq!(values(&Tuning::DEFAULT, &unknown, Present::default())[1], Some(8));
    }

    #[test]
    fn a_value_that_is_present_is_left_alone_unless_it_is_to_be_replaced() {
        let limits = limited(400 * MIB, 20_000);
        let present =
            Present { memory: Some(b"300MiB"), processors: Some(b"4"), ..Present::default() };
        let plan = decide(&Tuning::DEFAULT, &limits, present);
        assert_eq!((plan.memory.value, plan.cpu.value), (None, None));
        assert_eq!(plan.memory.limit, Some(Quota::whole(400 * MIB)), "the limit is still told");
        assert_eq!(plan.memory.reason, Reason::Present);
        let tuning = Tuning { memory: MemoryMode::Always, cpu: CpuMode::Static, ..Tuning::DEFAULT };
        assert_eq!(values(&tuning, &limits, present), [Some(320 * MIB), Some(1)]);
        let tuning = Tuning { memory: MemoryMode::Off, cpu: CpuMode::Off, ..Tuning::DEFAULT };
        assert_eq!(values(&tuning, &limits, Present::default()), [None, None]);
    }

    #[test]
    fn a_value_that_would_stop_go_is_warned_about() {
        let limits = limited(400 * MIB, 20_000);
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
            let present = Present { memory: Some(value.as_bytes()), ..Present::default() };
            let plan = decide(&Tuning::DEFAULT, &limits, present);
            assert_eq!(plan.warnings.is_empty(), fine, "{value:?}");
            assert_eq!(plan.memory.value, None);
        }
    }

    #[test]
    fn absent_unlimited_and_unreadable_differ() {
        for (value, reason, warnings) in [
            (Value::Absent, Reason::Unlimited, 0),
            (Value::Unlimited, Reason::Unlimited, 0),
            (Value::Unreadable(Errno(13)), Reason::Unknown, 1),
            (Value::Garbage(b"x".to_vec()), Reason::Unknown, 1),
            (bytes(0), Reason::Nothing, 0),
        ] {
            let limits = limits(value, Value::Absent);
            let plan = decide(&Tuning::DEFAULT, &limits, Present::default());
            assert_eq!((plan.memory.value, plan.memory.reason), (None, reason));
            assert_eq!(plan.warnings.len(), warnings);
            let tuning = Tuning { memory_limit: Some(10 * MIB), ..Tuning::DEFAULT };
            let plan = decide(&tuning, &limits, Present::default());
            assert_eq!(plan.memory.value, Some(8 * MIB));
            assert!(plan.warnings.is_empty(), "what is not used is no problem");
        }
        let none = Limits { memory: Readings::none(), ..limits(Value::Absent, Value::Absent) };
        let plan = decide(&Tuning::DEFAULT, &none, Present::default());
        assert_eq!(plan.memory.reason, Reason::NoCgroup);
    }

    fn go(minor: u16) -> GoBinary<'static> {
        GoBinary {
            version: b"",
            release: Some(Release { major: 1, minor, patch: 3 }),
            debug_defaults: None,
            cgo: None,
            automaxprocs: None,
            automemlimit: None,
        }
    }

    /// A leaf at `/a/b`, below it nothing, above it a tighter ancestor or none.
    fn nested(is_tighter_above: bool) -> Limits {
        let quota = |time| Value::Limit(Quota::new(time, 100_000).unwrap());
        fn file(file: &[u8], value: Value) -> Reading {
            let is_above = !file.starts_with(b"/a/b/");
            Reading { file: file.to_vec(), value, is_above }
        }
        let mut limits = limited(400 * MIB, 150_000);
        limits.memory.files = vec![file(b"/a/b/memory.max", bytes(400 * MIB))];
        limits.cpu.files = vec![file(b"/a/b/cpu.max", quota(150_000))];
        if is_tighter_above {
            limits.memory.files.push(file(b"/a/memory.max", bytes(300 * MIB)));
            limits.cpu.files.push(file(b"/a/cpu.max", quota(50_000)));
        }
        limits
    }

    fn decided<'a>(
        cpu: CpuMode,
        limits: &'a Limits,
        present: Present<'a>,
        program: GoBinary<'_>,
    ) -> Plan<'a> {
        let tuning = Tuning { cpu, ..Tuning::DEFAULT };
        super::decide(&tuning, limits, present, Some(program), Vec::new())
    }

    #[test]
    fn threads_are_left_to_a_runtime_that_gets_them_right() {
        use CpuMode::{Auto, Live, Static};
        let old = |minor| GoBinary {
            debug_defaults: Some(b"asynctimerchan=1,containermaxprocs=0,updatemaxprocs=0"),
            ..go(minor)
        };
        let own = Some(Note::OwnCgroupOnly(Reader::Runtime));
        let up = Reason::Rounded(Rounding::Up);
        for (program, above, cpu, value, reason, note) in [
            (go(24), false, Auto, Some(2), up, None),
            (go(24), true, Auto, Some(1), up, None),
            (go(24), false, Live, Some(2), up, Some(Note::CannotFollow)),
            (go(25), false, Auto, None, Reason::Runtime, None),
            (go(25), false, Live, None, Reason::Runtime, None),
            (go(25), false, Static, Some(2), up, None),
            (go(25), true, Auto, Some(1), up, own),
            (go(25), true, Live, Some(1), up, own),
            (old(25), false, Auto, Some(2), up, None),
            (old(25), true, Auto, Some(1), up, None),
            (old(27), false, Live, None, Reason::Live, None),
            (old(27), true, Live, Some(1), up, own),
        ] {
            let limits = nested(above);
            let plan = decided(cpu, &limits, Present::default(), program);
            let decided = (plan.cpu.value, plan.cpu.reason, plan.cpu.note);
            assert_eq!(decided, (value, reason, note), "{program:?} {above} {cpu:?}");
            let debug = (reason == Reason::Live).then_some("containermaxprocs=1,updatemaxprocs=1");
            assert_eq!(plan.debug.as_deref(), debug.map(str::as_bytes));
        }
    }

    #[test]
    fn a_quota_that_comes_later_is_followed_where_that_is_asked_for() {
        let old = GoBinary { debug_defaults: Some(b"containermaxprocs=0"), ..go(25) };
        let unlimited = Limits { cpu: readings(Value::Unlimited), ..limited(MIB, 1) };
        let none = Limits { cpu: Readings::none(), ..limited(MIB, 1) };
        for (cpu, limits, program, reason) in [
            (CpuMode::Live, &unlimited, old, Reason::Live),
            (CpuMode::Live, &unlimited, go(25), Reason::Unlimited),
            (CpuMode::Live, &unlimited, go(24), Reason::Unlimited),
            (CpuMode::Live, &none, old, Reason::NoCgroup),
            (CpuMode::Auto, &unlimited, old, Reason::Unlimited),
            (CpuMode::Static, &unlimited, old, Reason::Unlimited),
        ] {
            let plan = decided(cpu, limits, Present::default(), program);
            assert_eq!((plan.cpu.value, plan.cpu.reason), (None, reason), "{cpu:?} {program:?}");
            assert_eq!(plan.debug.is_some(), reason == Reason::Live);
        }
    }

    #[test]
    fn go_1_25_does_not_find_its_cgroup_below_the_mount_of_a_part() {
        let mut limits = nested(false);
        limits.cpu.partial = true;
        let plan = decided(CpuMode::Auto, &limits, Present::default(), go(25));
        assert_eq!((plan.cpu.value, plan.cpu.note), (Some(2), Some(Note::PartOfHierarchy)));
        let plan = decided(CpuMode::Auto, &limits, Present::default(), go(26));
        assert_eq!((plan.cpu.value, plan.cpu.reason), (None, Reason::Runtime));
        limits.cpu.guessed = true;
        let plan = decided(CpuMode::Auto, &limits, Present::default(), go(26));
        assert_eq!(
            (plan.cpu.value, plan.cpu.note),
            (Some(2), Some(Note::OwnCgroupOnly(Reader::Runtime)))
        );
    }

    #[test]
    fn the_users_settings_in_godebug_stay() {
        let old = GoBinary { debug_defaults: Some(b"containermaxprocs=0"), ..go(25) };
        let limits = nested(false);
        let present =
            |debug: &'static str| Present { debug: Some(debug.as_bytes()), ..Present::default() };
        for (debug, reason, result) in [
            ("x=1", Reason::Live, Some("x=1,containermaxprocs=1,updatemaxprocs=1")),
            ("updatemaxprocs=0", Reason::Live, Some("updatemaxprocs=0,containermaxprocs=1")),
            ("containermaxprocs=1", Reason::Runtime, None),
            ("containermaxprocs=1,containermaxprocs=0", Reason::Rounded(Rounding::Up), None),
            (
                "notcontainermaxprocs=1",
                Reason::Live,
                Some("notcontainermaxprocs=1,containermaxprocs=1,updatemaxprocs=1"),
            ),
        ] {
            let plan = decided(CpuMode::Live, &limits, present(debug), old);
            assert_eq!(plan.cpu.reason, reason, "{debug}");
            assert_eq!(plan.debug.as_deref(), result.map(str::as_bytes), "{debug}");
        }
        let plan = decided(CpuMode::Auto, &limits, present("containermaxprocs=0"), go(27));
        assert_eq!(plan.cpu.reason, Reason::Rounded(Rounding::Up), "the user switched it off");
    }

    #[test]
    fn what_only_we_can_do_is_not_left_to_others() {
        let limits = nested(false);
        for (tuning, threads) in [
            (Tuning { cpu_limit: Quota::new(3, 1), ..Tuning::DEFAULT }, 3),
            (Tuning { cpu_min: 3, ..Tuning::DEFAULT }, 3),
            (Tuning { rounding: Rounding::Down, ..Tuning::DEFAULT }, 1),
        ] {
            let program = GoBinary { automaxprocs: Some(b"v1.6.0"), ..go(25) };
            let present = Present::default();
            let plan = super::decide(&tuning, &limits, present, Some(program), Vec::new());
            assert_eq!(plan.cpu.value, Some(threads), "{tuning:?}");
        }
        for tuning in [
            Tuning { memory_limit: Some(MIB), ..Tuning::DEFAULT },
            Tuning { reserve: MIB, ..Tuning::DEFAULT },
            Tuning { ratio: Ratio::parse(b"0.7").unwrap(), ..Tuning::DEFAULT },
            Tuning { memory: MemoryMode::Always, ..Tuning::DEFAULT },
        ] {
            let program = GoBinary { automemlimit: Some(b"v0.7.4"), ..go(25) };
            let present = Present::default();
            let plan = super::decide(&tuning, &limits, present, Some(program), Vec::new());
            assert!(plan.memory.value.is_some(), "{tuning:?}");
        }
    }

    #[test]
    fn libraries_are_left_to_what_they_see() {
        let threads = GoBinary { automaxprocs: Some(b"v1.6.0"), ..go(22) };
        let memory =
            |version: &'static str| GoBinary { automemlimit: Some(version.as_bytes()), ..go(22) };
        let plan = |above, program| {
            let limits = Box::leak(Box::new(nested(above)));
            decided(CpuMode::Auto, limits, Present::default(), program)
        };
        assert_eq!(plan(false, threads).cpu.reason, Reason::Library(Reader::Automaxprocs));
        assert_eq!(plan(true, threads).cpu.value, Some(1));
        assert_eq!(plan(true, threads).cpu.note, Some(Note::OwnCgroupOnly(Reader::Automaxprocs)));
        assert_eq!(
            plan(false, memory("v0.7.4")).memory.reason,
            Reason::Library(Reader::Automemlimit)
        );
        assert_eq!(plan(true, memory("v0.7.4")).memory.value, Some(240 * MIB));
        assert_eq!(plan(true, memory("(devel)")).memory.value, Some(240 * MIB));
        assert_eq!(
            plan(true, memory("v0.7.5")).memory.reason,
            Reason::Library(Reader::Automemlimit)
        );
        assert_eq!(plan(true, memory("v1.0.0-rc1")).memory.value, None);
        let mut limits = nested(false);
        let (file, value) = (b"/a/b/memory.high".to_vec(), bytes(200 * MIB));
        let high = Reading { file, value, is_above: false };
        limits.memory.files.push(high);
        let plan = decided(CpuMode::Auto, &limits, Present::default(), memory("v0.7.5"));
        assert_eq!(plan.memory.value, Some(160 * MIB), "it knows no memory.high");
        let mut limits = nested(true);
        limits.memory.guessed = true;
        let plan = decided(CpuMode::Auto, &limits, Present::default(), memory("v0.7.5"));
        assert_eq!(plan.memory.value, Some(240 * MIB), "it would not find its cgroup either");
    }

    #[test]
    fn a_runtime_without_gomemlimit_gets_it_all_the_same() {
        let limits = nested(false);
        let plan = decided(CpuMode::Auto, &limits, Present::default(), go(18));
        assert_eq!((plan.memory.value, plan.memory.note), (Some(320 * MIB), Some(Note::NoEffect)));
        let present = Present { memory: Some(b"512MB"), ..Present::default() };
        assert!(decided(CpuMode::Auto, &limits, present, go(18)).warnings.is_empty());
        assert_eq!(decided(CpuMode::Auto, &limits, present, go(19)).warnings.len(), 1);
    }

    #[test]
    fn what_is_a_number_depends_on_the_release() {
        let before = Some(Release { major: 1, minor: 25, patch: 9 });
        let after = Some(Release { major: 1, minor: 26, patch: 0 });
        for (value, releases) in [
            ("1MiB", [true, true, true]),
            ("-0MiB", [true, true, true]),
            ("+1MiB", [false, true, true]),
            ("-KiB", [true, false, true]),
            ("-1", [false; 3]),
            ("-", [false; 3]),
            ("-B", [false; 3]),
            ("+-1", [false; 3]),
            ("1-", [false; 3]),
        ] {
            let accepted = [before, after, None].map(|it| go_accepts(value.as_bytes(), it));
            assert_eq!(accepted, releases, "{value}");
        }
    }

    #[test]
    fn of_godebug_the_last_number_counts() {
        let off = GoBinary { debug_defaults: Some(b"containermaxprocs=0"), ..go(27) };
        for (debug, program, is_left) in [
            ("containermaxprocs=-1", go(27), false),
            ("containermaxprocs=00", go(27), false),
            ("containermaxprocs=0,containermaxprocs=x", go(27), false),
            ("containermaxprocs=x", go(27), true),
            ("containermaxprocs=x", off, false),
            ("containermaxprocs=2", off, true),
        ] {
            let present = Present { debug: Some(debug.as_bytes()), ..Present::default() };
            let limits = nested(false);
            let plan = decided(CpuMode::Auto, &limits, present, program);
            assert_eq!(plan.cpu.reason == Reason::Runtime, is_left, "{debug}");
        }
    }

    #[test]
    fn live_switches_on_updates_that_are_off_alone() {
        let once = GoBinary { debug_defaults: Some(b"updatemaxprocs=0"), ..go(27) };
        let limits = nested(false);
        for (debug, given) in [
            (None, Some(&b"containermaxprocs=1,updatemaxprocs=1"[..])),
            (Some(&b"containermaxprocs=1"[..]), Some(&b"containermaxprocs=1,updatemaxprocs=1"[..])),
            (Some(b"updatemaxprocs=0"), None),
        ] {
            let present = Present { debug, ..Present::default() };
            let plan = decided(CpuMode::Live, &limits, present, once);
            assert_eq!(plan.debug.as_deref(), given, "{debug:?}");
            assert_eq!(plan.cpu.value, None);
        }
    }

    #[test]
    fn an_automaxprocs_that_does_not_know_v2_is_no_help_there() {
        for (version, is_left) in
            [("v1.4.0", false), ("v1.5.1", false), ("v1.6.0", true), ("(devel)", false)]
        {
            let program = GoBinary { automaxprocs: Some(version.as_bytes()), ..go(21) };
            let limits = nested(false);
            let plan = decided(CpuMode::Auto, &limits, Present::default(), program);
            assert_eq!(plan.cpu.value.is_none(), is_left, "{version}");
            let v1 = Limits {
                cpu: Readings { version: Some(Version::V1), ..nested(false).cpu },
                ..limits
            };
            let plan = decided(CpuMode::Auto, &v1, Present::default(), program);
            assert_eq!(plan.cpu.value, None, "{version}");
        }
    }

    #[test]
    fn a_value_that_go_ignores_is_warned_about() {
        let limits = nested(false);
        for (processors, collector, warnings) in [
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
            let present = Present {
                processors: Some(processors.as_bytes()),
                collector: Some(collector.as_bytes()),
                ..Present::default()
            };
            let plan = decided(CpuMode::Auto, &limits, present, go(27));
            assert_eq!(plan.warnings.len(), warnings, "{processors} {collector}");
            assert_eq!(plan.cpu.reason, Reason::Present);
        }
    }

    proptest! {
        #[test]
        fn what_is_set_is_within_the_limit_and_go_takes_it(
            limit: u64, time in 1u64.., reserve: u64, cpus in 1u32.., cpu_min in 1u64..100,
        ) {
            let limits = Limits { memory_total: None, cpus: Some(cpus), ..limited(limit, time) };
            let tuning = Tuning { reserve, cpu_min, ..Tuning::DEFAULT };
            let [memory, cpu] = values(&tuning, &limits, Present::default());
            if let Some(memory) = memory {
                prop_assert!(0 < memory && memory <= limit);
                prop_assert!(go_accepts(memory.to_string().as_bytes(), None));
            }
            prop_assert!(cpu.is_none_or(|cpu| 1 <= cpu && cpu < cpus.into()));
        }
    }
}
