//! `-p`: the death of the parent reaches the init, and by it the program.

use crate::support::{Ended, Init, Launch, Opt, Place, Running, not_run, probe};
use std::ffi::OsString;

/// The probe as the parent of the init, whose program reports.
fn child_of_the_probe(place: Place, signal: &'static str) -> Running {
    let init = Init::under_test();
    let parent = if place == Place::PidOne { "parent-of-pid-1" } else { "parent" };
    let mut command: Vec<OsString> = probe(&[parent]);
    command.push(init.path.clone().into());
    command.extend(init.spell(Opt::Subreaper));
    command.extend(init.spell(Opt::ParentDeath(signal)));
    command.push("--".into());
    command.extend(probe(&["report"]));
    let mut parent = Launch::bare(&[]).program(&command).start();
    let mut lines = [parent.line(), parent.line()];
    lines.sort();
    assert!(lines[0].starts_with("child "), "{lines:?}");
    assert_eq!(lines[1], "ready");
    parent
}

fn places() -> Vec<Place> {
    if nix::unistd::geteuid().is_root() {
        return Place::all();
    }
    not_run("as PID 1: the probe makes the namespace itself, for which only root has the right");
    vec![Place::Subreaper]
}

#[test]
fn death_of_the_parent_reaches_the_program_as_a_signal() {
    for (name, signal) in [("SIGTERM", libc::SIGTERM), ("SIGHUP", libc::SIGHUP)] {
        for place in places() {
            let mut parent = child_of_the_probe(place, name);
            parent.signal(libc::SIGKILL);
            assert_eq!(parent.wait(), Ended::Killed(libc::SIGKILL));
            parent.expect(&format!("signal {signal}"));
            if signal == libc::SIGTERM {
                // The report ends here, and stdout with the last process that holds it.
                assert_eq!(parent.output(), b"");
            }
        }
    }
}

#[test]
fn death_of_the_parent_kills_the_program_where_it_is_sigkill() {
    for place in places() {
        let mut parent = child_of_the_probe(place, "SIGKILL");
        parent.signal(libc::SIGKILL);
        assert_eq!(parent.wait(), Ended::Killed(libc::SIGKILL));
        assert_eq!(parent.output(), b"");
    }
}

#[test]
fn death_of_the_parent_is_nothing_otherwise() {
    let init = Init::under_test();
    let mut command: Vec<OsString> = probe(&["parent"]);
    command.push(init.path.clone().into());
    command.extend(init.spell(Opt::Subreaper));
    command.push("--".into());
    command.extend(probe(&["report"]));
    let mut parent = Launch::bare(&[]).program(&command).start();
    let mut lines = [parent.line(), parent.line()];
    lines.sort();
    let init = lines[0].strip_prefix("child ").unwrap().parse().unwrap();
    parent.signal(libc::SIGKILL);
    parent.wait();
    crate::support::send(init, libc::SIGUSR1);
    parent.expect("signal 10");
    crate::support::send(init, libc::SIGTERM);
    parent.expect("signal 15");
    assert_eq!(parent.output(), b"");
}
