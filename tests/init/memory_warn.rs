//! `--memory-warn`: it is said when memory runs out, and left for Kubernetes until the program has
//! ended. The kernel gives no notice of an ordinary file, so here it has run out from the start; the
//! suite in the virtual machine has the kernel's own notice.

use crate::support::{Place, Running, Tree, send};
use std::fs;
use std::path::Path;
use tempfile::tempdir;

/// What is left of 400 MiB is less than a twentieth, or not.
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
    tree.launch(place(), &["report"], options).settled()
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
        let mut init = launch.environment("LOADLINE_MEMORY_WARN=1").settled();
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

/// The kernel gives notice of a file of its own, never of an ordinary one.
#[test]
fn no_warning_without_a_notification_of_the_kernel() {
    let tree = tree(false);
    let mut init = reporting(&tree, &["--memory-warn"]);
    tree.write("sys/fs/cgroup/memory.stat", "anon 419000000\n");
    tree.kills(1, 0);
    init.rests();
    assert_eq!(ends(init), "");
}

#[test]
fn option_requires_v2_and_other_options_still_work() {
    let tree = Tree::v1();
    let mut init = reporting(&tree, &["--memory-warn", "--on-resize=log"]);
    assert_eq!(
        init.message("cannot watch"),
        "loadline: cannot watch for --memory-warn: No such file or directory; it requires cgroup v2"
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

/// An init that is killed together with its program leaves the warning.
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
    tree.kills(2, 0);
    send(init.program(), libc::SIGKILL);
    init.exits_with(128 + libc::SIGKILL);
    let said = init.messages();
    let (warning, post_mortem) = said.split_once('\n').unwrap();
    assert_eq!(warning, WARNING);
    assert!(
        post_mortem.starts_with("loadline: the kernel OOM-killed the program"),
        "{post_mortem}"
    );
    assert_eq!(fs::read_to_string(&log).unwrap(), post_mortem);
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
            tree.kills(2, 0);
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
