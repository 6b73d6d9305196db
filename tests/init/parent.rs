//! `-p`: the signal that the init, and through it the program, gets when the parent dies.

use crate::support::{Ended, Init, Launch, Opt, Place, Running, not_run, probe, send};
use std::ffi::OsString;

/// Starts the probe as the parent of the init, with a program that reports signals. Returns the probe and
/// the process ID of the init.
#[track_caller]
fn child_of_the_probe(place: Place, signal: Option<&'static str>) -> (Running, i32) {
    let init = Init::under_test();
    let mut options = init.arguments_for(Opt::Subreaper);
    if let Some(signal) = signal {
        init.must_have(Opt::ParentDeath(signal));
        options.extend(init.arguments_for(Opt::ParentDeath(signal)));
    }
    let parent = if place == Place::PidOne { "parent-of-pid-1" } else { "parent" };
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
