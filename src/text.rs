//! Bytes that need not be UTF-8, such as paths and arguments: split, and shown.

use core::fmt::{self, Write};
use core::mem::replace;

/// The parts before and after the first separator.
#[must_use]
pub fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(1..)?))
}

/// Bytes in a message, on one line. Valid UTF-8 is shown as it is, but quotes, backslashes, control
/// characters and others that mislead a reader are escaped, and so is every other byte: `\x0a`. The
/// middle of a long text is left out: `[...]`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

/// What stands for the middle of a long text.
const LEFT_OUT: &str = "[...]";

impl Escaped<'_> {
    /// The number of bytes above which the middle is left out. A line has at most 4,096 bytes, and up
    /// to three texts, and ends with what matters.
    pub const MAX_SHOWN: usize = 1024;
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut length = 0usize;
        for_each_piece(self.0, &mut |piece| {
            length = length.saturating_add(shown_length(piece));
            Ok(())
        })?;
        let left_out = if length > Self::MAX_SHOWN {
            Self::MAX_SHOWN / 2..length.saturating_sub(Self::MAX_SHOWN / 2)
        } else {
            length..length
        };
        let mut end = 0usize;
        let mut is_marked = false;
        for_each_piece(self.0, &mut |piece| {
            let begin = end;
            end = end.saturating_add(shown_length(piece));
            if !left_out.contains(&begin) {
                write_escaped(f, piece)
            } else if !replace(&mut is_marked, true) {
                f.write_str(LEFT_OUT)
            } else {
                Ok(())
            }
        })
    }
}

/// A part of a text.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Character(char),
    /// One to three bytes that are not UTF-8.
    Invalid(&'a [u8]),
}

fn for_each_piece(text: &[u8], action: &mut dyn FnMut(Piece<'_>) -> fmt::Result) -> fmt::Result {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            action(Piece::Character(character))?;
        }
        if !chunk.invalid().is_empty() {
            action(Piece::Invalid(chunk.invalid()))?;
        }
    }
    Ok(())
}

/// At most how many bytes [`write_escaped`] writes.
fn shown_length(piece: Piece<'_>) -> usize {
    match piece {
        Piece::Character('"' | '\\') => 2,
        Piece::Character(character) if character.is_control() => 4,
        Piece::Character(character) if is_deceptive(character) => 8,
        Piece::Character(character) => character.len_utf8(),
        Piece::Invalid(bytes) => bytes.len().saturating_mul(4),
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, piece: Piece<'_>) -> fmt::Result {
    match piece {
        Piece::Character('"') => f.write_str("\\\""),
        Piece::Character('\\') => f.write_str("\\\\"),
        Piece::Character(it) if it.is_control() => write_byte(f, it as u8),
        Piece::Character(it) if is_deceptive(it) => write!(f, "\\u{{{:x}}}", u32::from(it)),
        Piece::Character(it) => f.write_char(it),
        Piece::Invalid(bytes) => bytes.iter().try_for_each(|byte| write_byte(f, *byte)),
    }
}

fn write_byte(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    write!(f, "\\x{byte:02x}")
}

/// Characters that make a text look like another one: line and paragraph separators, those that change
/// the direction of text (Unicode Standard Annex #9, section 2), and those that have no width.
const fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

/// The same in double quotes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Escaped(self.0))
    }
}

/// A JSON string with its quotes (RFC 8259, section 7). It escapes what a message does, because people
/// look at it too. JSON has no way to write bytes that are not UTF-8: each such sequence becomes U+FFFD.
#[derive(Clone, Copy, Debug)]
pub struct JsonString<'a>(pub &'a [u8]);

impl fmt::Display for JsonString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for_each_piece(self.0, &mut |piece| write_json(f, piece))?;
        f.write_char('"')
    }
}

fn write_json(f: &mut fmt::Formatter<'_>, piece: Piece<'_>) -> fmt::Result {
    match piece {
        Piece::Character('"') => f.write_str("\\\""),
        Piece::Character('\\') => f.write_str("\\\\"),
        Piece::Character(it) if it.is_control() || is_deceptive(it) => {
            write!(f, "\\u{:04x}", u32::from(it))
        }
        Piece::Character(it) => f.write_char(it),
        Piece::Invalid(_) => f.write_char(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_stay_one_line_and_short_ones_lose_no_byte() {
        for (bytes, shown) in [
            (&b"plain"[..], r#""plain""#),
            ("gr\u{fc}n".as_bytes(), "\"gr\u{fc}n\""),
            (b"a\nb\"\\\x7f", r#""a\x0ab\"\\\x7f""#),
            (b"\xff\xfe", r#""\xff\xfe""#),
            ("\u{85}".as_bytes(), r#""\x85""#),
            ("a\u{202e}b\u{2028}".as_bytes(), r#""a\u{202e}b\u{2028}""#),
            ("\u{200f}\u{61c}\u{2066}".as_bytes(), r#""\u{200f}\u{61c}\u{2066}""#),
            ("a\u{200b}\u{2060}\u{feff}".as_bytes(), r#""a\u{200b}\u{2060}\u{feff}""#),
        ] {
            assert_eq!(Quoted(bytes).to_string(), shown);
        }
    }

    #[test]
    fn json_shows_no_character_that_misleads() {
        for (text, shown) in [
            ("\"\\\n", r#""\"\\\u000a""#),
            ("\u{7f}\u{85}\u{9f}", r#""\u007f\u0085\u009f""#),
            ("\u{61c}\u{200e}\u{2028}\u{2029}", r#""\u061c\u200e\u2028\u2029""#),
            ("\u{202a}\u{202e}\u{2066}\u{2069}", r#""\u202a\u202e\u2066\u2069""#),
            ("\u{200b}\u{200d}\u{feff}", r#""\u200b\u200d\ufeff""#),
        ] {
            let json = JsonString(text.as_bytes()).to_string();
            assert_eq!(json, shown);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn the_middle_of_a_long_text_is_left_out() {
        let longest = "x".repeat(Escaped::MAX_SHOWN);
        assert_eq!(Escaped(longest.as_bytes()).to_string(), longest);
        for (unit, shown) in
            [("x", "x"), ("\u{fc}", "\u{fc}"), ("\n", "\\x0a"), ("\u{2028}", "\\u{2028}")]
        {
            let text = format!("/first/{}/last", unit.repeat(4096));
            let text = Escaped(text.as_bytes()).to_string();
            let (head, tail) = text.split_once(LEFT_OUT).unwrap();
            assert!(head.starts_with("/first/") && head.ends_with(shown), "{text}");
            assert!(tail.starts_with(shown) && tail.ends_with("/last"), "{text}");
            assert!(text.len() <= Escaped::MAX_SHOWN + 16, "{text}");
            assert!(text.len() >= Escaped::MAX_SHOWN - 16, "{text}");
        }
        let invalid = Escaped(&[0xff; 4096]).to_string();
        assert!(invalid.len() <= Escaped::MAX_SHOWN + 16 && invalid.contains(LEFT_OUT));
    }

    #[test]
    fn text_is_split_at_the_first_separator() {
        assert_eq!(split_once(b"a=b=c", b'='), Some((&b"a"[..], &b"b=c"[..])));
        assert_eq!(split_once(b"=", b'='), Some((&b""[..], &b""[..])));
        assert_eq!(split_once(b"a", b'='), None);
        assert_eq!(split_once(b"", b'='), None);
    }

    /// Bytes where one kind ends and another begins, in UTF-8 and among the control characters.
    const EDGES: &[u8] = &[
        0, 0x1f, 0x20, 0x7e, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3,
        0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn escaped_text_has_no_control_character(
            bytes in proptest::collection::vec(proptest::sample::select(EDGES), 0..8),
        ) {
            let json = JsonString(&bytes).to_string();
            for shown in [&Escaped(&bytes).to_string(), &json] {
                let misleads = |it: char| it.is_control() || is_deceptive(it);
                prop_assert!(!shown.chars().any(misleads), "{}", shown);
            }
            let read: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn json_strings_are_what_serde_json_reads(bytes: Vec<u8>, text: String) {
            let json = JsonString(text.as_bytes()).to_string();
            let read: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, text);
            let read: String = serde_json::from_str(&JsonString(&bytes).to_string()).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }
    }
}
