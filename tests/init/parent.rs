//! `-p`: the signal that the init, and through it the program, gets when the parent dies.

use crate::support::{Ended, Init, Launch, Opt, Place, Running, not_run, probe, send};
use std::ffi::OsString;

/// Starts the probe as the parent of the init, with a program that reports signals. Returns the probe and
/// the process ID of the init.
#[track_caller]
fn child_of_the_probe(place: Place, signal: Option<&'static str>) -> (Running, i32) {
    let parent = if place == Place::PidOne { "parent-of-pid-1" } else { "parent" };
    child_of(parent, signal)
}

/// The same with this command of the probe.
#[track_caller]
fn child_of(parent: &str, signal: Option<&'static str>) -> (Running, i32) {
    let init = Init::under_test();
    let mut options = init.arguments_for(Opt::Subreaper);
    if let Some(signal) = signal {
        init.must_have(Opt::ParentDeath(signal));
        options.extend(init.arguments_for(Opt::ParentDeath(signal)));
    }
    let mut command: Vec<OsString> = probe(&[parent]);
    command.push(init.path.clone().into());
    command.extend(options.iter().map(OsString::from));
    command.push("--".into());
    command.extend(probe(&["report"]));
    let mut parent = Launch::bare(&[]).program(&command).start();
    let mut lines = [parent.line(), parent.line()];
    lines.sort();
    assert_eq!(lines[1], "ready");
    let init = lines[0].strip_prefix("child ").unwrap().parse().unwrap();
    (parent, init)
}

/// Ends the program, and waits until no process holds stdout.
#[track_caller]
fn end(parent: &mut Running, init: i32) {
    send(init, libc::SIGTERM);
    parent.expect("signal 15");
    assert_eq!(parent.output(), b"");
}

fn places() -> Vec<Place> {
    if nix::unistd::geteuid().is_root() {
        return Place::all();
    }
    not_run("as PID 1: only root can create a PID namespace without a user namespace");
    vec![Place::Subreaper]
}

#[test]
fn parent_death_signal_reaches_the_program() {
    for place in places() {
        for (name, signal) in [("SIGTERM", libc::SIGTERM), ("SIGHUP", libc::SIGHUP)] {
            let (mut parent, init) = child_of_the_probe(place, Some(name));
            parent.signal(libc::SIGKILL);
            assert_eq!(parent.wait(), Ended::Killed(libc::SIGKILL));
            parent.expect(&format!("signal {signal}"));
            if signal == libc::SIGTERM {
                // SIGTERM ends the report.
                assert_eq!(parent.output(), b"");
            } else {
                end(&mut parent, init);
            }
        }
    }
}

#[test]
fn parent_death_signal_may_be_any_that_has_a_name() {
    Init::must_be_loadline();
    for place in places() {
        for (name, signal) in [("PWR", 30), ("SIGIOT", 6), ("RTMIN+3", 37), ("SIGRTMAX", 64)] {
            let (mut parent, init) = child_of_the_probe(place, Some(name));
            parent.signal(libc::SIGKILL);
            assert_eq!(parent.wait(), Ended::Killed(libc::SIGKILL));
            parent.expect(&format!("signal {signal}"));
            end(&mut parent, init);
        }
    }
}

#[test]
fn parent_death_signal_sigkill_kills_the_program() {
    for place in places() {
        let (mut parent, _) = child_of_the_probe(place, Some("SIGKILL"));
        parent.signal(libc::SIGKILL);
        assert_eq!(parent.wait(), Ended::Killed(libc::SIGKILL));
        assert_eq!(parent.output(), b"");
    }
}

#[test]
fn without_the_option_the_death_of_the_parent_does_nothing() {
    let (mut parent, init) = child_of_the_probe(Place::Subreaper, None);
    parent.signal(libc::SIGKILL);
    parent.wait();
    send(init, libc::SIGUSR1);
    parent.expect("signal 10");
    end(&mut parent, init);
}

/// The kernel sends the signal when the thread ends that has started the init. Go and other runtimes have
/// threads that come and go.
#[test]
fn end_of_a_thread_of_the_parent_does_nothing() {
    Init::must_be_loadline();
    for (name, signal) in [("SIGHUP", libc::SIGHUP), ("SIGKILL", libc::SIGKILL)] {
        let (mut parent, init) = child_of("parent-with-thread", Some(name));
        // Lets the thread end.
        parent.signal(libc::SIGUSR2);
        parent.expect("thread gone");
        send(init, libc::SIGUSR1);
        // A SIGHUP would be seen before this.
        parent.expect("signal 10");
        parent.signal(libc::SIGKILL);
        assert_eq!(parent.wait(), Ended::Killed(libc::SIGKILL));
        if signal == libc::SIGKILL {
            assert_eq!(parent.output(), b"");
        } else {
            parent.expect("signal 1");
            end(&mut parent, init);
        }
    }
}

/// The signal of a parent that dies while the init ends the rest has the same effect as any other.
#[test]
fn parent_that_dies_cuts_the_drain_short() {
    Init::must_be_loadline();
    let init = Init::under_test();
    let mut command: Vec<OsString> = probe(&["parent"]);
    command.push(init.path.into());
    command.extend(["-p", "SIGTERM", "--drain", "60s", "--"].map(OsString::from));
    command.extend(probe(&["daemon", "0", "stubborn"]));
    let mut parent = Launch::bare(&[]).program(&command).start();
    let mut lines = [parent.line(), parent.line()];
    lines.sort();
    assert!(lines[0].starts_with("child ") && lines[1].starts_with("daemon "), "{lines:?}");
    parent.expect("daemon 15");
    parent.signal(libc::SIGKILL);
    assert_eq!(parent.wait(), Ended::Killed(libc::SIGKILL));
    // The daemon is killed.
    parent.output();
}
