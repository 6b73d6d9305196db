//! `--memory-warn`: a warning before memory runs out, which is also in the termination log of Kubernetes
//! until the program exits. The kernel sends no notifications about ordinary files, so in these tests
//! memory is short from the start. The suite in the virtual machine tests real notifications.

use crate::support::{Place, Running, Tree, send};
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// A tree with a limit of 400 MiB, of which less than 5% is left if `is_short`.
fn tree(is_short: bool) -> Tree {
    let tree = Tree::v2();
    let processes = if is_short { 395 << 20 } else { 300 << 20 };
    let text = format!("anon {processes}\nfile 104857600\nkernel_stack 1048576\nshmem 0\n");
    tree.write("sys/fs/cgroup/memory.stat", &text);
    tree
}

const WARNING: &str = "loadline: memory is running out, and the kernel may kill the whole container: 396 MiB cannot \
     be reclaimed, limit 400 MiB, GOMEMLIMIT=335544320; raise the limit, or leave more of it to \
     memory outside the Go heap (--memory-ratio, --memory-reserve)";

fn place() -> Place {
    Place::all()[0]
}

fn reporting(tree: &Tree, options: &[&str]) -> Running {
    tree.launch(place(), &["report"], options).start_idle()
}

fn warned(tree: &Tree, log: &Path) -> Running {
    reporting(tree, &["--memory-warn", "--termination-log", log.to_str().unwrap()])
}

#[track_caller]
fn ends(mut init: Running) -> String {
    init.signal(libc::SIGTERM);
    init.expect("signal 15");
    init.exits_with(0);
    init.messages()
}

#[test]
fn warning_is_given_once_and_the_program_runs() {
    for place in Place::all() {
        let tree = tree(true);
        let launch = tree.launch(place, &["report"], &[]);
        let mut init = launch.environment("LOADLINE_MEMORY_WARN=1").start_idle();
        assert_eq!(init.message("memory is running out"), WARNING);
        assert_eq!(ends(init), "");
    }
}

#[test]
fn no_warning_with_enough_memory_or_without_the_option() {
    assert_eq!(ends(reporting(&tree(false), &["--memory-warn"])), "");
    assert_eq!(ends(reporting(&tree(true), &["--on-resize=log"])), "");
    let unlimited = tree(true);
    unlimited.write("sys/fs/cgroup/memory.max", "max\n");
    assert_eq!(ends(reporting(&unlimited, &["--memory-warn"])), "");
}

/// The kernel sends notifications about its own files, not about ordinary ones.
#[test]
fn no_warning_without_a_notification_of_the_kernel() {
    let tree = tree(false);
    let mut init = reporting(&tree, &["--memory-warn"]);
    tree.write("sys/fs/cgroup/memory.stat", "anon 419000000\n");
    tree.oom_kills(1, 0);
    init.wait_until_idle();
    assert_eq!(ends(init), "");
}

#[test]
fn option_requires_v2_and_other_options_still_work() {
    let tree = Tree::v1();
    let mut init = reporting(&tree, &["--memory-warn", "--on-resize=log"]);
    assert_eq!(
        init.message("cannot watch"),
        "loadline: cannot watch the cgroup for --memory-warn: No such file or directory; it requires cgroup v2"
    );
    tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "629145600\n");
    init.message("limits changed: memory 600 MiB; ");
    assert_eq!(ends(init), "");
}

#[test]
fn warning_stays_in_the_termination_log_until_the_program_exits() {
    let directory = tempdir().unwrap();
    let log = directory.path().join("log");
    fs::write(&log, "").unwrap();
    let tree = tree(true);
    let init = warned(&tree, &log);
    assert_eq!(fs::read_to_string(&log).unwrap(), format!("{WARNING}\n"));
    assert_eq!(ends(init), format!("{WARNING}\n"));
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
}

/// If the init is killed together with the program, the warning is all that is left.
#[test]
fn warning_stays_in_the_termination_log_if_the_init_is_killed() {
    let directory = tempdir().unwrap();
    let log = directory.path().join("log");
    fs::write(&log, "").unwrap();
    let tree = tree(true);
    let mut init = warned(&tree, &log);
    init.signal(libc::SIGKILL);
    init.wait();
    assert_eq!(fs::read_to_string(&log).unwrap(), format!("{WARNING}\n"));
}

#[test]
fn oom_report_replaces_the_warning() {
    let directory = tempdir().unwrap();
    let log = directory.path().join("log");
    fs::write(&log, "").unwrap();
    let tree = tree(true);
    let mut init = warned(&tree, &log);
    tree.oom_kills(2, 0);
    send(init.program(), libc::SIGKILL);
    init.exits_with(128 + libc::SIGKILL);
    let message = init.messages();
    let (warning, oom_report) = message.split_once('\n').unwrap();
    assert_eq!(warning, WARNING);
    assert!(oom_report.starts_with("loadline: the kernel OOM-killed the program"), "{oom_report}");
    assert_eq!(fs::read_to_string(&log).unwrap(), oom_report);
}

#[test]
fn text_of_others_in_the_termination_log_stays() {
    let directory = tempdir().unwrap();
    let log = directory.path().join("log");
    for is_killed in [false, true] {
        fs::write(&log, "").unwrap();
        let tree = tree(true);
        let mut init = warned(&tree, &log);
        fs::write(&log, "by the program").unwrap();
        if is_killed {
            tree.oom_kills(2, 0);
            send(init.program(), libc::SIGKILL);
            init.exits_with(128 + libc::SIGKILL);
        } else {
            ends(init);
        }
        assert_eq!(fs::read_to_string(&log).unwrap(), "by the program");

        fs::write(&log, "before the start").unwrap();
        ends(warned(&tree, &log));
        assert_eq!(fs::read_to_string(&log).unwrap(), "before the start");
    }
}
