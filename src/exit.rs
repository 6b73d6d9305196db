//! The exit codes of loadline.

use crate::sys::ExitStatus;

/// A usage error, or a failure before the program is started.
pub const FAILURE: u8 = 1;
/// The program cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The program is not found.
pub const NOT_FOUND: u8 = 127;

/// The exit codes that count as success (`-e`): a bit for each code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedCodes([u64; 4]);

impl ExpectedCodes {
    /// No code: 0 is success anyway.
    pub const NONE: Self = Self([0; 4]);

    /// Adds a code.
    pub fn insert(&mut self, code: u8) {
        if let Some(word) = self.0.get_mut(usize::from(code / 64)) {
            *word |= 1 << (code % 64);
        }
    }

    /// Whether a code counts as success.
    #[must_use]
    pub fn contains(self, code: u8) -> bool {
        self.0.get(usize::from(code / 64)).is_some_and(|word| word >> (code % 64) & 1 == 1)
    }
}

/// The program's own exit code, or 128 + n if signal n killed it, as in shells; 0 if that code is
/// expected.
#[must_use]
pub fn exit_code(status: ExitStatus, expected: ExpectedCodes) -> u8 {
    // An exit code has eight bits (exit(2)), and signals are below 65.
    let code = match status {
        ExitStatus::Exited(code) => code & 0xff,
        ExitStatus::Signaled(signal) => signal.saturating_add(128),
    };
    let code = u8::try_from(code).unwrap_or(u8::MAX);
    if expected.contains(code) { 0 } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_programs_and_signals_count_from_128() {
        let mut expected = ExpectedCodes::NONE;
        for (status, code) in [
            (ExitStatus::Exited(0), 0),
            (ExitStatus::Exited(143), 143),
            (ExitStatus::Exited(255), 255),
            (ExitStatus::Signaled(15), 143),
            (ExitStatus::Signaled(64), 192),
        ] {
            assert_eq!(exit_code(status, expected), code);
        }
        for code in [0, 63, 64, 143, 255] {
            expected.insert(code);
        }
        let is_zero = |code: &i32| exit_code(ExitStatus::Exited(*code), expected) == 0;
        assert_eq!((0..=255).filter(is_zero).collect::<Vec<_>>(), [0, 63, 64, 143, 255]);
        assert_eq!(exit_code(ExitStatus::Signaled(15), expected), 0);
    }
}
