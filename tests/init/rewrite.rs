//! `--rewrite`: signals that reach the program as another signal, or not at all.

use crate::support::{Ended, Init, Launch, Opt, Place, Running, send};

fn reporting(place: Place, rewrites: &[&str]) -> Running {
    Init::must_be_loadline();
    rewriting(place, rewrites).start_ready()
}

fn rewriting(place: Place, rewrites: &[&str]) -> Launch {
    let launch = Launch::new(place, &["report"]);
    rewrites.iter().fold(launch, |launch, rewrite| launch.arguments(&["--rewrite", rewrite]))
}

#[track_caller]
fn ends_by_sigterm(mut init: Running) {
    init.signal(libc::SIGTERM);
    init.expect("signal 15");
    init.exits_with(0);
}

#[test]
fn rewritten_signal_reaches_the_program() {
    for place in Place::all() {
        let rewrites = ["HUP:QUIT,SIGINT:SIGUSR1", "34:12", "USR2:35", "TTIN:TSTP", "1:3"];
        let mut init = reporting(place, &rewrites);
        for (sent, seen) in [(1, 3), (2, 10), (34, 12), (12, 35), (21, 20), (10, 10)] {
            init.signal(sent);
            init.expect(&format!("signal {seen}"));
        }
        ends_by_sigterm(init);
    }
}

/// LXC and Incus stop a container with SIGPWR or SIGRTMIN+3.
#[test]
fn every_name_of_a_signal_is_understood() {
    for place in Place::all() {
        let rewrites = ["PWR:USR1,SIGRTMIN+3:USR2", "IOT:RTMIN", "POLL:SIGRTMAX-1", "STKFLT:URG"];
        let mut init = reporting(place, &rewrites);
        for (sent, seen) in [(30, 10), (37, 12), (6, 34), (29, 63), (16, 23)] {
            init.signal(sent);
            init.expect(&format!("signal {seen}"));
        }
        ends_by_sigterm(init);
    }
}

#[test]
fn dropped_signal_does_not_reach_the_program() {
    for place in Place::all() {
        let init = reporting(place, &["HUP:0"]);
        // The kernel delivers pending signals in the order of their numbers (signal(7)).
        init.signal(libc::SIGHUP);
        ends_by_sigterm(init);
    }
}

#[test]
fn sigttin_and_sigttou_are_forwarded_only_if_rewritten() {
    for place in Place::all() {
        let mut init = reporting(place, &["TTIN:TTIN"]);
        init.signal(libc::SIGTTOU);
        init.signal(libc::SIGTTIN);
        init.expect("signal 21");
        ends_by_sigterm(init);
    }
}

#[test]
fn rewritten_signals_keep_their_values_and_their_order() {
    for place in Place::all() {
        let mut init = reporting(place, &["40:41", "42:USR1"]);
        for value in 0..100 {
            init.signal_with_value(40, value);
        }
        for value in 0..100 {
            init.expect(&format!("signal 41 value {value}"));
        }
        init.signal_with_value(42, 7);
        init.expect("signal 10 value 7");
        ends_by_sigterm(init);
    }
}

#[test]
fn group_gets_the_rewritten_signal() {
    Init::must_be_loadline();
    for place in Place::all() {
        let launch = Launch::new(place, &["group"]).option(Opt::Group);
        let mut init = launch.arguments(&["--rewrite=TERM:HUP"]).start();
        let mut ready = [init.line(), init.line()];
        ready.sort();
        assert_eq!(ready, ["grandchild ready", "ready"]);
        init.signal(libc::SIGTERM);
        let mut seen = [init.line(), init.line()];
        seen.sort();
        assert_eq!(seen, ["grandchild 1", "signal 1"]);
        send(init.program(), libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn command_line_overrides_rewrites_of_the_variable() {
    Init::must_be_loadline();
    for place in Place::all() {
        let launch = rewriting(place, &["HUP:QUIT"]).environment("LOADLINE_REWRITE=1:10,2:12");
        let mut init = launch.start_ready();
        for (sent, seen) in [(1, 3), (2, 12)] {
            init.signal(sent);
            init.expect(&format!("signal {seen}"));
        }
        ends_by_sigterm(init);
    }
}

#[test]
fn bad_rewrite_starts_nothing_and_a_bad_variable_is_a_warning() {
    Init::must_be_loadline();
    let mut init = rewriting(Place::Subreaper, &["CHLD:TERM"]).start();
    assert_eq!(init.wait(), Ended::Exited(1));
    assert_eq!(init.output(), b"");
    assert!(init.messages().contains("invalid value \"CHLD:TERM\" for --rewrite: expected "));
    let launch = rewriting(Place::Subreaper, &[]).environment("LOADLINE_REWRITE=HUP:3,CHLD:1");
    let mut init = launch.start_ready();
    init.message("ignoring LOADLINE_REWRITE=\"HUP:3,CHLD:1\": expected ");
    init.signal(libc::SIGHUP);
    init.expect("signal 1");
    ends_by_sigterm(init);
}

#[test]
fn rewriting_is_logged_at_the_highest_verbosity() {
    Init::must_be_loadline();
    let init = rewriting(Place::Subreaper, &["HUP:QUIT,RTMIN+3:PWR"])
        .option(Opt::Verbose)
        .arguments(&["-v"]);
    let mut init = init.start_ready();
    init.signal(libc::SIGHUP);
    init.message("forwarded SIGHUP as SIGQUIT to process ");
    init.expect("signal 3");
    init.signal(37);
    init.message("forwarded SIGRTMIN+3 as SIGPWR to process ");
    init.expect("signal 30");
    ends_by_sigterm(init);
}
