//! A process that a test has started: its output, its signals and its end.

use super::inits::Init;
use super::patience;
use super::process::{children, descendants, describe, system_call};
use super::spawn::{Spawned, raise_queue, reap, send, send_value};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::yield_now;
use std::time::{Duration, Instant};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Killed(i32),
}

/// The reading end of what a process writes.
pub struct Output {
    pipe: OwnedFd,
    /// Bytes that were read, but not yet returned.
    rest: Vec<u8>,
}

/// What could be read before the deadline.
enum Next {
    Line(String),
    End,
    TooLate,
}

impl Output {
    pub fn new(pipe: OwnedFd) -> Self {
        Self { pipe, rest: Vec::new() }
    }

    fn line(&mut self) -> Next {
        let deadline = Instant::now() + patience();
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Next::Line(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            match self.fill(deadline) {
                Some(0) => return Next::End,
                Some(_) => {}
                None => return Next::TooLate,
            }
        }
    }

    /// Reads once. `None` after the deadline.
    fn fill(&mut self, deadline: Instant) -> Option<usize> {
        if !readable(self.pipe.as_fd(), deadline) {
            return None;
        }
        let mut buffer = [0; 4096];
        let length = read(&self.pipe, &mut buffer).unwrap();
        self.rest.extend_from_slice(&buffer[..length]);
        Some(length)
    }

    /// Everything up to the end, which comes when no process holds the other side. `None` if it does not
    /// come.
    fn all(&mut self) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience();
        while self.fill(deadline)? > 0 {}
        Some(std::mem::take(&mut self.rest))
    }

    /// What has been written so far.
    fn so_far(&mut self) -> String {
        while self.fill(Instant::now()).is_some_and(|length| length > 0) {}
        let rest = String::from_utf8_lossy(&self.rest);
        rest.chars().take(2000).collect()
    }
}

/// Waits until there is something to read, or for a pidfd until the process has exited.
pub fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap();
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Err(Errno::EINTR) => {}
            result => return result.unwrap() > 0,
        }
    }
}

/// A process that the test has started: the init, or the probe without one.
pub struct Running {
    pid: i32,
    pidfd: OwnedFd,
    ended: Option<Ended>,
    stdout: Output,
    stderr: Output,
}

impl Running {
    pub fn new(spawned: Spawned, stdout: Output, stderr: Output) -> Self {
        let Spawned { pid, pidfd } = spawned;
        Self { pid, pidfd, ended: None, stdout, stderr }
    }

    /// The process ID in the PID namespace of the test.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Fails the test and prints what the processes are doing.
    #[track_caller]
    pub fn fail(&mut self, what: &str) -> ! {
        let states: Vec<_> = descendants(self.pid).into_iter().map(describe).collect();
        let (out, err) = (self.stdout.so_far(), self.stderr.so_far());
        panic!(
            "{what}\nended: {:?}\n{}\nstdout: {out:?}\nstderr: {err:?}",
            self.ended,
            states.join("\n")
        )
    }

    /// Waits until `done`, by polling.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + patience();
        while !done(self) {
            if Instant::now() > deadline {
                self.fail(&format!("never: {what}"));
            }
            yield_now();
        }
    }

    /// Waits until the init sleeps in a system call without a timeout, so it has nothing left to do. The
    /// timeout is the third argument of both calls.
    #[track_caller]
    pub fn wait_until_idle(&mut self) {
        /// The numbers of both calls on 386. The files of other machines are run by an emulator, which makes
        /// the calls of this machine.
        const ON_386: [i64; 2] = [177, 309];
        let waits = if Init::under_test().is_for_386() {
            ON_386
        } else {
            [libc::SYS_rt_sigtimedwait, libc::SYS_ppoll]
        };
        let waits = waits.map(i64::cast_unsigned);
        self.until(
            "the init waits without a timeout",
            |init| matches!(system_call(init.pid)[..], [call, _, _, 0, ..] if waits.contains(&call)),
        );
    }

    /// The next line of stdout.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.stdout.line() {
            Next::Line(line) => line,
            Next::End => self.fail("stdout was closed where a line was expected"),
            Next::TooLate => self.fail("no line on stdout"),
        }
    }

    /// Fails the test if the next line of stdout is another.
    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        let found = self.line();
        if found != line {
            self.fail(&format!("expected {line:?} on stdout, found {found:?}"));
        }
    }

    /// The next line of stderr that contains this.
    #[track_caller]
    pub fn message(&mut self, part: &str) -> String {
        loop {
            match self.stderr.line() {
                Next::Line(line) if line.contains(part) => return line,
                Next::Line(_) => {}
                _ => self.fail(&format!("no message with {part:?} on stderr")),
            }
        }
    }

    /// The rest of stdout, up to its end.
    #[track_caller]
    pub fn output(&mut self) -> Vec<u8> {
        self.stdout.all().unwrap_or_else(|| self.fail("stdout is still open"))
    }

    /// The rest of stderr, up to its end.
    #[track_caller]
    pub fn messages(&mut self) -> String {
        let bytes = self.stderr.all().unwrap_or_else(|| self.fail("stderr is still open"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn signal(&self, signal: i32) {
        assert!(self.ended.is_none());
        send(self.pid, signal);
    }

    /// Sends a signal with a value. Tries again while the queue is full.
    #[track_caller]
    pub fn signal_with_value(&mut self, signal: i32, value: i32) {
        self.until("room for one more signal", |running| send_value(running.pid, signal, value));
    }

    /// Raises the limit of pending signals of this process, without that of the program.
    pub fn raise_queue(&self) {
        raise_queue(self.pid);
    }

    /// The process ID of the program, which must be the only child.
    #[track_caller]
    pub fn program(&mut self) -> i32 {
        match children(self.pid)[..] {
            [program] => program,
            _ => self.fail("expected one child"),
        }
    }

    /// Waits for the end, at most this long.
    pub fn ended_within(&mut self, time: Duration) -> Option<Ended> {
        if self.ended.is_none() && readable(self.pidfd.as_fd(), Instant::now() + time) {
            let status = reap(self.pid);
            self.ended = Some(if libc::WIFEXITED(status) {
                Ended::Exited(libc::WEXITSTATUS(status))
            } else {
                Ended::Killed(libc::WTERMSIG(status))
            });
        }
        self.ended
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(&mut self) -> Ended {
        self.ended_within(patience()).unwrap_or_else(|| self.fail("the process does not end"))
    }

    /// Waits for the end. Fails the test if it is not an exit with this code.
    #[track_caller]
    pub fn exits_with(&mut self, code: i32) {
        let ended = self.wait();
        if ended != Ended::Exited(code) {
            self.fail(&format!("expected exit code {code}, found {ended:?}"));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // If PID 1 dies, the kernel kills its namespace. Otherwise each process must be killed. An
            // ID can only be reused if a process has ended since it was listed.
            for pid in descendants(self.pid).into_iter().rev() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            reap(self.pid);
        }
    }
}
