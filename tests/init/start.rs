//! A signal that arrives while the program is being started is not lost.

use crate::support::{Ended, Init, Launch, Opt, Place, children, not_run, patience, signal_set};
use std::hint::spin_loop;
use std::time::{Duration, Instant};

const TRIES: u32 = 300;

/// The longest time from blocking the signals to sending one. The program runs by then.
const WINDOW: Duration = Duration::from_millis(2);

#[test]
fn signal_at_start_is_not_lost() {
    window(&Init::under_test(), &[]);
}

#[test]
fn signal_to_the_group_at_start_is_not_lost() {
    window(&Init::under_test(), &[Opt::Group]);
}

#[test]
fn signal_at_start_is_not_lost_with_fork() {
    if let Some(init) = with_fork() {
        window(&init, &[]);
    }
}

#[test]
fn signal_to_the_group_at_start_is_not_lost_with_fork() {
    if let Some(init) = with_fork() {
        window(&init, &[Opt::Group]);
    }
}

fn with_fork() -> Option<Init> {
    let init = Init::with_fork();
    if init.is_none() {
        not_run("LOADLINE_ARTIFACT_FORK is not set, so there is no init that uses fork");
    }
    init
}

fn window(init: &Init, options: &[Opt]) {
    for place in Place::all() {
        for number in 0..TRIES {
            let delay = WINDOW * number / (TRIES - 1);
            let launch = Launch::new(place, &["pause"]).init(init);
            let launch = options.iter().fold(launch, |launch, &option| launch.option(option));
            let mut init = launch.start();
            // Before the init blocks signals, it cannot prevent the loss of one. While it waits for
            // signals, the kernel shows them as not blocked; then there is a child already.
            init.until("the signal is blocked", |init| {
                signal_set(init.pid(), "SigBlk") >> (libc::SIGTERM - 1) & 1 == 1
                    || !children(init.pid()).is_empty()
            });
            let blocked = Instant::now();
            while blocked.elapsed() < delay {
                spin_loop();
            }
            init.signal(libc::SIGTERM);
            match init.ended_within(patience()) {
                Some(Ended::Exited(143)) => {}
                Some(ended) => init.fail(&format!("{ended:?} after {delay:?} in {place:?}")),
                None => init.fail(&format!("lost after {delay:?} in {place:?}, try {number}")),
            }
        }
    }
}
