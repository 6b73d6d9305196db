//! What Go makes of the texts in its variables.

use crate::gobinary::Release;
use crate::text::Fields;
use crate::units::integer;

/// The first release that takes a plus before a number, and not a minus alone.
const PLUS: Release = Release { major: 1, minor: 26, patch: 0 };

/// Whether the Go runtime starts with this `GOMEMLIMIT` (`parseByteCount` in runtime/string.go):
/// digits with `B`, `KiB`, `MiB`, `GiB`, `TiB` or nothing behind them, below 2^63; or `off`.
#[inline(never)]
pub(super) fn go_accepts(value: &[u8], release: Option<Release>) -> bool {
    let (number, shift) = match value {
        [number @ .., b'K', b'i', b'B'] => (number, 10),
        [number @ .., b'M', b'i', b'B'] => (number, 20),
        [number @ .., b'G', b'i', b'B'] => (number, 30),
        [number @ .., b'T', b'i', b'B'] => (number, 40),
        [number @ .., b'B'] | number if number.last().is_some_and(u8::is_ascii_digit) => {
            (number, 0)
        }
        _ => return value == b"off",
    };
    go_number(number, release).is_some_and(|number| (0..=i64::MAX >> shift).contains(&number))
}

/// What Go's runtime takes for a number in its variables (`atoi32` in runtime/string.go, from 1.26
/// on `ParseInt` in strconv).
pub(super) fn go_integer(text: &[u8], release: Option<Release>) -> Option<i32> {
    go_number(text, release)?.try_into().ok()
}

/// A release that is not known may take what any does.
fn go_number(text: &[u8], release: Option<Release>) -> Option<i64> {
    let is_old = release.map(|release| release.is_before(PLUS));
    let (sign, digits) = match text {
        b"-" if is_old != Some(false) => return Some(0),
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] if is_old != Some(true) => (1, digits),
        digits => (1, digits),
    };
    i64::try_from(integer(digits)?).ok()?.checked_mul(sign)
}

/// What a `GODEBUG` such as `a=1,b=2` says about a key.
#[derive(Clone, Copy, Default)]
pub(super) struct Setting {
    /// Whether it is in there.
    pub is_present: bool,
    /// Whether its last value that is a number switches it on; others do not count
    /// (`parsegodebug` in runtime/runtime1.go).
    pub is_on: Option<bool>,
}

impl Setting {
    /// Looks for a key.
    pub(super) fn find(text: Option<&[u8]>, key: &str, release: Option<Release>) -> Self {
        let mut setting = Self::default();
        for field in Fields::new(text.unwrap_or_default(), b',') {
            if let Some(value) = field.strip_prefix(key.as_bytes())
                && let [b'=', value @ ..] = value
            {
                setting.is_present = true;
                if let Some(number) = go_integer(value, release) {
                    setting.is_on = Some(number > 0);
                }
            }
        }
        setting
    }
}

/// Whether a module's version such as `v0.7.4` is known to be this release or a later one.
pub(super) fn is_since(version: &[u8], release: Release) -> bool {
    version.strip_prefix(b"v").is_some_and(|it| !Release::parse(it).is_before(release))
}
