//! The names of signals, what each is forwarded as, and who receives it.

use core::ffi::c_int;
use core::fmt;
use signal_hook::low_level::signal_name;

/// The first realtime signal of the kernel.
const FIRST_REALTIME: c_int = 32;

/// SIGRTMIN as users know it from bash, systemd and Docker: that of glibc, which keeps two signals
/// for itself (signal(7)). musl keeps one more, and the kernel none.
const SIGRTMIN: c_int = 34;

/// The last realtime signal.
const SIGRTMAX: c_int = 64;

/// Second names of signals (signal(7)).
const ALIASES: [(&str, c_int); 4] = [
    ("IOT", libc::SIGABRT),
    ("POLL", libc::SIGIO),
    ("CLD", libc::SIGCHLD),
    ("UNUSED", libc::SIGSYS),
];

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

/// The number of a signal by any of its names in signal(7): `SIGTERM`, as in tini, or `TERM`. `RTMIN`
/// is 34.
#[must_use]
pub fn signal_by_name(text: &[u8]) -> Option<c_int> {
    let name = text.strip_prefix(b"SIG").unwrap_or(text);
    let standard = (1..FIRST_REALTIME).find(|signal| {
        standard_name(*signal).is_some_and(|it| it.as_bytes().strip_prefix(b"SIG") == Some(name))
    });
    let by_alias = || ALIASES.iter().find(|(alias, _)| alias.as_bytes() == name);
    standard.or_else(|| by_alias().map(|(_, signal)| *signal)).or_else(|| realtime_by_name(name))
}

/// The name of a standard signal. signal-hook lacks those that only Linux has.
fn standard_name(signal: c_int) -> Option<&'static str> {
    match signal {
        libc::SIGSTKFLT => Some("SIGSTKFLT"),
        libc::SIGPWR => Some("SIGPWR"),
        _ => signal_name(signal),
    }
}

/// `RTMIN`, `RTMIN+3`, `RTMAX-3` or `RTMAX`.
fn realtime_by_name(name: &[u8]) -> Option<c_int> {
    let number = match name.strip_prefix(b"RTMIN") {
        Some(offset) => SIGRTMIN.checked_add(parse_offset(offset, b'+')?),
        None => SIGRTMAX.checked_sub(parse_offset(name.strip_prefix(b"RTMAX")?, b'-')?),
    };
    number.filter(|number| (SIGRTMIN..=SIGRTMAX).contains(number))
}

/// Nothing, or a sign with one or two digits.
fn parse_offset(text: &[u8], sign: u8) -> Option<c_int> {
    let Some((first, digits)) = text.split_first() else {
        return Some(0);
    };
    if *first != sign || !matches!(digits.len(), 1 | 2) {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |number: u32, digit| {
            number.checked_mul(10)?.checked_add(char::from(*digit).to_digit(10)?)
        })?
        .try_into()
        .ok()
}

/// A signal in a message: `SIGTERM`, `SIGRTMIN+3`, or `signal 32` if it has no name. The first half of
/// the realtime signals is counted up and the second half down, as `kill -l` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalName(pub c_int);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.wrapping_sub(SIGRTMIN), SIGRTMAX.wrapping_sub(self.0)) {
            (0, _) => f.write_str("SIGRTMIN"),
            (_, 0) => f.write_str("SIGRTMAX"),
            (above @ 1..=15, _) => write!(f, "SIGRTMIN+{above}"),
            (_, below @ 1..=14) => write!(f, "SIGRTMAX-{below}"),
            _ => match standard_name(self.0) {
                Some(name) => f.write_str(name),
                None => write!(f, "signal {}", self.0),
            },
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
                None => {
                    assert_eq!(shown, format!("signal {signal}"));
                    assert!([32, 33].contains(&signal), "{signal}");
                }
            }
        }
    }

    #[test]
    fn other_names_of_signal_7_are_read() {
        for (name, signal) in [
            ("IOT", libc::SIGABRT),
            ("CLD", libc::SIGCHLD),
            ("POLL", libc::SIGPOLL),
            ("UNUSED", libc::SIGSYS),
            ("STKFLT", libc::SIGSTKFLT),
            ("PWR", libc::SIGPWR),
        ] {
            assert_eq!(signal_by_name(name.as_bytes()), Some(signal), "{name}");
            assert_eq!(signal_by_name(format!("SIG{name}").as_bytes()), Some(signal));
        }
    }

    /// `kill -l` of bash and glibc shows them in the same way.
    #[test]
    fn realtime_signals_are_counted_from_either_end() {
        for (number, shown) in [
            (34, "SIGRTMIN"),
            (35, "SIGRTMIN+1"),
            (37, "SIGRTMIN+3"),
            (49, "SIGRTMIN+15"),
            (50, "SIGRTMAX-14"),
            (63, "SIGRTMAX-1"),
            (64, "SIGRTMAX"),
        ] {
            assert_eq!(SignalName(number).to_string(), shown);
        }
        for offset in 0..=30 {
            let from_min = format!("RTMIN+{offset}");
            assert_eq!(signal_by_name(from_min.as_bytes()), Some(34 + offset));
            let from_max = format!("SIGRTMAX-{offset}");
            assert_eq!(signal_by_name(from_max.as_bytes()), Some(64 - offset));
        }
        for text in [
            "RTMIN+31",
            "RTMAX-31",
            "RTMIN-1",
            "RTMAX+1",
            "RTMIN+",
            "RTMAX-",
            "RTMIN++1",
            "RTMIN3",
            "RTMIN+a",
            "RTMIN+1 ",
            "RTMIN+0001",
            "RTMIN+256",
            "RTMI",
            "RT",
            "RTMIN +1",
        ] {
            assert_eq!(signal_by_name(text.as_bytes()), None, "{text}");
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
