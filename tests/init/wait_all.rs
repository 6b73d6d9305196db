//! `--wait-all`: the init stays as long as the program has descendants, and forwards signals to them.

use crate::support::{
    Init, Input, Launch, Place, Running, Terminal, children, exists, field, not_run, other_users,
    probe_path, send,
};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const REALTIME: i32 = 35;
const WAITS: &str = "the program has ended; waiting for the processes that it left behind";
const KILLED: &str = "killed the remaining processes";

/// A program that hands over and exits with `code`. Its successor exits with `last`.
fn restarting(place: Place, code: &str, last: &str) -> Launch {
    Init::must_be_loadline();
    Launch::new(place, &["succeed", code, last]).arguments(&["--wait-all"])
}

/// A shell script as the program; its "$0" is the probe.
fn script(place: Place, script: &str) -> Launch {
    Init::must_be_loadline();
    let shell = ["/bin/sh", "-c", script, probe_path().to_str().unwrap()];
    Launch::new(place, &[]).arguments(&["--wait-all"]).program(&shell)
}

/// Starts a program that hands over, and waits until its successor is the only child.
#[track_caller]
fn handed_over(launch: Launch) -> Running {
    let mut init = launch.start_ready();
    hand_over(&mut init, "signal 12");
    init
}

#[track_caller]
fn hand_over(init: &mut Running, line: &str) {
    let before = init.program();
    init.signal(libc::SIGUSR2);
    init.expect(line);
    init.expect("successor ready");
    init.until("the successor is adopted", |init| {
        let children = children(init.pid());
        children.len() == 1 && !children.contains(&before)
    });
}

/// Waits until the program, a shell, is reaped and this many other processes are left.
#[track_caller]
fn left_behind(init: &mut Running, count: usize) {
    init.until("the program is reaped, and what it has left is adopted", |init| {
        let all = children(init.pid());
        all.len() == count
            && all.iter().all(|&child| field(child, "NSpgid") != field(child, "NSpid"))
    });
    init.wait_until_idle();
}

#[test]
fn successor_takes_the_place_of_the_program() {
    for place in Place::with_orphans() {
        let mut init = handed_over(restarting(place, "0", "7"));
        // The first was reaped, and the init waits without a timeout.
        init.wait_until_idle();
        init.signal(libc::SIGHUP);
        init.expect("successor 1");
        init.signal_with_value(REALTIME, 5);
        init.expect("successor 35 value 5");
        hand_over(&mut init, "successor 12");
        init.signal(libc::SIGTERM);
        init.expect("successor 15");
        init.exits_with(7);
        assert_eq!((init.output(), init.messages()), (vec![], String::new()));
    }
}

/// Subreaping is implied.
#[test]
fn ordinary_process_adopts_the_successor() {
    let mut init = handed_over(restarting(Place::Plain, "0", "7"));
    init.signal(libc::SIGTERM);
    init.expect("successor 15");
    init.exits_with(7);
    assert_eq!(init.messages(), "");
}

#[test]
fn crash_of_the_successor_is_the_exit_code() {
    for place in Place::with_orphans() {
        let launch = restarting(place, "0", "2").arguments(&["--report=json"]);
        let mut init = handed_over(launch);
        send(init.program(), libc::SIGTERM);
        init.expect("successor 15");
        init.exits_with(2);
        assert!(init.messages().contains("\"exit_code\":2,"));
    }
}

/// An orphan may end in any way while the successor runs.
#[test]
fn last_process_counts_after_a_hand_over() {
    for place in Place::with_orphans() {
        let two = r#""$0" report & "$0" succeed 0 7 & exit 0"#;
        let mut init = script(place, two).start();
        assert_eq!([init.line(), init.line()], ["ready", "ready"]);
        left_behind(&mut init, 2);
        let [first, _] = children(init.pid())[..] else { init.fail("expected two children") };
        send(first, libc::SIGKILL);
        init.until("it is reaped", |_| !exists(first));
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(7);
    }
}

#[test]
fn exit_code_of_a_program_that_failed_stays() {
    for place in Place::with_orphans() {
        let mut init = handed_over(restarting(place, "3", "0"));
        init.message(WAITS);
        init.signal(libc::SIGTERM);
        init.expect("successor 15");
        init.exits_with(3);
    }
}

#[test]
fn expected_code_is_a_hand_over_too() {
    for place in Place::with_orphans() {
        let mut init = handed_over(restarting(place, "5", "7").arguments(&["-e5", "-v"]));
        init.message(WAITS);
        init.signal(libc::SIGTERM);
        init.exits_with(7);
    }
}

/// The exit code is that of the program, which did what it was asked to do.
#[test]
fn request_to_exit_reaches_what_the_program_leaves() {
    for place in Place::with_orphans() {
        let mut init = script(place, r#""$0" daemon 0 parent; exec "$0" report"#).start();
        assert!(init.line().starts_with("daemon "));
        init.expect("ready");
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        // The daemon is adopted first, and SIGTERM ends it. Then its child is.
        init.expect("child 15");
        init.exits_with(0);
        assert_eq!((init.output(), init.messages()), (vec![], String::new()));
        // SIGTERM ends this daemon.
        let mut init = script(place, r#""$0" daemon 0 paused; exec "$0" report"#).start();
        assert!(init.line().starts_with("daemon "));
        init.expect("ready");
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

/// Also to those that are adopted after it came.
#[test]
fn request_to_exit_reaches_every_process_once() {
    let daemons =
        r#""$0" daemon 0 stubborn; "$0" daemon 0 parent; "$0" daemon 0 slow 100000; exit 0"#;
    for place in Place::with_orphans() {
        let launch = script(place, daemons).arguments(&["--kill-after=300ms"]);
        let mut init = launch.start();
        for _ in 0..3 {
            assert!(init.line().starts_with("daemon "));
        }
        left_behind(&mut init, 3);
        let begin = Instant::now();
        init.signal(libc::SIGTERM);
        let mut lines: Vec<_> = (0..4).map(|_| init.line()).collect();
        lines.sort();
        assert_eq!(lines, ["child 15", "daemon 15", "daemon 15", "daemon gone"]);
        // The last is killed.
        init.exits_with(137);
        assert!(begin.elapsed() >= Duration::from_millis(300));
        assert_eq!(init.output(), b"");
        let messages = init.messages();
        assert!(messages.contains(KILLED) && messages.lines().count() == 1, "{messages:?}");
    }
}

/// Without -g only the children get it, as before only the program.
#[test]
fn group_option_reaches_the_groups_of_children() {
    for place in Place::with_orphans() {
        let launch = script(place, r#""$0" daemon 0 parent; exit 0"#).arguments(&["-g"]);
        let mut init = launch.start();
        assert!(init.line().starts_with("daemon "));
        left_behind(&mut init, 1);
        init.signal(libc::SIGHUP);
        init.expect("child 1");
        left_behind(&mut init, 1);
        init.signal(libc::SIGTERM);
        init.expect("child 15");
        init.exits_with(0);
        for own_group in [&[] as &[_], &["own-group"]] {
            let program = [&["succeed", "0", "7"], own_group].concat();
            let launch = Launch::new(place, &program).arguments(&["--wait-all", "-g"]);
            let mut init = handed_over(launch);
            init.signal(libc::SIGHUP);
            init.expect("successor 1");
            init.signal(libc::SIGTERM);
            init.expect("successor 15");
            init.exits_with(7);
        }
    }
}

/// What is left in the group when the program has ended has got it before.
#[test]
fn group_of_the_program_gets_a_request_once() {
    for place in Place::with_orphans() {
        let helper = r#""$0" hold & exec "$0" linger 0"#;
        let mut init = script(place, helper).arguments(&["-g"]).start();
        assert_eq!([init.line(), init.line()], ["ready", "ready"]);
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        left_behind(&mut init, 1);
        send(children(init.pid())[0], libc::SIGUSR1);
        init.expect("signal 10");
        init.exits_with(7);
        assert_eq!(init.output(), b"");
    }
}

/// It is not taken for the victim of the kernel.
#[test]
fn kill_after_kills_the_successor() {
    for place in Place::with_orphans() {
        let options = ["--kill-after=50ms", "--rewrite=TERM:HUP"];
        let mut init = handed_over(restarting(place, "0", "7").arguments(&options));
        let begin = Instant::now();
        init.signal(libc::SIGTERM);
        init.expect("successor 1");
        init.exits_with(137);
        assert!(begin.elapsed() >= Duration::from_millis(50));
        let messages = init.messages();
        assert!(messages.contains(KILLED) && messages.lines().count() == 1, "{messages:?}");
    }
}

/// When the time is up, nothing is left of the program and its descendants.
#[test]
fn what_a_killed_program_leaves_is_killed_too() {
    let hold = r#""$0" daemon 0 stubborn; exec "$0" hold"#;
    for place in Place::with_orphans() {
        let mut init = script(place, hold).arguments(&["--kill-after=50ms"]).start();
        assert!(init.line().starts_with("daemon "));
        init.expect("ready");
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(137);
        assert_eq!(init.output(), b"");
    }
}

/// The program cannot be killed, so it lives when the time is up. Another request comes, and then it ends.
#[test]
fn request_after_the_time_is_up_spares_nobody() {
    Init::must_be_loadline();
    if !other_users() {
        return;
    }
    let leave = r#""$0" daemon 0 stubborn; exec "$0" other-user 65534"#;
    let launch = script(Place::Subreaper, leave).arguments(&["--kill-after=50ms"]);
    let mut init = launch.without_cap_kill().start();
    assert!(init.line().starts_with("daemon "));
    init.expect("ready");
    // The daemon is adopted later.
    let program = children(init.pid())[0];
    init.signal(libc::SIGTERM);
    init.message("cannot kill process ");
    init.signal(libc::SIGINT);
    init.message("cannot forward ");
    send(program, libc::SIGKILL);
    init.exits_with(137);
    assert_eq!(init.output(), b"");
}

#[test]
fn delayed_request_reaches_the_successor() {
    for place in Place::with_orphans() {
        let launch = restarting(place, "0", "7").arguments(&["--stop-delay=1h", "-v"]);
        let mut init = launch.start_ready();
        init.signal(libc::SIGTERM);
        init.message("holding SIGTERM back");
        hand_over(&mut init, "signal 12");
        init.signal(libc::SIGTERM);
        init.expect("successor 15");
        init.exits_with(7);
    }
}

#[test]
fn drain_begins_when_no_child_is_left() {
    for place in Place::with_orphans() {
        let launch = restarting(place, "0", "7").arguments(&["--drain=1h"]);
        let mut init = handed_over(launch);
        init.signal(libc::SIGHUP);
        init.expect("successor 1");
        init.signal(libc::SIGTERM);
        init.expect("successor 15");
        init.exits_with(7);
        assert_eq!(init.messages(), "");
    }
}

#[test]
fn init_exits_at_once_if_no_process_is_left() {
    Init::must_be_loadline();
    for place in Place::with_orphans() {
        for variable in ["LOADLINE_WAIT_ALL=1", "LOADLINE_WAIT_ALL=0"] {
            let mut init = Launch::new(place, &["exit", "3"]).environment(variable).start();
            init.exits_with(3);
            assert_eq!(init.messages(), "");
        }
    }
}

#[test]
fn variable_and_option_are_the_same() {
    Init::must_be_loadline();
    for place in Place::with_orphans() {
        let launch = Launch::new(place, &["succeed", "0", "7"]);
        let mut init = handed_over(launch.environment("LOADLINE_WAIT_ALL=true"));
        init.signal(libc::SIGTERM);
        init.exits_with(7);
    }
}

/// As those of `docker exec`: their parent is outside of the PID namespace.
#[test]
fn processes_that_entered_the_namespace_are_left_alone() {
    if !other_users() || !Place::all().contains(&Place::PidOne) {
        return;
    }
    let mut init = handed_over(restarting(Place::PidOne, "0", "7"));
    let mut entered = Command::new("nsenter")
        .args(["-p", "-t", &init.pid().to_string(), "--"])
        .args([probe_path().to_str().unwrap(), "report"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(entered.stdout.take().unwrap());
    let mut lines = String::new();
    output.read_line(&mut lines).unwrap();
    init.signal(libc::SIGHUP);
    init.expect("successor 1");
    init.signal(libc::SIGTERM);
    init.expect("successor 15");
    init.exits_with(7);
    output.read_to_string(&mut lines).unwrap();
    assert_eq!(lines, "ready\n");
    entered.wait().unwrap();
}

/// The kernel may give the program's number to another process.
#[test]
fn process_with_the_number_of_the_program_is_another() {
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    if !Place::all().contains(&Place::PidOne) {
        return;
    }
    if !Path::new(LAST_PID).exists() {
        not_run("the kernel has no ns_last_pid");
        return;
    }
    // The number is in use as long as anybody is in the program's process group or session.
    let successor =
        format!(r#"read go; (echo $(($1 - 1)) > {LAST_PID}; "$0" exit 3 &); read go; exit 7"#);
    let program = format!(
        r#"exec 3<&0; echo $$; read go <&3
        setsid sh -c '{successor}' "$0" $$ <&3 & exit 0"#
    );
    let (input, go) = nix::unistd::pipe().unwrap();
    let go = || assert_eq!(nix::unistd::write(&go, b"\n"), Ok(1));
    let launch = script(Place::PidOne, &program).arguments(&["-w"]);
    let mut init = launch.standard(0, Input::Given(input)).start();
    let number = init.line();
    let program = init.program();
    go();
    init.until("the program is reaped", |_| !exists(program));
    go();
    init.message(&format!("Reaped zombie process with pid={number}"));
    go();
    init.exits_with(7);
}

/// Nobody else could continue it.
#[test]
fn successor_that_the_terminal_stops_is_continued() {
    for place in Place::with_orphans() {
        if place != Place::PidOne {
            continue;
        }
        let mut terminal = Terminal::new();
        let launch = script(place, r#""$0" job & exit 0"#).all_terminal(&terminal);
        let mut init = launch.start();
        terminal.expect("running");
        left_behind(&mut init, 1);
        terminal.types("\x1a");
        terminal.expect("continued");
        // A shell has background processes ignore Ctrl-C.
        init.signal(libc::SIGTERM);
        init.exits_with(143);
    }
}

#[test]
fn pid_1_without_proc_reaches_the_successor() {
    pid_1_without_a_list_reaches_the_successor(
        "mount -t tmpfs none /proc",
        "cannot read \"/proc/thread-self/children\": ",
    );
}

/// It lists the children by their numbers in that namespace.
#[test]
fn pid_1_with_proc_of_another_namespace_reaches_the_successor() {
    pid_1_without_a_list_reaches_the_successor(
        "true",
        "cannot find the processes that are left: /proc belongs to another PID namespace",
    );
}

/// Without a list of its children, PID 1 sends signals to all processes. `prepare` changes /proc before that.
#[track_caller]
fn pid_1_without_a_list_reaches_the_successor(prepare: &str, message: &str) {
    Init::must_be_loadline();
    if !other_users() || !Place::all().contains(&Place::PidOne) {
        return;
    }
    let inner = format!(
        r#"{prepare} && exec unshare -pf --kill-child \
        "$1" --wait-all --rewrite=TERM:HUP,QUIT:TERM -- "$0" succeed 0 7"#
    );
    let path = Init::under_test().path;
    let shell = ["/bin/sh", "-c", &inner, probe_path().to_str().unwrap(), path.to_str().unwrap()];
    let mut outer = Launch::new(Place::PidOne, &[]).program(&shell).start();
    outer.expect("ready");
    let init = children(outer.program())[0];
    let hand_over = |outer: &mut Running, line| {
        let before = children(init)[0];
        send(init, libc::SIGUSR2);
        outer.expect(line);
        outer.expect("successor ready");
        outer.until("the program is reaped", |_| !exists(before));
    };
    hand_over(&mut outer, "signal 12");
    send(init, libc::SIGTERM);
    outer.expect("successor 1");
    // Each request is sent to all once, whoever is adopted later.
    hand_over(&mut outer, "successor 12");
    send(init, libc::SIGQUIT);
    outer.expect("successor 15");
    outer.exits_with(7);
    assert!(outer.messages().contains(message), "{}", outer.messages());
}
