//! What is reported when the program has ended: OOM kills, and a summary with --report. The cgroup is a
//! tree of ordinary files, given as --root. The suites in containers and in the virtual machine test the
//! same with real cgroups.

use crate::support::{Init, Place, Running, Tree, children, send};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use tempfile::{NamedTempFile, tempdir};

const MIB: u64 = 1 << 20;

/// Kills the program as the OOM killer does, and returns the messages of the init.
fn killed(mut init: Running) -> String {
    let program = init.program();
    send(program, libc::SIGKILL);
    init.exits_with(128 + libc::SIGKILL);
    init.messages()
}

#[test]
fn oom_kill_of_the_program_is_reported_in_one_line() {
    for place in Place::all() {
        let tree = Tree::v2();
        let init = tree.start(place, &["-s"]);
        tree.oom_kills(2, 0);
        assert_eq!(
            killed(init),
            "loadline: the kernel OOM-killed the program (out of memory): limit 400 MiB in \
             \"/sys/fs/cgroup/memory.max\", peak 400 MiB, GOMEMLIMIT=335544320; raise the limit, or \
             leave more of it to memory outside the Go heap (--memory-ratio, --memory-reserve)\n"
        );
    }
}

#[test]
fn oom_kill_of_the_program_is_reported_on_v1() {
    let tree = Tree::v1();
    let init = tree.start(Place::Subreaper, &["-s", "--memory=off"]);
    tree.write("sys/fs/cgroup/memory/memory.oom_control", "under_oom 0\noom_kill 3\n");
    let message = killed(init);
    let expected = "the kernel OOM-killed the program and 1 other process of the container (out of \
                    memory): limit 400 MiB in \"/sys/fs/cgroup/memory/memory.limit_in_bytes\"";
    assert!(message.contains(expected) && message.lines().count() == 1, "{message}");
    assert!(
        message.contains("GOMEMLIMIT unset; raise the limit, or set GOMEMLIMIT below it"),
        "{message}"
    );
}

/// A pod of Kubernetes on a node that is a container itself has a path of nearly 300 bytes.
#[test]
fn oom_kill_in_a_cgroup_with_a_long_path_is_reported() {
    for length in [100, 240, 2000] {
        let tree = Tree::new();
        let cgroup = "/kubelet-kubepods.slice".repeat(length / 23);
        tree.write("proc/self/cgroup", &format!("0::{cgroup}\n"));
        let directory = format!("sys/fs/cgroup{cgroup}");
        fs::create_dir_all(tree.path(&directory)).unwrap();
        tree.write(&format!("{directory}/memory.max"), "419430400\n");
        tree.write(&format!("{directory}/memory.events"), "oom_kill 1\n");
        let init = tree.start(Place::Subreaper, &["-s"]);
        tree.write(&format!("{directory}/memory.events"), "oom_kill 2\n");
        let message = killed(init);
        let expected =
            "loadline: the kernel OOM-killed the program (out of memory): limit 400 MiB in";
        assert!(message.starts_with(expected), "{length}: {message}");
    }
}

const NOT_OOM: &str = "loadline: the program was killed by SIGKILL, but not by the OOM killer\n";
const POSSIBLY_OOM: &str = "loadline: the program was killed by SIGKILL, possibly by the OOM killer (out of memory): limit";

#[test]
fn sigkill_by_a_process_is_not_reported_as_an_oom_kill() {
    let trees = || [Tree::v2(), Tree::v1()];
    let v1 = "sys/fs/cgroup/memory/memory.oom_control";
    for tree in trees() {
        tree.oom_kills(0, 0);
        tree.write(v1, "under_oom 0\noom_kill 0\n");
        assert_eq!(killed(tree.start(Place::Subreaper, &["-s"])), NOT_OOM);
    }
    // Right after the start, the count may already include the kill of the program.
    for tree in trees() {
        let message = killed(tree.start(Place::Subreaper, &["-s"]));
        assert!(message.starts_with(POSSIBLY_OOM), "{message}");
    }
}

#[test]
fn oom_kill_is_reported_as_possible_if_the_count_is_unknown() {
    let unknown = |change: fn(&Tree)| {
        let tree = Tree::v2();
        fs::remove_file(tree.path("sys/fs/cgroup/memory.events")).unwrap();
        let init = tree.start(Place::Subreaper, &["-s"]);
        change(&tree);
        (tree, init)
    };
    let (_tree, init) = unknown(|tree| tree.oom_kills(2, 0));
    let message = killed(init);
    assert!(
        message.starts_with(POSSIBLY_OOM) && message.lines().count() == 1,
        "not known at the start: {message}"
    );
    let (_tree, init) = unknown(|tree| tree.oom_kills(0, 0));
    assert_eq!(killed(init), NOT_OOM, "none in the life of the cgroup");
    let (_tree, mut init) = unknown(|tree| tree.oom_kills(2, 0));
    init.signal(libc::SIGTERM);
    init.exits_with(128 + libc::SIGTERM);
    assert_eq!(init.messages(), "", "the program was not killed by SIGKILL");

    let tree = Tree::v2();
    let init = tree.start(Place::Subreaper, &["-s"]);
    fs::remove_file(tree.path("sys/fs/cgroup/memory.events")).unwrap();
    let message = killed(init);
    assert!(
        message.starts_with(POSSIBLY_OOM) && message.lines().count() == 1,
        "not known at the end: {message}"
    );
}

/// The program may be OOM-killed before the init has read the count for the first time.
#[test]
fn oom_kill_is_reported_as_possible_right_after_the_start() {
    for (kills, expected) in [(1, POSSIBLY_OOM), (0, NOT_OOM)] {
        let tree = Tree::v2();
        tree.oom_kills(kills, 0);
        let mut init = tree.launch(Place::Subreaper, &["die", "9"], &["-s"]).start();
        init.exits_with(128 + libc::SIGKILL);
        let message = init.messages();
        // On a busy machine it may have read it.
        assert!(message.starts_with(expected) || message == NOT_OOM, "{message}");
    }
}

#[test]
fn oom_kill_of_another_process_is_reported() {
    let tree = Tree::v2();
    let mut init = tree.start(Place::Subreaper, &["-s"]);
    tree.oom_kills(3, 0);
    tree.write("sys/fs/cgroup/memory.peak", "104857600\n");
    init.signal(libc::SIGTERM);
    init.exits_with(128 + libc::SIGTERM);
    let message = init.messages();
    let expected = "the kernel OOM-killed 2 processes of the container (out of memory): ";
    assert!(message.contains(expected), "{message}");
    assert!(
        message.contains("peak 100 MiB") && message.contains("not this limit, but"),
        "{message}"
    );
}

#[test]
fn processes_killed_as_a_group_are_not_counted() {
    let tree = Tree::v2();
    let init = tree.start(Place::Subreaper, &["-s"]);
    tree.oom_kills(7, 1);
    let message = killed(init);
    assert!(
        message.contains("the program and other processes of the container (out of memory): "),
        "{message}"
    );
}

#[test]
fn changed_limit_is_reported_with_its_value_at_start() {
    let tree = Tree::v2();
    let init = tree.start(Place::Subreaper, &["-s"]);
    tree.oom_kills(2, 0);
    tree.write("sys/fs/cgroup/memory.max", "209715200\n");
    let message = killed(init);
    assert!(message.contains("limit 200 MiB in \"/sys/fs/cgroup/memory.max\" (400 MiB at start)"));
}

#[test]
fn inherited_gomemlimit_is_reported() {
    let tree = Tree::v2();
    let launch = tree.launch(Place::Subreaper, &["pause"], &["-s"]);
    let init = launch.environment("GOMEMLIMIT=390MiB").start_idle();
    tree.oom_kills(2, 0);
    let message = killed(init);
    assert!(
        message.contains("GOMEMLIMIT=390MiB; raise the limit, or lower GOMEMLIMIT"),
        "{message}"
    );
}

fn explanation(tree: &Tree, form: &str) -> String {
    let mut command = std::process::Command::new(Init::under_test().path);
    let output = command.arg(form).arg("--root").arg(tree.root()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// With memory.oom.group = 1 the init is killed too, and cannot report anything afterwards.
#[test]
fn explain_says_if_a_group_is_killed_as_a_whole() {
    Init::must_be_loadline();
    for (text, expected) in [("1\n", json!(true)), ("0\n", json!(false)), ("", Value::Null)] {
        let tree = Tree::v2();
        tree.write("sys/fs/cgroup/memory.oom.group", text);
        let message: Value = serde_json::from_str(&explanation(&tree, "--explain=json")).unwrap();
        assert_eq!(message["memory"]["oom_group"], expected);
        let message = explanation(&tree, "--explain");
        assert_eq!(message.contains("memory.oom.group is 1"), expected == json!(true), "{message}");
    }
}

fn logged(log: &Path, kills: bool) -> String {
    let tree = Tree::v2();
    let log = log.to_str().unwrap();
    let init = tree.start(Place::Subreaper, &["-s", "--termination-log", log]);
    if kills {
        tree.oom_kills(2, 0);
    }
    killed(init)
}

#[test]
fn termination_log_is_written_if_it_is_empty() {
    let directory = tempdir().unwrap();
    let log = directory.path().join("log");
    fs::write(&log, "").unwrap();
    let tree = Tree::v2();
    let log_option = ["-s", "--termination-log", log.to_str().unwrap()];
    let mut init = tree.start(Place::Subreaper, &log_option);
    init.signal(libc::SIGTERM);
    init.exits_with(128 + libc::SIGTERM);
    assert_eq!(fs::read_to_string(&log).unwrap(), "", "nothing to explain");
    for kills in [false, true] {
        fs::write(&log, "").unwrap();
        let message = logged(&log, kills);
        assert_eq!(fs::read_to_string(&log).unwrap(), message);
    }

    fs::write(&log, "by the program").unwrap();
    assert_eq!(logged(&log, true).lines().count(), 1);
    assert_eq!(fs::read_to_string(&log).unwrap(), "by the program");
}

/// Linux has statx(2) since 4.11, and older seccomp profiles refuse it.
#[test]
fn termination_log_is_written_without_statx() {
    for error in [libc::ENOSYS, libc::EPERM] {
        let log = NamedTempFile::new().unwrap();
        let tree = Tree::v2();
        let options = ["-s", "--termination-log", log.path().to_str().unwrap()];
        let launch = tree.launch(Place::Subreaper, &["pause"], &options);
        let init = launch.refusing(&[libc::SYS_statx], error).start_idle();
        tree.oom_kills(2, 0);
        let message = killed(init);
        assert!(message.contains("OOM-killed"), "{message}");
        assert_eq!(fs::read_to_string(log.path()).unwrap(), message);
    }
}

#[test]
fn termination_log_must_be_a_regular_file() {
    let directory = tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // The init does not wait for a reader of the FIFO. It prints one line about the failure.
    assert_eq!(logged(&fifo, true).lines().count(), 2);
    let nonblocking = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo);
    assert_eq!(logged(&fifo, true).lines().count(), 1, "with a reader it can be opened");
    let mut found = Vec::new();
    nonblocking.unwrap().read_to_end(&mut found).unwrap();
    assert_eq!(found, b"");
    assert_eq!(logged(Path::new("/dev/null"), true).lines().count(), 1);

    let (target, link) = (directory.path().join("target"), directory.path().join("link"));
    fs::write(&target, "").unwrap();
    symlink(&target, &link).unwrap();
    let message = logged(&link, true);
    assert!(message.lines().count() == 2 && message.contains("cannot write to"), "{message}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "");

    let missing = directory.path().join("missing");
    let message = logged(&missing, true);
    assert!(message.contains(": No such file or directory\n"), "{message}");
    assert!(!missing.exists());
}

#[test]
fn termination_log_has_the_advice_behind_a_long_value_too() {
    let directory = tempdir().unwrap();
    let log = directory.path().join("log");
    fs::write(&log, "").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).unwrap();
    let tree = Tree::v2();
    let launch = tree
        .launch(Place::Subreaper, &["pause"], &["-s"])
        .environment(format!("GOMEMLIMIT={}", "1".repeat(9000)))
        .environment(format!("LOADLINE_TERMINATION_LOG={}", log.display()));
    let init = launch.start_idle();
    tree.oom_kills(2, 0);
    let message = killed(init);
    let left = fs::read_to_string(&log).unwrap();
    assert!(message.ends_with(&left) && left.contains("OOM-killed the program"), "{message}");
    assert!(left.len() <= 4096, "{left}");
    assert!(left.ends_with("11; raise the limit, or lower GOMEMLIMIT\n"), "{left}");
}

#[test]
fn text_summary_has_all_values() {
    let tree = Tree::v2();
    for options in [&["-sv"] as &[_], &["-s", "--report"], &["-s", "--report=text"]] {
        let mut init = tree.start(Place::Subreaper, options);
        init.signal(libc::SIGTERM);
        init.exits_with(128 + libc::SIGTERM);
        let message = init.messages();
        let summary = message.lines().last().unwrap();
        let begin = "loadline: the program ended: run time ";
        assert!(summary.starts_with(begin), "{message}");
        for part in [
            " s; killed by signal 15; peak memory 400 MiB; memory limit 400 MiB; OOM kills 0; ",
            " s; CPU limit 0.5; CPU periods 0; throttled periods 0; throttled time 0 s; zombies reaped 0",
        ] {
            assert!(summary.contains(part), "{part} is not in {message}");
        }
        assert!(!summary.contains("at start"), "{message}");
    }
}

#[test]
fn json_summary_counts_from_the_start() {
    for place in Place::all() {
        let tree = Tree::v2();
        let init = tree.start(place, &["-s", "--report=json"]);
        tree.oom_kills(2, 0);
        tree.throttled("nr_periods 12\nnr_throttled 4\nthrottled_usec 65000\n");
        tree.write("sys/fs/cgroup/memory.max", "max\n");
        let message = killed(init);
        let [start, explanation, summary] = *message.lines().collect::<Vec<_>>() else {
            panic!("{message}")
        };
        let start: Value = serde_json::from_str(start).unwrap();
        assert_eq!((&start["event"], &start["hostname"]), (&json!("start"), &Value::Null));
        assert!(explanation.contains("no visible limit (400 MiB at start)"), "{explanation}");
        let mut summary: Value = serde_json::from_str(summary).unwrap();
        for time in ["/seconds", "/cpu/user_seconds", "/cpu/system_seconds"] {
            let time = summary.pointer_mut(time).unwrap();
            assert!(time.as_f64().unwrap() < 100.0, "{time}");
            *time = Value::Null;
        }
        assert!(summary["time"].take().as_str() >= start["time"].as_str());
        let expected = json!({
            "event": "end", "time": null,
            "hostname": null, "pod": null, "namespace": null, "container": null,
            "seconds": null, "exit_code": null, "signal": 9,
            "memory": {
                "peak_bytes": 400 * MIB, "limit_bytes": null, "limit_bytes_at_start": 400 * MIB,
                "oom_kills": 1,
            },
            "cpu": {
                "user_seconds": null, "system_seconds": null, "limit_cpus": 0.5,
                "limit_cpus_at_start": 0.5, "periods": 10, "throttled_periods": 3,
                "throttled_seconds": 0.06,
            },
            "zombies_reaped": 0,
        });
        assert_eq!(summary, expected);
    }
}

#[test]
fn summary_without_a_cgroup_counts_zombies() {
    let tree = Tree::new();
    tree.write("proc/self/cgroup", "");
    for place in Place::all() {
        let launch = tree.launch(place, &["orphans", "20"], &["-s"]);
        let mut init = launch.environment("LOADLINE_REPORT=json").start_ready();
        init.signal(libc::SIGUSR1);
        init.expect("signal 10");
        init.until("all others are reaped", |init| children(init.pid()).len() == 1);
        init.signal(libc::SIGTERM);
        init.exits_with(0);
        let messages = init.messages();
        let summary: Value = serde_json::from_str(messages.lines().last().unwrap()).unwrap();
        assert_eq!(summary["zombies_reaped"], json!(20), "{summary}");
        assert_eq!((&summary["exit_code"], &summary["signal"]), (&json!(0), &Value::Null));
        assert_eq!(summary["memory"]["oom_kills"], Value::Null);
    }
}

#[test]
fn json_start_says_what_is_set_and_in_which_container() {
    let tree = Tree::v2();
    for place in Place::all() {
        let mut launch = tree.launch(place, &["exit", "0"], &["-s", "--report=json"]);
        // A name of more than 253 bytes is none.
        let namespace = format!("POD_NAMESPACE={}", "x".repeat(254));
        for entry in ["HOSTNAME=web-0", "POD_NAME=web\n", &namespace, "CONTAINER_NAME="] {
            launch = launch.environment(entry);
        }
        let mut init = launch.start();
        init.exits_with(0);
        let messages = init.messages();
        let lines = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let [start, end] = <[Value; 2]>::try_from(lines.collect::<Vec<_>>()).unwrap();
        for line in [&start, &end] {
            let identity = ["hostname", "pod", "namespace", "container"].map(|key| &line[key]);
            assert_eq!(identity, [&json!("web-0"), &json!("web\n"), &Value::Null, &json!("")]);
            let time = line["time"].as_str().unwrap();
            assert!(
                time.ends_with('Z') && time.len() == "2026-11-28T09:05:03.042Z".len(),
                "{time}"
            );
        }
        let explained = explanation(&tree, "--explain=json");
        let explained: Value = serde_json::from_str(&explained).unwrap();
        assert_eq!(start["event"], "start");
        for key in ["memory", "cpu", "warnings"] {
            assert_eq!(start[key], explained[key], "{key}");
        }
        assert_eq!(start["memory"]["GOMEMLIMIT"], "335544320");
        assert!(start["program"]["path"].is_string());
        assert_eq!((&end["event"], &end["exit_code"]), (&json!("end"), &json!(0)));
    }
}

/// The beginning of a JSON text is none.
#[test]
fn json_start_that_is_too_long_for_a_line_is_dropped() {
    let tree = Tree::v2();
    let directory = tree.path(&[&*"x".repeat(200); 12].join("/"));
    fs::create_dir_all(&directory).unwrap();
    let program = directory.join("true");
    symlink("/bin/true", &program).unwrap();
    for place in Place::all() {
        let launch = tree.launch(place, &[], &["-s", "--report=json"]).program(&[&program]);
        let mut init = launch.start();
        init.exits_with(0);
        // The name of the program and its path are in the first line.
        let end: Value = serde_json::from_str(&init.messages()).unwrap();
        assert_eq!(end["event"], "end");
    }
}
