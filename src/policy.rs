//! Decides what the Go runtime is told, with a reason for every decision. Pure: everything it
//! needs is an argument.

use crate::error::Error;
use crate::limits::{Limits, Reading, Readings, Value};
use crate::units::{Bytes, Quota, Ratio, integer};
use core::fmt;

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
}

/// A limit and what was decided from it.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision<'a, L> {
    /// The limit that counts, if there is one.
    pub limit: Option<L>,
    /// The file it is from, if it is from one.
    pub source: Option<&'a [u8]>,
    /// What the variable is set to, if it is set.
    pub value: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// Whether the limit was read at the mount's root for want of a better place.
    pub guessed: bool,
}

/// Why a variable is set, or left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for that it be left alone.
    Off,
    /// It has a value.
    Present,
    /// The process is in no cgroup that could have a limit.
    NoCgroup,
    /// There is no limit, as far as can be seen.
    Unlimited,
    /// What may be a limit could not be read.
    Unknown,
    /// The limit is above the machine's memory.
    AboveTotal {
        /// The limit in bytes.
        limit: u64,
        /// The machine's memory in bytes.
        total: u64,
    },
    /// Nothing of the limit is left to Go.
    Nothing,
    /// A part of the limit.
    Share(Ratio),
    /// The limit without the reserve.
    Reserve(u64),
    /// The quota is not less than the CPUs.
    Enough {
        /// The CPUs that the process may run on.
        cpus: u64,
    },
    /// The quota in whole CPUs.
    Rounded(Rounding),
    /// The quota would give fewer threads than the least number wanted.
    Minimum(u64),
    /// The quota would give more threads than there are CPUs.
    Cpus(u64),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("switched off"),
            Self::Present => f.write_str("left alone, as it has a value already"),
            Self::NoCgroup => f.write_str("no cgroup with this controller is in sight"),
            Self::Unlimited => f.write_str("no limit is set as far up as can be seen"),
            Self::Unknown => f.write_str("no limit could be read"),
            Self::AboveTotal { limit, total } => {
                let (limit, total) = (Bytes(*limit), Bytes(*total));
                write!(f, "the limit of {limit} is above the machine's memory of {total}")
            }
            Self::Nothing => f.write_str("the limit leaves nothing to set"),
            Self::Share(ratio) => write!(f, "{ratio} of the limit"),
            Self::Reserve(bytes) => write!(f, "the limit less a reserve of {}", Bytes(*bytes)),
            Self::Enough { cpus } => {
                write!(f, "not below the CPUs that the process may run on, {cpus}")
            }
            Self::Rounded(Rounding::Up) => f.write_str("the limit rounded up"),
            Self::Rounded(Rounding::Down) => f.write_str("the limit rounded down, at least 1"),
            Self::Minimum(least) => write!(f, "at least {least} as asked for"),
            Self::Cpus(cpus) => {
                write!(f, "no more than the CPUs that the process may run on, {cpus}")
            }
        }
    }
}

/// What the program is told.
#[derive(Debug)]
pub struct Plan<'a> {
    /// From the memory limit, for `GOMEMLIMIT`.
    pub memory: Decision<'a, u64>,
    /// From the CPU quota, for `GOMAXPROCS`.
    pub cpu: Decision<'a, Quota>,
    /// What a person should know; nothing of it is fatal.
    pub warnings: Vec<Error<'a>>,
}

/// Decides. What there is to warn about is added to `warnings`.
#[must_use]
pub fn decide<'a>(
    tuning: &Tuning,
    limits: &'a Limits,
    present: Present<'a>,
    mut warnings: Vec<Error<'a>>,
) -> Plan<'a> {
    for reading in &limits.problems {
        warn(reading, &mut warnings);
    }
    let memory = memory(tuning, limits, present.memory, &mut warnings);
    let cpu = cpu(tuning, limits, present.processors, &mut warnings);
    Plan { memory, cpu, warnings }
}

fn memory<'a>(
    tuning: &Tuning,
    limits: &'a Limits,
    present: Option<&'a [u8]>,
    warnings: &mut Vec<Error<'a>>,
) -> Decision<'a, u64> {
    let (mut decision, files) = find(tuning.memory_limit, &limits.memory, u64::lt);
    match (decision.limit, limits.memory_total) {
        // The kernel never lets it be reached. Equal is a limit: lxcfs shows it as the total.
        (Some(limit), Some(total)) if limit > total && tuning.memory_limit.is_none() => {
            decision.limit = None;
            decision.source = None;
            decision.reason = Reason::AboveTotal { limit, total };
        }
        _ => {}
    }
    if tuning.memory == MemoryMode::Off {
        decision.reason = Reason::Off;
        return decision;
    }
    if let Some(value) = present
        && tuning.memory == MemoryMode::Auto
    {
        if !go_accepts(value) {
            warnings.push(Error::GoWillAbort(value));
        }
        decision.reason = Reason::Present;
        return decision;
    }
    for reading in files {
        warn(reading, warnings);
    }
    let Some(limit) = decision.limit else {
        return decision;
    };
    // More would stop Go at its start, and cannot be reached.
    let limit = limit.min(i64::MAX.unsigned_abs());
    let share = tuning.ratio.of(limit);
    let (value, reason) = match limit.checked_sub(tuning.reserve) {
        Some(rest) if rest > 0 && rest < share => (rest, Reason::Reserve(tuning.reserve)),
        Some(rest) if rest > 0 => (share, Reason::Share(tuning.ratio)),
        _ => {
            if tuning.reserve > 0 {
                warnings.push(Error::ReserveTooLarge { reserve: tuning.reserve, limit });
            }
            (share, Reason::Share(tuning.ratio))
        }
    };
    // Zero would mean that Go collects without end.
    decision.value = (value > 0).then_some(value);
    decision.reason = if value > 0 { reason } else { Reason::Nothing };
    decision
}

fn cpu<'a>(
    tuning: &Tuning,
    limits: &'a Limits,
    present: Option<&'a [u8]>,
    warnings: &mut Vec<Error<'a>>,
) -> Decision<'a, Quota> {
    let (mut decision, files) = find(tuning.cpu_limit, &limits.cpu, |a, b| a.is_below(*b));
    if tuning.cpu == CpuMode::Off {
        decision.reason = Reason::Off;
        return decision;
    }
    if present.is_some() && tuning.cpu == CpuMode::Auto {
        decision.reason = Reason::Present;
        return decision;
    }
    for reading in files {
        warn(reading, warnings);
    }
    let Some(quota) = decision.limit else {
        return decision;
    };
    let rounded = match tuning.rounding {
        Rounding::Up => quota.rounded_up(),
        Rounding::Down => quota.rounded_down().max(1),
    };
    decision.reason = Reason::Rounded(tuning.rounding);
    let mut value = rounded;
    if value < tuning.cpu_min {
        value = tuning.cpu_min;
        decision.reason = Reason::Minimum(value);
    }
    if let Some(cpus) = limits.cpus.map(u64::from)
        && cpus <= value
    {
        if tuning.cpu == CpuMode::Auto {
            decision.reason = Reason::Enough { cpus };
            return decision;
        }
        if cpus < value {
            value = cpus;
            decision.reason = Reason::Cpus(cpus);
        }
    }
    decision.value = Some(value);
    decision
}

/// The limit that counts, the one given or the least of those that were read, before anything is
/// decided from it; and the files that were asked.
fn find<L: Copy>(
    given: Option<L>,
    readings: &Readings<L>,
    is_below: impl Fn(&L, &L) -> bool,
) -> (Decision<'_, L>, &[Reading<L>]) {
    if given.is_some() {
        let reason = Reason::Unlimited;
        let decision = Decision { limit: given, source: None, value: None, reason, guessed: false };
        return (decision, &[]);
    }
    let least = readings.least(is_below);
    let is_problem =
        |reading: &Reading<L>| matches!(reading.value, Value::Unreadable(_) | Value::Garbage(_));
    let reason = match readings.version {
        None => Reason::NoCgroup,
        Some(_) if readings.files.iter().any(is_problem) => Reason::Unknown,
        Some(_) => Reason::Unlimited,
    };
    let decision = Decision {
        limit: least.map(|(limit, _)| *limit),
        source: least.map(|(_, file)| file),
        value: None,
        reason,
        guessed: readings.guessed,
    };
    (decision, &readings.files)
}

fn warn<'a, L>(reading: &'a Reading<L>, warnings: &mut Vec<Error<'a>>) {
    let file = &reading.file;
    match &reading.value {
        Value::Unreadable(cause) => warnings.push(Error::Unreadable { file, cause: *cause }),
        Value::Garbage(content) => warnings.push(Error::Garbage { file, content }),
        Value::Absent | Value::Unlimited | Value::Limit(_) => {}
    }
}

/// Whether the Go runtime starts with this `GOMEMLIMIT` (`parseByteCount` in runtime/string.go):
/// digits with `B`, `KiB`, `MiB`, `GiB`, `TiB` or nothing behind them, below 2^63; or `off`.
fn go_accepts(value: &[u8]) -> bool {
    if value == b"off" {
        return true;
    }
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let Some((digits, unit)) = value.split_at_checked(digits) else {
        return false;
    };
    let shift = match unit {
        b"" | b"B" => 0,
        b"KiB" => 10,
        b"MiB" => 20,
        b"GiB" => 30,
        b"TiB" => 40,
        _ => return false,
    };
    integer(digits).is_some_and(|number| number <= i64::MAX.unsigned_abs() >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Version;
    use crate::sys::Errno;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn readings<L>(value: Value<L>) -> Readings<L> {
        let files = vec![Reading { file: b"/limit".to_vec(), value }];
        Readings { version: Some(Version::V2), guessed: false, files }
    }

    fn limits(memory: Value<u64>, cpu: Value<Quota>) -> Limits {
        Limits {
            memory: readings(memory),
            cpu: readings(cpu),
            memory_total: Some(1024 * MIB),
            cpus: Some(8),
            problems: Vec::new(),
        }
    }

    fn limited(memory: u64, time: u64) -> Limits {
        limits(Value::Limit(memory), Value::Limit(Quota::new(time, 100_000).unwrap()))
    }

    fn decide<'a>(tuning: &Tuning, limits: &'a Limits, present: Present<'a>) -> Plan<'a> {
        super::decide(tuning, limits, present, Vec::new())
    }

    fn values(tuning: &Tuning, limits: &Limits, present: Present<'_>) -> [Option<u64>; 2] {
        let plan = decide(tuning, limits, present);
        [plan.memory.value, plan.cpu.value]
    }

    #[test]
    fn the_limits_become_variables() {
        let limits = limited(400 * MIB, 20_000);
        let plan = decide(&Tuning::DEFAULT, &limits, Present::default());
        assert_eq!(plan.memory.value, Some(360 * MIB));
        assert_eq!(plan.memory.source, Some(&b"/limit"[..]));
        assert_eq!(plan.memory.reason.to_string(), "90% of the limit");
        assert_eq!(plan.cpu.value, Some(1));
        assert_eq!(plan.cpu.reason.to_string(), "the limit rounded up");
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
            assert_eq!(plan.memory.value, Some(value), "{ratio} {reserve}");
            assert_eq!(plan.warnings.len(), warnings, "{ratio} {reserve}");
        }
    }

    #[test]
    fn a_limit_above_the_machine_is_none_and_an_equal_one_is_one() {
        let cpu = Value::Absent;
        let above = limits(Value::Limit(1024 * MIB + 1), cpu.clone());
        let plan = decide(&Tuning::DEFAULT, &above, Present::default());
        assert_eq!((plan.memory.limit, plan.memory.value), (None, None));
        assert!(matches!(plan.memory.reason, Reason::AboveTotal { .. }));
        let equal = limits(Value::Limit(1000 * MIB), cpu);
        let tuning = Tuning { memory_limit: Some(2000 * MIB), ..Tuning::DEFAULT };
        assert_eq!(values(&Tuning::DEFAULT, &equal, Present::default())[0], Some(900 * MIB));
        assert_eq!(values(&tuning, &equal, Present::default())[0], Some(1800 * MIB));
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
        let present = Present { memory: Some(b"300MiB"), processors: Some(b"4") };
        let plan = decide(&Tuning::DEFAULT, &limits, present);
        assert_eq!((plan.memory.value, plan.cpu.value), (None, None));
        assert_eq!(plan.memory.limit, Some(400 * MIB), "the limit is still told");
        assert_eq!(plan.memory.reason, Reason::Present);
        let tuning = Tuning { memory: MemoryMode::Always, cpu: CpuMode::Static, ..Tuning::DEFAULT };
        assert_eq!(values(&tuning, &limits, present), [Some(360 * MIB), Some(1)]);
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
            let present = Present { memory: Some(value.as_bytes()), processors: None };
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
            (Value::Limit(0), Reason::Nothing, 0),
        ] {
            let limits = limits(value, Value::Absent);
            let plan = decide(&Tuning::DEFAULT, &limits, Present::default());
            assert_eq!((plan.memory.value, plan.memory.reason), (None, reason));
            assert_eq!(plan.warnings.len(), warnings);
            let tuning = Tuning { memory_limit: Some(10 * MIB), ..Tuning::DEFAULT };
            let plan = decide(&tuning, &limits, Present::default());
            assert_eq!(plan.memory.value, Some(9 * MIB));
            assert!(plan.warnings.is_empty(), "what is not used is no problem");
        }
        let none = Limits { memory: Readings::none(), ..limits(Value::Absent, Value::Absent) };
        let plan = decide(&Tuning::DEFAULT, &none, Present::default());
        assert_eq!(plan.memory.reason, Reason::NoCgroup);
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
                prop_assert!(go_accepts(memory.to_string().as_bytes()));
            }
            prop_assert!(cpu.is_none_or(|cpu| 1 <= cpu && cpu < cpus.into()));
        }
    }
}
