//! `--kill-after`: a program that does not exit in time after a termination signal is killed.

use crate::support::{
    Ended, Init, Input, Launch, Place, children, exists, field, other_users, probe_path, send,
    send_value, user_namespaces,
};
use std::time::{Duration, Instant};

const KILLED: i32 = 128 + libc::SIGKILL;
const REALTIME: i32 = 35;

fn limited(place: Place, time: &str, program: &[&str]) -> Launch {
    Init::must_be_loadline();
    Launch::new(place, program).arguments(&["--kill-after", time])
}

#[test]
fn program_that_does_not_exit_in_time_is_killed() {
    for place in Place::all() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT] {
            let mut init = limited(place, "50ms", &["report"])
                .arguments(&["--rewrite=TERM:HUP"])
                .start_ready();
            let begin = Instant::now();
            init.signal(signal);
            init.line();
            init.exits_with(KILLED);
            assert!(begin.elapsed() >= Duration::from_millis(50));
            let message = init.messages();
            assert!(
                message.contains("it did not exit in time") && message.lines().count() == 1,
                "{message:?}"
            );
        }
    }
}

#[test]
fn time_starts_at_the_first_signal() {
    for place in Place::all() {
        let mut init =
            limited(place, "200ms", &["report"]).arguments(&["--rewrite=TERM:HUP"]).start_ready();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(5)
            && init.ended_within(Duration::from_millis(10)).is_none()
        {
            init.signal(libc::SIGTERM);
        }
        init.exits_with(KILLED);
        let time = begin.elapsed();
        assert!((Duration::from_millis(200)..Duration::from_secs(4)).contains(&time), "{time:?}");
    }
}

#[test]
fn program_that_exits_in_time_is_not_killed() {
    for place in Place::all() {
        let mut init = limited(place, "1h", &["linger", "1000"]).start_ready();
        init.signal(libc::SIGTERM);
        init.exits_with(7);
        assert_eq!(init.messages(), "");
    }
}

/// Both the received and the rewritten signal can start the timer. A dropped signal does not.
#[test]
fn received_and_rewritten_signals_start_the_timer() {
    for place in Place::all() {
        for (rewrite, signal) in [("HUP:INT", libc::SIGHUP), ("QUIT:USR1", libc::SIGQUIT)] {
            let mut init = limited(place, "50ms", &["report"])
                .arguments(&["--rewrite", rewrite])
                .start_ready();
            init.signal(signal);
            init.line();
            init.exits_with(KILLED);
        }
        let mut init =
            limited(place, "50ms", &["report"]).arguments(&["--rewrite=INT:0"]).start_ready();
        init.signal(libc::SIGINT);
        init.signal(libc::SIGHUP);
        init.expect("signal 1");
        init.wait_until_idle();
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn timer_does_not_start_before_a_termination_signal() {
    for place in Place::all() {
        let mut init = limited(place, "1h", &["report"]).start_ready();
        init.signal(libc::SIGHUP);
        init.expect("signal 1");
        init.wait_until_idle();
        init.signal(libc::SIGTERM);
        init.exits_with(0);
    }
}

#[test]
fn command_line_overrides_the_variable() {
    Init::must_be_loadline();
    for place in Place::all() {
        let launch = || Launch::new(place, &["hold"]).environment("LOADLINE_KILL_AFTER=50ms");
        let mut init = launch().start_ready();
        init.signal(libc::SIGTERM);
        init.exits_with(KILLED);
        let mut init = launch().arguments(&["--kill-after=1h"]).start_ready();
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.signal(libc::SIGUSR1);
        init.exits_with(0);
    }
}

#[test]
fn zero_and_invalid_times_are_refused() {
    for time in ["0", "0s", "", "x", "10us"] {
        let mut init = limited(Place::Subreaper, time, &["pause"]).start();
        assert_eq!((init.wait(), init.output().len()), (Ended::Exited(1), 0), "{time:?}");
        let expected =
            format!("invalid value \"{time}\" for --kill-after: expected a time above 0");
        assert!(init.messages().contains(&expected), "{time:?}");
    }
}

/// The init retries with another timer while the queue of the program is full.
#[test]
fn program_with_a_full_signal_queue_is_killed() {
    if !user_namespaces() {
        return;
    }
    for place in Place::all() {
        let launch = limited(place, "300ms", &["hold"]).arguments(&["--rewrite=TERM:HUP"]);
        let mut init = launch.user_namespace().queue(16).start_ready();
        let program = init.program();
        while send_value(program, REALTIME, 0) {}
        init.raise_queue();
        for value in 0..8 {
            init.signal_with_value(REALTIME, value);
        }
        let begin = Instant::now();
        init.signal(libc::SIGTERM);
        init.exits_with(KILLED);
        assert!(begin.elapsed() < Duration::from_secs(4));
    }
}

/// A shell that ignores SIGTERM, a process in its group, and one in another session.
#[test]
fn process_group_is_killed_and_other_groups_are_not() {
    let script = r#"trap '' TERM; "$0" hold & setsid "$0" report & echo $!; wait; wait; exit 3"#;
    for place in Place::all() {
        let shell = ["/bin/sh", "-c", script, probe_path().to_str().unwrap()];
        let mut init = limited(place, "50ms", &[]).program(&shell).start();
        let mut lines = [init.line(), init.line(), init.line()];
        lines.sort();
        assert_eq!(lines[1..], ["ready", "ready"]);
        init.signal(libc::SIGTERM);
        init.exits_with(KILLED);
        if place == Place::Subreaper {
            let other = lines[0].parse().unwrap();
            assert!(exists(other) && !field(other, "State").starts_with('Z'));
            send(other, libc::SIGTERM);
            init.expect("signal 15");
        }
        assert_eq!(init.output(), b"", "no process is left");
    }
}

#[test]
fn program_in_another_group_is_killed() {
    for place in Place::all() {
        let mut init = limited(place, "50ms", &["deserter"]).start_ready();
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(KILLED);
    }
}

/// The ID of a user that is not root.
const OTHER_USER: &str = "65534";

/// A program that has changed its user, as gosu and setuid programs do, and an init without CAP_KILL. If
/// PID 1 exits, the kernel kills all others.
#[test]
fn program_that_cannot_be_killed_is_not_said_to_be_killed() {
    if !other_users() {
        return;
    }
    for place in Place::all() {
        let launch = limited(place, "50ms", &["other-user", OTHER_USER]).arguments(&["--report"]);
        let mut init = launch.without_cap_kill().start_ready();
        let program = init.program();
        init.signal(libc::SIGTERM);
        init.message("cannot forward SIGTERM");
        let message = init.message("kill");
        assert!(message.contains("cannot kill process ") && message.contains("not permitted"));
        if place != Place::PidOne {
            // It goes on until the program ends.
            init.wait_until_idle();
            send(program, libc::SIGKILL);
        }
        init.exits_with(KILLED);
        let messages = init.messages();
        assert!(!messages.contains("killed process"), "{messages:?}");
        assert!(messages.contains("killed by signal 9"), "{messages:?}");
    }
}

/// The program can be killed, and nobody in its former group.
#[test]
fn group_that_cannot_be_killed_is_not_said_to_be_killed() {
    if !other_users() {
        return;
    }
    let script = format!(r#""$0" other-user {OTHER_USER} & read go; exec "$0" deserter"#);
    for place in Place::all() {
        let shell = ["/bin/sh", "-c", &script, probe_path().to_str().unwrap()];
        let (input, go) = nix::unistd::pipe().unwrap();
        let launch = limited(place, "50ms", &[]).program(&shell).without_cap_kill();
        let mut init = launch.standard(0, Input::Given(input)).start_ready();
        nix::unistd::write(&go, b"\n").unwrap();
        init.expect("ready");
        let group = children(init.program());
        init.signal(libc::SIGTERM);
        init.exits_with(KILLED);
        if place != Place::PidOne {
            let other = |pid: &&i32| {
                std::fs::read_to_string(format!("/proc/{pid}/status"))
                    .is_ok_and(|status| status.contains(&format!("Uid:\t{OTHER_USER}")))
            };
            send(*group.iter().find(other).unwrap(), libc::SIGKILL);
        }
        let messages = init.messages();
        assert!(messages.contains("loadline: killed process "), "{messages:?}");
        assert!(!messages.contains("group"), "{messages:?}");
    }
}

/// The program exits just before or after it is killed. The exit code says which.
#[test]
fn exit_at_the_last_moment_keeps_its_code() {
    const TRIES: u32 = 50;
    for place in Place::all() {
        for number in 0..TRIES {
            let delay = 15_000 + number * 10_000 / TRIES;
            let mut init = limited(place, "20ms", &["linger", &delay.to_string()]).start_ready();
            init.signal(libc::SIGTERM);
            let ended = init.wait();
            let killed = init.messages().contains("it did not exit in time");
            match ended {
                Ended::Exited(7) => {}
                Ended::Exited(KILLED) if killed => {}
                _ => init.fail(&format!("{ended:?} after {delay} us, killed: {killed}")),
            }
        }
    }
}
