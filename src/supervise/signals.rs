//! Which signals are passed on, and how. Pure but for the sending.

use crate::sys::{Errno, Received, forward_queued, send_signal};
use crate::text::{Fields, Out, Put, put};
use core::ffi::c_int;

/// What each signal is passed on as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrites([u8; 65]);

impl Rewrites {
    /// Every signal as it came, but for the terminal's answer to our own use of it from the
    /// background.
    pub const DEFAULT: Self = {
        let mut table = [0; 65];
        let (mut left, mut signal) = (&mut table as &mut [u8], 0);
        while let [place, rest @ ..] = left {
            *place = match signal as i32 {
                libc::SIGTTIN | libc::SIGTTOU => 0,
                _ => signal,
            };
            left = rest;
            signal += 1;
        }
        Self(table)
    };

    /// Has one passed on as another, or not at all where that is 0; unless there are no such
    /// signals, or nobody ever receives the first. SIGCHLD is about our own children.
    pub fn set(&mut self, from: u8, to: u8) -> Option<()> {
        let is_received = !matches!(from.into(), 0 | libc::SIGCHLD | libc::SIGKILL | libc::SIGSTOP);
        if !is_received || usize::from(to) >= self.0.len() {
            return None;
        }
        *self.0.get_mut(usize::from(from))? = to;
        Some(())
    }

    /// What a signal is passed on as, if it is: `sent` tells whether a process sent it, and which.
    #[must_use]
    pub fn of(&self, signal: i32, sent: Option<i32>, own: i32) -> Option<i32> {
        // Of our own making: the SIGPIPE of a message on a broken standard error (pipe(7)).
        if signal == libc::SIGPIPE && sent == Some(own) {
            return None;
        }
        let to = self.0.get(usize::try_from(signal).ok()?)?;
        (*to != 0).then_some((*to).into())
    }
}

/// Whether a signal asks a program to end, of those that are sent for it.
#[must_use]
pub const fn is_stop(signal: i32) -> bool {
    matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT)
}

/// The first realtime signal of the kernel; the C library's is higher (signal(7)).
const FIRST_REALTIME: i32 = 32;

/// Whether each instance of a signal is queued by itself, in order and with its value.
#[must_use]
pub const fn is_realtime(signal: i32) -> bool {
    signal >= FIRST_REALTIME
}

/// The process that sent a signal, if one did: by kill(2), sigqueue(3) or tgkill(2). What the
/// kernel sends has no sender (sigaction(2)).
#[must_use]
pub fn sender(received: &Received) -> Option<i32> {
    let codes = [libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL];
    codes.contains(&received.code()).then(|| received.sender())
}

/// Passes a signal on as `signal` to a process, or to a group where `target` is negative: what was
/// queued is queued again with its value, what was sent by kill(2), tgkill(2) or the kernel is sent
/// by kill. For groups the kernel has nothing but kill.
///
/// # Errors
/// EAGAIN where the queue is full: try again. ESRCH, EPERM: it cannot be done.
pub fn forward(received: &Received, signal: i32, target: i32) -> Result<(), Errno> {
    let is_queued = received.code() < 0 && received.code() != libc::SI_TKILL;
    if is_queued && target > 0 {
        forward_queued(target, signal, received)
    } else {
        send_signal(target, signal)
    }
}

/// Who gets a signal, in the terms of kill(2): a process, or a group where it is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(pub i32);

impl Put for Target {
    fn put(&self, out: &mut Out<'_>) {
        put!(out, if self.0 < 0 { "group " } else { "process " }, self.0.unsigned_abs());
    }
}

/// The names of signals from 1 on, without the SIG; some have only a number (signal(7)). The
/// numbers are those of all architectures that loadline is built for.
const NAMES: &[u8] =
    b"HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM  CHLD \
                       CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO  SYS";

fn names() -> impl Iterator<Item = (c_int, &'static [u8])> {
    (1..).zip(Fields::new(NAMES, b' ')).filter(|(_, name)| !name.is_empty())
}

/// A signal by its full name, as tini has it, or without the `SIG`.
#[must_use]
pub fn signal_by_name(text: &[u8]) -> Option<c_int> {
    let text = text.strip_prefix(b"SIG").unwrap_or(text);
    names().find(|(_, name)| *name == text).map(|(signal, _)| signal)
}

/// A signal by its name, for messages.
#[derive(Clone, Copy, Debug)]
pub struct Name(pub i32);

impl Put for Name {
    fn put(&self, out: &mut Out<'_>) {
        match names().find(|(signal, _)| *signal == self.0) {
            Some((_, name)) => {
                put!(out, "SIG");
                out.bytes(name);
            }
            None => put!(out, "signal ", self.0.unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_headers() {
        for signal in -1..=65 {
            let name = signal_hook::low_level::signal_name(signal);
            let shown = name.map_or_else(|| format!("signal {}", i32::abs(signal)), str::to_owned);
            assert_eq!(Name(signal).text(), shown);
            assert_eq!(signal_by_name(shown.as_bytes()), name.map(|_| signal));
        }
    }

    #[test]
    fn signals_are_passed_on_as_they_are_but_for_two() {
        let of = |signal, sent| Rewrites::DEFAULT.of(signal, sent, 1);
        let others = (1..=64).filter(|signal| of(*signal, Some(7)) != Some(*signal));
        assert_eq!(others.collect::<Vec<_>>(), [libc::SIGTTIN, libc::SIGTTOU]);
        assert_eq!(of(libc::SIGTTIN, Some(7)), None);
        assert_eq!(of(libc::SIGPIPE, Some(1)), None);
        assert_eq!(of(libc::SIGPIPE, Some(0)), Some(libc::SIGPIPE), "from outside");
        assert_eq!(of(libc::SIGINT, None), Some(libc::SIGINT), "from the terminal");
        assert_eq!([of(0, None), of(65, None), of(-1, None)], [None; 3]);
    }

    #[test]
    fn rewritten_signals_are_passed_on_as_what_was_asked_for() {
        let mut rewrites = Rewrites::DEFAULT;
        for (from, to) in [(15, 3), (1, 0), (21, 21), (64, 34), (13, 15)] {
            assert_eq!(rewrites.set(from, to), Some(()), "{from}:{to}");
        }
        for (from, to) in [(0, 1), (65, 1), (17, 1), (9, 15), (19, 15), (10, 65), (10, 255)] {
            assert_eq!(rewrites.set(from, to), None, "{from}:{to}");
        }
        let of = |signal| rewrites.of(signal, Some(7), 1);
        let all = [15, 1, 21, 64, 13, 10, 2].map(of);
        assert_eq!(all, [Some(3), None, Some(21), Some(34), Some(15), Some(10), Some(2)]);
        assert_eq!(rewrites.of(13, Some(1), 1), None, "a broken stderr is no stop");
    }
}
