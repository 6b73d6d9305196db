//! Orphans become children of the init, which reaps them.

use crate::support::{Ended, Init, Launch, Opt, Place, children, exists, field, send};

#[test]
fn thousand_orphans_are_reaped_while_the_program_runs() {
    for place in Place::with_orphans() {
        let mut init = Launch::new(place, &["orphans", "1000"]).start_ready();
        init.until("the init has adopted the orphans", |init| children(init.pid()).len() == 1001);
        init.signal(libc::SIGUSR1);
        init.expect("signal 10");
        init.until("no orphan is left", |init| children(init.pid()).len() == 1);
        // The program got no SIGCHLD.
        init.signal(libc::SIGHUP);
        init.expect("signal 1");
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn without_the_subreaper_option_orphans_are_not_adopted() {
    Init::under_test().must_have(Opt::Subreaper);
    let mut init = Launch::new(Place::Plain, &["orphans", "3"]).start_ready();
    assert_eq!(children(init.pid()).len(), 1);
    init.signal(libc::SIGUSR1);
    init.expect("signal 10");
    init.signal(libc::SIGTERM);
    init.exits_with(0);
}

#[test]
fn reaped_orphan_is_logged_with_the_option() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["orphans", "3"]).option(Opt::Warn).start_ready();
        init.signal(libc::SIGUSR1);
        init.expect("signal 10");
        for _ in 0..3 {
            let line = init.message("Reaped zombie process with pid=");
            let (_, pid) = line.rsplit_once("pid=").unwrap();
            assert!(pid.trim_end().parse::<i32>().is_ok_and(|pid| pid > 1), "{line:?}");
        }
        init.signal(libc::SIGTERM);
        init.exits_with(0);
    }
}

#[test]
fn reaped_orphan_is_not_logged_without_the_option() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["orphans", "3"]).start_ready();
        init.signal(libc::SIGUSR1);
        init.until("no orphan is left", |init| children(init.pid()).len() == 1);
        init.signal(libc::SIGTERM);
        init.exits_with(0);
        assert_eq!(init.messages(), "");
    }
}

#[test]
fn init_exits_with_the_program_even_if_a_daemon_runs() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["daemon", "3"]).start();
        let line = init.line();
        init.exits_with(3);
        if place == Place::PidOne {
            // The daemon holds stdout until the kernel has ended the PID namespace.
            assert_eq!(init.output(), b"");
        } else {
            let daemon = line.strip_prefix("daemon ").unwrap().parse().unwrap();
            assert!(exists(daemon) && !field(daemon, "State").starts_with('Z'));
            send(daemon, libc::SIGKILL);
        }
    }
}

#[test]
fn program_may_exec_another_program() {
    for place in Place::all() {
        let mut init = Launch::new(place, &[])
            .program(&["/bin/sh", "-c", r#"exec "$0" exit 9"#, probe()])
            .start();
        assert_eq!(init.wait(), Ended::Exited(9));
    }
}

fn probe() -> &'static str {
    crate::support::probe_path().to_str().unwrap()
}
