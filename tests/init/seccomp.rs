//! System calls that fail because of a seccomp filter, as containers have one.

use crate::support::{Init, Opt, probe_path};
use std::process::{Command, Output};

/// Runs the init, with a program that exits with 3, while a system call fails.
fn denying(call: i64, error: i32) -> Output {
    let init = Init::under_test();
    Command::new(probe_path())
        .args(["refuse", &call.to_string(), &error.to_string()])
        .arg(&init.path)
        .args(init.arguments_for(Opt::Subreaper))
        .arg(probe_path())
        .args(["exit", "3"])
        .output()
        .unwrap()
}

/// An init that cannot wait for its program must not start it.
#[test]
fn init_starts_nothing_if_it_cannot_wait() {
    Init::must_be_loadline();
    for call in [libc::SYS_waitid, libc::SYS_rt_sigtimedwait, libc::SYS_clone] {
        for error in [libc::EPERM, libc::ENOSYS] {
            let output = denying(call, error);
            assert_eq!(output.status.code(), Some(1), "{call} {output:?}");
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(message.contains("seccomp") && message.lines().count() == 1, "{message}");
        }
    }
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
    ];
    for call in optional {
        for error in [libc::EPERM, libc::ENOSYS] {
            let output = denying(call, error);
            assert_eq!(output.status.code(), Some(3), "{call} {output:?}");
        }
    }
}
