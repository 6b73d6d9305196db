//! Numbers with units: sizes, CPUs, ratios and durations, as people write and read them. All are
//! integers: a CPU quota is microseconds of CPU time in a period of microseconds.

use crate::text::split_once;
use core::fmt;
use core::num::NonZero;
use core::time::Duration;

/// A number of bytes, shown in the largest binary unit of which there is a whole one, with up to
/// two decimals: `400 MiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "64 bits times 100 fit into 128, and the shift is at most 60"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The powers of 1024.
        const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let power = self.0.checked_ilog2().unwrap_or_default() / 10;
        let unit = UNITS.get(power as usize).copied().unwrap_or_default();
        let hundredths = (u128::from(self.0) * 100) >> (10 * power);
        write_decimal(f, hundredths as u64, 2)?;
        write!(f, " {unit}")
    }
}

/// CPU time that may be used in each period, shown as a number of CPUs with up to six decimals:
/// `0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuQuota {
    /// Microseconds of CPU time, above 0.
    pub quota: u64,
    /// The length of a period in microseconds.
    pub period: NonZero<u64>,
}

impl CpuQuota {
    /// A quota as the kernel may have it: neither number is zero.
    #[must_use]
    pub const fn new(quota: u64, period: u64) -> Option<Self> {
        match NonZero::new(period) {
            Some(period) if quota > 0 => Some(Self { quota, period }),
            _ => None,
        }
    }

    /// Whether it allows less CPU time than another.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "64 bits times 64 bits fit into 128")]
    pub fn is_below(self, other: Self) -> bool {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        product(self.quota, other.period.get()) < product(other.quota, self.period.get())
    }

    /// The smallest number of CPUs that can use all of it.
    #[must_use]
    pub fn rounded_up(self) -> u64 {
        self.quota.div_ceil(self.period.get())
    }

    /// The number of whole CPUs in it.
    #[must_use]
    pub fn rounded_down(self) -> u64 {
        self.quota / self.period
    }
}

/// Rounded to the nearest millionth of a CPU.
impl fmt::Display for CpuQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CPU: u64 = 1_000_000;
        let Self { quota, period } = *self;
        // The kernel allows periods of up to a second, so the product is far from the maximum.
        let rest = (quota % period).saturating_mul(CPU).saturating_add(period.get() / 2) / period;
        let millionths = self.rounded_down().saturating_mul(CPU).saturating_add(rest);
        write_decimal(f, millionths, 6)
    }
}

/// A share of a whole, above 0 and at most 1, in billionths. Shown as a percentage: `80%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u32);

impl Ratio {
    const WHOLE: u32 = 1_000_000_000;

    /// 80%: it loses the least of what Go programs survive, over all sizes of containers and kinds of
    /// programs that docs/benchmarks.md measures.
    pub const DEFAULT: Self = Self(800_000_000);

    /// Parses `0.9`, `1`, `.75`, or a percentage: `90%`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (number, whole) = match text.strip_suffix(b"%") {
            Some(number) => (number, Self::WHOLE / 100),
            None => (text, Self::WHOLE),
        };
        let billionths = u32::try_from(parse_decimal(number, whole.into())?).ok()?;
        (0 < billionths && billionths <= Self::WHOLE).then_some(Self(billionths))
    }

    /// This share of a number of bytes, rounded down.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "a share is not more than the whole")]
    pub fn of(self, Bytes(bytes): Bytes) -> Bytes {
        let (ratio, whole) = (u64::from(self.0), u64::from(Self::WHOLE));
        // In two parts, because the product of both numbers may not fit into 64 bits.
        Bytes(bytes / whole * ratio + bytes % whole * ratio / whole)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0.into(), 7)?;
        f.write_str("%")
    }
}

/// A duration in seconds, to the thousandth: `12.345`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0.as_millis() as u64, 3)
    }
}

/// A point in time, by the time since the beginning of 1970, as RFC 3339 writes it in UTC:
/// `2026-11-28T09:05:03.042Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcTime(pub Duration);

impl fmt::Display for UtcTime {
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "64 bits of seconds are fewer days than overflow"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, milliseconds) = (self.0.as_secs(), self.0.subsec_millis());
        let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
        // The calendar repeats every 400 years, an era of 146,097 days. A year that begins in March has
        // its leap day at the end, and from there each five months in a row have 153 days. The era
        // began 719,468 days before 1970.
        let days = seconds / 86_400 + 719_468;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = days / 146_097 * 400 + year_of_era + next_year;
        let seconds = seconds % 60;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}Z"
        )
    }
}

/// Writes a multiple of 10 to the power of `-decimals` without zeros at its end.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the places fit into 64 bits, and a fraction has at most as many"
)]
fn write_decimal(f: &mut fmt::Formatter<'_>, number: u64, mut decimals: usize) -> fmt::Result {
    let scale = 10u64.pow(decimals as u32);
    let mut fraction = number % scale;
    write!(f, "{}", number / scale)?;
    if fraction == 0 {
        return Ok(());
    }
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        decimals -= 1;
    }
    write!(f, ".{fraction:0decimals$}")
}

/// Parses ASCII digits and nothing else. `None` if the number is too large.
#[must_use]
pub fn parse_integer(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Parses `12`, `1.5` or `.5` as a multiple of 1/`scale`. Further decimals than that are refused.
fn parse_decimal(text: &[u8], scale: u64) -> Option<u64> {
    let Some((whole, decimals)) = split_once(text, b'.') else {
        return parse_integer(text)?.checked_mul(scale);
    };
    if decimals.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { parse_integer(whole)? };
    let mut result = whole.checked_mul(scale)?;
    // Each digit is worth a tenth of the one before. Zeros may go on for ever.
    let mut worth = scale;
    for digit in decimals {
        let digit = u64::from(char::from(*digit).to_digit(10)?);
        worth = if worth.is_multiple_of(10) { worth / 10 } else { 0 };
        if worth == 0 && digit != 0 {
            return None;
        }
        result = result.checked_add(digit.checked_mul(worth)?)?;
    }
    Some(result)
}

/// What [`parse_size`] takes, for messages.
pub const EXPECTED_SIZE: &str = "a size such as 400MiB, 400Mi (1024s), 400MB, 400M (1000s) or bytes; m is thousandths, and a \
     percentage is for --memory-ratio";

/// Parses a size: `400MiB` and `400Mi` are multiples of 1024, `400MB` and `400M` of 1000 as in
/// Kubernetes, bare digits are bytes. Decimals are exact to a thousandth of the unit. The result is
/// at most 2^63 - 1, the largest limit that Go knows.
#[must_use]
pub fn parse_size(text: &[u8]) -> Option<Bytes> {
    let (number, unit) = split_unit(text)?;
    let (base, power) = match unit {
        b"" | b"B" => return parse_integer(number).and_then(checked_size),
        [b'k', b'i', ..] => return None,
        [prefix, suffix @ ..] => (unit_base(suffix)?, unit_power(*prefix)?),
    };
    let unit = base.pow(power);
    let thousandths = parse_decimal(number, 1000)?;
    let rest = (thousandths % 1000).checked_mul(unit)? / 1000;
    checked_size((thousandths / 1000).checked_mul(unit)?.checked_add(rest)?)
}

/// `i` stands for powers of 1024. The `B` for bytes may be left out.
const fn unit_base(suffix: &[u8]) -> Option<u64> {
    match suffix {
        b"" | b"B" => Some(1000),
        b"i" | b"iB" => Some(1024),
        _ => None,
    }
}

const fn unit_power(prefix: u8) -> Option<u32> {
    match prefix {
        b'k' | b'K' => Some(1),
        b'M' => Some(2),
        b'G' => Some(3),
        b'T' => Some(4),
        _ => None,
    }
}

fn checked_size(bytes: u64) -> Option<Bytes> {
    i64::try_from(bytes).is_ok().then_some(Bytes(bytes))
}

/// The number that a text begins with, and the unit that follows it.
fn split_unit(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
    text.split_at_checked(digits.count())
}

/// What [`parse_duration`] takes, for messages.
pub const EXPECTED_DURATION: &str = "a time above 0 such as 10s, 1.5s, 500ms, 2m, 1h or seconds";

/// Parses a duration above zero: `500ms`, `1.5s`, `2m`, `1h`, or bare seconds. Decimals are exact
/// to a thousandth of the unit.
#[must_use]
pub fn parse_duration(text: &[u8]) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let milliseconds = match unit {
        b"ms" => 1,
        b"" | b"s" => 1000,
        b"m" => 60 * 1000,
        b"h" => 60 * 60 * 1000,
        _ => return None,
    };
    let microseconds = parse_decimal(number, 1000)?.checked_mul(milliseconds)?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds))
}

/// What [`parse_cpus`] takes, for messages.
pub const EXPECTED_CPUS: &str = "CPUs above 0 such as 0.5, 2 or 500m";

/// Parses a number of CPUs above zero: `0.5`, `2`, or thousandths as in Kubernetes, `500m`.
#[must_use]
pub fn parse_cpus(text: &[u8]) -> Option<CpuQuota> {
    const PERIOD: u64 = 1_000_000;
    let quota = match text.strip_suffix(b"m") {
        Some(thousandths) => parse_integer(thousandths)?.checked_mul(PERIOD / 1000)?,
        None => parse_decimal(text, PERIOD)?,
    };
    CpuQuota::new(quota, PERIOD)
}

#[cfg(test)]
mod tests;
