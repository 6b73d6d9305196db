//! System calls that fail because of a seccomp filter, as containers have one.

use crate::support::{Init, Opt, patience, probe_path};
use std::process::{Command, Output};

/// Runs the init, with a program that exits with 3, while a system call fails. If it hangs, it is killed.
fn denying(call: i64, error: i32, options: &[&str]) -> Output {
    let init = Init::under_test();
    Command::new("timeout")
        .args(["-s", "KILL", &patience().as_secs().to_string()])
        .arg(probe_path())
        .args(["refuse", &call.to_string(), &error.to_string()])
        .arg(&init.path)
        .args(init.arguments_for(Opt::Subreaper))
        .args(options)
        .arg(probe_path())
        .args(["exit", "3"])
        .output()
        .unwrap()
}

/// An init that cannot block or take signals, or cannot wait for its program, must not start it.
#[test]
fn init_names_the_call_that_it_cannot_do_without() {
    Init::must_be_loadline();
    for (call, name) in [
        (libc::SYS_rt_sigprocmask, "rt_sigprocmask"),
        (libc::SYS_rt_sigaction, "rt_sigaction"),
        (libc::SYS_rt_sigtimedwait, "rt_sigtimedwait"),
        (libc::SYS_wait4, "wait4"),
        (libc::SYS_clone, "clone"),
    ] {
        for error in [libc::EPERM, libc::ENOSYS] {
            let output = denying(call, error, &[]);
            assert_eq!(output.status.code(), Some(1), "{name} {output:?}");
            assert_names(name, &output);
        }
    }
}

/// It needs the call to find the processes that are left, and would leave them running.
#[test]
fn draining_init_names_the_call_that_it_cannot_do_without() {
    Init::must_be_loadline();
    let output = denying(libc::SYS_waitid, libc::EPERM, &["--drain", "1s"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_names("waitid", &output);
}

fn assert_names(call: &str, output: &Output) {
    let message = String::from_utf8_lossy(&output.stderr);
    let expected = format!("loadline: cannot start the program: {call} failed: ");
    assert!(message.starts_with(&expected), "{message}");
    assert!(message.contains("seccomp") && message.lines().count() == 1, "{message}");
}

#[test]
fn init_runs_without_optional_system_calls() {
    let optional = [
        libc::SYS_pwritev2,
        libc::SYS_setpgid,
        libc::SYS_prctl,
        libc::SYS_sysinfo,
        libc::SYS_sched_getaffinity,
        libc::SYS_ioctl,
        libc::SYS_waitid,
        libc::SYS_getpid,
        libc::SYS_clock_gettime,
        libc::SYS_close_range,
        libc::SYS_madvise,
    ];
    for call in optional {
        for error in [libc::EPERM, libc::ENOSYS] {
            let output = denying(call, error, &[]);
            assert_eq!(output.status.code(), Some(3), "{call} {output:?}");
        }
    }
}
