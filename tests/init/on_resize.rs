//! `--on-resize`: limits that change while the program runs are reported, and a signal is sent.

use crate::support::{
    Ended, Init, Launch, Place, Running, Tree, children, executable, not_run, other_users,
    probe_path, send, send_value, user_namespaces,
};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::tempdir;

const MEMORY: &str = "sys/fs/cgroup/memory.max";
const CPU: &str = "sys/fs/cgroup/cpu.max";
const CHANGED: &str = "loadline: limits changed: ";
const KEEPS: &str = "; the program keeps its values";
const NOT_AFFECTED: &str = "; the program is not affected";
const REALTIME: i32 = 35;

/// For tests that need only one place.
fn place() -> Place {
    Place::all()[0]
}

/// An idle init, with a program that reports the signals it gets.
#[track_caller]
fn reporting(tree: &Tree, place: Place, options: &[&str]) -> Running {
    tree.launch(place, &["report"], options).start_idle()
}

/// The program gets no signal but the SIGTERM that ends it, and the init prints no more messages.
#[track_caller]
fn ends_without_more(mut init: Running) {
    init.wait_until_idle();
    init.signal(libc::SIGTERM);
    init.expect("signal 15");
    init.exits_with(0);
    assert_eq!(init.messages(), "");
}

/// The next message about a change, which begins with these limits and has this end.
#[track_caller]
fn next(init: &mut Running, limits: &str, end: &str) -> String {
    let message = init.message(CHANGED);
    assert!(
        message.starts_with(&format!("{CHANGED}{limits}; a restart would give ")),
        "{limits}: {message}"
    );
    assert!(message.ends_with(end), "{end}: {message}");
    message
}

#[test]
fn log_reports_a_change_and_does_nothing_else() {
    for place in Place::all() {
        let tree = Tree::v2();
        let mut init = reporting(&tree, place, &["--on-resize=log"]);
        tree.write(MEMORY, "629145600\n");
        assert_eq!(
            init.message(CHANGED),
            "loadline: limits changed: memory 600 MiB; a restart would give \
             GOMEMLIMIT=503316480 (80% of the limit; limit 600 MiB in \"/sys/fs/cgroup/memory.max\"); \
             GOMAXPROCS=1 (the quota rounded up; limit 0.5 CPU in \"/sys/fs/cgroup/cpu.max\"); the \
             program keeps its values"
        );
        ends_without_more(init);
    }
}

#[test]
fn signal_reaches_the_program_once_for_each_change() {
    let mut all = Vec::new();
    for place in Place::all() {
        for (option, name, number) in [
            ("signal:USR2", "SIGUSR2", libc::SIGUSR2),
            ("signal:SIGHUP", "SIGHUP", libc::SIGHUP),
            ("signal:10", "SIGUSR1", libc::SIGUSR1),
            ("signal:RTMIN+1", "SIGRTMIN+1", REALTIME),
        ] {
            let tree = Tree::v2();
            let init = reporting(&tree, place, &["--on-resize", option]);
            all.push((tree, init, format!("; sending {name} to the program"), number));
        }
    }
    for (limit, limits) in [("629145600\n", "memory 600 MiB"), ("max\n", "memory none")] {
        for (tree, ..) in &all {
            tree.write(MEMORY, limit);
        }
        for (_, init, end, number) in &mut all {
            next(init, limits, end);
            init.expect(&format!("signal {number}"));
        }
    }
    for (_, init, ..) in all {
        ends_without_more(init);
    }
}

#[test]
fn signal_reaches_the_group_with_the_group_option() {
    for place in Place::all() {
        for is_for_all in [false, true] {
            let tree = Tree::v2();
            let launch = tree.launch(place, &["group"], &["--on-resize=signal:HUP"]);
            let mut init = launch.arguments(if is_for_all { &["-g"] } else { &[] }).start();
            let mut lines = [init.line(), init.line()];
            lines.sort();
            assert_eq!(lines, ["grandchild ready", "ready"]);
            init.wait_until_idle();
            tree.write(MEMORY, "629145600\n");
            let mut expected = vec!["signal 1"];
            if is_for_all {
                expected.insert(0, "grandchild 1");
            }
            let mut lines: Vec<_> = expected.iter().map(|_| init.line()).collect();
            lines.sort();
            assert_eq!(lines, expected);
            // The grandchild reports signals in order, so it has got none before this one.
            send(children(init.program())[0], libc::SIGUSR1);
            init.expect("grandchild 10");
            init.signal(libc::SIGTERM);
            init.exits_with(0);
        }
    }
}

#[test]
fn command_line_overrides_the_variable() {
    for (options, is_signalled) in [(&[] as &[_], true), (&["--on-resize=log"], false)] {
        let tree = Tree::v2();
        let launch = tree.launch(place(), &["report"], options);
        let mut init = launch.environment("LOADLINE_ON_RESIZE=signal:HUP").start_idle();
        tree.write(MEMORY, "629145600\n");
        init.message(CHANGED);
        if is_signalled {
            init.expect("signal 1");
        }
        ends_without_more(init);
    }
}

#[test]
fn exit_sends_sigterm_and_keeps_the_exit_code() {
    for place in Place::all() {
        let tree = Tree::v2();
        let options = ["--on-resize=exit", "--kill-after=1h"];
        let mut init = tree.launch(place, &["linger", "1000"], &options).start_idle();
        tree.write(MEMORY, "629145600\n");
        init.exits_with(7);
        let message = init.messages();
        assert!(message.ends_with("; asking the program to exit\n"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

/// --rewrite applies to it as to a SIGTERM from outside, except that it is never dropped.
#[test]
fn sigterm_is_rewritten_and_sent_only_once() {
    for place in Place::all() {
        for (rewrite, signal) in [("TERM:HUP", 1), ("TERM:0", 15)] {
            let tree = Tree::v2();
            let options = ["--on-resize=exit", "--rewrite", rewrite];
            let mut init = reporting(&tree, place, &options);
            tree.write(MEMORY, "629145600\n");
            next(&mut init, "memory 600 MiB", "; asking the program to exit");
            init.expect(&format!("signal {signal}"));
            if signal == 1 {
                init.wait_until_idle();
                tree.write(MEMORY, "734003200\n");
                next(&mut init, "memory 700 MiB", KEEPS);
                init.wait_until_idle();
                send(init.program(), libc::SIGTERM);
                init.expect("signal 15");
            }
            init.exits_with(0);
        }
    }
}

/// --kill-after applies as to a SIGTERM from outside, and its process group is killed too.
#[test]
fn program_that_does_not_exit_is_killed() {
    let script = r#"trap '' TERM; "$0" hold & wait; wait; exit 3"#;
    for place in Place::all() {
        let tree = Tree::v2();
        let shell = ["/bin/sh", "-c", script, probe_path().to_str().unwrap()];
        let launch = tree.launch(place, &[], &["--on-resize=exit", "--kill-after=50ms"]);
        let mut init = launch.program(&shell).start_idle();
        let begin = Instant::now();
        tree.write(MEMORY, "629145600\n");
        init.exits_with(128 + libc::SIGKILL);
        assert!(begin.elapsed() >= Duration::from_millis(50));
        assert_eq!(init.output(), b"", "no process is left");
        let message = init.messages();
        assert!(
            message.contains("it did not exit in time") && message.lines().count() == 2,
            "{message}"
        );
    }
}

/// A SIGTERM from outside arrives just when the init sends its own.
#[test]
fn sigterm_from_outside_at_the_same_time_does_no_harm() {
    let start = |delay| {
        let tree = Tree::v2();
        let options = ["--on-resize=exit", "--kill-after=1h"];
        let init = tree.launch(place(), &["linger", "1000"], &options).start_idle();
        (delay, tree, init)
    };
    let inits: Vec<_> = (0..20).map(start).collect();
    let begin = Instant::now();
    for (_, tree, _) in &inits {
        tree.write(MEMORY, "629145600\n");
    }
    for (delay, _tree, mut init) in inits {
        let at = Duration::from_millis(240 + delay);
        init.ended_within(at.saturating_sub(begin.elapsed()));
        if init.ended_within(Duration::ZERO).is_none() {
            init.signal(libc::SIGTERM);
        }
        init.exits_with(7);
        assert!(init.messages().lines().count() <= 1);
    }
}

/// Half a CPU and one CPU both give one thread, both limits are below the minimum, and values that the
/// user has set do not change.
#[test]
fn change_without_effect_on_the_program_is_only_logged() {
    let mut all = Vec::new();
    for act in ["--on-resize=signal:HUP", "--on-resize=exit", "--on-resize=log"] {
        for (option, variable, file, text, limits) in [
            ("--cpu=auto", "GOGC=100", CPU, "100000 100000\n", "CPU 1"),
            ("--cpu=auto", "GOMEMLIMIT=390MiB", MEMORY, "629145600\n", "memory 600 MiB"),
            ("--memory=off", "GOGC=100", MEMORY, "629145600\n", "memory 600 MiB"),
            ("--memory-min=390MiB", "GOGC=100", MEMORY, "471859200\n", "memory 450 MiB"),
            ("--cpu=off", "GOGC=100", CPU, "max 100000\n", "CPU none"),
        ] {
            let tree = Tree::v2();
            let launch = tree.launch(place(), &["report"], &[act, option]);
            let init = launch.environment(variable).start_idle();
            tree.write(file, text);
            all.push((tree, init, limits));
        }
    }
    for (_tree, mut init, limits) in all {
        next(&mut init, limits, NOT_AFFECTED);
        ends_without_more(init);
    }
}

/// A probe with Go's build information in it.
fn go_probe(directory: &Path, version: &str) -> PathBuf {
    let (header, program) = (directory.join("go.h"), directory.join("probe"));
    let info = format!(
        "__attribute__((section(\".go.buildinfo\"), used, aligned(16))) static char info[64] = \
         \"\\377 Go buildinf:\\10\\2{}\\{:o}\" \"{version}\";\n",
        "\\0".repeat(16),
        version.len()
    );
    fs::write(&header, info).unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/probe.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-O1", "-include"]).arg(&header).arg("-o").arg(&program).arg(source);
    assert!(compiler.status().unwrap().success());
    program
}

#[test]
fn quota_that_go_follows_itself_is_only_logged() {
    let directory = tempdir().unwrap();
    for (version, end) in
        [("go1.25.3", NOT_AFFECTED), ("go1.24.9", "; sending SIGHUP to the program")]
    {
        let program = go_probe(directory.path(), version);
        let tree = Tree::v2();
        tree.write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let launch = tree.launch(place(), &[], &["--on-resize=signal:HUP"]);
        let mut init = launch.program(&[program.to_str().unwrap(), "report"]).start_idle();
        tree.write(CPU, "200000 100000\n");
        next(&mut init, "CPU 2", end);
        if end != NOT_AFFECTED {
            init.expect("signal 1");
        }
        ends_without_more(init);
    }
}

/// A restart would begin with the wrapper again, so it does not matter when that executes the program.
/// The program has the `GOMAXPROCS` that the wrapper was given, and does not follow the quota.
#[test]
fn program_behind_a_wrapper_gets_the_signal() {
    let directory = tempdir().unwrap();
    let program = go_probe(directory.path(), "go1.25.3");
    let tree = Tree::v2();
    tree.write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    let launch = tree.launch(place(), &[], &["--on-resize=signal:HUP"]);
    let mut init = launch.program(&["env", program.to_str().unwrap(), "report"]).start_idle();
    for cpus in [2, 3, 1] {
        tree.write(CPU, &format!("{cpus}00000 100000\n"));
        next(&mut init, &format!("CPU {cpus}"), "; sending SIGHUP to the program");
        init.expect("signal 1");
    }
    ends_without_more(init);
}

/// Its parent cannot read /proc/PID/exe then (ptrace(2), access mode checking).
#[test]
fn program_with_file_capabilities_is_known_by_its_file() {
    Init::must_be_loadline();
    if !other_users() {
        return;
    }
    let directory = tempdir().unwrap();
    let program = go_probe(directory.path(), "go1.25.3");
    let init = directory.path().join("loadline");
    executable(&init, &fs::read(Init::under_test().path).unwrap());
    // CAP_NET_BIND_SERVICE, permitted and effective (struct vfs_cap_data of linux/capability.h).
    let capabilities = [0x0200_0001u32, 1 << 10, 0, 0, 0].map(u32::to_le_bytes).concat();
    let path = CString::new(program.to_str().unwrap()).unwrap();
    let (name, value) = (c"security.capability".as_ptr(), capabilities.as_ptr().cast());
    // SAFETY: both strings are NUL-terminated, and the value is readable for its length.
    let result = unsafe { libc::setxattr(path.as_ptr(), name, value, capabilities.len(), 0) };
    if result != 0 {
        not_run("the file system of the temporary directory has no capabilities");
        return;
    }
    let tree = Tree::v2();
    tree.write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    for path in [directory.path(), Path::new(tree.root())] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let user = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let options = ["-s", "--root", tree.root(), "--on-resize=exit", "--"];
    let init = [init.to_str().unwrap()];
    let command = [&user[..], &init, &options, &[program.to_str().unwrap(), "report"]].concat();
    let mut init = Launch::bare(&[]).program(&command).start_idle();
    tree.write(CPU, "200000 100000\n");
    next(&mut init, "CPU 2", NOT_AFFECTED);
    ends_without_more(init);
}

#[test]
fn limits_of_every_kind_are_followed() {
    let tree = Tree::v2();
    tree.write("sys/fs/cgroup/memory.high", "max\n");
    let mut init = reporting(&tree, place(), &["--on-resize=log"]);
    for (file, text, limits) in [
        ("memory.high", "209715200\n", "memory 200 MiB"),
        ("memory.high", "max\n", "memory 400 MiB"),
        ("memory.max", "max\n", "memory none"),
        ("cpu.max", "150000 100000\n", "CPU 1.5"),
        ("cpu.max", "max 100000\n", "CPU none"),
    ] {
        tree.write(&format!("sys/fs/cgroup/{file}"), text);
        next(&mut init, limits, KEEPS);
    }
    ends_without_more(init);
}

#[test]
fn limits_of_every_kind_are_followed_on_v1() {
    let tree = Tree::v1();
    let mut init = reporting(&tree, place(), &["--on-resize=log"]);
    for (file, text, limits) in [
        ("memory/memory.limit_in_bytes", "629145600\n", "memory 600 MiB"),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", "memory none"),
        ("cpu/cpu.cfs_period_us", "20000\n", "CPU 2.5"),
        ("cpu/cpu.cfs_quota_us", "-1\n", "CPU none"),
    ] {
        tree.write(&format!("sys/fs/cgroup/{file}"), text);
        next(&mut init, limits, KEEPS);
    }
    ends_without_more(init);
}

#[test]
fn limits_of_ancestors_are_followed() {
    let tree = Tree::v2();
    fs::create_dir_all(tree.path("sys/fs/cgroup/pod/app")).unwrap();
    tree.write("proc/self/cgroup", "0::/pod/app\n");
    for directory in ["pod", "pod/app"] {
        tree.write(&format!("sys/fs/cgroup/{directory}/memory.max"), "max\n");
        tree.write(&format!("sys/fs/cgroup/{directory}/cpu.max"), "max 100000\n");
    }
    let mut init = reporting(&tree, place(), &["--on-resize=log"]);
    for (file, text, limits) in [
        (MEMORY, "367001600\n", "memory 350 MiB"),
        ("sys/fs/cgroup/pod/memory.max", "314572800\n", "memory 300 MiB"),
        ("sys/fs/cgroup/pod/app/memory.max", "209715200\n", "memory 200 MiB"),
        ("sys/fs/cgroup/pod/cpu.max", "25000 100000\n", "CPU 0.25"),
    ] {
        tree.write(file, text);
        let end = if file.ends_with("cpu.max") { NOT_AFFECTED } else { KEEPS };
        let message = next(&mut init, limits, end);
        assert!(message.contains(&format!("\"/{file}\"")), "{message}");
    }
    ends_without_more(init);
}

#[test]
fn simultaneous_changes_are_one_line() {
    for place in Place::all() {
        let tree = Tree::v2();
        tree.write("sys/fs/cgroup/memory.high", "max\n");
        let mut init = reporting(&tree, place, &["--on-resize=signal:HUP"]);
        tree.write("sys/fs/cgroup/memory.high", "524288000\n");
        tree.write(CPU, "200000 100000\n");
        tree.write(MEMORY, "629145600\n");
        next(&mut init, "memory 500 MiB, CPU 2", "; sending SIGHUP to the program");
        init.expect("signal 1");
        ends_without_more(init);
    }
}

#[test]
fn change_that_is_reverted_at_once_is_not_reported() {
    let tree = Tree::v2();
    let mut init = reporting(&tree, place(), &["--on-resize=signal:HUP"]);
    tree.write(MEMORY, "629145600\n");
    tree.write(MEMORY, "419430400\n");
    init.wait_until_idle();
    ends_without_more(init);
}

/// A file that cannot be read for a moment does not mean that the limit was removed.
#[test]
fn file_without_a_number_is_not_a_change() {
    let tree = Tree::v2();
    let init = reporting(&tree, place(), &["--on-resize=signal:HUP"]);
    tree.write(MEMORY, "");
    ends_without_more(init);
}

/// Nor does it mean that the limit of a parent counts.
#[test]
fn file_that_cannot_be_read_once_is_not_a_change() {
    let tree = Tree::v2();
    let file = "sys/fs/cgroup/app/memory.max";
    fs::create_dir_all(tree.path("sys/fs/cgroup/app")).unwrap();
    tree.write("proc/self/cgroup", "0::/app\n");
    tree.write(file, "209715200\n");
    let init = reporting(&tree, place(), &["--on-resize=signal:HUP"]);
    // A FIFO has no content, and to open it shows that loadline has opened it.
    mkfifo(&tree.path("fifo"), Mode::S_IRWXU).unwrap();
    fs::rename(tree.path("fifo"), tree.path(file)).unwrap();
    tree.write(CPU, "50000 100000\n");
    fs::OpenOptions::new().write(true).open(tree.path(file)).unwrap();
    tree.write("again", "209715200\n");
    fs::rename(tree.path("again"), tree.path(file)).unwrap();
    ends_without_more(init);
}

/// A thousand writes in about a second lead to few decisions, and the last write counts.
#[test]
fn last_of_many_changes_counts() {
    const WRITES: u64 = 1000;
    for place in Place::all() {
        let tree = Tree::v2();
        let mut init = reporting(&tree, place, &["--on-resize=signal:HUP"]);
        let begin = Instant::now();
        for number in 1..=WRITES {
            let mebibytes = if number == WRITES { 777 } else { 400 + number % 300 };
            tree.overwrite(MEMORY, &format!("{}\n", mebibytes << 20));
            // Spreads the writes over time.
            std::thread::sleep(Duration::from_millis(1));
        }
        let most = 2 + begin.elapsed().as_millis() / 250;
        let mut count = 1;
        while !init.message(CHANGED).contains("changed: memory 777 MiB;") {
            count += 1;
        }
        // There must be decisions before the last write, too.
        assert!((2..=most).contains(&count), "{count} decisions");
        for _ in 0..count {
            init.expect("signal 1");
        }
        ends_without_more(init);
    }
}

/// The second change arrives after its file was read for the decision about the first one, while many
/// other files are still being read.
#[test]
fn change_during_a_decision_is_not_lost() {
    const DEBOUNCE: Duration = Duration::from_millis(250);
    let cgroup = "/d".repeat(150);
    let file = format!("sys/fs/cgroup{cgroup}/memory.max");
    let mut inits = Vec::new();
    for delay in [3, 6] {
        let tree = Tree::v2();
        tree.write("proc/self/cgroup", &format!("0::{cgroup}\n"));
        fs::create_dir_all(tree.path(&file).parent().unwrap()).unwrap();
        tree.write(&file, "209715200\n");
        let mut init = reporting(&tree, place(), &["--on-resize=log"]);
        tree.overwrite(&file, "219715200\n");
        std::thread::sleep(DEBOUNCE + Duration::from_millis(delay));
        tree.overwrite(&file, "104857600\n");
        init.message("changed: memory 100 MiB; ");
        inits.push((tree, init));
    }
    for (_tree, init) in inits {
        ends_without_more(init);
    }
}

/// The program itself changes the limit as soon as it starts.
#[test]
fn change_during_the_start_is_noticed() {
    for place in Place::all() {
        let tree = Tree::v2();
        let script = r#"echo 629145600 >"$1"; exec "$0" report"#;
        let (probe, file) = (probe_path().to_str().unwrap(), tree.path(MEMORY));
        let shell = ["/bin/sh", "-c", script, probe, file.to_str().unwrap()];
        let launch = tree.launch(place, &[], &["--on-resize=log"]);
        let mut init = launch.program(&shell).start_idle();
        next(&mut init, "memory 600 MiB", KEEPS);
        ends_without_more(init);
    }
}

#[test]
fn program_may_exit_before_a_decision() {
    for place in Place::all() {
        for option in ["--on-resize=log", "--on-resize=signal:HUP", "--on-resize=exit"] {
            let tree = Tree::v2();
            let script = r#"echo 629145600 >"$0"; exit 5"#;
            let (launch, file) = (tree.launch(place, &[], &[option]), tree.path(MEMORY));
            let shell = ["/bin/sh", "-c", script, file.to_str().unwrap()];
            launch.program(&shell).start().exits_with(5);

            let mut init = reporting(&tree, place, &[option]);
            tree.write(MEMORY, "419430400\n");
            init.signal(libc::SIGTERM);
            init.expect("signal 15");
            init.exits_with(0);
        }
    }
}

/// Limits are still watched while signals wait for room in the queue of the program, and the other way
/// round.
#[test]
fn changes_and_a_full_signal_queue_do_not_delay_each_other() {
    const ROOM: i32 = 16;
    if !user_namespaces() {
        return;
    }
    for place in Place::all() {
        let tree = Tree::v2();
        let launch = tree.launch(place, &["hold"], &["--on-resize=signal:HUP"]);
        let mut init = launch.user_namespace().queue(16).start_idle();
        let program = init.program();
        for value in 0..ROOM {
            assert!(send_value(program, REALTIME, value));
        }
        init.raise_queue();
        for value in ROOM..ROOM + 8 {
            init.signal_with_value(REALTIME, value);
        }
        for (limit, limits) in [("629145600\n", "600 MiB"), ("734003200\n", "700 MiB")] {
            tree.write(MEMORY, limit);
            next(&mut init, &format!("memory {limits}"), "; sending SIGHUP to the program");
        }
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.expect("signal 1");
        for value in 0..ROOM + 8 {
            init.expect(&format!("signal {REALTIME} value {value}"));
        }
        init.wait_until_idle();
        tree.write(MEMORY, "838860800\n");
        next(&mut init, "memory 800 MiB", "; sending SIGHUP to the program");
        init.expect("signal 1");
        init.signal(libc::SIGUSR1);
        init.expect("signal 10");
        init.exits_with(0);
    }
}

/// The descriptors that the init has open.
fn descriptors(init: &Running) -> Vec<i32> {
    let listed = fs::read_dir(format!("/proc/{}/fd", init.pid())).unwrap();
    let number = |entry: std::io::Result<fs::DirEntry>| {
        entry.unwrap().file_name().to_str().unwrap().parse().unwrap()
    };
    let mut numbers: Vec<_> = listed.map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn nothing_is_watched_without_the_options() {
    for options in
        [&[] as &[_], &["--on-resize=ignore"], &["--on-resize=log", "--on-resize=ignore"]]
    {
        let tree = Tree::v2();
        let init = reporting(&tree, place(), options);
        assert_eq!(descriptors(&init), [0, 1, 2], "{options:?}");
        tree.write(MEMORY, "629145600\n");
        ends_without_more(init);
    }
    let tree = Tree::v2();
    let init = reporting(&tree, place(), &["--on-resize=log", "--memory-warn"]);
    assert!(descriptors(&init).len() > 3);
}

#[test]
fn bad_value_is_refused_and_a_bad_variable_is_ignored() {
    Init::must_be_loadline();
    for value in ["x", "", "signal", "signal:", "signal:0", "signal:65", "signal:FOO", "exit "] {
        let launch = || Launch::new(place(), &["exit", "3"]);
        let mut init = launch().arguments(&["--on-resize", value]).start();
        assert_eq!((init.wait(), init.output().len()), (Ended::Exited(1), 0), "{value:?}");
        assert!(
            init.messages().contains("for --on-resize: expected ignore, log, signal:NAME"),
            "{value:?}"
        );

        let mut init = launch().environment(format!("LOADLINE_ON_RESIZE={value}")).start();
        init.exits_with(3);
        let (message, is_empty) = (init.messages(), value.is_empty());
        assert_eq!(
            message.contains("ignoring LOADLINE_ON_RESIZE="),
            !is_empty,
            "{value:?}: {message}"
        );
        assert_eq!(message.lines().count(), usize::from(!is_empty), "{message}");
    }
}

/// One free descriptor is enough to start, but not to watch limits.
#[test]
fn program_runs_even_if_descriptors_run_out() {
    Init::must_be_loadline();
    let tree = Tree::v2();
    let script = r#"ulimit -n "$2"; exec "$1" -s --root "$3" --on-resize=exit -- "$0" report"#;
    let (probe, init) = (probe_path().to_str().unwrap(), Init::under_test().path);
    let shell = ["/bin/sh", "-c", script, probe, init.to_str().unwrap(), "4", tree.root()];
    let mut init = Launch::bare(&[]).program(&shell).start_idle();
    let message = init.message("cannot watch");
    assert_eq!(message, "loadline: cannot watch the cgroup for --on-resize: Too many open files");
    ends_without_more(init);
}

/// A seccomp filter denies a call, or a limit of the machine is reached.
#[test]
fn program_runs_even_if_a_system_call_fails() {
    Init::must_be_loadline();
    let tree = Tree::v2();
    let (probe, init) = (probe_path().to_str().unwrap(), Init::under_test().path);
    for (call, error, message) in [
        (libc::SYS_signalfd4, libc::EMFILE, "--on-resize or --memory-warn: Too many open files"),
        (libc::SYS_ppoll, libc::EPERM, "--on-resize or --memory-warn: Operation not permitted"),
        (libc::SYS_inotify_init1, libc::EMFILE, "--on-resize: Too many open files"),
        (libc::SYS_inotify_init1, libc::EPERM, "--on-resize: Operation not permitted"),
        (libc::SYS_inotify_add_watch, libc::ENOSPC, "--on-resize: No space left on device"),
    ] {
        let mut program = vec![probe, "refuse"];
        let numbers = [call.to_string(), error.to_string()];
        program.extend(numbers.iter().map(String::as_str));
        let option = "--on-resize=exit";
        program.extend([init.to_str().unwrap(), "-s", "--root", tree.root(), option, "--"]);
        program.extend([probe, "report"]);
        let mut init = Launch::bare(&[]).program(&program).start_idle();
        let expected = format!("loadline: cannot watch the cgroup for {message}");
        assert_eq!(init.message("cannot watch"), expected);
        ends_without_more(init);
    }
}

/// Real cgroups, one inside the other, in the hierarchies of memory and of CPU.
struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    /// None if this machine does not allow it.
    fn new() -> Option<Self> {
        let name = format!("loadline-test-{}", std::process::id());
        let mut made = Self(Vec::new());
        for controller in ["memory", "cpu"] {
            let root = Path::new("/sys/fs/cgroup").join(controller);
            for directory in [root.join(&name), root.join(&name).join("inner")] {
                if let Err(error) = fs::create_dir(&directory) {
                    not_run(&format!("cannot create a v1 cgroup: {error}"));
                    return None;
                }
                made.0.push(directory);
            }
        }
        Some(made)
    }

    fn write(&self, place: usize, file: &str, text: &str) {
        let path = self.0[place].join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        for directory in self.0.iter().rev() {
            // A process that has just exited may still be in the cgroup.
            while fs::remove_dir(directory).is_err() && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn limits_of_real_cgroups_are_followed_on_v1() {
    const MEMORY: usize = 0;
    const INNER_MEMORY: usize = 1;
    const CPU: usize = 2;
    const INNER_CPU: usize = 3;
    Init::must_be_loadline();
    let Some(cgroups) = Cgroups::new() else { return };
    cgroups.write(MEMORY, "memory.limit_in_bytes", "400M");
    cgroups.write(CPU, "cpu.cfs_quota_us", "50000");
    let script = r#"echo $$ >"$2/cgroup.procs" && echo $$ >"$3/cgroup.procs" &&
        exec "$1" -s --on-resize=signal:HUP -- "$0" report"#;
    let (probe, init) = (probe_path().to_str().unwrap(), Init::under_test().path);
    let (init, [memory, cpu]) = (init.to_str().unwrap(), [INNER_MEMORY, INNER_CPU]);
    let [memory, cpu] = [memory, cpu].map(|place| cgroups.0[place].to_str().unwrap());
    let shell = ["/bin/sh", "-c", script, probe, init, memory, cpu];
    let mut init = Launch::bare(&[]).program(&shell).start_idle();
    for (place, file, text, limits, is_signalled) in [
        (MEMORY, "memory.limit_in_bytes", "300M", "memory 300 MiB", true),
        (INNER_MEMORY, "memory.limit_in_bytes", "200M", "memory 200 MiB", true),
        (INNER_MEMORY, "memory.limit_in_bytes", "-1", "memory 300 MiB", true),
        (MEMORY, "memory.limit_in_bytes", "-1", "memory none", true),
        (CPU, "cpu.cfs_period_us", "200000", "CPU 0.25", false),
        (CPU, "cpu.cfs_quota_us", "-1", "CPU none", true),
        (INNER_CPU, "cpu.cfs_quota_us", "40000", "CPU 0.4", true),
    ] {
        cgroups.write(place, file, text);
        next(
            &mut init,
            limits,
            if is_signalled { "; sending SIGHUP to the program" } else { NOT_AFFECTED },
        );
        if is_signalled {
            init.expect("signal 1");
        }
    }
    ends_without_more(init);
}
