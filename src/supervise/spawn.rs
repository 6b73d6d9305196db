//! The program's process: its group, its terminal, what it inherits, and its exec.

use crate::error::Error;
use crate::exit::{NOT_EXECUTABLE, NOT_FOUND};
use crate::stderr::Stderr;
use crate::sys::{
    Disposition, Errno, Exec, SignalSet, block_all, exec, exists, set_disposition, set_mask, spawn,
    stdin,
};
use crate::text::Strings;
use core::ffi::{CStr, c_int};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgrp, getpid, getppid, setpgid, tcgetpgrp, tcsetpgrp};

/// The signal mask and the disposition of SIGCHLD as they were given to us, for the program. No
/// other disposition is ever changed.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// The signals that were blocked.
    pub mask: SignalSet,
    /// What was to happen on SIGCHLD.
    pub child: Disposition,
}

/// All that it takes to become the program.
pub struct Image<'a> {
    /// The program's name as it was given, for messages.
    pub name: &'a CStr,
    /// The files it may be, in order, as C strings.
    pub candidates: &'a [u8],
    /// Its arguments and environment.
    pub exec: Exec<'a>,
}

impl Image<'_> {
    /// Becomes the first candidate that can be executed, as execvp(3) finds it, with the given
    /// signal mask. Returns with the reason why there is none, and the exit code for it; every
    /// signal is blocked again then, so that a broken standard error cannot end us before the
    /// code is out. Allocates nothing.
    pub fn become_it(&mut self, mask: SignalSet) -> (Error<'_>, u8) {
        set_mask(mask);
        let mut cause = Errno(libc::ENOENT);
        let mut interpreter = false;
        for file in Strings(self.candidates) {
            let error = exec(file, &mut self.exec);
            match error.0 {
                // A later directory may have it; what the first said of one that is there stays.
                libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG if cause.0 == libc::ENOENT => {
                    interpreter |= exists(file);
                }
                libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG => {}
                libc::EACCES => cause = error,
                _ => {
                    cause = error;
                    break;
                }
            }
        }
        let _ = block_all();
        let code = if cause.0 == libc::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE };
        let program = self.name.to_bytes();
        interpreter &= cause.0 == libc::ENOENT;
        (Error::Exec { program, cause, interpreter }, code)
    }
}

/// The terminal that is standard input, if we are where its input goes to.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Whether there is one at all, ours or not.
    pub is_there: bool,
    /// Whether our process group is in its foreground.
    pub is_ours: bool,
}

impl Terminal {
    /// Asks for it.
    #[must_use]
    pub fn find() -> Self {
        let foreground = tcgetpgrp(stdin());
        Self { is_there: foreground.is_ok(), is_ours: foreground == Ok(getpgrp()) }
    }

    /// Gives it to a process group, and tells whether it did. That can fail only where it is not ours to give any more, and
    /// then nobody is to be told. SIGTTOU is blocked, so we may do it from the background too.
    pub fn give(group: Pid) -> bool {
        tcsetpgrp(stdin(), group).is_ok()
    }

    /// Gives it to `to` if `from` has it, and tells whether it did. A group of 0 is outside of our
    /// PID namespace, where one cannot be told from another.
    pub fn pass(from: Pid, to: Pid) -> bool {
        from.as_raw() != 0 && tcgetpgrp(stdin()) == Ok(from) && Self::give(to)
    }
}

/// What the child works with. The parent is suspended while it does, or has its own copy.
struct Plan<'a, 'b> {
    image: &'b mut Image<'a>,
    stderr: &'b mut Stderr,
    inherited: Inherited,
    terminal: Terminal,
    dies_with_us: bool,
    parent: Pid,
}

/// Starts the program in a process group of its own, in the foreground of the terminal if we are.
///
/// # Errors
/// EAGAIN or ENOMEM where there can be no process.
pub fn start(
    image: &mut Image<'_>,
    stderr: &mut Stderr,
    inherited: Inherited,
    terminal: Terminal,
    dies_with_us: bool,
) -> Result<Pid, Errno> {
    let mut plan = Plan { image, stderr, inherited, terminal, dies_with_us, parent: getpid() };
    let process = Pid::from_raw(spawn(&mut plan, child)?);
    // The child has done so itself, but where it is a fork it may not have come to it yet, and
    // the group must be there before the first signal is sent to it. After its exec: EACCES.
    let _ = setpgid(process, process);
    Ok(process)
}

/// In the child: from here to exec nothing is allocated, and every signal is blocked until the
/// last moment.
fn child(plan: &mut Plan<'_, '_>) -> c_int {
    let own = getpid();
    // Fails for none of the reasons in setpgid(2): the child is new and no session leader.
    let _ = setpgid(own, own);
    plan.image.exec.set_own_id(own.as_raw());
    if plan.terminal.is_ours {
        Terminal::give(own);
    }
    if plan.dies_with_us {
        let _ = set_pdeathsig(Signal::SIGKILL);
        // The parent may have died before it was asked for.
        if getppid() != plan.parent {
            return NOT_EXECUTABLE.into();
        }
    }
    set_disposition(libc::SIGCHLD, plan.inherited.child);
    let (error, code) = plan.image.become_it(plan.inherited.mask);
    plan.stderr.fatal(&error);
    code.into()
}
