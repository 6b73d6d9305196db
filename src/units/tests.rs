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
        ("80%", Some("80%")),
        ("99.5%", Some("99.5%")),
        ("100%", Some("100%")),
        ("0.0000001%", Some("0.0000001%")),
        ("0.00000001%", None),
        ("0%", None),
        ("101%", None),
        ("80 %", None),
        ("80%%", None),
        ("%", None),
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
fn points_in_time_are_shown_as_in_rfc_3339() {
    for (milliseconds, shown) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_868_799_999, "2000-02-29T23:59:59.999Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_795_829_703_042, "2026-11-28T01:35:03.042Z"),
        (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ] {
        assert_eq!(UtcTime(Duration::from_millis(milliseconds)).to_string(), shown);
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
        prop_assert_eq!(Ratio::parse(percent.as_bytes()), Some(ratio));
        let number: f64 = percent.trim_end_matches('%').parse().unwrap();
        let text = format!("{:.9}", number / 100.0);
        prop_assert_eq!(Ratio::parse(text.as_bytes()), Some(ratio));
    }

    /// The C library's calendar is another implementation.
    #[test]
    fn dates_are_those_of_the_c_library(seconds in 0i64..253_402_300_800) {
        // SAFETY: zero is a value of the plain C structure, which the call fills.
        #[allow(unsafe_code)]
        let time = unsafe {
            let mut time: libc::tm = core::mem::zeroed();
            libc::gmtime_r(&raw const seconds, &raw mut time);
            time
        };
        let (year, month, day) = (time.tm_year + 1900, time.tm_mon + 1, time.tm_mday);
        let (hour, minute, second) = (time.tm_hour, time.tm_min, time.tm_sec);
        prop_assert_eq!(
            UtcTime(Duration::from_secs(seconds as u64)).to_string(),
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
        );
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

/// Every text of up to `length` bytes of an alphabet.
fn texts(alphabet: &'static [u8], length: usize) -> impl Iterator<Item = Vec<u8>> {
    let count = alphabet.len();
    (0..=length).flat_map(move |length| {
        (0..count.pow(length as u32)).map(move |number| {
            (0..length).map(|place| alphabet[number / count.pow(place as u32) % count]).collect()
        })
    })
}

#[test]
fn every_short_decimal_is_parsed_as_defined() {
    const SCALE: u64 = 100;
    for text in texts(b"0159.-", 6) {
        let number = str::from_utf8(&text).unwrap();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let is_valid =
            [whole, decimals].iter().all(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
                && !decimals.is_empty()
                && !number.is_empty()
                && decimals.bytes().skip(2).all(|digit| digit == b'0');
        let expected = is_valid.then(|| {
            let digits = format!("{whole}{decimals:0<2.2}");
            digits.parse::<u64>().unwrap()
        });
        assert_eq!(parse_decimal(&text, SCALE), expected, "{number:?}");
    }
}

#[test]
fn every_small_quota_is_rounded_as_defined() {
    for period in 1..=400 {
        for quota in 1..=1200 {
            let exact = CpuQuota::new(quota, period).unwrap();
            let enough = (1..).find(|cpus| cpus * period >= quota);
            let whole = (0..=quota).take_while(|cpus| cpus * period <= quota).last();
            assert_eq!(Some(exact.rounded_up()), enough, "{exact:?}");
            assert_eq!(Some(exact.rounded_down()), whole, "{exact:?}");
        }
    }
}

#[test]
fn every_percentage_of_a_size_is_rounded_down() {
    for percent in 1..=100u64 {
        let ratio = Ratio::parse(format!("{percent}%").as_bytes()).unwrap();
        for bytes in (0..=1000).chain([(1 << 53) + 1, u64::MAX / 2, u64::MAX - 1, u64::MAX]) {
            let expected = u128::from(bytes) * u128::from(percent) / 100;
            assert_eq!(u128::from(ratio.of(Bytes(bytes)).0), expected, "{percent}% of {bytes}");
        }
    }
}
