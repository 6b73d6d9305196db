//! `--stop-delay`: the first request to exit is forwarded only after a time, or when a second one comes.

use crate::support::{Ended, Init, Launch, Place, Running, Tree, field};
use std::time::{Duration, Instant};

const REALTIME: i32 = 35;
/// The kernel delivers pending signals in the order of their numbers (signal(7)), so the init has taken
/// those that were sent before it.
const MARKER: i32 = 36;
const DELAY: Duration = Duration::from_millis(100);

fn delayed(place: Place, time: &str, program: &[&str]) -> Launch {
    Init::must_be_loadline();
    Launch::new(place, program).arguments(&["--stop-delay", time])
}

/// Waits until the init has taken what was sent to it.
#[track_caller]
fn wait_until_taken(init: &mut Running) {
    init.signal(MARKER);
    init.expect("signal 36");
}

#[test]
fn sigterm_is_forwarded_when_the_time_is_up() {
    for place in Place::all() {
        let mut init = delayed(place, "100ms", &["report"]).start_ready();
        let begin = Instant::now();
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        assert!(begin.elapsed() >= DELAY);
        init.exits_with(0);
        assert_eq!(init.messages(), "");
    }
}

#[test]
fn second_request_ends_the_delay_and_the_program_gets_one() {
    for place in Place::all() {
        let options = ["-vv", "--rewrite=TERM:QUIT,USR2:TERM"];
        let mut init = delayed(place, "1h", &["report"]).arguments(&options).start_ready();
        init.signal(libc::SIGTERM);
        wait_until_taken(&mut init);
        init.signal(libc::SIGTERM);
        init.expect("signal 3");
        wait_until_taken(&mut init);
        // From then on there is no delay.
        init.wait_until_idle();
        init.signal(libc::SIGTERM);
        init.expect("signal 3");
        init.signal(libc::SIGUSR2);
        init.expect("signal 15");
        init.exits_with(0);
        // The kernel could have merged two in the queue of the program.
        assert_eq!(init.messages().matches("forwarded SIGTERM as SIGQUIT").count(), 2);
    }
}

/// What the image has as its STOPSIGNAL: SIGTERM, SIGINT, SIGQUIT, or a signal that is rewritten to one.
#[test]
fn every_request_to_exit_is_held_back() {
    for place in Place::all() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, REALTIME] {
            let rewrite = ["--rewrite=RTMIN+1:TERM,TERM:USR1"];
            let mut init = delayed(place, "1h", &["report"]).arguments(&rewrite).start_ready();
            init.signal(signal);
            wait_until_taken(&mut init);
            init.signal(signal);
            let forwarded = match signal {
                libc::SIGTERM => libc::SIGUSR1,
                REALTIME => libc::SIGTERM,
                other => other,
            };
            init.expect(&format!("signal {forwarded}"));
        }
    }
}

#[test]
fn different_requests_are_both_forwarded_in_their_order() {
    for place in Place::all() {
        let mut init = delayed(place, "1h", &["report"]).start_ready();
        init.signal(libc::SIGQUIT);
        wait_until_taken(&mut init);
        init.signal(libc::SIGTERM);
        init.expect("signal 3");
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn dropped_signal_is_no_request() {
    for place in Place::all() {
        let mut init =
            delayed(place, "1h", &["report"]).arguments(&["--rewrite=INT:0"]).start_ready();
        init.signal(libc::SIGINT);
        init.wait_until_idle();
        init.signal(libc::SIGTERM);
        wait_until_taken(&mut init);
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

/// Of two standard signals of a kind the first one counts, as if it were pending. Realtime signals
/// queue.
#[test]
fn values_are_kept() {
    for place in Place::all() {
        let mut init = delayed(place, "100ms", &["report"]).start_ready();
        init.signal_with_value(libc::SIGTERM, 7);
        init.expect("signal 15 value 7");
        let mut init = delayed(place, "1h", &["report"]).start_ready();
        init.signal_with_value(libc::SIGTERM, 7);
        wait_until_taken(&mut init);
        init.signal_with_value(libc::SIGTERM, 8);
        init.expect("signal 15 value 7");
        let options = ["-vv", "--rewrite=RTMIN+1:QUIT"];
        let mut init = delayed(place, "1h", &["report"]).arguments(&options).start_ready();
        init.signal_with_value(REALTIME, 7);
        wait_until_taken(&mut init);
        init.signal_with_value(REALTIME, 8);
        init.expect("signal 3 value 7");
        for _ in 0..2 {
            init.message("forwarded SIGRTMIN+1 as SIGQUIT");
        }
    }
}

#[test]
fn group_gets_the_signal_after_the_delay() {
    for place in Place::all() {
        let mut init = delayed(place, "1h", &["group"]).arguments(&["-g"]).start();
        let both = |init: &mut Running, own: &str, grandchild: &str| {
            let mut seen = [init.line(), init.line()];
            seen.sort();
            assert_eq!(seen, [grandchild, own]);
        };
        both(&mut init, "ready", "grandchild ready");
        init.signal(libc::SIGTERM);
        init.signal(MARKER);
        both(&mut init, "signal 36", "grandchild 36");
        init.signal(libc::SIGTERM);
        init.exits_with(0);
    }
}

#[test]
fn kill_after_counts_from_the_forwarding() {
    for place in Place::all() {
        let options = ["--kill-after=100ms", "--rewrite=TERM:HUP"];
        let mut init = delayed(place, "100ms", &["report"]).arguments(&options).start_ready();
        let begin = Instant::now();
        init.signal(libc::SIGTERM);
        init.expect("signal 1");
        assert!(begin.elapsed() >= DELAY);
        init.exits_with(128 + libc::SIGKILL);
        assert!(begin.elapsed() >= 2 * DELAY);
    }
}

#[test]
fn init_exits_at_once_if_the_program_ends_meanwhile() {
    for place in Place::all() {
        let options = ["-v", "--kill-after=1h"];
        let mut init = delayed(place, "1h", &["pause"]).arguments(&options).start_ready();
        init.signal(libc::SIGTERM);
        init.message("holding SIGTERM back for 3600 s");
        init.signal(libc::SIGHUP);
        init.exits_with(129);
    }
}

/// A stop interrupts the wait for signals (signal(7)).
#[test]
fn stopped_and_continued_init_goes_on_holding() {
    for place in Place::all() {
        let mut init = delayed(place, "1h", &["report"]).start_ready();
        init.signal(libc::SIGTERM);
        wait_until_taken(&mut init);
        init.signal(libc::SIGSTOP);
        init.until("the init is stopped", |init| field(init.pid(), "State").starts_with('T'));
        init.signal(libc::SIGCONT);
        init.expect("signal 18");
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

const MEMORY: &str = "sys/fs/cgroup/memory.max";
const CHANGED: &str = "loadline: limits changed: ";

/// Nobody waits for the removal of an endpoint then.
#[test]
fn own_request_after_a_resize_is_not_delayed() {
    for place in Place::all() {
        let tree = Tree::v2();
        let options = ["--on-resize=exit", "--stop-delay=1h"];
        let mut init = tree.launch(place, &["report"], &options).start_idle();
        tree.write(MEMORY, "629145600\n");
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn resize_does_not_end_the_delay() {
    for place in Place::all() {
        let tree = Tree::v2();
        let options = ["--on-resize=exit", "--stop-delay=1h"];
        let mut init = tree.launch(place, &["report"], &options).start_idle();
        init.signal(libc::SIGTERM);
        wait_until_taken(&mut init);
        tree.write(MEMORY, "629145600\n");
        init.message(CHANGED);
        wait_until_taken(&mut init);
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn command_line_overrides_the_variable() {
    Init::must_be_loadline();
    for place in Place::all() {
        let launch = || Launch::new(place, &["report"]).environment("LOADLINE_STOP_DELAY=1h");
        let mut init = launch().start_ready();
        init.signal(libc::SIGTERM);
        wait_until_taken(&mut init);
        let mut init = launch().arguments(&["--stop-delay=1ms"]).start_ready();
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
        let mut init = delayed(place, "0", &["pause"]).start();
        assert_eq!(init.wait(), Ended::Exited(1));
    }
}
