//! A broken stderr disturbs neither the init nor the program.

use crate::support::{
    Ended, Init, Input, Launch, Opt, Place, Running, Terminal, children, field, other_users,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, write};
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

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
    let (full_socket, unread_socket) = UnixStream::pair().unwrap();
    full_socket.set_nonblocking(true).unwrap();
    while write(&full_socket, b"x").is_ok() {}
    full_socket.set_nonblocking(false).unwrap();
    vec![
        ("closed", Input::Closed, None),
        ("a file as large as RLIMIT_FSIZE", Input::Given(full_file.into()), None),
        ("a broken pipe", Input::Given(broken), None),
        ("a full pipe", Input::Given(full), Some(unread)),
        ("a full socket", Input::Given(full_socket.into()), Some(unread_socket.into())),
    ]
}

#[test]
fn signals_are_forwarded_whatever_stderr_is() {
    forwards_signals(&[]);
}

/// Older kernels do not have RWF_NOWAIT (pwritev2(2)), or not for pipes and sockets.
#[test]
fn signals_are_forwarded_whatever_stderr_is_without_pwritev2() {
    forwards_signals(&[libc::SYS_pwritev2]);
}

fn forwards_signals(refused: &[i64]) {
    for place in Place::all() {
        for (kind, stderr, _open) in kinds() {
            let launch = Launch::new(place, &["orphans", "50"]).loud().file_size(NO_FILES);
            let launch = launch.standard(2, stderr).refusing(refused, libc::EOPNOTSUPP);
            let mut init = launch.start_ready();
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

/// The last way does not need another process.
#[test]
fn message_is_written_without_pwritev2_and_without_another_process() {
    Init::must_be_loadline();
    for refused in [&[libc::SYS_pwritev2] as &[_], &[libc::SYS_pwritev2, libc::SYS_pipe2]] {
        let launch = Launch::new(Place::Subreaper, &["exit", "9"]);
        let launch = launch.environment("LOADLINE_CPU=invalid").options_if_any(&[Opt::Verbose]);
        let mut init = launch.refusing(refused, libc::ENOSYS).start();
        init.exits_with(9);
        let messages = init.messages();
        let first = messages.lines().next().unwrap();
        assert!(first.starts_with("loadline: ") && first.contains("LOADLINE_CPU"), "{messages}");
    }
}

/// A file cannot be opened again as a pipe can. Without another process the init itself writes.
#[test]
fn message_is_written_to_a_file_without_pwritev2() {
    Init::must_be_loadline();
    for refused in [&[libc::SYS_pwritev2] as &[_], &[libc::SYS_pwritev2, libc::SYS_pipe2]] {
        let mut file = tempfile::tempfile().unwrap();
        let stderr = Input::Given(file.try_clone().unwrap().into());
        let launch = Launch::new(Place::Subreaper, &["exit", "9"]).standard(2, stderr);
        let launch = launch.environment("LOADLINE_CPU=invalid").options_if_any(&[Opt::Verbose]);
        launch.refusing(refused, libc::ENOSYS).start().exits_with(9);
        let mut messages = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut messages).unwrap();
        let first = messages.lines().next().unwrap();
        assert!(first.starts_with("loadline: ") && first.contains("LOADLINE_CPU"), "{messages}");
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
                .start_ready();
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

/// An init with all messages on a terminal, which it may open again, or not.
fn on_terminal(place: Place, terminal: &Terminal, may_open: bool) -> Launch {
    let launch = Launch::new(place, &["report"]).loud();
    let launch = launch.standard(2, Input::Given(terminal.slave()));
    if may_open {
        return launch;
    }
    terminal.forbid_opening();
    launch.without_cap_dac_override()
}

/// Whether the init may open the terminal again, as far as the test can arrange that.
fn may_open() -> &'static [bool] {
    if other_users() { &[true, false] } else { &[true] }
}

/// More messages than fit into the buffers of a pseudo-terminal. The last one that fits may have room for
/// a part of it only, and the write must not wait for more.
#[track_caller]
fn overflows(init: &mut Running) {
    init.expect("ready");
    for _ in 0..3000 {
        init.signal(libc::SIGHUP);
        init.expect("signal 1");
    }
    assert_eq!(children(init.pid()), [init.program()]);
    init.signal(libc::SIGTERM);
    init.expect("signal 15");
    init.exits_with(0);
}

#[test]
fn signals_are_forwarded_if_nobody_reads_the_terminal() {
    for place in Place::all() {
        for &may_open in may_open() {
            let terminal = Terminal::new();
            overflows(&mut on_terminal(place, &terminal, may_open).start());
        }
    }
}

/// Then the init can only write to a terminal that it may open again.
#[test]
fn signals_are_forwarded_if_nobody_reads_the_terminal_and_no_process_can_be_created() {
    for place in Place::all() {
        for &may_open in may_open() {
            let terminal = Terminal::new();
            let launch = on_terminal(place, &terminal, may_open);
            overflows(&mut launch.refusing(&[libc::SYS_pipe2], libc::EMFILE).start());
        }
    }
}

#[test]
fn message_reaches_a_terminal_unless_it_is_stopped() {
    Init::must_be_loadline();
    for place in Place::all() {
        for &may_open in may_open() {
            let mut terminal = Terminal::new();
            let mut init = on_terminal(place, &terminal, may_open).start_ready();
            init.wait_until_idle();
            let mut signal = |signal: i32| {
                init.signal(signal);
                init.expect(&format!("signal {signal}"));
                init.wait_until_idle();
            };
            signal(libc::SIGHUP);
            terminal.expect("loadline: forwarded SIGHUP to process ");
            // As Ctrl-S does.
            terminal.stop_output();
            signal(libc::SIGUSR1);
            signal(libc::SIGUSR1);
            terminal.continue_output();
            signal(libc::SIGUSR2);
            terminal.expect("\nloadline: (2 messages dropped) forwarded SIGUSR2 to process ");
            init.signal(libc::SIGTERM);
            init.expect("signal 15");
            init.exits_with(0);
        }
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
        let mut init = Launch::new(place, &["report"]).start_ready();
        for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
            init.signal(signal);
            init.expect(&format!("signal {signal}"));
        }
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}
