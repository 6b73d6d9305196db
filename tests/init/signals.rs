//! Signals from outside reach the program, none lost, with their values.

use crate::support::{Launch, Place, forwardable};

/// SIGRTMIN + 1 for a program on glibc.
const REALTIME: i32 = 35;

#[test]
fn every_forwardable_signal_reaches_the_program() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["report"]).start();
        init.expect("ready");
        // The report ends with SIGTERM.
        for signal in forwardable().filter(|&signal| signal != libc::SIGTERM) {
            init.signal(signal);
            init.expect(&format!("signal {signal}"));
        }
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn thousand_realtime_signals_arrive_in_order_with_their_values() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["report"]).start();
        init.expect("ready");
        for value in 0..1000 {
            init.signal_with_value(REALTIME, value);
        }
        for value in 0..1000 {
            init.expect(&format!("signal {REALTIME} value {value}"));
        }
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn full_queue_of_the_program_loses_nothing_and_holds_up_no_other_signal() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["hold"]).own_user().queue(16).start();
        init.expect("ready");
        // More than the queue has room for: the init holds what it could not pass on.
        let mut sent = 0;
        while sent < 17 {
            init.signal_with_value(REALTIME, sent);
            sent += 1;
        }
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        while sent < 100 {
            init.signal_with_value(REALTIME, sent);
            sent += 1;
        }
        for value in 0..sent {
            init.expect(&format!("signal {REALTIME} value {value}"));
        }
        init.signal(libc::SIGUSR1);
        init.expect("signal 10");
        init.exits_with(0);
    }
}
