//! Starts processes with raw system calls, so that the test is the parent of PID 1 and gets its real wait
//! status, which unshare(1) would hide. All the `unsafe` code of the tests is in this file.

use libc::{c_char, c_int, c_long, c_void, pid_t};
use std::ffi::CString;
use std::io::{self, Error, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null;

/// Everything that a process starts with. All of it is allocated before the clone, because the child of a
/// process with threads must not allocate.
pub struct Plan {
    pub path: CString,
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
    /// Descriptors 0 to 2; `None` is closed.
    pub standard: [Option<RawFd>; 3],
    /// One more descriptor, and its number in the new process.
    pub extra: Option<(RawFd, RawFd)>,
    /// In a new PID and mount namespace.
    pub pid_1: bool,
    /// In a new user namespace too, as its root.
    pub user_namespace: bool,
    /// Descriptor 0 is the terminal of a new session.
    pub terminal: bool,
    pub root: Option<CString>,
    pub blocked: u64,
    pub ignored: u64,
    /// The soft `RLIMIT_SIGPENDING`.
    pub queue: Option<u64>,
    /// The `RLIMIT_FSIZE`.
    pub file_size: Option<u64>,
    /// A privilege of root that it does not have (capabilities(7)).
    pub lacks_capability: Option<c_int>,
    /// A seccomp filter; none if it is empty.
    pub filter: Vec<libc::sock_filter>,
    /// The lines for uid_map(5) and gid_map(5).
    pub maps: [CString; 2],
}

/// A new process.
pub struct Spawned {
    pub pid: pid_t,
    pub pidfd: OwnedFd,
}

/// The step that failed in the child, and its errno.
type Failure = (&'static str, c_int);

/// Starts a process. The error is that of the clone or, as `Other`, that of a later step.
pub fn spawn(plan: &Plan) -> io::Result<Spawned> {
    let arguments = pointers(&plan.arguments);
    let environment = pointers(&plan.environment);
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let mut flags = libc::SIGCHLD;
    if plan.pid_1 {
        flags |= libc::CLONE_NEWPID | libc::CLONE_NEWNS;
    }
    if plan.user_namespace {
        flags |= libc::CLONE_NEWUSER;
    }
    // SAFETY: as fork(2); the child only makes system calls from here on, and does not return.
    let pid = unsafe { libc::syscall(libc::SYS_clone, c_long::from(flags), 0, 0, 0, 0) };
    if pid == 0 {
        let (step, errno) = child(plan, &arguments, &environment);
        let mut message = [0; 64];
        let length = step.len().min(60);
        message[..length].copy_from_slice(&step.as_bytes()[..length]);
        message[60..].copy_from_slice(&errno.to_ne_bytes());
        // SAFETY: writes from an array of that length, then ends the child.
        unsafe {
            libc::write(writer.as_raw_fd(), message.as_ptr().cast(), message.len());
            libc::_exit(125)
        }
    }
    if pid == -1 {
        return Err(Error::last_os_error());
    }
    drop(writer);
    let mut message = Vec::new();
    std::fs::File::from(reader).read_to_end(&mut message)?;
    let pid = pid_t::try_from(pid).unwrap();
    if let Some((step, errno)) = message.split_at_checked(60) {
        reap(pid);
        let step = String::from_utf8_lossy(step).trim_end_matches('\0').to_owned();
        let cause = Error::from_raw_os_error(c_int::from_ne_bytes(errno.try_into().unwrap()));
        return Err(Error::other(format!("{step}: {cause}")));
    }
    // SAFETY: the child is not yet waited for, so the number is its own.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, c_long::from(pid), 0) };
    if fd == -1 {
        return Err(Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap()) };
    Ok(Spawned { pid, pidfd })
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([null()]).collect()
}

/// Runs in the child. Returns only if a step failed.
fn child(plan: &Plan, arguments: &[*const c_char], environment: &[*const c_char]) -> Failure {
    let done = |step, result: c_long| {
        if result == -1 {
            Err((step, Error::last_os_error().raw_os_error().unwrap_or(0)))
        } else {
            Ok(())
        }
    };
    let call = |step, result: c_int| done(step, result.into());
    // SAFETY: system calls on pointers that live in `plan`, which was copied with the process.
    let steps = || unsafe {
        // In case the test ends before it has killed the process.
        call("prctl", libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        if plan.user_namespace {
            write_file(c"/proc/self/setgroups", c"deny");
            write_file(c"/proc/self/uid_map", &plan.maps[0]);
            write_file(c"/proc/self/gid_map", &plan.maps[1]);
        }
        if plan.pid_1 {
            let private = libc::MS_REC | libc::MS_PRIVATE;
            call("mount /", libc::mount(null(), c"/".as_ptr(), null(), private, null()))?;
            let proc = c"proc".as_ptr();
            call("mount /proc", libc::mount(proc, c"/proc".as_ptr(), proc, 0, null()))?;
        }
        if plan.terminal || plan.pid_1 {
            call("setsid", libc::setsid())?;
        } else {
            // A new process group, so that a signal to the group does not reach the tests.
            call("setpgid", libc::setpgid(0, 0))?;
        }
        let all = c_long::from(u32::MAX);
        let cloexec = c_long::from(libc::CLOSE_RANGE_CLOEXEC);
        done("close_range", libc::syscall(libc::SYS_close_range, 3, all, cloexec))?;
        for (number, source) in (0..).zip(plan.standard) {
            match source {
                Some(source) => call("dup2", libc::dup2(source, number))?,
                None => _ = libc::close(number),
            }
        }
        if let Some((source, number)) = plan.extra {
            call("dup2", libc::dup2(source, number))?;
            // It may have had that number, and then dup2(2) changes nothing.
            call("fcntl", libc::fcntl(number, libc::F_SETFD, 0))?;
        }
        if plan.terminal {
            call("TIOCSCTTY", libc::ioctl(0, libc::TIOCSCTTY, 0))?;
        }
        if let Some(root) = &plan.root {
            call("chroot", libc::chroot(root.as_ptr()))?;
            call("chdir", libc::chdir(c"/".as_ptr()))?;
        }
        if let Some(queue) = plan.queue {
            let resource = libc::RLIMIT_SIGPENDING;
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            call("getrlimit", libc::getrlimit(resource, &raw mut limit))?;
            limit.rlim_cur = queue;
            call("setrlimit", libc::setrlimit(resource, &raw const limit))?;
        }
        if let Some(size) = plan.file_size {
            let limit = libc::rlimit { rlim_cur: size, rlim_max: size };
            call("setrlimit", libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit))?;
        }
        if let Some(capability) = plan.lacks_capability {
            // The execve below takes it from root (capabilities(7)).
            call("PR_CAPBSET_DROP", libc::prctl(libc::PR_CAPBSET_DROP, capability))?;
        }
        if !plan.filter.is_empty() {
            let filter = plan.filter.as_ptr().cast_mut();
            let program = libc::sock_fprog { len: plan.filter.len() as u16, filter };
            call("no_new_privs", libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
            let mode = libc::SECCOMP_MODE_FILTER;
            call("seccomp", libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program))?;
        }
        // Last, because a signal may end the child from here on. The C library rejects the realtime
        // signals that it reserves, so this is the raw system call with the kernel's structure.
        for signal in 1..=64 {
            let ignore = plan.ignored >> (signal - 1) & 1 == 1;
            let handler = if ignore { libc::SIG_IGN } else { libc::SIG_DFL };
            let action = [handler as u64, 0, 0, 0];
            let action = action.as_ptr();
            libc::syscall(libc::SYS_rt_sigaction, c_long::from(signal), action, 0, 8);
        }
        let blocked = &raw const plan.blocked;
        let how = c_long::from(libc::SIG_SETMASK);
        done("rt_sigprocmask", libc::syscall(libc::SYS_rt_sigprocmask, how, blocked, 0, 8))?;
        let path = plan.path.as_ptr();
        call("execve", libc::execve(path, arguments.as_ptr(), environment.as_ptr()))
    };
    steps().err().unwrap_or(("execve", 0))
}

/// A seccomp filter that makes these system calls fail.
pub fn refusing(calls: &[c_long], error: c_int) -> Vec<libc::sock_filter> {
    const NUMBER: u32 = std::mem::offset_of!(libc::seccomp_data, nr) as u32;
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equals = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let end = (libc::BPF_RET | libc::BPF_K) as u16;
    let instruction = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    let mut filter = vec![instruction(load, NUMBER, 0)];
    for &call in calls {
        filter.push(instruction(equals, u32::try_from(call).unwrap(), 1));
        filter.push(instruction(end, libc::SECCOMP_RET_ERRNO | error.cast_unsigned(), 0));
    }
    filter.push(instruction(end, libc::SECCOMP_RET_ALLOW, 0));
    filter
}

/// Writes a file of /proc in the child. If this fails, a later step fails too.
unsafe fn write_file(path: &std::ffi::CStr, content: &std::ffi::CStr) {
    let content = content.to_bytes();
    // SAFETY: a path that ends with null, and a buffer of that length.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY);
        libc::write(fd, content.as_ptr().cast(), content.len());
        libc::close(fd);
    }
}

/// Reaps a child and returns its wait status.
pub fn reap(pid: pid_t) -> c_int {
    let mut status = 0;
    // SAFETY: writes to one integer.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } == -1 {
        assert_eq!(Error::last_os_error().kind(), io::ErrorKind::Interrupted);
    }
    status
}

/// kill(2). That of nix takes only signals that have a name.
pub fn send(pid: pid_t, signal: c_int) {
    // SAFETY: takes two integers.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "kill {pid} with {signal}");
}

/// sigqueue(3), which sends a signal with a value. Returns whether the queue had room.
pub fn send_value(pid: pid_t, signal: c_int, value: i32) -> bool {
    unsafe extern "C" {
        fn sigqueue(pid: pid_t, signal: c_int, value: libc::sigval) -> c_int;
    }
    let value = libc::sigval { sival_ptr: value as usize as *mut c_void };
    // SAFETY: the declaration is that of the manual page.
    let result = unsafe { sigqueue(pid, signal, value) };
    // EAGAIN: the receiver's RLIMIT_SIGPENDING (sigqueue(3)).
    assert!(result == 0 || Error::last_os_error().kind() == io::ErrorKind::WouldBlock);
    result == 0
}

/// Raises the soft `RLIMIT_SIGPENDING` of a process to 1,000, or to the hard limit if that is lower.
pub fn raise_queue(pid: pid_t) {
    let resource = libc::RLIMIT_SIGPENDING;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads, then writes one structure.
    let result = unsafe {
        libc::prlimit(pid, resource, null(), &raw mut limit);
        limit.rlim_cur = limit.rlim_max.min(1000);
        libc::prlimit(pid, resource, &raw const limit, std::ptr::null_mut())
    };
    assert_eq!(result, 0, "prlimit: {}", Error::last_os_error());
}

/// The soft `RLIMIT_SIGPENDING` of a process.
pub fn queue_limit(pid: i32) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one structure.
    let result = unsafe { libc::prlimit(pid, libc::RLIMIT_SIGPENDING, null(), &raw mut limit) };
    assert_eq!(result, 0, "prlimit: {}", Error::last_os_error());
    limit.rlim_cur
}

/// Sets the soft `RLIMIT_CPU` of a process to a number of seconds.
pub fn limit_cpu_time(pid: pid_t, seconds: u64) {
    let limit = libc::rlimit { rlim_cur: seconds, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads one structure.
    let result =
        unsafe { libc::prlimit(pid, libc::RLIMIT_CPU, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(result, 0, "prlimit: {}", Error::last_os_error());
}

/// The soft `RLIMIT_CPU` of a process in seconds.
pub fn cpu_time_limit(pid: pid_t) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one structure.
    let result = unsafe { libc::prlimit(pid, libc::RLIMIT_CPU, null(), &raw mut limit) };
    assert_eq!(result, 0, "prlimit: {}", Error::last_os_error());
    limit.rlim_cur
}

/// Sets the size of a terminal. The kernel sends SIGWINCH to its foreground process group.
pub fn resize(terminal: RawFd, rows: u16, columns: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the ioctl reads one structure.
    let result = unsafe { libc::ioctl(terminal, libc::TIOCSWINSZ, &raw const size) };
    assert_eq!(result, 0, "TIOCSWINSZ");
}

/// The foreground process group of a terminal, seen from outside its session.
pub fn foreground(master: RawFd) -> pid_t {
    let mut group: pid_t = 0;
    // SAFETY: the ioctl writes one integer.
    let result = unsafe { libc::ioctl(master, libc::TIOCGPGRP, &raw mut group) };
    assert_eq!(result, 0, "TIOCGPGRP");
    group
}

/// Has a function called when the process exits.
pub fn at_exit(function: extern "C" fn()) {
    // SAFETY: the function lives as long as the process.
    assert_eq!(unsafe { libc::atexit(function) }, 0, "atexit");
}
