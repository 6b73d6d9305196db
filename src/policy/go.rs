//! What Go makes of the texts in its variables.

use crate::text::Fields;
use crate::units::integer;

/// Whether the Go runtime starts with this `GOMEMLIMIT` (`parseByteCount` in runtime/string.go):
/// digits with `B`, `KiB`, `MiB`, `GiB`, `TiB` or nothing behind them, below 2^63; or `off`.
pub(super) fn go_accepts(value: &[u8]) -> bool {
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

/// What Go's runtime takes for a number in its variables (`atoi32` in runtime/string.go).
pub(super) fn go_integer(text: &[u8]) -> Option<i32> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let number = i64::try_from(integer(digits)?).ok()?;
    let is_negative = digits.len() < text.len();
    i32::try_from(if is_negative { number.checked_neg()? } else { number }).ok()
}

/// The value of a key in a `GODEBUG` such as `a=1,b=2`; the last of several counts.
pub(super) fn setting<'a>(text: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let values = Fields::new(text, b',').filter_map(|field| {
        field.strip_prefix(key.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
    });
    values.last()
}

/// The numbers of a module's version such as `v0.7.4`; what is behind them does not matter.
pub(super) fn module_version(text: &[u8]) -> Option<[u64; 3]> {
    let mut numbers = [0; 3];
    let mut fields = Fields::new(text.strip_prefix(b"v")?, b'.');
    for number in &mut numbers {
        let field = fields.next()?;
        let digits = field.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *number = integer(field.get(..digits)?)?;
    }
    Some(numbers)
}
