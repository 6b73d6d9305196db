//! What is said on standard error. It is the program's too, and may be closed, broken or full:
//! nothing that happens to it may hurt or hold up an init.

use crate::sys::{Writable, write_if_ready};
use crate::text::{Out, Put, put};

/// The level from which warnings are said.
pub const WARNING: u32 = 1;
/// The level from which it is said what was set.
pub const INFO: u32 = 2;
/// The level from which events are said.
pub const DEBUG: u32 = 3;

/// What a person's line begins with.
pub const HEAD: &str = "loadline: ";

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
    pub fn fatal(&mut self, message: &dyn Put) {
        self.say(HEAD, message);
    }

    /// Says one line if the verbosity is at least `level`.
    pub fn at(&mut self, level: u32, message: &dyn Put) {
        if self.verbosity >= level {
            self.say(HEAD, message);
        }
    }

    /// Whether a SIGPIPE of our own making may be pending.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Says one line with this before it, whatever the verbosity.
    pub fn say(&mut self, head: &str, message: &dyn Put) {
        let mut line = Line::default();
        let mut out = Out::Line(&mut line);
        put!(&mut out, head);
        if self.dropped > 0 && !head.is_empty() {
            put!(&mut out, "(", self.dropped, " messages lost) ");
        }
        message.put(&mut out);
        match write_if_ready(line.finish()) {
            Writable::Yes => self.dropped = 0,
            Writable::No => self.dropped = self.dropped.saturating_add(1),
            Writable::Broken => self.broken = true,
        }
    }
}

/// A line that is written whole or not at all: at most PIPE_BUF bytes (pipe(7)), on the stack,
/// as it may be written by a child that must not allocate.
#[derive(Debug)]
pub struct Line {
    bytes: [u8; Self::SIZE],
    length: usize,
}

/// An empty one.
impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; Self::SIZE], length: 0 }
    }
}

impl Line {
    const SIZE: usize = 4096;

    /// Adds what has room, and keeps a byte for the newline.
    pub fn add(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len()).min(Self::SIZE - 1);
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(bytes.get(..room.len()).unwrap_or_default());
            self.length = end;
        }
    }

    /// The whole line, with its newline.
    pub fn finish(&mut self) -> &[u8] {
        if let Some(end) = self.bytes.get_mut(self.length) {
            *end = b'\n';
        }
        self.bytes.get(..=self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_what_a_pipe_takes_at_once() {
        let mut line = Line::default();
        line.add(b"short");
        assert_eq!(line.finish(), b"short\n");
        line.add(&[b'x'; Line::SIZE]);
        assert_eq!(line.finish().len(), Line::SIZE);
        assert_eq!(line.finish().last(), Some(&b'\n'));
        line.add(b"more");
        assert_eq!(line.finish().len(), Line::SIZE);
    }
}
