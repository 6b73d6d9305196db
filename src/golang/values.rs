//! The environment variables of the Go runtime: their names, which values it accepts, and what it takes
//! them for.

use super::Release;
use crate::text::split_once;
use crate::units::{Bytes, parse_integer};

/// The memory limit of the Go runtime.
pub const GOMEMLIMIT: &str = "GOMEMLIMIT";
/// The number of threads that run Go code at the same time.
pub const GOMAXPROCS: &str = "GOMAXPROCS";
/// The target of the garbage collector.
pub const GOGC: &str = "GOGC";
/// The other settings of the Go runtime.
pub const GODEBUG: &str = "GODEBUG";

/// From this release on, the runtime parses numbers with `ParseInt` of strconv, which accepts a
/// leading plus, and rejects a minus without digits. The parsers before it did the opposite.
const STRCONV_SINCE: Release = Release { major: 1, minor: 26, patch: 0 };

/// The highest `GOMEMLIMIT` that the Go runtime starts with. It has no effect, and is what the runtime
/// takes `off` for.
pub const MAX_GOMEMLIMIT: Bytes = Bytes(i64::MAX as u64);

/// Parses a `GOMEMLIMIT` as the Go runtime does (`readGOMEMLIMIT` in runtime/mgcpacer.go,
/// `parseByteCount` in runtime/string.go): `off`, or digits with the unit `B`, `KiB`, `MiB`, `GiB`,
/// `TiB` or none, below 2^63 bytes. With any other value it aborts. If the release is unknown,
/// what any release accepts counts.
#[must_use]
pub fn parse_gomemlimit(value: &[u8], release: Option<Release>) -> Option<Bytes> {
    let (number, shift) = match value {
        b"off" => return Some(MAX_GOMEMLIMIT),
        [number @ .., unit, b'i', b'B'] => match unit {
            b'K' => (number, 10),
            b'M' => (number, 20),
            b'G' => (number, 30),
            b'T' => (number, 40),
            _ => return None,
        },
        [.., b'0'..=b'9'] => (value, 0),
        [number @ .., b'B'] if number.last().is_some_and(u8::is_ascii_digit) => (number, 0),
        _ => return None,
    };
    let number = u64::try_from(parse_i64(number, release)?).ok()?;
    (number <= MAX_GOMEMLIMIT.0 >> shift).then_some(Bytes(number << shift))
}

/// Parses a 32-bit number as the Go runtime does for `GOMAXPROCS`, `GOGC` and `GODEBUG` (`atoi32`
/// in runtime/string.go, later `ParseInt` of strconv). If the release is unknown, what any release
/// accepts counts.
#[must_use]
pub fn parse_go_integer(text: &[u8], release: Option<Release>) -> Option<i32> {
    parse_i64(text, release)?.try_into().ok()
}

fn parse_i64(text: &[u8], release: Option<Release>) -> Option<i64> {
    // None if the release is unknown: then both are accepted.
    let has_strconv = release.map(|release| release >= STRCONV_SINCE);
    let (sign, digits) = match text {
        b"-" if has_strconv != Some(true) => return Some(0),
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] if has_strconv != Some(false) => (1, digits),
        digits => (1, digits),
    };
    i64::try_from(parse_integer(digits)?).ok()?.checked_mul(sign)
}

/// The `GODEBUG` setting that makes the runtime derive GOMAXPROCS from the quota.
pub const CONTAINERMAXPROCS: &str = "containermaxprocs";
/// The `GODEBUG` setting that makes the runtime follow changes of the quota.
pub const UPDATEMAXPROCS: &str = "updatemaxprocs";

/// What a `GODEBUG` such as `a=1,b=2` says about one setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GodebugSetting {
    /// Whether the setting is there at all, with whatever value.
    pub is_present: bool,
    /// Whether its last numeric value switches it on. The runtime ignores other values
    /// (`parsegodebug` in runtime/runtime1.go).
    pub is_on: Option<bool>,
}

impl GodebugSetting {
    /// Looks for the setting `name` in a `GODEBUG`.
    #[must_use]
    pub fn find(godebug: Option<&[u8]>, name: &str, release: Option<Release>) -> Self {
        let mut setting = Self::default();
        for assignment in godebug.unwrap_or_default().split(|byte| *byte == b',') {
            if let Some((key, value)) = split_once(assignment, b'=')
                && key == name.as_bytes()
            {
                setting.is_present = true;
                if let Some(number) = parse_go_integer(value, release) {
                    setting.is_on = Some(number > 0);
                }
            }
        }
        setting
    }
}
