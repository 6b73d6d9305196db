//! Messages on standard error. The program shares it, and it may be closed, broken or full: none of
//! that may hurt or block an init.

use crate::sys::{WriteOutcome, write_stderr};
use core::fmt::{self, Display, Write};

/// What every message begins with.
pub const PREFIX: &str = "loadline: ";

/// The verbosity from which a message is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What may be wrong.
    Warning = 1,
    /// What is set.
    Info = 2,
    /// What happens.
    Debug = 3,
}

/// Standard error, and how much is logged there.
#[derive(Clone, Copy, Debug)]
pub struct Stderr {
    verbosity: u32,
    /// The number of messages lost since the last one that was written.
    dropped: u32,
}

impl Stderr {
    /// Logs the levels up to `verbosity`.
    #[must_use]
    pub const fn new(verbosity: u32) -> Self {
        Self { verbosity, dropped: 0 }
    }

    /// Writes an error, whatever the verbosity.
    pub fn error(&mut self, message: &dyn Display) {
        self.write_line(message);
    }

    /// Writes a message if the verbosity is high enough.
    pub fn log(&mut self, level: LogLevel, message: &dyn Display) {
        if self.verbosity >= level as u32 {
            self.write_line(message);
        }
    }

    /// Writes a message, whatever the verbosity. What is too long for a line is cut off.
    pub fn write_line(&mut self, message: &dyn Display) {
        let mut line = LineBuffer::default();
        // Writing to the buffer cannot fail.
        let _ = line.write_str(PREFIX);
        if self.dropped > 0 {
            let _ = write!(line, "({} messages dropped) ", self.dropped);
        }
        let _ = write!(line, "{message}");
        match write_stderr(line.as_line()) {
            WriteOutcome::Written => self.dropped = 0,
            WriteOutcome::Dropped => self.dropped = self.dropped.saturating_add(1),
        }
    }

    /// Writes a line of JSON and nothing else on it, whatever the verbosity. What is too long for a line
    /// is dropped, because a part of it is no JSON.
    pub fn write_json(&mut self, json: &dyn Display) {
        let mut line = LineBuffer::default();
        // Writing to the buffer cannot fail.
        let _ = write!(line, "{json}");
        if line.is_cut || write_stderr(line.as_line()) == WriteOutcome::Dropped {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

/// A line of at most PIPE_BUF bytes, which a pipe takes whole or not at all (pipe(7)). What exceeds
/// that is cut off. It is on the stack, so a child that must not allocate can use it.
#[derive(Debug)]
pub struct LineBuffer {
    bytes: [u8; Self::SIZE],
    length: usize,
    is_cut: bool,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self { bytes: [0; Self::SIZE], length: 0, is_cut: false }
    }
}

impl LineBuffer {
    const SIZE: usize = 4096;

    /// The line with its newline.
    #[must_use]
    pub fn as_line(&mut self) -> &[u8] {
        if let Some(end) = self.bytes.get_mut(self.length) {
            *end = b'\n';
        }
        self.bytes.get(..=self.length).unwrap_or_default()
    }
}

/// Appends what fits, and leaves room for the newline.
impl fmt::Write for LineBuffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..Self::SIZE - 1).unwrap_or_default();
        let length = text.len().min(room.len());
        for (byte, place) in text.bytes().zip(room) {
            *place = byte;
        }
        self.length = self.length.saturating_add(length);
        self.is_cut |= length < text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::options::OptionName;
    use crate::sys::Errno;

    #[test]
    fn a_long_text_does_not_push_the_reason_out_of_the_line() {
        let long = "/x".repeat(4096).into_bytes();
        let (text, cause) = (&long[..], Errno(libc::ENAMETOOLONG));
        let expected = "what is expected";
        let option = OptionName(text);
        let hint = "";
        for (error, end) in [
            (
                Error::Exec { program: text, cause, lacks_interpreter: false, hint },
                "File name too long",
            ),
            (Error::UnreadableFile { path: text, cause }, "File name too long"),
            (Error::TerminationLog { path: text, cause }, "File name too long"),
            (Error::InvalidVariable { name: b"X", value: text, expected }, expected),
            (Error::RefusedByGo(text), "or off"),
            (Error::IgnoredByGo { name: "X", value: text, expected }, expected),
            (Error::UnknownOption { option, hint }, "loadline --help"),
            (Error::InvalidOption { option, value: text, expected, hint }, "loadline --help"),
            (Error::InvalidFile { path: text, content: text }, "/x\""),
        ] {
            let mut line = LineBuffer::default();
            write!(line, "{PREFIX}{error}").unwrap();
            let line = core::str::from_utf8(line.as_line()).unwrap();
            assert!(line.ends_with(&format!("{end}\n")), "{line}");
        }
    }

    #[test]
    fn a_line_is_cut_to_what_a_pipe_takes_at_once() {
        let mut line = LineBuffer::default();
        line.write_str("short").unwrap();
        assert_eq!(line.as_line(), b"short\n");
        line.write_str(&"x".repeat(LineBuffer::SIZE - 6)).unwrap();
        assert!(!line.is_cut);
        line.write_str("x").unwrap();
        assert!(line.is_cut);
        assert_eq!(line.as_line().len(), LineBuffer::SIZE);
        assert_eq!(line.as_line().last(), Some(&b'\n'));
        line.write_str("more").unwrap();
        assert_eq!(line.as_line().len(), LineBuffer::SIZE);
    }
}
