//! Which signals are passed on, and how. Pure but for the sending.

use crate::sys::{Errno, Received, forward_queued, send_signal};
use crate::text::{Out, Put, put};

/// What a signal that was received is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A child has changed.
    Reap,
    /// The program.
    Forward,
    /// Nobody.
    Drop,
}

/// Routes a signal: `sent` tells whether a process sent it, and which.
#[must_use]
pub fn route(signal: i32, sent: Option<i32>, own: i32) -> Route {
    match signal {
        libc::SIGCHLD => Route::Reap,
        // The terminal's answer to our own use of it from the background.
        libc::SIGTTIN | libc::SIGTTOU => Route::Drop,
        // Of our own making: the SIGPIPE of a message on a broken standard error (pipe(7)).
        libc::SIGPIPE if sent == Some(own) => Route::Drop,
        _ => Route::Forward,
    }
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

/// Passes a signal on to a process, or to a group where `target` is negative: what was queued is
/// queued again with its value, what was sent by kill(2), tgkill(2) or the kernel is sent by
/// kill. For groups the kernel has nothing but kill.
///
/// # Errors
/// EAGAIN where the queue is full: try again. ESRCH, EPERM: it cannot be done.
pub fn forward(received: &Received, target: i32) -> Result<(), Errno> {
    let is_queued = received.code() < 0 && received.code() != libc::SI_TKILL;
    if is_queued && target > 0 {
        forward_queued(target, received)
    } else {
        send_signal(target, received.signal())
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

/// A signal by its name, for messages; some have only a number.
#[derive(Clone, Copy, Debug)]
pub struct Name(pub i32);

impl Put for Name {
    fn put(&self, out: &mut Out<'_>) {
        match signal_hook::low_level::signal_name(self.0) {
            Some(name) => put!(out, name),
            None => put!(out, "signal ", self.0.unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_three_signals_are_forwarded() {
        let dropped = (1..=64).filter(|signal| route(*signal, Some(7), 1) != Route::Forward);
        assert_eq!(dropped.collect::<Vec<_>>(), [libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU]);
        assert_eq!(route(libc::SIGCHLD, None, 1), Route::Reap);
        assert_eq!(route(libc::SIGPIPE, Some(1), 1), Route::Drop);
        assert_eq!(route(libc::SIGPIPE, Some(0), 1), Route::Forward, "from outside");
        assert_eq!(route(libc::SIGINT, None, 1), Route::Forward, "from the terminal");
    }
}
