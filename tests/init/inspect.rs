//! `--inspect`: what a running program was given, and what it would be given now.

use crate::support::{Init, Place, Tree, executable, other_users, user_namespaces};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

fn inspect(arguments: &[&str]) -> Output {
    Init::must_be_loadline();
    Command::new(Init::under_test().path).args(arguments).env_clear().output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = inspect(arguments);
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn running_program_is_shown_with_what_it_was_given_and_uses() {
    let tree = Tree::v2();
    tree.write("sys/fs/cgroup/memory.current", "104857600\n");
    tree.write("sys/fs/cgroup/memory.stat", "anon 1000\nfile 70\nshmem 24\n");
    let options = ["-s", "--memory-ratio=0.5"];
    let mut init = tree.launch(Place::Subreaper, &["pause"], &options).start_idle();
    let (pid, program) = (init.pid().to_string(), init.program());
    let found = json(&["--inspect=json", &pid]);
    assert_eq!(json(&["--inspect=json", &program.to_string()]), found, "by the program's own PID");
    assert_eq!(found["pid"], program);
    assert_eq!(found["init"]["pid"], init.pid());
    let command = found["init"]["command"].as_array().unwrap();
    assert_eq!(command[4..7], ["-s", "--memory-ratio=0.5", "--"]);
    assert_eq!(command.last(), Some(&json!("pause")));
    assert_eq!(
        found["given"],
        json!({"GOMEMLIMIT": "209715200", "GOMAXPROCS": "1", "GODEBUG": null})
    );
    assert_eq!(found["restart_would_change"], false);
    assert_eq!(
        found["usage"],
        json!({
            "memory_bytes": 104_857_600, "unreclaimable_bytes": 1024, "peak_bytes": 419_430_400,
            "oom_kills": 1, "periods": 2, "throttled_periods": 1, "throttled_seconds": 0.005
        })
    );
    assert_eq!(found["now"]["memory"]["GOMEMLIMIT"], "209715200");
}

#[test]
fn change_of_a_limit_shows_what_a_restart_would_change() {
    let tree = Tree::v2();
    let init = tree.start(Place::Subreaper, &["-s"]);
    let pid = init.pid().to_string();
    let text = || String::from_utf8(inspect(&["--inspect", &pid]).stdout).unwrap();
    assert!(text().contains("\nnow: a restart would change nothing\n"), "{}", text());
    tree.write("sys/fs/cgroup/memory.max", "629145600\n");
    assert!(text().contains("\nnow: a restart would change GOMEMLIMIT\n"), "{}", text());
    let found = json(&["--inspect=json", &pid]);
    assert_eq!(found["given"]["GOMEMLIMIT"], "335544320");
    assert_eq!(found["now"]["memory"]["GOMEMLIMIT"], "503316480");
    assert_eq!(found["restart_would_change"], true);
}

#[test]
fn program_of_pid_1_is_inspected_by_default() {
    Init::must_be_loadline();
    if !user_namespaces() {
        return;
    }
    let init = Init::under_test().path;
    let output = Command::new("unshare")
        .args(["-rpf", "--kill-child", "--mount-proc"])
        .arg(&init)
        .args(["--memory-limit=400Mi", "--"])
        .arg(&init)
        .arg("--inspect=json")
        .env("LOADLINE_MEMORY_RESERVE", "200Mi")
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["init"]["pid"], 1, "{found}");
    assert_eq!(found["pid"], 2);
    assert_eq!(found["init"]["variables"], json!(["LOADLINE_MEMORY_RESERVE=200Mi"]));
    assert_eq!(found["given"]["GOMEMLIMIT"], "209715200");
    assert_eq!(found["restart_would_change"], false);
}

#[test]
fn program_without_an_init_is_inspected_too() {
    let own = std::process::id();
    let found = json(&["--inspect=json", &own.to_string()]);
    assert_eq!(found["pid"], own);
    assert_eq!(found["init"], json!({"pid": null, "command": [], "variables": []}));
    assert_eq!(found["restart_would_change"], Value::Null);
    assert_eq!(found["now"]["program"]["path"], format!("/proc/{own}/exe"));
}

#[test]
fn what_cannot_be_read_is_said() {
    if !other_users() {
        return;
    }
    let tree = Tree::v2();
    let init = tree.start(Place::Subreaper, &["-s"]);
    let pid = init.pid().to_string();
    // A copy that others can execute, wherever the file under test is.
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    let copy = directory.path().join("loadline");
    executable(&copy, &std::fs::read(Init::under_test().path).unwrap());
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let output =
        Command::new(copy).args(["--inspect", &pid]).uid(65534).gid(65534).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("GOMEMLIMIT  unknown"), "{text}");
    assert!(text.contains(&format!("cannot read \"/proc/{pid}/environ\": Permission denied")));
}

#[test]
fn what_is_not_a_running_program_is_an_error() {
    Init::must_be_loadline();
    // Above what pid_max can be.
    let max = i32::MAX.to_string();
    let not_found = format!("cannot read \"/proc/{max}/status\": No such file or directory");
    let one = "--inspect takes one process ID, but was given ";
    for (operands, message) in [
        (&[&*max][..], not_found),
        (&["x"], format!("{one}\"x\"")),
        (&["1", "2"], format!("{one}\"2\"")),
        (&["json"], format!("{one}\"json\"; a format follows a =: --report=json, --explain=json")),
    ] {
        let output = inspect(&[&["--inspect"], operands].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("loadline: {message}\n"));
    }
}
