//! Texts that lie in the file packed, half as long, and are unpacked where they are said: what
//! people read is the largest part of what is not code.
//!
//! It is byte-pair encoding: a byte that is no ASCII stands for two bytes, each of which may stand
//! for two again. Which pairs, the compiler learns from the longest texts; it packs with them
//! whatever is written in a `put!` or a `packed!`.

use crate::cli::{HELP, LICENSE};
use crate::sys::Literal;
use crate::text::{Out, Put};

/// A packed text.
#[derive(Clone, Copy, Debug)]
pub struct Packed(Literal);

impl Packed {
    /// The text of `--help`.
    pub const HELP: Self = Self::new(TEXTS);
    /// The text of `-l`.
    pub const LICENSE: Self = Self::new(second(TEXTS));

    /// Takes what [`cut`] returns.
    #[must_use]
    pub const fn new(packed: &'static [u8]) -> Self {
        Self(Literal::new(packed))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.bytes().is_empty()
    }
}

impl Put for Packed {
    fn put(&self, out: &mut Out<'_>) {
        unpack(self.0.bytes(), out);
    }
}

/// Adds a packed text to a text.
pub fn unpack(packed: &[u8], out: &mut Out<'_>) {
    packed.iter().for_each(|code| unpack_one(*code, out));
}

fn unpack_one(code: u8, out: &mut Out<'_>) {
    match PAIRS.get(usize::from(code).wrapping_sub(FIRST)) {
        // Both are older than the code, so this ends.
        Some([left, right]) => {
            unpack_one(*left, out);
            unpack_one(*right, out);
        }
        None => out.byte(code),
    }
}

/// A text that lies in the file packed.
macro_rules! packed {
    ($text:expr) => {{
        const TEXT: &str = $text;
        const WHOLE: ([u8; TEXT.len() + 1], usize) = $crate::packed::pack(TEXT);
        const PACKED: [u8; WHOLE.1] = $crate::packed::cut(&WHOLE.0);
        const { $crate::packed::Packed::new(&PACKED) }
    }};
}
pub(crate) use packed;

/// The first byte that is no ASCII.
const FIRST: usize = 0x80;

/// The pairs that the bytes from there on stand for.
static PAIRS: [[u8; 2]; FIRST] = LEARNT.pairs;

// All below runs in the compiler alone, which refuses what is out of bounds.

/// The longest texts, one behind the other, with a NUL at the end of each.
type Sample = [u8; HELP.len() + 1 + LICENSE.len() + 1];

/// What there is after learning.
struct Learnt {
    pairs: [[u8; 2]; FIRST],
    /// The sample, packed, and its length.
    sample: (Sample, usize),
}

const LEARNT: Learnt = learn();
const TEXTS: &[u8] = &cut::<{ LEARNT.sample.1 }>(&LEARNT.sample.0);

/// The byte for each pair, 0 where there is none.
const CODES: &[[u8; 256]; 256] = &codes();

/// Puts a byte in the place of the most frequent pair, again and again. One loop does that and
/// counts what is left, as the compiler takes its time for each turn.
#[allow(clippy::indexing_slicing)]
const fn learn() -> Learnt {
    let mut sample = [0; size_of::<Sample>()];
    let middle = fill(&mut sample, 0, HELP);
    let mut length = fill(&mut sample, middle, LICENSE);
    let mut pairs = [[0; 2]; FIRST];
    // There is no such pair.
    let (mut index, mut pair) = (0, [u8::MAX; 2]);
    loop {
        let mut counts = [[0u16; 256]; 256];
        let (mut most, mut next) = (0, [0; 2]);
        let (mut left, mut from, mut to) = (0, 0, 0);
        while from < length {
            let mut right = sample[from];
            from += 1;
            if right == pair[0] && sample[from] == pair[1] {
                right = (FIRST + index - 1) as u8;
                from += 1;
            }
            sample[to] = right;
            to += 1;
            // One with a NUL in it is there once at most, and never the most frequent.
            let count = &mut counts[left as usize][right as usize];
            *count += 1;
            if *count > most {
                most = *count;
                next = [left, right];
            }
            left = right;
        }
        length = to;
        if index == FIRST {
            return Learnt { pairs, sample: (sample, length) };
        }
        pair = next;
        pairs[index] = pair;
        index += 1;
    }
}

#[allow(clippy::indexing_slicing)]
const fn codes() -> [[u8; 256]; 256] {
    let mut codes = [[0; 256]; 256];
    let mut index = 0;
    while index < FIRST {
        let [left, right] = LEARNT.pairs[index];
        codes[left as usize][right as usize] = (FIRST + index) as u8;
        index += 1;
    }
    codes
}

/// Packs a text: the older of its pairs first, as they were learnt. Returns it with room behind it,
/// and its length with the NUL at its end.
#[must_use]
#[allow(clippy::indexing_slicing)]
pub const fn pack<const N: usize>(text: &str) -> ([u8; N], usize) {
    let mut packed = [0; N];
    let mut length = fill(&mut packed, 0, text);
    loop {
        let (mut pair, mut oldest, mut place) = ([0; 2], 0, 1);
        while place < length {
            let [left, right] = [packed[place - 1], packed[place]];
            let code = CODES[left as usize][right as usize];
            if code != 0 && (code < oldest || oldest == 0) {
                (pair, oldest) = ([left, right], code);
            }
            place += 1;
        }
        if oldest == 0 {
            return (packed, length);
        }
        let (mut from, mut to) = (0, 0);
        while from < length {
            packed[to] = packed[from];
            if packed[from] == pair[0] && packed[from + 1] == pair[1] {
                packed[to] = oldest;
                from += 1;
            }
            from += 1;
            to += 1;
        }
        length = to;
    }
}

/// Puts a text and a NUL at a place; returns where they end.
#[allow(clippy::indexing_slicing)]
const fn fill(bytes: &mut [u8], place: usize, text: &str) -> usize {
    let mut index = 0;
    while index < text.len() {
        let byte = text.as_bytes()[index];
        assert!(byte.is_ascii() && byte != 0, "only ASCII can be packed, and no NUL");
        bytes[place + index] = byte;
        index += 1;
    }
    place + index + 1
}

/// What is behind the first NUL.
const fn second(mut texts: &[u8]) -> &[u8] {
    while let [byte, rest @ ..] = texts {
        texts = rest;
        if *byte == 0 {
            break;
        }
    }
    texts
}

/// A packed text without the room.
#[must_use]
#[allow(clippy::indexing_slicing)]
pub const fn cut<const N: usize>(whole: &[u8]) -> [u8; N] {
    let mut packed = [0; N];
    let mut place = 0;
    while place < N {
        packed[place] = whole[place];
        place += 1;
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_long_texts_come_out_as_they_went_in() {
        assert_eq!(Packed::HELP.text(), HELP);
        assert_eq!(Packed::LICENSE.text(), LICENSE);
        assert!(Packed::HELP.0.bytes().len() < HELP.len() * 6 / 10);
        assert_eq!(Packed::HELP.0.bytes(), packed!(HELP).0.bytes(), "as any text is packed");
    }

    proptest! {
        #[test]
        fn any_text_comes_out_as_it_went_in(text in "([ -~\n]|of|the|--memory){0,40}") {
            let (packed, length) = pack::<400>(&text);
            prop_assert_eq!(packed.iter().position(|byte| *byte == 0), Some(length - 1));
            let packed = Packed::new(packed[..length].to_vec().leak());
            prop_assert_eq!(packed.text(), text);
        }
    }
}
