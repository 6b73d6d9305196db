//! Waiting for files together with signals (ppoll(2)).

use super::signal::{SET_SIZE, timespec};
use super::{Errno, SignalSet, check, file, keep_open};
use core::ffi::{CStr, c_int, c_long, c_short};
use core::ptr::{null, null_mut};
use core::time::Duration;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The descriptors that are waited for. They stay open until the process ends: closing an inotify
/// instance can take milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Poller {
    /// Readable while a signal is pending (signalfd(2)). It is never read.
    signals: BorrowedFd<'static>,
    /// An instance of inotify(7).
    inotify: Option<BorrowedFd<'static>>,
    /// A `memory.events` file, of which POLLPRI says that the kernel has changed it.
    memory_events: Option<BorrowedFd<'static>>,
}

/// Events: those to wait for, or those that have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollEvents {
    /// A watched file was written to.
    pub file_written: bool,
    /// The kernel changed `memory.events`.
    pub memory_event: bool,
}

impl Poller {
    /// Waits for signals only.
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM; what a seccomp filter returns for signalfd4(2) or ppoll(2).
    pub fn new() -> Result<Self, Errno> {
        let all = SignalSet::ALL;
        let (new, flags): (c_long, c_long) = (-1, libc::SFD_CLOEXEC.into());
        // SAFETY: the set has the size given. The raw call, because signalfd(3) takes the C
        // library's own set.
        let signals = unsafe {
            libc::syscall(libc::SYS_signalfd4, new, &raw const all.0, SET_SIZE, flags) as c_int
        };
        let poller =
            Self { signals: keep_open(owned(signals)?), inotify: None, memory_events: None };
        // If ppoll is denied, nobody may rely on it later.
        poller.poll(PollEvents::default(), Some(Duration::ZERO))?;
        Ok(poller)
    }

    /// Also waits for writes to a file (IN_MODIFY).
    ///
    /// # Errors
    /// EMFILE if no inotify instance is left, ENOSPC if no watch is left; what open(2) returns.
    pub fn watch_file(&mut self, path: &CStr) -> Result<(), Errno> {
        let inotify = if let Some(inotify) = self.inotify {
            inotify
        } else {
            // SAFETY: the call takes an integer.
            let new = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
            *self.inotify.insert(keep_open(owned(new)?))
        };
        // SAFETY: the path is NUL-terminated.
        let watch =
            unsafe { libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), libc::IN_MODIFY) };
        check(watch).map(drop)
    }

    /// Also waits for changes of this `memory.events` file.
    ///
    /// # Errors
    /// What open(2) returns.
    pub fn watch_memory_events(&mut self, path: &CStr) -> Result<(), Errno> {
        self.memory_events = Some(keep_open(file::open(path)?));
        self.rearm_memory_events();
        Ok(())
    }

    /// Waits only for changes of `memory.events` from now on: the kernel compares with what was
    /// last read.
    pub fn rearm_memory_events(&self) {
        let mut text = [0; 512];
        if let Some(file) = self.memory_events {
            file::read_prefix(file, &mut text);
        }
    }

    /// Discards all events of watched files.
    pub fn drain_inotify(&self) {
        let Some(inotify) = self.inotify else { return };
        let mut events = [0u8; 512];
        // The queue is bounded, but a writer may fill it as fast as it is read.
        for _ in 0..1024 {
            let (file, room) = (inotify.as_raw_fd(), events.as_mut_ptr().cast());
            // SAFETY: the kernel writes at most the length given. The descriptor does not block.
            if unsafe { libc::read(file, room, events.len()) } <= 0 {
                break;
            }
        }
    }

    /// Waits until something of `interest` is ready or a signal is pending, without end if there is
    /// no timeout.
    #[must_use]
    pub fn wait(&self, interest: PollEvents, timeout: Option<Duration>) -> PollEvents {
        self.poll(interest, timeout).unwrap_or_default()
    }

    fn poll(&self, interest: PollEvents, timeout: Option<Duration>) -> Result<PollEvents, Errno> {
        // The kernel passes over negative descriptors.
        let entry = |file: Option<BorrowedFd<'_>>, events: c_short| libc::pollfd {
            fd: file.map_or(-1, |file| file.as_raw_fd()),
            events,
            revents: 0,
        };
        let mut files = [
            entry(Some(self.signals), libc::POLLIN),
            entry(self.inotify.filter(|_| interest.file_written), libc::POLLIN),
            entry(self.memory_events.filter(|_| interest.memory_event), libc::POLLPRI),
        ];
        let mut timeout = timeout.map(timespec);
        let timeout = timeout.as_mut().map_or(null_mut(), |timeout| &raw mut *timeout);
        // SAFETY: all pointers are valid for the call, which writes to the entries and to the
        // timeout. The raw call, because the C library's is a cancellation point.
        let result = unsafe {
            let (files, count) = (files.as_mut_ptr(), files.len());
            libc::syscall(libc::SYS_ppoll, files, count, timeout, null::<u64>(), SET_SIZE) as c_int
        };
        check(result)?;
        let [_, inotify, memory_events] = files.map(|file| file.revents != 0);
        Ok(PollEvents { file_written: inotify, memory_event: memory_events })
    }
}

/// A new descriptor, if the call that makes it has not failed.
fn owned(result: c_int) -> Result<OwnedFd, Errno> {
    let number = check(result)?;
    // SAFETY: the descriptor is new, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
