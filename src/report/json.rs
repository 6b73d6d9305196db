//! Values of JSON that are made of others.

use crate::text::JsonString;
use core::fmt::{self, Display, Formatter};

/// A JSON array of strings.
pub(super) struct JsonStrings<'a>(pub &'a [&'a [u8]]);

impl Display for JsonStrings<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        let mut separator = "";
        for string in self.0 {
            write!(f, "{separator}{}", JsonString(string))?;
            separator = ",";
        }
        f.write_str("]")
    }
}

/// A JSON value that may be missing.
pub(super) struct OrNull<T>(pub Option<T>);

impl<T: Display> Display for OrNull<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}
