//! Starting a process, and replacing this one by another program.

use super::{Errno, FailedCall, check, file};
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::fmt::Write;
use core::marker::PhantomData;
use core::mem::swap;
use core::ptr::null;
use std::os::fd::AsFd;

/// The child shares our memory and we sleep until it execs or exits, as with vfork(2): nothing is
/// copied, and no signal can be forwarded before the program is there. Emulators such as qemu-user
/// turn this into a fork, and everything must hold then too.
#[cfg(not(feature = "test-fork"))]
const FLAGS: c_int = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
#[cfg(feature = "test-fork")]
const FLAGS: c_int = libc::SIGCHLD;

/// Starts a child process that runs `child` and exits with the code that it returns. Returns the
/// child's PID.
///
/// The parent sleeps meanwhile, so `context` has one user at a time. `child` must not allocate or
/// take a lock: it may share our memory, and a signal may kill it anywhere.
///
/// # Errors
/// EAGAIN if no more processes are allowed, ENOMEM.
pub fn spawn<T>(context: &mut T, child: fn(&mut T) -> c_int) -> Result<i32, FailedCall> {
    struct Call<'a, T> {
        context: &'a mut T,
        child: fn(&mut T) -> c_int,
    }
    extern "C" fn enter<T>(call: *mut c_void) -> c_int {
        // SAFETY: `call` points to the structure below, which lives longer than the child uses it,
        // and which the parent does not touch meanwhile.
        let call = unsafe { &mut *call.cast::<Call<'_, T>>() };
        let code = (call.child)(call.context);
        // SAFETY: ends the child at once. The exit handlers are the parent's.
        unsafe { libc::_exit(code) }
    }
    let mut call = Call { context, child };
    // SAFETY: `enter` gets the structure that it expects, which lives longer than the child uses our
    // memory (vfork), or of which the child has a copy (fork).
    let pid = unsafe { clone_on_our_stack(enter::<T>, (&raw mut call).cast()) };
    let cause = match pid {
        // glibc's leaves the error in errno, musl's returns it.
        -1 if cfg!(target_env = "gnu") => Errno::last(),
        ..0 => Errno(pid.wrapping_neg()),
        _ => return Ok(pid),
    };
    Err(FailedCall { name: "clone", cause })
}

/// Calls clone(2). The child's stack is ours too, further down: none of our frames is there while we
/// sleep, and most of its pages have been used before. Where the stack ends, the kernel keeps a gap, so a
/// child whose calls are too deep is killed, and overwrites nothing that it shares with us.
///
/// # Safety
/// `argument` must be what `child` expects, as long as the child uses our memory.
#[inline(never)] // Keeps its caller's frame, which may be large, above the local variable.
unsafe fn clone_on_our_stack(
    child: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> c_int {
    /// More than this function and `__clone` keep on the stack, red zones included.
    const OUR_FRAMES: usize = 1024;
    /// What every ABI wants for its stack.
    const ALIGNMENT: usize = 16;
    let mut local = 0u8;
    let stack = (&raw mut local).wrapping_sub(OUR_FRAMES).map_addr(|it| it & !(ALIGNMENT - 1));
    // SAFETY: the stack grows down on every architecture that we build for, and nothing uses what is
    // below our frames, because the parent sleeps, or the child has a copy. The caller answers for `argument`.
    unsafe { __clone(child, stack.cast(), FLAGS, argument) }
}

unsafe extern "C" {
    /// The bare system call behind clone(2), in both C libraries. musl's clone() adds what a fork
    /// needs in a program with threads: more code than all of this module.
    fn __clone(
        child: extern "C" fn(*mut c_void) -> c_int,
        stack: *mut c_void,
        flags: c_int,
        argument: *mut c_void,
        ...
    ) -> c_int;
}

/// Starts a child process that is a copy of this one, runs `child` and exits with the code that it
/// returns. Returns the child's PID. Its end sends no signal, and only a wait with `__WCLONE` sees it
/// (wait(2)): it is no business of those who wait for the program and its orphans.
///
/// # Errors
/// EAGAIN if no more processes are allowed, ENOMEM.
pub(super) fn fork_silently(child: impl FnOnce() -> c_int) -> Result<i32, Errno> {
    const NO_FLAGS_NO_SIGNAL: c_long = 0;
    // SAFETY: as fork(2). The other arguments are for flags that are not set; their order depends on the
    // machine. The child only makes system calls, so it needs no lock that another thread holds.
    let pid = unsafe {
        let unused: c_long = 0;
        libc::syscall(libc::SYS_clone, NO_FLAGS_NO_SIGNAL, unused, unused, unused, unused)
    };
    if pid == 0 {
        let code = child();
        // SAFETY: ends the child at once. The exit handlers are the parent's.
        unsafe { libc::_exit(code) }
    }
    check(pid as c_int)
}

/// The arguments and the environment for execve(2).
pub struct ExecArgs<'a> {
    /// The shell, then the program's own argv, then null. The whole is the shell's argv for a
    /// script without `#!`.
    argv: Vec<*const c_char>,
    environment: ExecEnv<'a>,
    /// The other environment: the fallback, or after [`Self::fall_back`] the one that was replaced.
    other_environment: Option<ExecEnv<'a>>,
    has_fallen_back: bool,
}

/// The shell that runs a script without `#!`, as execvp(3) does.
const SHELL: &CStr = c"/bin/sh";

impl<'a> ExecArgs<'a> {
    /// `arguments` starts with the program's own name. `fallback` is a smaller environment, if there
    /// is one.
    #[must_use]
    pub fn new(
        arguments: &[&'a CStr],
        environment: ExecEnv<'a>,
        fallback: Option<ExecEnv<'a>>,
    ) -> Self {
        let mut argv = Vec::with_capacity(arguments.len().saturating_add(2));
        argv.push(SHELL.as_ptr());
        argv.extend(arguments.iter().map(|string| string.as_ptr()));
        argv.push(null());
        Self { argv, environment, other_environment: fallback, has_fallen_back: false }
    }

    /// Takes the fallback as the environment. Returns false if there is none, or if it is taken
    /// already. Frees nothing, because the memory may be our parent's.
    pub fn fall_back(&mut self) -> bool {
        match &mut self.other_environment {
            Some(fallback) if !self.has_fallen_back => {
                swap(&mut self.environment, fallback);
                self.has_fallen_back = true;
                true
            }
            _ => false,
        }
    }

    /// Whether the fallback is the environment, as far as we know: a child that shares no memory
    /// with us cannot tell.
    #[must_use]
    pub const fn has_fallen_back(&self) -> bool {
        self.has_fallen_back
    }

    /// Writes the program's PID into the variables that are to hold it. Allocates nothing, because
    /// there is room for it.
    pub fn set_pid(&mut self, pid: i32) {
        self.environment.set_pid(pid);
        if let Some(fallback) = &mut self.other_environment {
            fallback.set_pid(pid);
        }
    }
}

/// An environment for execve(2).
pub struct ExecEnv<'a> {
    envp: Vec<*const c_char>,
    /// The entries that hold the program's PID: the index of each in `envp`, and its text, which
    /// has room for the number.
    pid_entries: Vec<(usize, String)>,
    strings: PhantomData<&'a CStr>,
}

impl<'a> ExecEnv<'a> {
    /// `pid_entries` are the entries that are to hold the program's PID: the index of each in
    /// `environment`, and its name.
    #[must_use]
    pub fn new(environment: &[&'a CStr], mut pid_entries: Vec<(usize, String)>) -> Self {
        let mut envp = Vec::with_capacity(environment.len().saturating_add(1));
        envp.extend(environment.iter().map(|string| string.as_ptr()));
        envp.push(null());
        /// What follows the name: `=`, the longest PID (a 32-bit number), and a NUL.
        const ROOM: usize = 12;
        for (_, text) in &mut pid_entries {
            text.reserve(ROOM);
        }
        Self { envp, pid_entries, strings: PhantomData }
    }

    fn set_pid(&mut self, pid: i32) {
        for (index, text) in &mut self.pid_entries {
            if let Some(entry) = self.envp.get_mut(*index) {
                let _ = write!(text, "={pid}\0");
                *entry = text.as_ptr().cast();
            }
        }
    }
}

/// Replaces this process by the program in `file`, or by the shell if that is a script without
/// `#!`. Returns only if that fails. Allocates nothing.
pub fn exec(file: &CStr, args: &mut ExecArgs<'_>) -> Errno {
    let [shell, program @ ..] = args.argv.as_mut_slice() else {
        return Errno(libc::EINVAL);
    };
    // SAFETY: both arrays end with null, and `ExecArgs` borrows the strings they point to.
    unsafe { libc::execve(file.as_ptr(), program.as_ptr(), args.environment.envp.as_ptr()) };
    let error = Errno::last();
    if error.0 == libc::ENOEXEC
        && !is_elf(file)
        && let Some(name) = program.first_mut()
    {
        let original_name = *name;
        *name = file.as_ptr();
        // SAFETY: as above. The array now holds the shell, the script and its arguments.
        unsafe { libc::execve(SHELL.as_ptr(), &raw const *shell, args.environment.envp.as_ptr()) };
        let shell_error = Errno::last();
        if let Some(name) = args.argv.get_mut(1) {
            // `file` may not live as long as the other strings.
            *name = original_name;
        }
        return match shell_error.0 {
            // If there is no shell, that must not read as if there were no program.
            libc::ENOENT | libc::ENOTDIR | libc::EACCES => error,
            _ => shell_error,
        };
    }
    error
}

/// Whether a file is an ELF program, perhaps one for another architecture.
fn is_elf(path: &CStr) -> bool {
    let mut magic = [0; 4];
    file::open(path).is_ok_and(|file| file::read_prefix(file.as_fd(), &mut magic) == b"\x7fELF")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Disposition, set_disposition};
    use core::hint::black_box;
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;

    fn call_too_deep(_: &mut ()) -> c_int {
        fn call_itself(depth: usize) -> usize {
            let frame = black_box([depth; 64]);
            if depth == usize::MAX { 0 } else { call_itself(depth + 1) + black_box(frame)[0] }
        }
        // The test's own handler would end this process in another way.
        set_disposition(libc::SIGSEGV, Disposition::Default).unwrap();
        call_itself(0) as c_int
    }

    #[test]
    fn a_child_whose_calls_are_too_deep_is_killed() {
        let child = Pid::from_raw(spawn(&mut (), call_too_deep).unwrap());
        let status = waitpid(child, None).unwrap();
        assert_eq!(status, WaitStatus::Signaled(child, Signal::SIGSEGV, false));
    }

    /// A child that fills its stack.
    fn fill(seen: &mut usize) -> c_int {
        *seen = black_box([0xffu8; 256 << 10]).iter().filter(|byte| **byte == 0xff).count();
        7
    }

    #[test]
    fn the_stack_of_a_child_is_below_what_its_parent_uses() {
        let ours = black_box([1u8; 4096]);
        let mut seen = 0;
        let child = Pid::from_raw(spawn(&mut seen, fill).unwrap());
        assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 7));
        let expected = if cfg!(feature = "test-fork") { 0 } else { 256 << 10 };
        assert_eq!(seen, expected, "the memory is shared");
        assert!(black_box(ours).iter().all(|byte| *byte == 1));
    }
}
