//! What is said on standard error. It is the program's too, and may be closed, broken or full:
//! nothing that happens to it may hurt or hold up an init.

use crate::sys::{Writable, write_if_ready};
use core::fmt::{self, Write};

/// The level from which warnings are said.
pub const WARNING: u32 = 1;
/// The level from which it is said what was set.
pub const INFO: u32 = 2;
/// The level from which events are said.
pub const DEBUG: u32 = 3;

/// Standard error, and how much is to be said there.
#[derive(Clone, Copy, Debug)]
pub struct Stderr {
    verbosity: u32,
    dropped: u32,
    broken: bool,
}

impl Stderr {
    /// Levels above `verbosity` are not said.
    #[must_use]
    pub const fn new(verbosity: u32) -> Self {
        Self { verbosity, dropped: 0, broken: false }
    }

    /// Says one line, whatever the verbosity.
    pub fn fatal(&mut self, message: impl fmt::Display) {
        self.say(&message);
    }

    /// Says one line if the verbosity is at least `level`.
    pub fn at(&mut self, level: u32, message: impl fmt::Display) {
        if self.verbosity >= level {
            self.say(&message);
        }
    }

    /// Whether a SIGPIPE of our own making may be pending.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    fn say(&mut self, message: &dyn fmt::Display) {
        let mut line = Line { bytes: [0; Line::SIZE], length: 0 };
        // A line that is too long is cut; nothing else can fail.
        let _ = match self.dropped {
            0 => write!(line, "loadline: {message}"),
            lost => write!(line, "loadline: ({lost} messages lost) {message}"),
        };
        match write_if_ready(line.finish()) {
            Writable::Yes => self.dropped = 0,
            Writable::No => self.dropped = self.dropped.saturating_add(1),
            Writable::Broken => self.broken = true,
        }
    }
}

/// A line that is written whole or not at all: at most PIPE_BUF bytes (pipe(7)), on the stack,
/// as it may be written by a child that must not allocate.
struct Line {
    bytes: [u8; Self::SIZE],
    length: usize,
}

impl Line {
    const SIZE: usize = 4096;

    fn finish(&mut self) -> &[u8] {
        if let Some(end) = self.bytes.get_mut(self.length) {
            *end = b'\n';
        }
        self.bytes.get(..=self.length).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // One byte is kept for the newline.
        let room = Self::SIZE.saturating_sub(1).saturating_sub(self.length);
        let taken = text.as_bytes().get(..text.len().min(room)).unwrap_or_default();
        let end = self.length.saturating_add(taken.len());
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(taken);
            self.length = end;
        }
        if taken.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_what_a_pipe_takes_at_once() {
        let mut line = Line { bytes: [0; Line::SIZE], length: 0 };
        assert!(line.write_str("short").is_ok());
        assert_eq!(line.finish(), b"short\n");
        assert!(line.write_str(&"x".repeat(Line::SIZE)).is_err());
        assert_eq!(line.finish().len(), Line::SIZE);
        assert_eq!(line.finish().last(), Some(&b'\n'));
    }
}
