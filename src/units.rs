//! Numbers with units, both ways: what people write for sizes, CPUs and ratios, and what they
//! read; and times. Integers throughout: a share of a CPU is microseconds over microseconds.

use crate::text::{Fields, Out, Put, put};
use core::num::NonZero;

/// How much may be used: so many bytes of memory, or so much CPU time in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes, or microseconds of CPU time.
    pub amount: u64,
    /// What that is per: 1, or the length of a period in microseconds.
    pub per: NonZero<u64>,
}

impl Quota {
    /// A quota of CPU time that the kernel could have: neither part is zero.
    #[must_use]
    pub const fn new(time: u64, period: u64) -> Option<Self> {
        match NonZero::new(period) {
            Some(per) if time > 0 => Some(Self { amount: time, per }),
            _ => None,
        }
    }

    /// So much as a whole.
    #[must_use]
    pub const fn whole(amount: u64) -> Self {
        Self { amount, per: NonZero::<u64>::MIN }
    }

    /// Whether it allows less than another.
    #[must_use]
    pub fn is_below(self, other: Self) -> bool {
        let product = |a: u64, b: u64| u128::from(a).wrapping_mul(u128::from(b));
        product(self.amount, other.per.get()) < product(other.amount, self.per.get())
    }

    /// The smallest number of CPUs that can spend all of it.
    #[must_use]
    pub fn rounded_up(self) -> u64 {
        self.amount.div_ceil(self.per.get())
    }

    /// The whole CPUs in it.
    #[must_use]
    pub fn rounded_down(self) -> u64 {
        self.amount / self.per
    }
}

/// CPUs as a decimal number with up to six digits after the point, as JSON takes it too.
impl Put for Quota {
    fn put(&self, out: &mut Out<'_>) {
        const MILLION: u64 = 1_000_000;
        let (mut time, mut period) = (self.amount, self.per.get());
        // No kernel has such periods; what is cut off is far below a millionth.
        while period > u64::MAX / (2 * MILLION) {
            time >>= 1;
            period >>= 1;
        }
        let rest = time.checked_rem(period).unwrap_or(0);
        let rounded = rest.saturating_mul(MILLION).saturating_add(period / 2);
        let part = rounded.checked_div(period).unwrap_or(0);
        let whole = time.checked_div(period).unwrap_or(0).saturating_add(part / MILLION);
        put_decimal(out, whole, part % MILLION, MILLION / 10);
    }
}

/// A share of a whole in billionths, above 0 and at most 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u32);

impl Ratio {
    const WHOLE: u32 = 1_000_000_000;

    /// Four fifths: what Go services were measured to survive with (docs/benchmarks.md).
    pub const DEFAULT: Self = Self(800_000_000);

    /// Parses `0.9`, `1` or `.75`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let billionths = decimal(text, Self::WHOLE.into())?;
        let billionths = u32::try_from(billionths).ok()?;
        (0 < billionths && billionths <= Self::WHOLE).then_some(Self(billionths))
    }

    /// This share of a number of bytes, rounded down.
    #[must_use]
    pub fn of(self, bytes: u64) -> u64 {
        let (ratio, whole) = (u64::from(self.0), u64::from(Self::WHOLE));
        // Neither product is more than 64 bits, as the ratio is at most the whole.
        let share = (bytes / whole).wrapping_mul(ratio);
        share.saturating_add((bytes % whole).wrapping_mul(ratio) / whole)
    }
}

/// As a percentage.
impl Put for Ratio {
    fn put(&self, out: &mut Out<'_>) {
        const PERCENT: u64 = Ratio::WHOLE as u64 / 100;
        let ratio = u64::from(self.0);
        put_decimal(out, ratio / PERCENT, ratio % PERCENT, PERCENT / 10);
        put!(out, "%");
    }
}

/// Bytes with the largest binary unit that leaves a whole number or two decimals: `400 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Put for Bytes {
    fn put(&self, out: &mut Out<'_>) {
        const UNITS: &[u8] = b"bytes KiB MiB GiB TiB PiB EiB";
        let power = self.0.max(1).ilog2() / 10;
        let unit = Fields::new(UNITS, b' ').nth(power as usize).unwrap_or_default();
        let shift = power.saturating_mul(10);
        let below = (1u64 << shift).wrapping_sub(1);
        // At most 60 bits are below the unit, and ten of them fit.
        let tenths = (self.0 & below).wrapping_mul(10);
        let hundredths = (tenths & below).wrapping_mul(10);
        let part = (tenths >> shift).wrapping_mul(10).wrapping_add(hundredths >> shift);
        put_decimal(out, self.0 >> shift, part, 10);
        put!(out, " ");
        out.bytes(unit);
    }
}

/// Adds a number with its decimals, without the zeros at the end; the first of them is `unit`s.
fn put_decimal(out: &mut Out<'_>, whole: u64, mut part: u64, mut unit: u64) {
    put!(out, whole);
    if part > 0 {
        put!(out, ".");
    }
    while part > 0 {
        put!(out, part.checked_div(unit).unwrap_or(0));
        part = part.checked_rem(unit).unwrap_or(0);
        unit /= 10;
    }
}

/// Parses ASCII digits and nothing else; too large a number is none.
#[must_use]
pub fn integer(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        let number = number.checked_mul(10)?.checked_add(digit.into())?;
        (digit < 10).then_some(number)
    })
}

/// Parses `12`, `1.5` or `.5` as a multiple of 1/`scale`; digits beyond that are refused.
fn decimal(text: &[u8], scale: u64) -> Option<u64> {
    let mut parts = Fields::new(text, b'.');
    let (whole, part) = (parts.next()?, parts.rest());
    if whole.is_empty() && part.is_none() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { integer(whole)? };
    let mut result = whole.checked_mul(scale)?;
    if let Some(part) = part {
        // Each digit is worth a tenth of the one before; zeros may go on for ever.
        let mut worth = scale;
        if part.is_empty() {
            return None;
        }
        for digit in part {
            let digit = u64::from(digit.wrapping_sub(b'0'));
            worth = if worth.is_multiple_of(10) { worth / 10 } else { 0 };
            if digit > 9 || (worth == 0 && digit != 0) {
                return None;
            }
            result = result.checked_add(digit.checked_mul(worth)?)?;
        }
    }
    Some(result)
}

/// What [`size`] takes, for messages.
pub const SIZE: &str = "a size such as 400MiB, 400Mi (1024s), 400MB, 400M (1000s) or bytes";

/// Parses a size: `400MiB` and `400Mi` are multiples of 1024, `400MB` and `400M` of 1000 as in
/// Kubernetes, bare digits are bytes. At most 2^63 - 1, Go's largest limit.
#[must_use]
pub fn size(text: &[u8]) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (letter, base) = match unit {
        [] | b"B" => (b' ', 1),
        [letter] | [letter, b'B'] => (*letter, 1000),
        [letter, b'i'] | [letter, b'i', b'B'] => (*letter, 1024),
        _ => return None,
    };
    let power = match letter {
        b' ' if base == 1 => 0,
        b'k' if base == 1000 => 1,
        b'K' => 1,
        b'M' => 2,
        b'G' => 3,
        b'T' => 4,
        _ => return None,
    };
    /// Decimals are exact to a thousandth of the unit, whatever the unit.
    const PARTS: u64 = 1000;
    let parts = if power == 0 { 1 } else { PARTS };
    let number = decimal(number, parts)?;
    let unit = u64::pow(base, power);
    // The unit is at most 2^40, so the parts fit.
    let rest = (number % parts).checked_mul(unit)? / parts;
    let bytes = (number / parts).checked_mul(unit)?.checked_add(rest)?;
    i64::try_from(bytes).is_ok().then_some(bytes)
}

/// A number with decimals, and what is behind it.
fn number_and_unit(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
    text.split_at_checked(digits.count())
}

/// What [`time`] takes, for messages.
pub const TIME: &str = "a time above 0 such as 10s, 1.5s, 500ms, 2m, 1h or seconds";

/// A time in microseconds.
pub type Micros = u64;

/// Parses a time above zero: `500ms`, `1.5s`, `2m`, `1h`, or seconds; exact to a thousandth of the
/// unit.
#[must_use]
pub fn time(text: &[u8]) -> Option<Micros> {
    let (number, unit) = number_and_unit(text)?;
    let milliseconds = match unit {
        _ if unit == b"ms" => 1,
        _ if unit.is_empty() || unit == b"s" => 1000,
        _ if unit == b"m" => 60 * 1000,
        _ if unit == b"h" => 60 * 60 * 1000,
        _ => return None,
    };
    let microseconds = decimal(number, 1000)?.checked_mul(milliseconds)?;
    (microseconds > 0).then_some(microseconds)
}

/// What [`cpus`] takes, for messages.
pub const CPUS: &str = "CPUs above 0 such as 0.5, 2 or 500m";

/// Parses a number of CPUs above zero: `0.5`, `2`, or thousandths as in Kubernetes, `500m`.
#[must_use]
pub fn cpus(text: &[u8]) -> Option<Quota> {
    const SECOND: u64 = 1_000_000;
    let time = match text.strip_suffix(b"m") {
        Some(thousandths) => integer(thousandths)?.checked_mul(SECOND / 1000)?,
        None => decimal(text, SECOND)?,
    };
    Quota::new(time, SECOND)
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
            assert_eq!(size(text.as_bytes()), bytes, "{text:?}");
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
            assert_eq!(cpus(text.as_bytes()).map(|quota| quota.amount), millionths, "{text:?}");
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
            assert_eq!(time(text.as_bytes()), micros, "{text:?}");
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
            let ratio = Ratio::parse(text.as_bytes()).map(|ratio| ratio.text());
            assert_eq!(ratio.as_deref(), shown, "{text:?}");
        }
        assert_eq!(Ratio::DEFAULT.of(419_430_400), 335_544_320);
        assert_eq!(Ratio::DEFAULT.of(u64::MAX), u64::MAX / 5 * 4);
    }

    #[test]
    fn bytes_are_shown_in_the_unit_a_person_would_use() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (400 << 20, "400 MiB"),
            (377_487_360, "360 MiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "15.99 EiB"),
        ] {
            assert_eq!(Bytes(bytes).text(), shown);
        }
    }

    proptest! {
        #[test]
        fn no_input_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (size(&text), cpus(&text), Ratio::parse(&text), integer(&text), time(&text));
        }

        #[test]
        fn what_is_printed_parses_back(millionths in 1u64..u64::MAX / 2_000_000, bytes: u64) {
            let quota = Quota::new(millionths, 1_000_000).unwrap();
            prop_assert_eq!(cpus(quota.text().as_bytes()), Some(quota));
            prop_assert_eq!(integer(bytes.to_string().as_bytes()), Some(bytes));
            let ratio = Ratio((millionths % 1_000_000_000) as u32 + 1);
            let percent = ratio.text();
            let number: f64 = percent.trim_end_matches('%').parse().unwrap();
            let text = format!("{:.9}", number / 100.0);
            prop_assert_eq!(Ratio::parse(text.as_bytes()), Some(ratio));
        }

        #[test]
        fn bytes_have_two_decimals_rounded_down(bytes: u64, places in 0u32..64) {
            let bytes = bytes >> places;
            let text = Bytes(bytes).text();
            let (number, unit) = text.split_once(' ').unwrap();
            let power = "bKMGTPE".find(unit.get(..1).unwrap()).unwrap() as u32;
            let (whole, part) = number.split_once('.').unwrap_or((number, ""));
            let hundredths: u128 = format!("{whole}{part:0<2}").parse().unwrap();
            prop_assert_eq!(hundredths, (u128::from(bytes) * 100) >> (10 * power));
        }

        #[test]
        fn rounding_brackets_the_quota(time in 1u64.., period in 1u64..) {
            let quota = Quota::new(time, period).unwrap();
            prop_assert!(u128::from(quota.rounded_down()) * u128::from(period) <= time.into());
            prop_assert!(u128::from(quota.rounded_up()) * u128::from(period) >= time.into());
            prop_assert!(quota.rounded_up() - quota.rounded_down() <= 1);
        }
    }
}
