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

/// A line is written whole or not at all: at most PIPE_BUF bytes (pipe(7)).
const SIZE: usize = 4096;

/// Standard error, and how much is to be said there.
#[derive(Debug)]
pub struct Stderr {
    verbosity: u32,
    dropped: u32,
    broken: bool,
    /// Made beforehand, as it may be needed by a child that must not allocate.
    line: Out,
}

impl Stderr {
    /// Levels above `verbosity` are not said.
    #[must_use]
    pub fn new(verbosity: u32) -> Self {
        Self { verbosity, dropped: 0, broken: false, line: Out::with_room(SIZE) }
    }

    /// Says one line, whatever the verbosity.
    pub fn fatal(&mut self, message: &dyn Put) {
        self.say(message);
    }

    /// Says one line if the verbosity is at least `level`.
    pub fn at(&mut self, level: u32, message: &dyn Put) {
        if self.verbosity >= level {
            self.say(message);
        }
    }

    /// Whether a SIGPIPE of our own making may be pending.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    fn say(&mut self, message: &dyn Put) {
        let line = &mut self.line;
        line.clear();
        put!(line, "loadline: ");
        if self.dropped > 0 {
            put!(line, "(", self.dropped, " messages lost) ");
        }
        message.put(line);
        match write_if_ready(line.finish()) {
            Writable::Yes => self.dropped = 0,
            Writable::No => self.dropped = self.dropped.saturating_add(1),
            Writable::Broken => self.broken = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_what_a_pipe_takes_at_once() {
        let mut line = Out::with_room(SIZE);
        put!(&mut line, "short");
        assert_eq!(line.finish(), b"short\n");
        line.clear();
        put!(&mut line, *"x".repeat(SIZE));
        assert_eq!(line.finish().len(), SIZE);
        assert_eq!(line.finish().last(), Some(&b'\n'));
    }
}
