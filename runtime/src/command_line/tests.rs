use super::*;

fn parsed(words: &str) -> Request {
    let string = |word: &str| &*format!("{word}\0").leak();
    let strings = words.split_whitespace().map(string);
    let strings: Vec<_> =
        strings.map(|string| CStr::from_bytes_with_nul(string.as_bytes()).unwrap()).collect();
    parse(&strings)
}

fn call_of(words: &str) -> Call {
    match parsed(words) {
        Request::Call(call) => call,
        other => panic!("{other:?}"),
    }
}

/// The arguments that are passed on.
fn passed_on(words: &str) -> String {
    let arguments = call_of(words).arguments;
    arguments.iter().map(|it| it.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn our_name_tells_the_runtime() {
    for (name, runtime) in [
        ("/usr/local/bin/loadline-runc", "runc"),
        ("loadline-crun", "crun"),
        ("loadline-runtime", "runc"),
        ("./loadline-runtime-linux-amd64", "runc"),
        ("loadline-runtimes", "runtimes"),
        ("other", "runc"),
    ] {
        assert_eq!(call_of(&format!("{name} state x")).named_runtime, runtime);
    }
}

#[test]
fn all_arguments_are_passed_on_but_that_which_is_ours() {
    for arguments in [
        "--version",
        "--root /run/runc --log=/l --systemd-cgroup state x",
        "--debug create --bundle /b --runtime x id",
        "exec --env A=1 id -- sh -c create",
        "",
    ] {
        assert_eq!(passed_on(&format!("loadline-runc {arguments}")), arguments);
    }
    for ours in ["--runtime /opt/crun", "--runtime=/opt/crun"] {
        let call = call_of(&format!("loadline-runc --log /l {ours} --debug start x"));
        assert_eq!(call.given_runtime, Some(OsStr::new("/opt/crun")));
        let words = format!("loadline-runc --log /l {ours} --debug start x");
        assert_eq!(passed_on(&words), "--log /l --debug start x");
    }
}

#[test]
fn what_is_created_is_found_by_its_options() {
    let expected = Create {
        bundle: b"/b",
        config: None,
        id: b"id",
        log: Some(b"/log"),
        logs_json: true,
        systemd_cgroup: true,
    };
    for arguments in [
        "--root /r --log /log --log-format json --systemd-cgroup create --bundle /b --pid-file /p id",
        "--log=/log --log-format=json --systemd-cgroup=true --root=/r run -b /b --console-socket=/c id",
        "-log /log -log-format json -systemd-cgroup create -bundle=/b --no-pivot -- id",
        "--cgroup-manager systemd --log /log --log-format json run -b /b --preserve-fds 3 --keep id",
        "--log-level debug --systemd-cgroup --log file:/log --log-format json create -b /b -f config.json id",
        "-r /r -l /log --log-format json -s create -b /b id",
        "--systemd-cgroup --log /log --log-format json create id --pid-file /p --bundle /b",
    ] {
        let call = call_of(&format!("loadline-runc {arguments}"));
        assert_eq!(call.create, Some(expected.clone()), "{arguments}");
    }
    let call = call_of("loadline-runc create id");
    assert_eq!(call.create, Some(Create { id: b"id", ..Create::default() }));
    for arguments in ["-f x.json id", "--config x.json id", "--config=x.json id"] {
        let call = call_of(&format!("loadline-crun create {arguments}"));
        let expected = Create { config: Some(b"x.json"), id: b"id", ..Create::default() };
        assert_eq!(call.create, Some(expected), "{arguments}");
    }
}

#[test]
fn a_log_that_is_no_file_is_none() {
    for log in ["journald:id", "syslog:id", "file:"] {
        let call = call_of(&format!("loadline-crun --log {log} create id"));
        assert_eq!(call.create.unwrap().log, None, "{log}");
    }
}

#[test]
fn nothing_else_creates_a_container() {
    for arguments in [
        "start create",
        "--log create state x",
        "kill x",
        "restore create",
        "delete run",
        "--help",
        "",
    ] {
        assert_eq!(call_of(&format!("loadline-runc {arguments}")).create, None, "{arguments}");
    }
}

#[test]
fn our_own_commands_are_those_of_our_own_name() {
    assert!(matches!(parsed("/x/loadline-runtime --help"), Request::Print(USAGE)));
    assert!(matches!(parsed("loadline-runtime"), Request::Print(USAGE)));
    assert!(matches!(parsed("./loadline-runtime-linux-amd64 --version"), Request::Print(VERSION)));
    assert!(matches!(parsed("loadline-runtime --version"), Request::Print(VERSION)));
    for (words, form) in [("explain /b", Format::Text), ("explain --json /b", Format::Json)] {
        match parsed(&format!("loadline-runtime {words}")) {
            Request::Explain { bundle, format } => {
                assert_eq!((bundle, format), (Path::new("/b"), form));
            }
            other => panic!("{other:?}"),
        }
    }
    for words in ["explain", "explain --xml /b", "explain a b c"] {
        assert!(matches!(parsed(&format!("loadline-runtime {words}")), Request::Invalid(_)));
    }
    assert!(matches!(
        parsed("loadline-runtime uninstall --docker"),
        Request::Install { command: install::Command::Uninstall, arguments } if arguments == ["--docker"]
    ));
    assert_eq!(passed_on("loadline-runc explain /b"), "explain /b");
    assert!(USAGE.lines().all(|line| line.len() <= 80));
}
