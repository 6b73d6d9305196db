//! Starting a process, becoming another program, and what became of the children.

use super::file::open;
use super::{Errno, check, signal};
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::marker::PhantomData;
use core::mem::zeroed;
use core::ptr::{null, null_mut};

/// What the child needs between clone and exec: the deepest of it writes one message.
const CHILD_STACK: usize = 32 * 1024;

/// Aligned as every ABI wants its stack.
#[derive(Clone, Copy)]
#[repr(align(16))]
struct StackUnit(#[allow(dead_code, reason = "only for its size")] [u8; 16]);

/// With the address space shared nothing is copied, and the parent sleeps until the child execs
/// or exits: no signal can be forwarded to a child that is not yet there. Everything holds
/// without it too, as under an emulator that turns vfork into fork.
#[cfg(not(feature = "test-fork"))]
const FLAGS: c_int = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
#[cfg(feature = "test-fork")]
const FLAGS: c_int = libc::SIGCHLD;

/// Starts a child that runs `child` and exits with what it returns, if it returns.
///
/// The parent is suspended meanwhile, so `plan` has one user at a time. `child` allocates nothing
/// and takes no lock: it may share our memory, and a signal may end it anywhere.
///
/// # Errors
/// EAGAIN where no more processes are allowed, ENOMEM.
pub fn spawn<T>(plan: &mut T, child: fn(&mut T) -> c_int) -> Result<i32, Errno> {
    struct Call<'a, T> {
        plan: &'a mut T,
        child: fn(&mut T) -> c_int,
    }
    extern "C" fn enter<T>(call: *mut c_void) -> c_int {
        // SAFETY: `call` is the structure below, which outlives the child's use of it, and the
        // parent does not touch it meanwhile.
        let call = unsafe { &mut *call.cast::<Call<'_, T>>() };
        let code = (call.child)(call.plan);
        // SAFETY: ends the child at once; running the parent's exit handlers here would be wrong.
        unsafe { libc::_exit(code) }
    }
    let mut call = Call { plan, child };
    // On the heap: in this frame all its pages would be touched, to probe for an overflow.
    let mut stack = Vec::<StackUnit>::with_capacity(CHILD_STACK / size_of::<StackUnit>());
    let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
    let call = (&raw mut call).cast();
    // SAFETY: the stack grows down from one past its end, on every architecture we build for. It
    // and the call live longer than the child's use of our memory (vfork), or are copied (fork).
    let process = unsafe { __clone(enter::<T>, top.cast(), FLAGS, call) };
    match process {
        // glibc's leaves the reason in errno, musl's returns it.
        -1 if cfg!(target_env = "gnu") => Err(Errno::last()),
        ..0 => Err(Errno(process.wrapping_neg())),
        _ => Ok(process),
    }
}

unsafe extern "C" {
    /// What is behind clone(2) in both C libraries. musl's clone wraps it in what a fork needs in a
    /// program with threads: more code than all of ours for processes.
    fn __clone(
        child: extern "C" fn(*mut c_void) -> c_int,
        stack: *mut c_void,
        flags: c_int,
        argument: *mut c_void,
        ...
    ) -> c_int;
}

/// A program to become: where it may be, and what it is given.
pub struct Exec<'a> {
    /// The shell, the name and the arguments of the program, null: the program's own argv starts
    /// at the second, the whole is the shell's argv for a script without `#!`.
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    /// The variable that is to hold the program's process id: its place in `envp`, and its text,
    /// with room for the number.
    own_id: Option<(usize, Vec<u8>)>,
    strings: PhantomData<&'a CStr>,
}

/// The shell that is given a script without `#!`, as execvp(3) does.
const SHELL: &CStr = c"/bin/sh";

impl<'a> Exec<'a> {
    /// `arguments` starts with the program's own name. `own_id` is what stands before the process
    /// id in a variable that is to name the program, and the place of that variable.
    #[must_use]
    pub fn new(
        arguments: &[&'a CStr],
        environment: &[&'a CStr],
        own_id: Option<(usize, &[u8])>,
    ) -> Self {
        let mut argv = Vec::with_capacity(arguments.len().saturating_add(2));
        argv.push(SHELL.as_ptr());
        argv.extend(arguments.iter().map(|string| string.as_ptr()));
        argv.push(null());
        let mut envp = Vec::with_capacity(environment.len().saturating_add(1));
        envp.extend(environment.iter().map(|string| string.as_ptr()));
        envp.push(null());
        let own_id = own_id.map(|(place, name)| {
            let mut text =
                Vec::with_capacity(name.len().saturating_add(ID_DIGITS).saturating_add(1));
            text.extend_from_slice(name);
            (place, text)
        });
        Self { argv, envp, own_id, strings: PhantomData }
    }

    /// Gives the variable that is to hold it the process id of the program. Allocates nothing, as
    /// there is room for it.
    pub fn set_own_id(&mut self, process: i32) {
        let Some((place, text)) = &mut self.own_id else {
            return;
        };
        let mut digits = [0u8; ID_DIGITS];
        let mut rest = process.unsigned_abs();
        let mut count = 0usize;
        for digit in digits.iter_mut().rev() {
            *digit = b'0'.wrapping_add((rest % 10) as u8);
            rest /= 10;
            count = count.saturating_add(1);
            if rest == 0 {
                break;
            }
        }
        text.extend_from_slice(digits.get(ID_DIGITS.saturating_sub(count)..).unwrap_or_default());
        text.push(0);
        if let Some(variable) = self.envp.get_mut(*place) {
            *variable = text.as_ptr().cast();
        }
    }
}

/// The most that a process id has: they are 32-bit numbers.
const ID_DIGITS: usize = 10;

/// Becomes the program at `file`, or by the shell if it is a script without `#!`.
/// Returns only with the error. Allocates nothing.
pub fn exec(file: &CStr, exec: &mut Exec<'_>) -> Errno {
    let [shell, program @ ..] = exec.argv.as_mut_slice() else {
        return Errno(libc::EINVAL);
    };
    // SAFETY: both arrays end with null, and `Exec` borrows the strings they point to.
    unsafe { libc::execve(file.as_ptr(), program.as_ptr(), exec.envp.as_ptr()) };
    let error = Errno::last();
    if error.0 == libc::ENOEXEC
        && !is_elf(file)
        && let Some(name) = program.first_mut()
    {
        *name = file.as_ptr();
        let shell = &raw const *shell;
        // SAFETY: as above; the array now is the shell, the script and its arguments.
        unsafe { libc::execve(SHELL.as_ptr(), shell, exec.envp.as_ptr()) };
        // The shell's own absence must not read as the program's.
        return Errno(libc::ENOEXEC);
    }
    error
}

/// Whether a file is a program, though it may be one for another machine.
fn is_elf(file: &CStr) -> bool {
    let mut magic = [0u8; 4];
    let Ok(file) = open(file, libc::O_RDONLY) else {
        return false;
    };
    // SAFETY: at most four bytes are written to the array, and the descriptor is ours.
    let read = unsafe {
        let read = libc::read(file, magic.as_mut_ptr().cast(), magic.len());
        libc::close(file);
        read
    };
    read == 4 && magic == *b"\x7fELF"
}

/// What happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its process id.
    pub process: i32,
    /// Its new state.
    pub how: How,
}

/// How a child ended, or that it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It ended with this exit status.
    Exited(c_int),
    /// This signal ended it.
    Killed(c_int),
    /// This signal stopped it.
    Stopped(c_int),
}

/// Whether signals and children can be waited for: to be asked before there is a child, as a
/// seccomp filter may refuse what no init can do without.
///
/// # Errors
/// What the filter returns.
pub fn can_wait() -> Result<(), Errno> {
    let _ = signal::pending_signal(signal::SignalSet(0));
    match Errno::last() {
        Errno(libc::EAGAIN) => {}
        error => return Err(error),
    }
    match look_for(libc::P_ALL, 0) {
        Err(error) if error.0 != libc::ECHILD => Err(error),
        _ => Ok(()),
    }
}

/// Whether there is any child, be it one that has ended.
#[must_use]
pub fn has_children() -> bool {
    look_for(libc::P_ALL, 0).is_ok()
}

/// Whether a process is a child of ours, be it one that has ended.
#[must_use]
pub fn is_child(process: i32) -> bool {
    look_for(libc::P_PID, process.unsigned_abs()).is_ok()
}

/// Asks for children and reaps none; ECHILD is what the kernel says where there are none.
fn look_for(which: libc::idtype_t, id: libc::id_t) -> Result<(), Errno> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: with a null pointer nothing is written.
    check(unsafe { libc::waitid(which, id, null_mut(), options) }).map(drop)
}

/// The next change of state among the children, if there is one; an ended child is reaped by it.
#[must_use]
pub fn next_change() -> Option<Change> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WSTOPPED;
    // SAFETY: siginfo_t is a plain C structure, for which zero is a value; the kernel leaves it
    // so if there is nothing to report (waitid(2)).
    let (result, info) = unsafe {
        let mut info: libc::siginfo_t = zeroed();
        (libc::waitid(libc::P_ALL, 0, &raw mut info, options), info)
    };
    // SAFETY: the fields lie within the structure, and any bits are an integer.
    let (process, status) = unsafe { (info.si_pid(), info.si_status()) };
    if result == -1 || process == 0 {
        return None;
    }
    let how = match info.si_code {
        libc::CLD_EXITED => How::Exited(status),
        libc::CLD_STOPPED | libc::CLD_TRAPPED => How::Stopped(status),
        _ => How::Killed(status),
    };
    Some(Change { process, how })
}

/// Sends a signal as kill(2) does: to a process, or to a group where `target` is negative.
///
/// # Errors
/// ESRCH where nobody is there, EPERM where it is somebody else's.
pub fn send_signal(target: i32, number: c_int) -> Result<(), Errno> {
    signal::kill(target, number)
}

unsafe extern "C" {
    /// The header of this program's file, as the linker has it in memory.
    static __ehdr_start: libc::Elf64_Ehdr;
}

/// Makes read-only what the linker set apart for that, as it holds pointers that change no more once
/// they are relocated (RELRO): the C library's start code leaves them as they are in a static
/// program. Nothing is lost where it cannot be done.
pub fn protect_relocations() {
    // SAFETY: the program headers lie in memory as the header of the file says, and addresses in them
    // are relative to it. What is protected is from the one that says what may be, in whole pages,
    // and nothing writes to it once main is reached.
    unsafe {
        let base = (&raw const __ehdr_start).cast::<u8>();
        let headers = base.add(__ehdr_start.e_phoff as usize).cast::<libc::Elf64_Phdr>();
        let page = libc::getauxval(libc::AT_PAGESZ) as usize;
        for index in 0..__ehdr_start.e_phnum {
            let header = &*headers.add(index.into());
            if header.p_type == libc::PT_GNU_RELRO {
                let start = base as usize + header.p_vaddr as usize;
                let end = start + header.p_memsz as usize;
                let [start, end] = [start, end].map(|it| it & page.wrapping_neg());
                libc::mprotect(start as *mut c_void, end.wrapping_sub(start), libc::PROT_READ);
            }
        }
    }
}

/// The CPU time in microseconds, in user mode and in the kernel, of the children that were waited
/// for and of those that these had waited for (getrusage(2)).
#[must_use]
pub fn children_cpu() -> [u64; 2] {
    // SAFETY: rusage is a plain C structure, for which zero is a value, and is filled whole.
    let usage = unsafe {
        let mut usage: libc::rusage = zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    [usage.ru_utime, usage.ru_stime].map(|time| {
        (time.tv_sec as u64).saturating_mul(1_000_000).saturating_add(time.tv_usec as u64)
    })
}

/// The number of CPUs this process may run on (sched_getaffinity(2)), cpusets included.
///
/// In a frame of its own, for the mask is the largest thing that is on the stack.
#[must_use]
#[inline(never)]
pub fn allowed_cpus() -> Option<u32> {
    // Room for 8,192 CPUs, the most that Linux can be built for; with less than the kernel's own
    // mask it answers EINVAL. The raw call returns the bytes it wrote; the C library's does not.
    let mut mask = [0u64; 128];
    // SAFETY: the kernel writes at most the size given.
    let bytes = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0 as c_long,
            size_of_val(&mask),
            mask.as_mut_ptr(),
        )
    };
    let words = usize::try_from(bytes).ok()?.div_ceil(size_of::<u64>());
    let count = mask.iter().take(words).map(|word| word.count_ones()).sum();
    (count > 0).then_some(count)
}

/// The machine's memory in bytes (sysinfo(2)): the same number as MemTotal in proc(5).
#[must_use]
pub fn memory_total() -> Option<u64> {
    let info = sysinfo();
    info.totalram.checked_mul(info.mem_unit.into()).filter(|bytes| *bytes > 0)
}

/// Has pages provided for the stack below the caller's frame, so many as messages take that are put
/// together there, for a time when there may be none left.
#[inline(never)]
pub fn touch_stack() {
    core::hint::black_box([0u8; 16 * 1024]);
}

/// The bytes of swap that are free on this machine (sysinfo(2)).
#[must_use]
pub fn free_swap() -> u64 {
    let info = sysinfo();
    info.freeswap.saturating_mul(info.mem_unit.into())
}

/// All zero where it cannot be asked.
fn sysinfo() -> libc::sysinfo {
    // SAFETY: sysinfo is a plain C structure, for which zero is a value, and is filled whole.
    unsafe {
        let mut info = zeroed();
        libc::sysinfo(&raw mut info);
        info
    }
}
