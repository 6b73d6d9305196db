//! The program inherits what the init inherited: signal mask, dispositions, descriptors, arguments and
//! environment. Closed descriptors do no harm.

use crate::support::{
    Ended, Init, Input, Launch, OF_THE_C_LIBRARY, Opt, Place, Running, Tree, bytes, probe_path,
};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The lines of the probe's `state` that begin with one of these.
fn state(running: &mut Running, beginnings: &[&str]) -> Vec<String> {
    let output = String::from_utf8(running.output()).unwrap();
    let lines = output.lines().filter(|line| beginnings.iter().any(|it| line.starts_with(it)));
    lines.map(str::to_owned).collect()
}

#[test]
fn no_other_signal_is_blocked_or_ignored() {
    are_inherited(&["blocked", "ignored"], &[], &[]);
}

#[test]
fn blocked_signals_stay_blocked() {
    for blocked in [&[libc::SIGUSR1] as &[_], &[libc::SIGCHLD], &[34, 35, 64]] {
        are_inherited(&["blocked"], blocked, &[]);
    }
    are_inherited(&["blocked"], &[libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU], &[]);
    let all = (1..=64).filter(|signal| !OF_THE_C_LIBRARY.contains(signal));
    let all = all.filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal));
    are_inherited(&["blocked"], &all.collect::<Vec<_>>(), &[]);
}

#[test]
fn ignored_signals_stay_ignored() {
    for ignored in [&[libc::SIGINT, libc::SIGQUIT] as &[_], &[libc::SIGPIPE], &[34, 35, 64]] {
        are_inherited(&["ignored"], &[], ignored);
    }
    let job_control = [libc::SIGTTIN, libc::SIGTTOU, libc::SIGTSTP, libc::SIGHUP];
    are_inherited(&["ignored"], &[libc::SIGCHLD], &job_control);
}

#[test]
fn ignored_sigchld_stays_ignored() {
    are_inherited(&["ignored"], &[], &[libc::SIGCHLD]);
}

#[test]
fn signals_of_the_c_library_stay_blocked_and_ignored() {
    are_inherited(&["blocked", "ignored"], &OF_THE_C_LIBRARY, &OF_THE_C_LIBRARY);
}

/// These lines of the program's state are the same as without an init.
#[track_caller]
fn are_inherited(lines: &[&str], blocked: &[i32], ignored: &[i32]) {
    let given = |launch: Launch| launch.blocked(blocked).ignored(ignored);
    let expected = state(&mut given(Launch::bare(&["state"])).start(), lines);
    assert_eq!(expected.len(), lines.len());
    for place in Place::all() {
        for &exec in Init::exec_or_not() {
            let launch = given(Launch::new(place, &["state"]));
            let mut init = launch.exec(exec).start();
            init.exits_with(0);
            assert_eq!(state(&mut init, lines), expected, "{place:?}, --exec: {exec}");
        }
    }
}

/// If a process ignores SIGCHLD, the kernel reaps its children. An init that inherits this and does not
/// change it waits forever for a child that is gone.
#[test]
fn ignored_sigchld_does_not_hang() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["exit", "9"]).ignored(&[libc::SIGCHLD]).start();
        init.exits_with(9);
    }
}

#[test]
fn blocked_sigchld_does_not_hang() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["exit", "9"]).blocked(&[libc::SIGCHLD]).start();
        init.exits_with(9);
    }
}

/// An inherited "ignore" is for the program. The init still forwards the signal.
#[test]
fn signal_that_the_program_ignores_does_not_end_the_init() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["pause"]).ignored(&[libc::SIGINT]).start_ready();
        init.signal(libc::SIGINT);
        init.signal(libc::SIGTERM);
        init.exits_with(143);
    }
}

/// The descriptors that the probe finds open.
fn descriptors(launch: Launch) -> Vec<String> {
    let mut running = launch.start();
    running.exits_with(0);
    let output = String::from_utf8(running.output()).unwrap();
    // tini's own messages are among the lines.
    output.lines().filter(|line| line.parse::<u32>().is_ok()).map(str::to_owned).collect()
}

#[test]
fn program_inherits_exactly_the_descriptors_of_the_init() {
    for place in Place::all() {
        use Opt::{Group, Verbose, Warn};
        for options in [&[] as &[_], &[Verbose], &[Verbose, Verbose, Verbose, Warn, Group]] {
            let launch = || Launch::new(place, &["descriptors"]).options_if_any(options);
            assert_eq!(descriptors(launch()), ["0", "1", "2"]);
            let file = || OwnedFd::from(File::open("/dev/null").unwrap());
            assert_eq!(descriptors(launch().inherits(file(), 1000)), ["0", "1", "2", "1000"]);
        }
    }
}

/// The reader of an inherited pipe sees its end only when no process holds the other side.
#[test]
fn init_closes_inherited_descriptors() {
    for place in Place::all() {
        closes_inherited_descriptors(Launch::new(place, &[]));
    }
}

/// Linux has close_range(2) since 5.9, and older seccomp profiles refuse it.
#[test]
fn init_closes_inherited_descriptors_without_close_range() {
    for place in Place::all() {
        for error in [libc::ENOSYS, libc::EPERM] {
            let launch = Launch::new(place, &[]).refusing(&[libc::SYS_close_range], error);
            closes_inherited_descriptors(launch);
        }
    }
}

#[track_caller]
fn closes_inherited_descriptors(launch: Launch) {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let command = "exec 9>&-; exec \"$0\" pause";
    let launch = launch.inherits(writer, 9).program(&[
        "/bin/sh",
        "-c",
        command,
        probe_path().to_str().unwrap(),
    ]);
    let mut init = launch.start_ready();
    init.until("the end of the pipe", |_| {
        let mut hangup = [PollFd::new(reader.as_fd(), PollFlags::empty())];
        poll(&mut hangup, PollTimeout::ZERO) == Ok(1)
    });
    init.signal(libc::SIGTERM);
    init.exits_with(143);
}

/// A file system that is mounted there can be unmounted.
#[test]
fn init_leaves_the_working_directory() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["report"]).start_ready();
        let directory = |pid| std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        let program = init.program();
        init.until("the init is at the root", |init| directory(init.pid()) == Path::new("/"));
        assert_eq!(directory(program), std::env::current_dir().unwrap());
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

/// sd_listen_fds(3): LISTEN_PID names the process that the sockets are for. Whoever sets it knows only
/// the init.
#[test]
fn listen_pid_becomes_that_of_the_program() {
    becomes_that_of_the_program("LISTEN_PID");
}

/// sd_watchdog_enabled(3) and systemd.exec(5) have two more such variables.
#[test]
fn other_variables_that_name_the_init_name_the_program() {
    becomes_that_of_the_program("WATCHDOG_PID");
    becomes_that_of_the_program("SYSTEMD_EXEC_PID");
}

#[track_caller]
fn becomes_that_of_the_program(name: &str) {
    let script = format!("test \"${name}\" = $$");
    for place in Place::all() {
        let launch = |value| {
            let launch = Launch::new(place, &[]).program(&["/bin/sh", "-c", &script]);
            launch.environment(format!("{name}={value}"))
        };
        if place == Place::PidOne {
            launch(1).start().exits_with(0);
        }
        launch(77).start().exits_with(1);
    }
}

#[test]
fn variables_that_name_other_processes_stay() {
    let entries = ["LISTEN_PID=77", "LISTEN_PIDFDID=5", "MANAGERPID=1", "MAINPID=1"];
    for place in Place::all() {
        for &exec in Init::exec_or_not() {
            are_passed_on(&entries, Launch::new(place, &["environment"]).exec(exec));
        }
    }
}

/// The program has the PID of the init then.
#[test]
fn variables_that_name_the_init_stay_with_exec() {
    for place in Place::all() {
        let launch = Launch::new(place, &["environment"]).option(Opt::Exec);
        are_passed_on(&["LISTEN_PID=1", "LISTEN_PIDFDID=5", "WATCHDOG_PID=1"], launch);
    }
}

#[track_caller]
fn are_passed_on(entries: &[&str], launch: Launch) {
    let launch = entries.iter().fold(launch, Launch::environment);
    let found = strings(&launch.start().output());
    assert!(entries.iter().all(|entry| found.contains(&entry.into())), "{found:?}");
}

/// LISTEN_PIDFDID is the inode number of a pidfd. If it is set, sd_listen_fds(3) compares it with the
/// program's own.
#[test]
fn pidfd_of_the_init_is_not_passed_as_that_of_the_program() {
    for place in Place::all() {
        if place != Place::PidOne {
            continue;
        }
        let entries = ["LISTEN_PIDFDID=5", "LISTEN_PID=1", "LISTEN_FDS=1", "LISTEN_PIDFDID=6"];
        let launch = Launch::new(place, &["environment"]);
        let launch = entries.iter().fold(launch, Launch::environment);
        let found = strings(&launch.start().output());
        assert!(found.contains(&"LISTEN_FDS=1".into()), "{found:?}");
        let is_passed = |entry: &OsString| entry.to_string_lossy().starts_with("LISTEN_PIDFDID=");
        assert!(!found.iter().any(is_passed), "{found:?}");
    }
}

#[test]
fn closed_descriptors_stay_closed() {
    for place in Place::all() {
        for closed in [&[0usize] as &[_], &[2], &[0, 2]] {
            let close = |launch: Launch| {
                closed.iter().fold(launch, |launch, &fd| launch.standard(fd, Input::Closed))
            };
            let expected = descriptors(close(Launch::bare(&["descriptors"])));
            assert_eq!(descriptors(close(Launch::new(place, &["descriptors"]))), expected);
        }
    }
}

#[test]
fn closed_descriptors_do_no_harm() {
    for place in Place::all() {
        for closed in [&[0usize] as &[_], &[1], &[2], &[0, 1], &[1, 2], &[0, 1, 2]] {
            for &exec in Init::exec_or_not() {
                let launch = Launch::new(place, &["exit", "9"]).loud();
                let launch =
                    closed.iter().fold(launch, |launch, &fd| launch.standard(fd, Input::Closed));
                assert_eq!(launch.exec(exec).start().wait(), Ended::Exited(9), "{closed:?}");
            }
        }
    }
}

/// Splits strings that each end with a null byte.
fn strings(output: &[u8]) -> Vec<OsString> {
    let mut strings: Vec<_> = output.split(|&byte| byte == 0).map(bytes).collect();
    assert_eq!(strings.pop(), Some(OsString::new()));
    strings
}

#[test]
fn arguments_are_inherited_byte_for_byte() {
    let long = vec![b'x'; 100_000];
    let odd: [&[u8]; 6] = [b"\xff\xfe", b"", b" ", b"\n\t", b"-v", &long];
    let mut command = vec![probe_path().as_os_str().to_owned(), "arguments".into()];
    command.extend(odd.map(bytes));
    for place in Place::all() {
        for &exec in Init::exec_or_not() {
            let launch = Launch::new(place, &[]).program(&command);
            let mut init = launch.exec(exec).start();
            assert_eq!(strings(&init.output()), command);
            init.exits_with(0);
        }
    }
}

#[test]
fn environment_is_passed_on_except_for_two_variables() {
    let entries: [&[u8]; 7] = [
        b"A=\xff\xfe",
        b"EMPTY=",
        b"no equals sign",
        b"TWICE=1",
        b"TWICE=2",
        b"TINI_VERBOSITY=1",
        b"=C:=odd",
    ];
    let given = |launch| {
        entries.iter().fold(launch, |launch: Launch, entry| launch.environment(bytes(entry)))
    };
    let expected = strings(&given(Launch::bare(&["environment"])).start().output());
    for place in Place::all() {
        for &exec in Init::exec_or_not() {
            let launch = given(Launch::new(place, &["environment"]));
            let mut found = strings(&launch.exec(exec).start().output());
            found.retain(|entry| {
                let entry = entry.to_string_lossy();
                !entry.starts_with("GOMEMLIMIT=") && !entry.starts_with("GOMAXPROCS=")
            });
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn gomemlimit_that_cannot_help_is_a_warning_and_cap_lowers_it() {
    let tree = Tree::v2();
    for (mode, value, expected, warnings) in [
        ("auto", "1000GiB", "1000GiB", 1),
        ("auto", "390MiB", "390MiB", 0),
        ("cap", "1000GiB", "335544320", 0),
        ("cap", "off", "335544320", 0),
        ("cap", "300MiB", "300MiB", 0),
        ("cap", "512MB", "512MB", 1),
    ] {
        let launch = tree
            .launch(Place::Subreaper, &["environment"], &["-s"])
            .environment(format!("GOMEMLIMIT={value}"))
            .environment(format!("LOADLINE_MEMORY={mode}"));
        let mut init = launch.start();
        let found = strings(&init.output());
        let entry = OsString::from(format!("GOMEMLIMIT={expected}"));
        assert!(found.contains(&entry), "{mode} {value}: {found:?}");
        let messages = init.messages();
        assert_eq!(messages.lines().count(), warnings, "{messages}");
    }
    let explanation = std::process::Command::new(Init::under_test().path)
        .args(["--explain", "--root", tree.root()])
        .env("GOMEMLIMIT", "419430400")
        .output()
        .unwrap();
    let explanation = String::from_utf8(explanation.stdout).unwrap();
    let warning = "\nwarning: GOMEMLIMIT=\"419430400\" is left unchanged, but is too high to help: \
                   it is 400 MiB, and the memory limit is 400 MiB; --memory cap lowers it\n";
    assert!(explanation.contains(warning), "{explanation}");
}

#[test]
fn minimum_raises_gomemlimit_but_not_above_the_limit() {
    Init::must_be_loadline();
    for (limit, expected, reason) in [
        ("100MiB", "83886080", "80% of the limit"),
        ("70MiB", "67108864", "raised to the minimum of 64 MiB"),
        ("60MiB", "62914560", "the whole limit, which is below the minimum of 64 MiB"),
    ] {
        let launch = Launch::new(Place::Subreaper, &["environment"])
            .environment("LOADLINE_MEMORY_MIN=64MiB")
            .environment(format!("LOADLINE_MEMORY_LIMIT={limit}"))
            .environment("TINI_VERBOSITY=2");
        let mut init = launch.start();
        let entry = OsString::from(format!("GOMEMLIMIT={expected}"));
        let found = strings(&init.output());
        assert!(found.contains(&entry), "{limit}: {found:?}");
        let messages = init.messages();
        assert!(messages.contains(&format!("GOMEMLIMIT={expected} ({reason}; ")), "{messages}");
    }
}
