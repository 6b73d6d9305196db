//! Bytes that need not be UTF-8: taken apart, put together, as a person reads them, and as JSON
//! takes them.
//!
//! What we say is put together here and not by `core::fmt`, which would be more than what is said.

use crate::packed::{Packed, packed};
use crate::stderr::Line;
use crate::sys::c_str;
use core::ffi::CStr;

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

/// C strings, one behind the other. What has no NUL at its end is none of them.
#[derive(Clone, Debug)]
pub struct Strings<'a>(pub &'a [u8]);

impl<'a> Iterator for Strings<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        let string = c_str(self.0)?;
        self.0 = self.0.get(string.to_bytes_with_nul().len()..)?;
        Some(string)
    }
}

/// A text that is put together. Nothing about that can fail.
#[derive(Debug)]
pub enum Out<'a> {
    /// One that grows.
    Text(Vec<u8>),
    /// One that allocates nothing: what is beyond its end is cut off.
    Line(&'a mut Line),
}

/// A text that grows.
impl Default for Out<'_> {
    fn default() -> Self {
        Self::Text(Vec::new())
    }
}

impl Out<'_> {
    /// Adds bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        match self {
            Self::Text(text) => text.extend_from_slice(bytes),
            Self::Line(line) => line.add(bytes),
        }
    }

    /// The text that has grown.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text,
            Self::Line(_) => Vec::new(),
        }
    }

    /// Adds one byte as it is.
    pub fn byte(&mut self, byte: u8) {
        self.bytes(&[byte]);
    }

    fn decimal(&mut self, number: u64) {
        if number > 9 {
            self.decimal(number / 10);
        }
        self.byte(b'0'.wrapping_add((number % 10) as u8));
    }

    fn hexadecimal(&mut self, head: Packed, byte: u8) {
        put!(self, head);
        for digit in [byte >> 4, byte & 15] {
            self.byte(if digit < 10 { b'0' } else { b'a' - 10 }.wrapping_add(digit));
        }
    }

    fn quoted(&mut self, text: &[u8], json: bool) {
        self.byte(b'"');
        self.escaped(text, json);
        self.byte(b'"');
    }

    /// Adds what need not be UTF-8 so that it stays one line, and can stand in double quotes.
    fn escaped(&mut self, mut text: &[u8], json: bool) {
        loop {
            let (length, is_valid) = character(text);
            let Some((character, rest)) = text.split_at_checked(length) else {
                break;
            };
            text = rest;
            match character {
                [] => break,
                [byte @ (b'"' | b'\\')] => self.bytes(&[b'\\', *byte]),
                [byte @ 0..b' '] if json => self.hexadecimal(packed!("\\u00"), *byte),
                _ if json && !is_valid => self.bytes("\u{fffd}".as_bytes()),
                // C1 control characters are those below U+00A0.
                [byte @ (0..b' ' | 0x7f)] | [0xc2, byte @ 0x80..=0x9f] if !json => {
                    self.hexadecimal(packed!("\\x"), *byte);
                }
                _ if is_valid => self.bytes(character),
                _ => {
                    for byte in character {
                        self.hexadecimal(packed!("\\x"), *byte);
                    }
                }
            }
        }
    }
}

/// The length of the first character, or of what is none as far as it could have become one, and
/// whether it is one (The Unicode Standard, table 3-7).
fn character(text: &[u8]) -> (usize, bool) {
    let Some(first) = text.first() else {
        return (0, true);
    };
    let (length, mut next) = match first {
        0..0x80 => (1, 0..=0),
        0xc2..=0xdf => (2, 0x80..=0xbf),
        0xe0 => (3, 0xa0..=0xbf),
        0xed => (3, 0x80..=0x9f),
        0xe1..=0xef => (3, 0x80..=0xbf),
        0xf0 => (4, 0x90..=0xbf),
        0xf1..=0xf3 => (4, 0x80..=0xbf),
        0xf4 => (4, 0x80..=0x8f),
        _ => return (1, false),
    };
    for index in 1..length {
        if !text.get(index).is_some_and(|byte| next.contains(byte)) {
            return (index, false);
        }
        next = 0x80..=0xbf;
    }
    (length, true)
}

/// What can be part of a text.
pub trait Put {
    /// Adds it to the text.
    fn put(&self, out: &mut Out<'_>);

    /// It alone.
    #[cfg(test)]
    fn text(&self) -> String {
        let mut out = Out::default();
        self.put(&mut out);
        String::from_utf8(out.into_bytes()).unwrap()
    }
}

/// Adds one after the other to a text. What is written there lies in the file packed.
macro_rules! put {
    ($out:expr $(,)?) => {};
    ($out:expr, $text:literal $(, $($rest:tt)*)?) => {{
        $crate::packed::packed!($text).put($out);
        put!($out, $($($rest)*)?);
    }};
    ($out:expr, $part:expr $(, $($rest:tt)*)?) => {{
        $part.put($out);
        put!($out, $($($rest)*)?);
    }};
}
pub(crate) use put;

impl Put for str {
    fn put(&self, out: &mut Out<'_>) {
        out.bytes(self.as_bytes());
    }
}

impl Put for u32 {
    fn put(&self, out: &mut Out<'_>) {
        out.decimal((*self).into());
    }
}

impl Put for u64 {
    fn put(&self, out: &mut Out<'_>) {
        out.decimal(*self);
    }
}

/// Bytes as they are, for messages: what is no printable UTF-8 is shown as `\xNN`.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a [u8]);

impl Put for Plain<'_> {
    fn put(&self, out: &mut Out<'_>) {
        out.escaped(self.0, false);
    }
}

/// The same in double quotes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl Put for Quoted<'_> {
    fn put(&self, out: &mut Out<'_>) {
        out.quoted(self.0, false);
    }
}

/// A JSON string (RFC 8259, section 7). JSON has no way to say bytes that are not UTF-8: each
/// such sequence is shown as U+FFFD.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a [u8]);

impl Put for Json<'_> {
    fn put(&self, out: &mut Out<'_>) {
        out.quoted(self.0, true);
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
            assert_eq!(Quoted(bytes).text(), shown);
        }
    }

    /// Where one kind of byte ends and another begins, in UTF-8 and among the control characters.
    const EDGES: &[u8] = &[
        0, 0x1f, 0x20, 0x7e, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3,
        0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

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
        fn characters_are_those_of_the_standard_library(
            bytes in proptest::collection::vec(proptest::sample::select(EDGES), 0..8),
        ) {
            let mut plain = String::new();
            for chunk in bytes.utf8_chunks() {
                for character in chunk.valid().chars() {
                    match u32::from(character) {
                        code if character.is_control() => plain += &format!("\\x{code:02x}"),
                        _ => plain.push(character),
                    }
                }
                chunk.invalid().iter().for_each(|byte| plain += &format!("\\x{byte:02x}"));
            }
            prop_assert_eq!(Plain(&bytes).text(), plain);
            let json: String = serde_json::from_str(&Json(&bytes).text()).unwrap();
            prop_assert_eq!(json, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn json_strings_are_what_serde_json_reads(bytes: Vec<u8>, text: String) {
            let read: String = serde_json::from_str(&Json(text.as_bytes()).text()).unwrap();
            prop_assert_eq!(read, text);
            let read: String = serde_json::from_str(&Json(&bytes).text()).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }
    }
}
