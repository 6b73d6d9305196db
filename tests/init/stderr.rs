//! A broken stderr disturbs neither the init nor the program.

use crate::support::{Ended, Init, Input, Launch, Opt, Place, Terminal, children, field};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, write};
use std::os::fd::OwnedFd;

/// The `RLIMIT_FSIZE` with which a write to a file is answered by SIGXFSZ.
const NO_FILES: u64 = 0;

/// Kinds of stderr, each with the file that must stay open meanwhile. With [`NO_FILES`] no file may grow.
fn kinds() -> Vec<(&'static str, Input, Option<OwnedFd>)> {
    let (reader, broken) = pipe2(OFlag::O_CLOEXEC).unwrap();
    drop(reader);
    let (unread, full) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
    while write(&full, &[b'x'; 4096]).is_ok() {}
    while write(&full, b"x").is_ok() {}
    fcntl(&full, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let full_file = tempfile::tempfile().unwrap();
    vec![
        ("closed", Input::Closed, None),
        ("a file as large as RLIMIT_FSIZE", Input::Given(full_file.into()), None),
        ("a broken pipe", Input::Given(broken), None),
        ("a full pipe", Input::Given(full), Some(unread)),
    ]
}

#[test]
fn signals_are_forwarded_whatever_stderr_is() {
    for place in Place::all() {
        for (kind, stderr, _open) in kinds() {
            let init = Launch::new(place, &["orphans", "50"]).loud().file_size(NO_FILES);
            let mut init = init.standard(2, stderr).start();
            init.expect("ready");
            init.signal(libc::SIGUSR1);
            init.expect("signal 10");
            init.until(kind, |init| children(init.pid()).len() == 1);
            // If the init forwarded the signal that its own message causes, the program would report it.
            for signal in [libc::SIGHUP, libc::SIGUSR2, libc::SIGHUP, libc::SIGTERM] {
                init.signal(signal);
                init.expect(&format!("signal {signal}"));
            }
            init.exits_with(0);
        }
    }
}

/// The signal of a process and one that the init's own message causes may be pending at the same time.
#[test]
fn sigpipe_and_sigxfsz_from_a_process_are_forwarded_whatever_stderr_is() {
    for place in Place::all() {
        for (_, stderr, _open) in kinds() {
            let mut init = Launch::new(place, &["report"])
                .loud()
                .file_size(NO_FILES)
                .standard(2, stderr)
                .start();
            init.expect("ready");
            init.wait_until_idle();
            init.signal(libc::SIGSTOP);
            init.until("the init is stopped", |init| field(init.pid(), "State").starts_with('T'));
            init.signal(libc::SIGHUP);
            init.signal_with_value(libc::SIGPIPE, 3);
            init.signal_with_value(libc::SIGXFSZ, 5);
            init.signal(libc::SIGCONT);
            // The kernel delivers pending signals in the order of their numbers (signal(7)).
            for seen in ["signal 1", "signal 13 value 3", "signal 18", "signal 25 value 5"] {
                init.expect(seen);
            }
            init.signal(libc::SIGTERM);
            init.expect("signal 15");
            init.exits_with(0);
        }
    }
}

#[test]
fn message_before_exec_does_not_kill_the_program() {
    Init::must_be_loadline();
    for place in Place::all() {
        for (kind, stderr, _open) in kinds() {
            let mut program = Launch::new(place, &["exit", "9"])
                .option(Opt::Exec)
                .environment("LOADLINE_CPU=invalid")
                .file_size(NO_FILES)
                .standard(2, stderr)
                .start();
            assert_eq!(program.wait(), Ended::Exited(9), "{kind}");
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
            let mut broken = init().file_size(NO_FILES).standard(2, stderr).start();
            assert_eq!(broken.wait(), usual, "{kind}");
        }
    }
}

#[test]
fn usage_error_has_its_code_whatever_stderr_is() {
    for place in Place::all() {
        for (_, stderr, _open) in kinds() {
            let init = Launch::new(place, &["exit", "9"]).arguments(&["--no-such-option"]);
            init.file_size(NO_FILES).standard(2, stderr).start().exits_with(1);
        }
    }
}

#[test]
fn sigpipe_and_sigxfsz_from_a_process_are_forwarded() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["report"]).start();
        init.expect("ready");
        for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
            init.signal(signal);
            init.expect(&format!("signal {signal}"));
        }
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}
