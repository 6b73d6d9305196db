//! What the kernel tells of files, waited for together with signals.

use super::file::open;
use super::signal::SET_SIZE;
use super::{Errno, SignalSet, check, timespec};
use crate::units::Micros;
use core::ffi::{CStr, c_int, c_long, c_short};
use core::ptr::{null, null_mut};

/// Descriptors that are told something, for as long as the process lives; -1 for what is not waited
/// for.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    /// Readable while a signal is pending (signalfd(2)). It is never read.
    signals: c_int,
    /// An instance of inotify(7).
    changes: c_int,
    /// A file that says by POLLPRI that the kernel has changed it.
    notice: c_int,
}

/// What there was to be told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// One of the files has been written to.
    pub change: bool,
    /// The kernel has changed the file that it gives notice of.
    pub notice: bool,
}

impl Events {
    /// Nothing but signals.
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM; what a seccomp filter returns.
    pub fn new() -> Result<Self, Errno> {
        let all = SignalSet::ALL;
        let (none, flags): (c_long, c_long) = (-1, libc::SFD_CLOEXEC.into());
        // SAFETY: the set has the size given. The raw call, as the C library's takes its own set.
        let signals = unsafe {
            libc::syscall(libc::SYS_signalfd4, none, &raw const all.0, SET_SIZE, flags) as c_int
        };
        let events = Self { signals: check(signals)?, changes: -1, notice: -1 };
        // Where a seccomp filter refuses it nobody must rely on it: who waits would not.
        events.poll(Told::default(), 0)?;
        Ok(events)
    }

    /// Waits for writes to a file as well (IN_MODIFY).
    ///
    /// # Errors
    /// EMFILE where there can be no instance of inotify, ENOSPC for no more watches, what open(2)
    /// returns for the file.
    pub fn add_changes(&mut self, file: &CStr) -> Result<(), Errno> {
        // SAFETY: the calls take integers and a path that is NUL-terminated.
        unsafe {
            if self.changes == -1 {
                self.changes = check(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC))?;
            }
            check(libc::inotify_add_watch(self.changes, file.as_ptr(), libc::IN_MODIFY))?;
        }
        Ok(())
    }

    /// Waits for notice of a file as well.
    ///
    /// # Errors
    /// What open(2) returns.
    pub fn add_notice(&mut self, file: &CStr) -> Result<(), Errno> {
        self.notice = open(file, libc::O_RDONLY | libc::O_CLOEXEC)?;
        self.take_notice();
        Ok(())
    }

    /// Takes notice, to be told of what comes after that only: poll(2) compares with what was last
    /// read, at first with nothing.
    pub fn take_notice(&self) {
        let mut text = [0u8; 512];
        // SAFETY: the kernel writes at most the length given.
        unsafe { libc::pread(self.notice, text.as_mut_ptr().cast(), text.len(), 0) };
    }

    /// Takes what there is to be told of changes.
    pub fn take_changes(&self) {
        let mut room = [0u8; 512];
        // The queue is bounded, but who fills it may be fast.
        for _ in 0..1024 {
            // SAFETY: the kernel writes at most the length given; there is no waiting.
            let read = unsafe { libc::read(self.changes, room.as_mut_ptr().cast(), room.len()) };
            if read <= 0 {
                break;
            }
        }
    }

    /// Waits until there is something to be told of what is `wanted`, or a signal pending, at most
    /// for `time`.
    #[must_use]
    pub fn wait(&self, wanted: Told, time: Micros) -> Told {
        self.poll(wanted, time).unwrap_or_default()
    }

    fn poll(&self, wanted: Told, time: Micros) -> Result<Told, Errno> {
        let poll = |wanted, fd, events: c_short| libc::pollfd {
            fd: if wanted { fd } else { -1 },
            events,
            revents: 0,
        };
        let mut files = [
            poll(true, self.signals, libc::POLLIN),
            poll(wanted.change, self.changes, libc::POLLIN),
            poll(wanted.notice, self.notice, libc::POLLPRI),
        ];
        let mut time = timespec(time);
        let time = time.as_mut().map_or(null_mut(), |time| &raw mut *time);
        // SAFETY: all pointers are valid for the call, which writes to the files and to the time that is
        // left. The raw call, as the C library's is a point
        // at which threads are cancelled.
        let result = unsafe {
            let (files, count) = (files.as_mut_ptr(), files.len());
            libc::syscall(libc::SYS_ppoll, files, count, time, null::<u64>(), SET_SIZE) as c_int
        };
        check(result)?;
        let [_, change, notice] = files.map(|file| file.revents != 0);
        Ok(Told { change, notice })
    }
}
