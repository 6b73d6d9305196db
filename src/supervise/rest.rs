//! The rest: what is there when the program has ended is told to end, waited for, and killed.
//!
//! Where we are PID 1 that is every process that we can see, and the kernel kills those that are
//! left when we end. Elsewhere it is our children, among them the orphans of the program, as we are
//! a subreaper then; and what a child of ours leaves behind becomes one in its turn. What is our
//! child only the kernel knows: the number of one that we have not reaped is nobody else's.

use super::{Event, MAX_PAUSE, Started, reap};
use crate::error::Error;
use crate::stderr::{Stderr, WARNING};
use crate::sys::{
    Errno, SECOND, SignalSet, has_children, is_child, now, read_file, send_signal, wait_signal,
};
use crate::text::Fields;
use crate::units::{Micros, integer};
use core::ffi::CStr;
use core::mem::replace;

/// The children of our only thread, of the system that we run on.
const CHILDREN: &CStr = c"/proc/thread-self/children";
/// The longest list: a hundred thousand children.
const MAX_LIST: usize = 1 << 20;

/// Ends it all, within `time` and at most a second more, and returns how many processes were reaped.
/// A signal to stop cuts that short.
#[inline(never)]
pub fn end(started: &mut Started, time: Micros) -> u64 {
    let mut reaped = 0u64;
    let is_all = started.own.as_raw() == 1;
    let mut rest = Rest { is_all, is_told: false, told: Vec::new(), found: Vec::new() };
    let mut signal = libc::SIGTERM;
    let mut until = now().saturating_add(time);
    let mut pause = 1000;
    loop {
        let changes = reap::drain(
            started.program.as_raw(),
            started.options.warn_on_reap,
            &mut started.stderr,
        );
        reaped = reaped.saturating_add(changes.reaped);
        if !rest.tell(signal, &mut started.stderr) {
            break;
        }
        let mut left = until.saturating_sub(now());
        if left == 0 {
            if signal == libc::SIGTERM {
                started.stderr.at(WARNING, &Event::RestKilled);
            }
            if is_all || signal == libc::SIGKILL {
                break;
            }
            signal = libc::SIGKILL;
            rest.told.clear();
            until = now().saturating_add(SECOND);
            continue;
        }
        if !has_children() {
            // Who came in from outside (setns(2)) has another parent, and nobody tells us.
            left = left.min(pause);
            pause = pause.saturating_mul(2).min(MAX_PAUSE);
        }
        if let Some(received) = wait_signal(SignalSet::ALL, left)
            && started.is_stop(&received)
        {
            until = 0;
        }
    }
    reaped
}

/// Who is to end.
struct Rest {
    is_all: bool,
    is_told: bool,
    /// Our children that have been told, in the form of the kernel's list.
    told: Vec<u8>,
    /// Room for that list.
    found: Vec<u8>,
}

impl Rest {
    /// Sends the signal to everyone who has not had it yet, and returns whether there is anyone.
    /// Never twice: for many programs the second time means at once.
    #[inline(never)]
    fn tell(&mut self, signal: i32, stderr: &mut Stderr) -> bool {
        if self.is_all {
            if !replace(&mut self.is_told, true) {
                tell(-1, signal);
            }
            return send_signal(-1, 0) != Err(Errno(libc::ESRCH));
        }
        if let Err(cause) = read_file(CHILDREN, &mut self.found, MAX_LIST) {
            stderr.at(WARNING, &Error::Unreadable { file: CHILDREN.to_bytes(), cause });
            return false;
        }
        for child in Fields::new(&self.found, b' ') {
            let process = integer(child).and_then(|number| i32::try_from(number).ok());
            // Where /proc is of another PID namespace its numbers are no children of ours.
            if let Some(process) = process
                && Fields::new(&self.told, b' ').all(|told| told != child)
                && is_child(process)
            {
                tell(process, signal);
                self.told.extend_from_slice(child);
                self.told.push(b' ');
            }
        }
        // While some of them end, others may be missing in the list (proc(5)): until next time.
        has_children()
    }
}

/// What is stopped has to be continued to see it.
fn tell(target: i32, signal: i32) {
    let _ = send_signal(target, signal);
    let _ = send_signal(target, libc::SIGCONT);
}
