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

    /// 80%: the largest answers of Go services survived with this (docs/benchmarks.md).
    pub const DEFAULT: Self = Self(800_000_000);

    /// Parses `0.9`, `1` or `.75`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let billionths = parse_decimal(text, Self::WHOLE.into())?;
        let billionths = u32::try_from(billionths).ok()?;
        (0 < billionths && billionths <= Self::WHOLE).then_some(Self(billionths))
    }

    /// This share of a number of bytes, rounded down.
    #[must_use]
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

/// Writes a multiple of 10 to the power of `-decimals` without zeros at its end.
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

/// Parses ASCII digits and nothing else. Too large a number is none.
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
pub const SIZE: &str = "a size such as 400MiB, 400Mi (1024s), 400MB, 400M (1000s) or bytes";

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

/// The number that a text begins with, and the unit behind it.
fn split_unit(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
    text.split_at_checked(digits.count())
}

/// What [`parse_duration`] takes, for messages.
pub const DURATION: &str = "a time above 0 such as 10s, 1.5s, 500ms, 2m, 1h or seconds";

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
pub const CPUS: &str = "CPUs above 0 such as 0.5, 2 or 500m";

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
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_as_kubernetes_and_go_write_them() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("1024B", Some(1024)),
            ("400MiB", Some(400 << 20)),
            ("400Mi", Some(400 << 20)),
            ("400M", Some(400_000_000)),
            ("400MB", Some(400_000_000)),
            ("1.5GiB", Some(3 << 29)),
            (".5Ki", Some(512)),
            ("64k", Some(64_000)),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            ("99999999999999999999999", None),
            ("8388608TiB", None),
            ("", None),
            ("MiB", None),
            (".", None),
            ("1.", None),
            ("1.5", None),
            ("1.2.3Mi", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("400m", None),
            ("400 MiB", None),
            ("90%", None),
        ] {
            assert_eq!(parse_size(text.as_bytes()), bytes.map(Bytes), "{text:?}");
        }
    }

    #[test]
    fn cpus_are_decimals_or_thousandths() {
        for (text, millionths) in [
            ("0.5", Some(500_000)),
            ("500m", Some(500_000)),
            ("2", Some(2_000_000)),
            ("1.000001", Some(1_000_001)),
            ("0.10", Some(100_000)),
            ("0.0000001", None),
            ("0", None),
            ("0.0", None),
            ("0m", None),
            ("m", None),
            ("1.5m", None),
            ("-1", None),
            ("x", None),
        ] {
            assert_eq!(parse_cpus(text.as_bytes()).map(|it| it.quota), millionths, "{text:?}");
        }
    }

    #[test]
    fn times_have_units_and_are_seconds_without() {
        for (text, micros) in [
            ("10", Some(10_000_000)),
            ("10s", Some(10_000_000)),
            ("1.5s", Some(1_500_000)),
            (".5", Some(500_000)),
            ("500ms", Some(500_000)),
            ("0.5ms", Some(500)),
            ("2m", Some(120_000_000)),
            ("1.5h", Some(5_400_000_000)),
            ("18446744073709s", Some(18_446_744_073_709_000_000)),
            ("18446744073710s", None),
            ("99999999999999999999h", None),
            ("0", None),
            ("0s", None),
            ("0.0ms", None),
            ("0.0001s", None),
            ("", None),
            ("s", None),
            (".s", None),
            ("1.s", None),
            ("10 s", None),
            ("10S", None),
            ("10us", None),
            ("1m30s", None),
            ("-1s", None),
            ("1e3", None),
        ] {
            let expected = micros.map(Duration::from_micros);
            assert_eq!(parse_duration(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn ratios_are_above_zero_and_at_most_one() {
        for (text, shown) in [
            ("0.9", Some("90%")),
            (".95", Some("95%")),
            ("1", Some("100%")),
            ("1.0", Some("100%")),
            ("0.333", Some("33.3%")),
            ("0.000000001", Some("0.0000001%")),
            ("0", None),
            ("1.01", None),
            ("90%", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            let ratio = Ratio::parse(text.as_bytes()).map(|ratio| ratio.to_string());
            assert_eq!(ratio.as_deref(), shown, "{text:?}");
        }
        assert_eq!(Ratio::DEFAULT.of(Bytes(419_430_400)), Bytes(335_544_320));
        assert_eq!(Ratio::DEFAULT.of(Bytes(u64::MAX)), Bytes(u64::MAX / 5 * 4));
    }

    #[test]
    fn durations_are_shown_in_seconds() {
        for (milliseconds, shown) in [(0, "0"), (20, "0.02"), (1500, "1.5"), (12_345, "12.345")] {
            assert_eq!(Seconds(Duration::from_millis(milliseconds)).to_string(), shown);
        }
    }

    #[test]
    fn bytes_are_shown_in_the_largest_unit() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (400 << 20, "400 MiB"),
            (377_487_360, "360 MiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "15.99 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), shown);
        }
    }

    proptest! {
        #[test]
        fn parsers_take_any_input(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (parse_size(&text), parse_cpus(&text), parse_duration(&text));
            let _ = (Ratio::parse(&text), parse_integer(&text));
        }

        #[test]
        fn what_is_printed_parses_back(millionths in 1u64..u64::MAX / 2_000_000, bytes: u64) {
            let quota = CpuQuota::new(millionths, 1_000_000).unwrap();
            prop_assert_eq!(parse_cpus(quota.to_string().as_bytes()), Some(quota));
            prop_assert_eq!(parse_integer(bytes.to_string().as_bytes()), Some(bytes));
            let ratio = Ratio((millionths % 1_000_000_000) as u32 + 1);
            let percent = ratio.to_string();
            let number: f64 = percent.trim_end_matches('%').parse().unwrap();
            let text = format!("{:.9}", number / 100.0);
            prop_assert_eq!(Ratio::parse(text.as_bytes()), Some(ratio));
        }

        #[test]
        fn bytes_have_two_decimals_rounded_down(bytes: u64, places in 0u32..64) {
            let bytes = bytes >> places;
            let text = Bytes(bytes).to_string();
            let (number, unit) = text.split_once(' ').unwrap();
            let power = "bKMGTPE".find(unit.get(..1).unwrap()).unwrap() as u32;
            let (whole, part) = number.split_once('.').unwrap_or((number, ""));
            let hundredths: u128 = format!("{whole}{part:0<2}").parse().unwrap();
            prop_assert_eq!(hundredths, (u128::from(bytes) * 100) >> (10 * power));
        }

        #[test]
        fn rounding_brackets_the_quota(time in 1u64.., period in 1u64..) {
            let quota = CpuQuota::new(time, period).unwrap();
            prop_assert!(u128::from(quota.rounded_down()) * u128::from(period) <= time.into());
            prop_assert!(u128::from(quota.rounded_up()) * u128::from(period) >= time.into());
            prop_assert!(quota.rounded_up() - quota.rounded_down() <= 1);
        }
    }
}
