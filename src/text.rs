//! Bytes that need not be UTF-8: taken apart, as a person reads them, and as JSON takes them.

use core::fmt::{self, Write};

/// The parts of a text between separators: one more than there are separators, as of `split`.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Fields<'a> {
    /// All parts of a text.
    #[must_use]
    pub const fn new(text: &'a [u8], separator: u8) -> Self {
        Self { rest: Some(text), separator }
    }

    /// What is left as one part, separators and all; none if nothing followed the last part.
    #[must_use]
    pub const fn rest(self) -> Option<&'a [u8]> {
        self.rest
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let end = rest.iter().position(|byte| *byte == self.separator);
        let (field, rest) = match end.and_then(|end| rest.split_at_checked(end)) {
            Some((field, rest)) => (field, rest.get(1..)),
            None => (rest, None),
        };
        self.rest = rest;
        Some(field)
    }
}

/// What both JSON and our own messages write for a quote and a backslash.
fn escape(f: &mut fmt::Formatter<'_>, character: char) -> fmt::Result {
    f.write_char('\\')?;
    f.write_char(character)
}

/// Bytes as they are, for messages: what is no printable UTF-8 is shown as `\xNN`.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a [u8]);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\\' => escape(f, character)?,
                    _ if character.is_control() => write!(f, "\\x{:02x}", character as u32)?,
                    _ => f.write_char(character)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// The same in double quotes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        Plain(self.0).fmt(f)?;
        f.write_char('"')
    }
}

/// A JSON string (RFC 8259, section 7). JSON has no way to say bytes that are not UTF-8: each
/// such sequence is shown as U+FFFD.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a [u8]);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\\' => escape(f, character)?,
                    '\0'..' ' => write!(f, "\\u{:04x}", character as u32)?,
                    _ => f.write_char(character)?,
                }
            }
            if !chunk.invalid().is_empty() {
                f.write_char('\u{fffd}')?;
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_stay_one_line_and_lose_no_byte() {
        for (bytes, shown) in [
            (&b"plain"[..], r#""plain""#),
            ("gr\u{fc}n".as_bytes(), "\"gr\u{fc}n\""),
            (b"a\nb\"\\\x7f", r#""a\x0ab\"\\\x7f""#),
            (b"\xff\xfe", r#""\xff\xfe""#),
        ] {
            assert_eq!(Quoted(bytes).to_string(), shown);
        }
    }

    proptest! {
        #[test]
        fn fields_are_those_of_split(text in proptest::collection::vec(0u8..3, 0..20)) {
            let fields: Vec<_> = Fields::new(&text, 1).collect();
            prop_assert_eq!(fields, text.split(|byte| *byte == 1).collect::<Vec<_>>());
            let mut halves = Fields::new(&text, 1);
            let halves = [halves.next(), halves.rest()];
            let split = text.splitn(2, |byte| *byte == 1).collect::<Vec<_>>();
            prop_assert_eq!(halves.into_iter().flatten().collect::<Vec<_>>(), split);
        }

        #[test]
        fn json_strings_are_what_serde_json_reads(bytes: Vec<u8>, text: String) {
            let read: String = serde_json::from_str(&Json(text.as_bytes()).to_string()).unwrap();
            prop_assert_eq!(read, text);
            let read: String = serde_json::from_str(&Json(&bytes).to_string()).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }
    }
}
