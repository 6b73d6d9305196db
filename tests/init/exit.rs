//! The exit code is that of the program, or 128 plus the signal that ended it.

use crate::support::{Ended, Launch, Opt, Place, forwardable};

/// Signals whose default action does not end a process (signal(7)).
const HARMLESS: [i32; 5] =
    [libc::SIGCONT, libc::SIGURG, libc::SIGWINCH, libc::SIGTSTP, libc::SIGSTOP];

#[test]
fn exit_code_is_that_of_the_program() {
    for place in Place::all() {
        for code in 0..=255 {
            Launch::new(place, &["exit", &code.to_string()]).start().exits_with(code);
        }
    }
}

#[test]
fn killed_by_a_signal_is_128_plus_its_number() {
    for place in Place::all() {
        let deadly = forwardable().filter(|signal| !HARMLESS.contains(signal));
        for signal in deadly.chain([libc::SIGKILL]) {
            let mut init = Launch::new(place, &["die", &signal.to_string()]).start();
            init.exits_with(128 + signal);
        }
    }
}

#[test]
fn expected_codes_become_0_and_others_stay() {
    for place in Place::all() {
        for (code, seen) in [(0, 0), (7, 0), (255, 0), (6, 6), (254, 254)] {
            let mut init = Launch::new(place, &["exit", &code.to_string()])
                .option(Opt::ExpectedCode("0"))
                .option(Opt::ExpectedCode("7"))
                .option(Opt::ExpectedCode("255"))
                .start();
            init.exits_with(seen);
        }
    }
}

#[test]
fn expected_code_143_makes_sigterm_0() {
    for place in Place::all() {
        let mut init =
            Launch::new(place, &["pause"]).option(Opt::ExpectedCode("143")).start_ready();
        init.signal(libc::SIGTERM);
        init.exits_with(0);
    }
}

#[test]
fn bad_expected_code_starts_nothing() {
    for code in ["256", "-1", "x", "", "1x", "99999999999999999999"] {
        let mut init =
            Launch::new(Place::Subreaper, &["pause"]).option(Opt::ExpectedCode(code)).start();
        assert_eq!(init.wait(), Ended::Exited(1), "-e {code:?}");
        assert_eq!(init.output(), b"", "-e {code:?}");
        assert_ne!(init.messages(), "", "-e {code:?}");
    }
}
