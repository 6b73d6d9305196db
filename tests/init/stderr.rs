//! A broken stderr disturbs neither the init nor the program.

use crate::support::{Input, Launch, Place, Terminal, children};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, write};
use std::os::fd::OwnedFd;

/// Kinds of stderr, each with the file that must stay open meanwhile.
fn kinds() -> Vec<(&'static str, Input, Option<OwnedFd>)> {
    let (reader, broken) = pipe2(OFlag::O_CLOEXEC).unwrap();
    drop(reader);
    let (unread, full) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
    while write(&full, &[b'x'; 4096]).is_ok() {}
    while write(&full, b"x").is_ok() {}
    fcntl(&full, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    vec![
        ("closed", Input::Closed, None),
        ("a broken pipe", Input::Given(broken), None),
        ("a full pipe", Input::Given(full), Some(unread)),
    ]
}

#[test]
fn signals_are_forwarded_whatever_stderr_is() {
    for place in Place::all() {
        for (kind, stderr, _open) in kinds() {
            let mut init =
                Launch::new(place, &["orphans", "50"]).loud().standard(2, stderr).start();
            init.expect("ready");
            init.signal(libc::SIGUSR1);
            init.expect("signal 10");
            init.until(kind, |init| children(init.pid()).len() == 1);
            // If the init forwarded the SIGPIPE that its own message causes, the program would report it.
            for signal in [libc::SIGHUP, libc::SIGUSR2, libc::SIGHUP, libc::SIGTERM] {
                init.signal(signal);
                init.expect(&format!("signal {signal}"));
            }
            init.exits_with(0);
        }
    }
}

/// The buffer of the terminal may have room for a part of a message. The write must not wait for more.
#[test]
fn signals_are_forwarded_if_nobody_reads_the_terminal() {
    for place in Place::all() {
        let terminal = Terminal::new();
        let mut init = Launch::new(place, &["report"])
            .loud()
            .standard(2, Input::Given(terminal.slave()))
            .start();
        init.expect("ready");
        // The messages about so many signals do not fit into the buffers of a pseudo-terminal.
        for _ in 0..3000 {
            init.signal(libc::SIGHUP);
            init.expect("signal 1");
        }
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn failure_has_its_usual_code_whatever_stderr_is() {
    for place in Place::all() {
        for (kind, stderr, _open) in kinds() {
            let init = || Launch::new(place, &[]).program(&["/nowhere"]);
            let usual = init().start().wait();
            assert_eq!(init().standard(2, stderr).start().wait(), usual, "{kind}");
        }
    }
}

#[test]
fn usage_error_has_its_code_whatever_stderr_is() {
    for place in Place::all() {
        for (_, stderr, _open) in kinds() {
            let init = Launch::new(place, &["exit", "9"]).arguments(&["--no-such-option"]);
            init.standard(2, stderr).start().exits_with(1);
        }
    }
}

#[test]
fn sigpipe_from_a_process_is_forwarded() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["report"]).start();
        init.expect("ready");
        init.signal(libc::SIGPIPE);
        init.expect("signal 13");
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}
