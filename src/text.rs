//! Bytes that need not be UTF-8, as a person reads them and as JSON takes them.

use core::fmt::{self, Write};

/// Bytes in double quotes, for messages: what is no printable UTF-8 is shown as `\xNN`.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\\' => write!(f, "\\{character}")?,
                    _ if character.is_control() => write!(f, "\\x{:02x}", character as u32)?,
                    _ => f.write_char(character)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
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
                    '"' | '\\' => write!(f, "\\{character}")?,
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
        fn json_strings_are_what_serde_json_reads(bytes: Vec<u8>, text: String) {
            let read: String = serde_json::from_str(&Json(text.as_bytes()).to_string()).unwrap();
            prop_assert_eq!(read, text);
            let read: String = serde_json::from_str(&Json(&bytes).to_string()).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }
    }
}
