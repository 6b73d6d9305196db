//! How the program ended, as the exit code of loadline.

use crate::sys::How;

/// Usage errors, and what keeps any program from being started.
pub const FAILURE: u8 = 1;
/// The program is there but cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// There is no such program.
pub const NOT_FOUND: u8 = 127;

/// The exit codes that are reported as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remap([u64; 4]);

impl Remap {
    /// Adds a code.
    pub fn insert(&mut self, code: u8) {
        if let Some(word) = self.0.get_mut(usize::from(code >> 6)) {
            *word |= 1 << (code & 63);
        }
    }

    fn contains(self, code: u8) -> bool {
        self.0.get(usize::from(code >> 6)).is_some_and(|word| word >> (code & 63) & 1 == 1)
    }
}

/// The program's own code, or 128 + n if signal n ended it, as shells have it.
#[must_use]
pub fn code(outcome: How, remap: Remap) -> u8 {
    // The kernel reports the low eight bits (exit(2)), and signals are below 65.
    let code = match outcome {
        How::Exited(code) => code & 255,
        How::Killed(signal) | How::Stopped(signal) => 128 | signal,
    };
    let code = u8::try_from(code).unwrap_or(u8::MAX);
    if remap.contains(code) { 0 } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_programs_and_signals_count_from_128() {
        let mut remap = Remap::default();
        for (outcome, expected) in [
            (How::Exited(0), 0),
            (How::Exited(143), 143),
            (How::Exited(255), 255),
            (How::Killed(15), 143),
            (How::Killed(64), 192),
        ] {
            assert_eq!(code(outcome, remap), expected);
        }
        for shown_as_0 in [0, 63, 64, 143, 255] {
            remap.insert(shown_as_0);
        }
        let zeros: Vec<_> = (0..=255).filter(|n| code(How::Exited(*n), remap) == 0).collect();
        assert_eq!(zeros, [0, 63, 64, 143, 255]);
        assert_eq!(code(How::Killed(15), remap), 0);
    }
}
