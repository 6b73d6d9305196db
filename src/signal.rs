//! The names of signals, what each is forwarded as, and who receives it.

use core::ffi::c_int;
use core::fmt;
use signal_hook::low_level::signal_name;

/// The first realtime signal of the kernel. The C library's SIGRTMIN is higher (signal(7)).
const FIRST_REALTIME: c_int = 32;

/// Whether a signal queues, so that each instance arrives, in order and with its value.
#[must_use]
pub const fn is_realtime(signal: c_int) -> bool {
    signal >= FIRST_REALTIME
}

/// Whether a signal asks a program to exit.
#[must_use]
pub const fn is_termination_signal(signal: c_int) -> bool {
    matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT)
}

/// The number of a signal by its name: `SIGTERM`, as in tini, or `TERM`.
#[must_use]
pub fn signal_by_name(text: &[u8]) -> Option<c_int> {
    (1..FIRST_REALTIME).find(|signal| {
        signal_name(*signal).is_some_and(|name| {
            name.as_bytes() == text || name.as_bytes().strip_prefix(b"SIG") == Some(text)
        })
    })
}

/// A signal in a message: `SIGTERM`, or `signal 64` if it has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalName(pub c_int);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// Who receives a signal, as in kill(2): a process, or a process group if it is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalTarget(pub i32);

impl fmt::Display for SignalTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0 < 0 { "process group" } else { "process" };
        write!(f, "{kind} {}", self.0.unsigned_abs())
    }
}

/// What each signal is forwarded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalRewrites {
    /// The signal to send for each signal, 0 to send none.
    table: [u8; 65],
}

impl SignalRewrites {
    /// Every signal as it came, except SIGTTIN and SIGTTOU: the terminal sends these two when we
    /// ourselves use it from the background.
    #[allow(clippy::indexing_slicing, reason = "the compiler evaluates it and checks the bounds")]
    pub const DEFAULT: Self = {
        let mut table = [0; 65];
        let mut signal = 0;
        while signal < table.len() {
            table[signal] = signal as u8;
            signal += 1;
        }
        table[libc::SIGTTIN as usize] = 0;
        table[libc::SIGTTOU as usize] = 0;
        Self { table }
    };

    /// Forwards `from` as `to`, or not at all if `to` is 0. Returns none if there is no such
    /// signal, or if `from` is never received: SIGKILL and SIGSTOP cannot be, and SIGCHLD is about
    /// our own children.
    pub fn set(&mut self, from: u8, to: u8) -> Option<()> {
        if matches!(from.into(), 0 | libc::SIGCHLD | libc::SIGKILL | libc::SIGSTOP)
            || usize::from(to) >= self.table.len()
        {
            return None;
        }
        *self.table.get_mut(usize::from(from))? = to;
        Some(())
    }

    /// What a signal is forwarded as, if it is.
    #[must_use]
    pub fn apply(&self, signal: c_int) -> Option<c_int> {
        let rewritten = *self.table.get(usize::try_from(signal).ok()?)?;
        (rewritten != 0).then_some(rewritten.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_shown() {
        for signal in 1..=64 {
            let shown = SignalName(signal).to_string();
            match shown.strip_prefix("SIG") {
                Some(short) => {
                    assert_eq!(signal_by_name(shown.as_bytes()), Some(signal));
                    assert_eq!(signal_by_name(short.as_bytes()), Some(signal));
                }
                None => assert_eq!(shown, format!("signal {signal}")),
            }
        }
    }

    #[test]
    fn the_28_signals_of_tini_have_names() {
        let names = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM CHLD \
                     CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH SYS";
        for name in names.split_whitespace() {
            let signal = signal_by_name(name.as_bytes());
            assert!(signal.is_some(), "{name}");
            assert_eq!(signal_by_name(format!("SIG{name}").as_bytes()), signal);
        }
        for text in ["", "SIG", "sigterm", "SIGNONE", "15", "SIGSIGTERM"] {
            assert_eq!(signal_by_name(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn all_signals_but_two_are_forwarded_as_they_are() {
        let apply = |signal| SignalRewrites::DEFAULT.apply(signal);
        let others = (1..=64).filter(|signal| apply(*signal) != Some(*signal));
        assert_eq!(others.collect::<Vec<_>>(), [libc::SIGTTIN, libc::SIGTTOU]);
        assert_eq!(apply(libc::SIGTTIN), None);
        assert_eq!([apply(0), apply(65), apply(-1)], [None; 3]);
    }

    #[test]
    fn rewritten_signals_are_forwarded_as_what_was_asked_for() {
        let mut rewrites = SignalRewrites::DEFAULT;
        for (from, to) in [(15, 3), (1, 0), (21, 21), (64, 34), (13, 15)] {
            assert_eq!(rewrites.set(from, to), Some(()), "{from}:{to}");
        }
        for (from, to) in [(0, 1), (65, 1), (17, 1), (9, 15), (19, 15), (10, 65), (10, 255)] {
            assert_eq!(rewrites.set(from, to), None, "{from}:{to}");
        }
        let all = [15, 1, 21, 64, 13, 10, 2].map(|signal| rewrites.apply(signal));
        assert_eq!(all, [Some(3), None, Some(21), Some(34), Some(15), Some(10), Some(2)]);
    }
}
