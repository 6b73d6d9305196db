//! The command line, the variables of tini, and messages that scripts look for.

use crate::support::{Ended, Init, Launch, Opt, Place, Running, probe_path};
use std::os::unix::fs::symlink;
use tempfile::tempdir;

/// Runs it until it exits. Returns the exit code, stdout and stderr.
#[track_caller]
fn run(launch: Launch) -> (Ended, String, String) {
    let mut init: Running = launch.start();
    let ended = init.wait();
    (ended, String::from_utf8(init.output()).unwrap(), init.messages())
}

fn alone() -> Launch {
    Launch::new(Place::Plain, &[]).program::<&str>(&[])
}

#[test]
fn no_arguments_is_a_usage_error() {
    for launch in [alone(), alone().arguments(&["--"]), alone().arguments(&["-v"])] {
        let (ended, stdout, stderr) = run(launch);
        assert_eq!((ended, stdout.as_str()), (Ended::Exited(1), ""));
        assert!(stderr.to_lowercase().contains("usage"), "{stderr:?}");
    }
}

#[test]
fn usage_error_is_one_line_that_leads_to_the_help() {
    Init::must_be_loadline();
    for arguments in [
        &[] as &[_],
        &["--report", "--"],
        &["--nope", "x"],
        &["-exec", "x"],
        &["--memory-limit=400m", "x"],
        &["--memory-ratio=80", "x"],
        &["--kill-after"],
        &["--version=1"],
    ] {
        let (ended, stdout, stderr) = run(alone().arguments(arguments));
        assert_eq!((ended, stdout.as_str()), (Ended::Exited(1), ""), "{arguments:?}");
        let is_good = stderr.lines().count() == 1 && stderr.ends_with("; see loadline --help\n");
        assert!(is_good, "{arguments:?}: {stderr:?}");
    }
}

/// What looks like a part of our own command line was taken for the program.
#[test]
fn missing_program_that_is_an_option_or_a_value_gives_a_hint() {
    Init::must_be_loadline();
    for (arguments, program, hint) in [
        (&["--", "-v", "/service"][..], "-v", "options for loadline go before the --"),
        (&["--report", "json", "/service"], "json", "--report=json"),
        (&["/service -port 80"], "/service -port 80", "it contains a space"),
    ] {
        for place in Place::all() {
            for exec in ["LOADLINE_EXEC=0", "LOADLINE_EXEC=1"] {
                let launch = Launch::new(place, &[]).program::<&str>(&[]).environment(exec);
                let launch = launch.path("/nowhere");
                let (ended, _, stderr) = run(launch.arguments(arguments));
                assert_eq!(ended, Ended::Exited(127), "{arguments:?}");
                let begin = format!("loadline: cannot execute \"{program}\": No such file ");
                let line = stderr.lines().find(|line| line.starts_with(&begin));
                assert!(line.is_some_and(|line| line.contains(hint)), "{stderr:?}");
            }
        }
    }
}

#[test]
fn program_with_the_name_of_an_optional_value_is_run() {
    Init::must_be_loadline();
    let directory = tempdir().unwrap();
    symlink(probe_path(), directory.path().join("json")).unwrap();
    let launch = alone().path(directory.path().to_str().unwrap());
    let (ended, _, stderr) = run(launch.arguments(&["--report", "json", "exit", "3"]));
    assert_eq!(ended, Ended::Exited(3), "{stderr}");
    assert!(stderr.contains("the program ended: ") && !stderr.contains("--report"), "{stderr}");
}

#[test]
fn bad_option_starts_nothing() {
    for bad in [
        &["-x"] as &[_],
        &["-vx"],
        &["--no-such-option"],
        &["-p"],
        &["-p", "TERM1"],
        &["-p", ""],
        &["-e"],
        &["--version=1"],
        &["-s=1"],
    ] {
        // An option that needs a value would take the name of the program for it.
        let launch = if bad.len() == 1 && ["-p", "-e"].contains(&bad[0]) {
            alone().arguments(bad)
        } else {
            Launch::new(Place::Plain, &["pause"]).arguments(bad)
        };
        let (ended, stdout, stderr) = run(launch);
        assert_eq!((ended, stdout.as_str()), (Ended::Exited(1), ""), "{bad:?}");
        assert_ne!(stderr, "", "{bad:?}");
    }
}

/// A variable may ask for `--exec` while the command line of the image has options for an init.
#[test]
fn options_for_an_init_with_exec_give_a_warning() {
    let launch = || Launch::new(Place::Plain, &["exit", "3"]).option(Opt::Exec);
    let (ended, _, stderr) = run(launch().option(Opt::ExpectedCode("3")));
    assert_eq!(ended, Ended::Exited(3));
    assert!(stderr.contains("-e") && stderr.lines().count() == 1, "{stderr:?}");
    for option in [
        "--rewrite=TERM:INT",
        "--stop-delay=1s",
        "--kill-after=1s",
        "--wait-all",
        "--drain=1s",
        "--report",
        "--on-resize=log",
        "--memory-warn",
        "--termination-log=/dev/null",
    ] {
        let (ended, _, stderr) = run(launch().arguments(&[option]));
        assert_eq!(ended, Ended::Exited(3));
        let warning = "options for an init, such as ";
        assert!(stderr.contains(warning) && stderr.lines().count() == 1, "{option}: {stderr:?}");
    }
    let nothing = (Ended::Exited(3), String::new(), String::new());
    assert_eq!(run(launch()), nothing);
    for off in ["LOADLINE_MEMORY_WARN=0", "LOADLINE_ON_RESIZE=ignore", "LOADLINE_WAIT_ALL=0"] {
        assert_eq!(run(launch().environment(off)), nothing, "{off}");
    }
}

#[test]
fn version_is_what_dockerd_accepts() {
    let (ended, stdout, stderr) = run(alone().option(Opt::Version));
    assert_eq!((ended, stderr.as_str()), (Ended::Exited(0), ""));
    let words: Vec<_> = stdout.strip_suffix('\n').unwrap().split(' ').collect();
    let [name, "version", number, commit @ ..] = &words[..] else { panic!("{stdout:?}") };
    assert!(!number.is_empty(), "{stdout:?}");
    match commit {
        // Without a commit, dockerd accepts only the name tini.
        [] => assert_eq!(*name, "tini"),
        ["-", commit] => assert!(commit.strip_prefix("git.").is_some_and(|it| !it.is_empty())),
        _ => panic!("{stdout:?}"),
    }
}

#[test]
fn version_starts_nothing() {
    for place in Place::all() {
        let (ended, stdout, stderr) = run(Launch::new(place, &["pause"]).option(Opt::Version));
        assert_eq!(ended, Ended::Exited(0));
        let message = stdout + &stderr;
        assert!(!message.is_empty() && !message.contains("ready"), "{message:?}");
    }
}

#[test]
fn help_goes_to_stdout() {
    let (ended, stdout, stderr) = run(alone().option(Opt::Help));
    assert_eq!((ended, stderr.as_str()), (Ended::Exited(0), ""));
    assert!(stdout.contains("-h"), "{stdout:?}");
}

#[test]
fn licence_goes_to_stdout() {
    let (ended, stdout, stderr) = run(alone().option(Opt::Licence));
    assert_eq!((ended, stderr.as_str()), (Ended::Exited(0), ""));
    assert!(stdout.to_lowercase().contains("license"), "{stdout:?}");
}

#[test]
fn long_and_short_help_are_the_same() {
    Init::must_be_loadline();
    let short = run(alone().option(Opt::Help));
    assert_eq!(run(alone().arguments(&["--help"])), short);
}

#[test]
fn options_end_at_the_program() {
    for separator in [&[] as &[_], &["--"]] {
        let arguments = ["arguments", "-v", "--version", "--", "-h", ""];
        let launch = Launch::new(Place::Subreaper, &arguments).no_separator().arguments(separator);
        let (ended, stdout, stderr) = run(launch);
        assert_eq!((ended, stderr.as_str()), (Ended::Exited(0), ""));
        let passed: Vec<_> = stdout.split_terminator('\0').skip(1).collect();
        assert_eq!(passed, arguments);
    }
}

#[test]
fn short_options_can_be_joined_with_their_values() {
    Init::under_test().must_have(Opt::ExpectedCode("7"));
    for options in [&["-svvv", "-e7"] as &[_], &["-sgve", "7"], &["-s", "-pSIGTERM", "-e", "7"]] {
        let (ended, ..) = run(Launch::new(Place::Plain, &["exit", "7"]).arguments(options));
        assert_eq!(ended, Ended::Exited(0), "{options:?}");
    }
}

#[test]
fn init_writes_nothing_to_stdout() {
    for place in Place::all() {
        for verbosity in 0..=4 {
            let launch = Launch::new(place, &["daemon", "3"]).options_if_any(&[Opt::Warn]);
            let mut init = launch.options_if_any(&[Opt::Verbose; 4][..verbosity]).start();
            let daemon = init.line();
            assert!(daemon.starts_with("daemon "), "{daemon:?}");
            init.exits_with(3);
            if place == Place::PidOne {
                assert_eq!(init.output(), b"");
            } else {
                let pid = daemon.split(' ').next_back().unwrap().parse().unwrap();
                crate::support::send(pid, libc::SIGKILL);
                assert_eq!(init.output(), b"");
            }
        }
    }
}

const NO_REAPING_WARNING: &str = "zombie reaping won't work";

#[test]
fn verbose_init_says_if_it_cannot_reap_zombies() {
    Init::under_test().must_have(Opt::Subreaper);
    for verbose in [Opt::Verbose, Opt::Variable("TINI_VERBOSITY=2")] {
        let launch = || Launch::new(Place::Plain, &["exit", "0"]).option(verbose);
        let (ended, _, stderr) = run(launch());
        assert_eq!(ended, Ended::Exited(0));
        assert!(stderr.contains(NO_REAPING_WARNING), "{stderr:?}");
        let (_, _, stderr) = run(launch().option(Opt::Subreaper));
        assert!(!stderr.contains(NO_REAPING_WARNING), "{stderr:?}");
    }
}

/// Another init, a pause container or systemd reaps then.
#[test]
fn init_below_another_one_is_quiet() {
    Init::must_be_loadline();
    is_quiet(Launch::new(Place::Plain, &["exit", "0"]));
    is_quiet(Launch::new(Place::Plain, &["exit", "0"]).environment("TINI_VERBOSITY=1"));
}

#[test]
fn no_message_if_all_is_well() {
    for place in Place::all() {
        is_quiet(Launch::new(place, &["exit", "0"]));
        is_quiet(Launch::new(place, &["exit", "0"]).options_if_any(&[Opt::Subreaper]));
    }
}

#[test]
fn no_warning_if_a_variable_asks_for_a_subreaper_or_silence() {
    // TINI_SUBREAPER counts if it is set, whatever its value.
    for variable in ["TINI_SUBREAPER=", "TINI_SUBREAPER=0", "TINI_VERBOSITY=0"] {
        is_quiet(Launch::new(Place::Plain, &["exit", "0"]).option(Opt::Variable(variable)));
    }
}

#[track_caller]
fn is_quiet(launch: Launch) {
    let description = format!("{launch:?}");
    let message = run(launch);
    assert_eq!(message, (Ended::Exited(0), String::new(), String::new()), "{description}");
}

/// tini says `Spawned child process` at the same level.
#[test]
fn verbose_init_says_at_once_what_is_set_and_started() {
    Init::must_be_loadline();
    let launch = || Launch::new(Place::Subreaper, &["report"]);
    for launch in [
        launch().arguments(&["-v"]),
        launch().environment("TINI_VERBOSITY=2"),
        launch().arguments(&["-v"]).environment("TINI_VERBOSITY=0"),
    ] {
        let mut init = launch.start_ready();
        let program = init.program();
        init.message("GOMEMLIMIT");
        init.message(&format!("started process {program}"));
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
        let messages = init.messages();
        assert!(!messages.contains("forwarded") && !messages.contains("Received"), "{messages}");
    }
}

#[test]
fn received_sigchld_is_logged_at_the_highest_verbosity() {
    let logs = |launch| {
        let (_, stdout, stderr) = run(launch);
        (stdout + &stderr).contains("Received SIGCHLD")
    };
    let exit = |place| Launch::new(place, &["exit", "0"]);
    for place in Place::all() {
        assert!(logs(exit(place).option(Opt::Variable("TINI_VERBOSITY=3"))));
        assert!(logs(exit(place).arguments(&["-vvv"])));
        assert!(!logs(exit(place)));
        assert!(!logs(exit(place).option(Opt::Variable("TINI_VERBOSITY=1"))));
    }
}

#[test]
fn command_line_overrides_the_variable_for_verbosity() {
    let launch = Launch::new(Place::Subreaper, &["exit", "0"]);
    let (_, stdout, stderr) =
        run(launch.option(Opt::Variable("TINI_VERBOSITY=0")).arguments(&["-vvv"]));
    assert!((stdout + &stderr).contains("Received SIGCHLD"));
}

#[test]
fn messages_are_lines_with_the_name_of_the_init() {
    Init::must_be_loadline();
    let launch = Launch::new(Place::Plain, &["daemon", "3"]).arguments(&["-vvvv", "-w"]);
    let mut running = launch.start();
    let daemon = running.line();
    running.exits_with(3);
    crate::support::send(daemon.split(' ').next_back().unwrap().parse().unwrap(), libc::SIGKILL);
    let messages = running.messages();
    assert!(messages.ends_with('\n'));
    for line in messages.lines() {
        assert!(line.starts_with("loadline: "), "{line:?}");
    }
}
