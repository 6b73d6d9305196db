//! `--drain`: after the program has exited, the remaining processes get SIGTERM, and those that do not
//! exit in time SIGKILL. The exit code is that of the program.

use crate::support::{
    Ended, Init, Launch, Place, Running, children, exists, other_users, probe_path, send,
};
use std::time::{Duration, Instant};

const KILLED: &str = "killed the remaining processes";

/// A program that starts a daemon and exits with 3.
fn with_daemon(place: Place, time: &str, daemon: &[&str]) -> Launch {
    Init::must_be_loadline();
    let program = [&["daemon", "3"], daemon].concat();
    Launch::new(place, &program).arguments(&["--drain", time])
}

/// A shell script as the program; its "$0" is the probe.
fn script(place: Place, options: &[&str], script: &str) -> Launch {
    Init::must_be_loadline();
    let shell = ["/bin/sh", "-c", script, probe_path().to_str().unwrap()];
    Launch::new(place, &[]).arguments(options).program(&shell)
}

/// The process ID of a daemon, from its first line.
fn daemon_pid(line: &str) -> i32 {
    line.strip_prefix("daemon ").unwrap().parse().unwrap()
}

/// No process holds stdout any more. Outside of a PID namespace, the IDs of the daemons can be checked
/// too.
#[track_caller]
fn all_have_ended(init: &mut Running, place: Place, daemons: &[i32]) {
    assert_eq!(init.output(), b"");
    if place != Place::PidOne {
        assert!(!daemons.iter().any(|daemon| exists(*daemon)));
    }
}

#[test]
fn daemon_gets_sigterm_and_is_waited_for() {
    for place in Place::with_orphans() {
        let mut init = with_daemon(place, "1h", &["slow", "100000"]).start();
        let daemon = daemon_pid(&init.line());
        init.expect("daemon 15");
        init.expect("daemon gone");
        init.exits_with(3);
        all_have_ended(&mut init, place, &[daemon]);
        assert_eq!(init.messages(), "");
    }
}

#[test]
fn daemon_that_does_not_exit_in_time_is_killed() {
    for place in Place::with_orphans() {
        let begin = Instant::now();
        let mut init = with_daemon(place, "100ms", &["stubborn"]).start();
        let daemon = daemon_pid(&init.line());
        init.expect("daemon 15");
        init.expect("daemon 18");
        init.exits_with(3);
        assert!(begin.elapsed() >= Duration::from_millis(100));
        all_have_ended(&mut init, place, &[daemon]);
        let message = init.messages();
        assert!(message.contains(KILLED) && message.lines().count() == 1, "{message:?}");
    }
}

#[test]
fn stopped_daemon_is_continued_so_that_it_can_exit() {
    for place in Place::with_orphans() {
        let mut init = with_daemon(place, "1h", &["stopped"]).start();
        let daemon = daemon_pid(&init.line());
        init.exits_with(3);
        all_have_ended(&mut init, place, &[daemon]);
        assert_eq!(init.messages(), "");
    }
}

#[test]
fn child_of_the_daemon_gets_sigterm() {
    for place in Place::with_orphans() {
        let mut init = with_daemon(place, "1h", &["parent"]).start();
        let daemon = daemon_pid(&init.line());
        init.expect("child 15");
        init.exits_with(3);
        all_have_ended(&mut init, place, &[daemon]);
        assert_eq!(init.messages(), "");
    }
}

#[test]
fn each_process_gets_sigterm_once() {
    let three =
        r#""$0" daemon 0 stubborn; "$0" daemon 0 brief 50000; "$0" daemon 0 brief 100000; exit 3"#;
    for place in Place::with_orphans() {
        let mut init = script(place, &["--drain=300ms"], three).start();
        let daemons: Vec<_> = (0..3).map(|_| daemon_pid(&init.line())).collect();
        init.expect("daemon 15");
        init.expect("daemon 18");
        init.exits_with(3);
        all_have_ended(&mut init, place, &daemons);
    }
}

#[test]
fn init_exits_at_once_if_no_process_is_left() {
    Init::must_be_loadline();
    for place in Place::with_orphans() {
        for program in [&["exit", "3"] as &[_], &["die", "15"]] {
            let mut init = Launch::new(place, program).arguments(&["--drain=1h"]).start();
            init.exits_with(if program[0] == "exit" { 3 } else { 143 });
            assert_eq!(init.messages(), "");
        }
    }
}

#[test]
fn termination_signal_ends_the_wait() {
    for place in Place::with_orphans() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT] {
            let mut init = with_daemon(place, "1h", &["stubborn"]).start();
            let daemon = daemon_pid(&init.line());
            init.expect("daemon 15");
            init.expect("daemon 18");
            // No program is left that it could be forwarded to.
            init.signal(libc::SIGHUP);
            assert_eq!(init.ended_within(Duration::from_millis(20)), None);
            init.signal(signal);
            init.exits_with(3);
            all_have_ended(&mut init, place, &[daemon]);
            assert!(init.messages().contains(KILLED));
        }
    }
}

#[test]
fn drain_adopts_orphans() {
    let mut init = with_daemon(Place::Plain, "1h", &["slow", "1000"]).start();
    let daemon = daemon_pid(&init.line());
    init.expect("daemon 15");
    init.expect("daemon gone");
    init.exits_with(3);
    all_have_ended(&mut init, Place::Plain, &[daemon]);
    assert_eq!(init.messages(), "");
}

#[test]
fn unrelated_processes_are_left_alone() {
    for place in Place::with_orphans() {
        let mut stranger = Launch::bare(&["report"]).start();
        stranger.expect("ready");
        let mut init = with_daemon(place, "50ms", &["stubborn"]).start();
        init.exits_with(3);
        stranger.signal(libc::SIGHUP);
        stranger.expect("signal 1");
    }
}

#[test]
fn variable_sets_the_time() {
    Init::must_be_loadline();
    for place in Place::with_orphans() {
        let launch = Launch::new(place, &["daemon", "3", "slow"]);
        let mut init = launch.environment("LOADLINE_DRAIN=1h").start();
        daemon_pid(&init.line());
        init.expect("daemon 15");
        init.expect("daemon gone");
        init.exits_with(3);
    }
}

/// The time of --drain begins after the program was killed.
#[test]
fn processes_are_drained_after_the_program_was_killed() {
    let hold = r#"trap '' TERM; "$0" daemon 0 slow 100000; echo ready; "$0" hold"#;
    for place in Place::with_orphans() {
        let mut init = script(place, &["--kill-after=50ms", "--drain=1h"], hold).start();
        let daemon = daemon_pid(&init.line());
        init.expect("ready");
        init.expect("ready");
        init.signal(libc::SIGTERM);
        init.expect("daemon 15");
        init.expect("daemon gone");
        assert_eq!(init.wait(), Ended::Exited(137));
        all_have_ended(&mut init, place, &[daemon]);
        let message = init.messages();
        assert!(
            message.contains("it did not exit in time") && !message.contains(KILLED),
            "{message:?}"
        );
    }
}

#[test]
fn kill_after_applies_to_the_program_only() {
    let pause = r#""$0" daemon 0 slow 100000; exec "$0" pause"#;
    for place in Place::with_orphans() {
        let mut init = script(place, &["--kill-after=50ms", "--drain=1h"], pause).start();
        let daemon = daemon_pid(&init.line());
        init.expect("ready");
        init.signal(libc::SIGTERM);
        init.expect("daemon 15");
        init.expect("daemon gone");
        init.exits_with(143);
        all_have_ended(&mut init, place, &[daemon]);
        assert_eq!(init.messages(), "");
    }
}

/// The daemon exits by itself, a little before or after the program.
#[test]
fn daemons_may_exit_at_the_same_time() {
    const TRIES: u32 = 50;
    for place in Place::with_orphans() {
        for attempt in 0..TRIES {
            let delay = (attempt * 2000 / TRIES).to_string();
            let mut init = with_daemon(place, "1h", &["brief", &delay]).start();
            let daemon = daemon_pid(&init.line());
            init.exits_with(3);
            all_have_ended(&mut init, place, &[daemon]);
            assert_eq!(init.messages(), "");
        }
    }
}

/// The list of so many children does not fit into one read.
#[test]
fn thousand_orphans_are_waited_for() {
    Init::must_be_loadline();
    for place in Place::with_orphans() {
        let mut init =
            Launch::new(place, &["orphans", "1000"]).arguments(&["--drain=1h"]).start_ready();
        init.until("the init has adopted the orphans", |init| children(init.pid()).len() == 1001);
        // The oldest child is the program.
        send(children(init.pid())[0], libc::SIGKILL);
        init.exits_with(137);
        all_have_ended(&mut init, place, &[]);
        // The kill of the program is always reported.
        assert!(init.messages().lines().all(|line| line.contains("killed by SIGKILL")));
    }
}

/// Only an init that is not PID 1 needs the list of its children.
#[test]
fn missing_proc_is_reported_and_nothing_is_drained() {
    Init::must_be_loadline();
    if !Place::all().contains(&Place::PidOne) {
        return;
    }
    let inner = r#"mount -t tmpfs none /proc && "$1" -s --drain=1h -- "$0" daemon 3 stubborn"#;
    let path = Init::under_test().path;
    let shell = ["/bin/sh", "-c", inner, probe_path().to_str().unwrap(), path.to_str().unwrap()];
    let mut init = Launch::new(Place::PidOne, &[]).program(&shell).start();
    daemon_pid(&init.line());
    init.exits_with(3);
    assert_eq!(init.output(), b"");
    assert!(init.messages().contains("cannot read \"/proc/thread-self/children\": "));
}

/// A process of another user, and an init without CAP_KILL. If PID 1 exits, the kernel kills all others.
#[test]
fn process_that_cannot_be_killed_is_not_said_to_be_killed() {
    if !other_users() {
        return;
    }
    let script_text = r#"directory=$(mktemp -d); mkfifo $directory/ready
        "$0" other-user 65534 > $directory/ready & echo $!
        read line < $directory/ready; rm -r $directory; exit 3"#;
    for place in Place::with_orphans() {
        let launch = script(place, &["--drain=50ms"], script_text);
        let mut init = launch.without_cap_kill().start();
        let process = init.line().parse().unwrap();
        init.exits_with(3);
        if place != Place::PidOne {
            send(process, libc::SIGKILL);
        }
        let messages = init.messages();
        assert_eq!(messages.contains(KILLED), place == Place::PidOne, "{messages:?}");
        assert_eq!(
            messages.contains("cannot kill process "),
            place != Place::PidOne,
            "{messages:?}"
        );
    }
}
