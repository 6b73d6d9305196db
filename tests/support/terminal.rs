//! A pseudo-terminal at which the test types.

use super::patience;
use super::running::readable;
use super::spawn::{foreground, resize};
use nix::pty::openpty;
use nix::sys::stat::{Mode, fchmod};
use nix::sys::termios::{FlowArg, tcflow};
use nix::unistd::{read, write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

/// Both sides of the terminal, and its output.
pub struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    shown: String,
    /// The end of what `expect` has found.
    seen: usize,
}

impl Terminal {
    pub fn new() -> Self {
        let pair = openpty(None, None).unwrap();
        Self { master: pair.master, slave: pair.slave, shown: String::new(), seen: 0 }
    }

    pub fn slave(&self) -> OwnedFd {
        self.slave.try_clone().unwrap()
    }

    /// Types text. `\x03` is Ctrl-C, `\x1a` is Ctrl-Z.
    pub fn types(&self, text: &str) {
        assert_eq!(write(&self.master, text.as_bytes()), Ok(text.len()));
    }

    /// Waits until the terminal shows this text, after what was expected before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + patience();
        loop {
            if let Some(found) = self.shown[self.seen..].find(text) {
                self.seen += found + text.len();
                return;
            }
            let new = &self.shown[self.seen..];
            assert!(
                readable(self.master.as_fd(), deadline),
                "expected {text:?} on the terminal, found {new:?}; before it {:?}",
                &self.shown[..self.seen]
            );
            let mut buffer = [0; 1024];
            let length = read(&self.master, &mut buffer).unwrap();
            self.shown += &String::from_utf8_lossy(&buffer[..length]);
        }
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        resize(self.master.as_raw_fd(), rows, columns);
    }

    /// Nobody may open the terminal any more but a process with `CAP_DAC_OVERRIDE`.
    pub fn forbid_opening(&self) {
        fchmod(&self.slave, Mode::empty()).unwrap();
    }

    pub fn stop_output(&self) {
        tcflow(&self.slave, FlowArg::TCOOFF).unwrap();
    }

    pub fn continue_output(&self) {
        tcflow(&self.slave, FlowArg::TCOON).unwrap();
    }

    /// The foreground process group.
    pub fn foreground(&self) -> i32 {
        foreground(self.master.as_raw_fd())
    }
}
