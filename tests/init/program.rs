//! Which program is started, and the errors if it cannot be.

use crate::support::{
    Ended, Init, Input, Launch, Opt, Place, Running, Tree, children, executable, field,
    not_applicable, not_run, probe_path,
};
use nix::unistd::pipe;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::{TempDir, tempdir};

#[test]
fn program_is_looked_up_in_path() {
    for place in Place::all() {
        let directory = probe_path().parent().unwrap().display();
        let name = probe_path().file_name().unwrap();
        Launch::new(place, &[])
            .program(&[name, "exit".as_ref(), "9".as_ref()])
            .path(&format!("/nowhere:{directory}"))
            .start()
            .exits_with(9);
    }
}

#[test]
fn script_without_an_interpreter_is_run_by_the_shell() {
    let directory = tempdir().unwrap();
    let script = directory.path().join("script");
    executable(&script, b"echo \"$1 $#\"; exit 9\n");
    for &exec in Init::exec_or_not() {
        for place in Place::all() {
            let launch = Launch::new(place, &[]).program(&[
                script.as_os_str(),
                "-v".as_ref(),
                "two words".as_ref(),
            ]);
            let mut init = launch.exec(exec).start();
            init.expect("-v 2");
            init.exits_with(9);
        }
    }
}

#[test]
fn missing_program_is_127() {
    for command in ["/nowhere/at/all", "no-such-program", ""] {
        fails_with(127, command);
    }
}

#[test]
fn reason_follows_a_name_that_is_longer_than_a_line() {
    Init::must_be_loadline();
    for &exec in Init::exec_or_not() {
        let name = "/x".repeat(4000);
        let mut init = Launch::new(Place::Subreaper, &[]).program(&[name]).exec(exec).start();
        init.exits_with(127);
        let message = init.messages();
        assert!(message.ends_with("/x\": No such file or directory\n"), "{message}");
        assert!(message.contains("\"/x/x") && message.contains("x[...]"), "{message}");
    }
}

#[test]
fn path_through_a_file_is_127() {
    fails_with(127, "/etc/passwd/x");
}

#[test]
fn program_that_cannot_be_executed_is_126() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "exit 0\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fails_with(126, file.to_str().unwrap());
    fails_with(126, directory.path().to_str().unwrap());
}

#[track_caller]
fn fails_with(code: i32, command: &str) {
    for &exec in Init::exec_or_not() {
        for place in Place::all() {
            let launch = Launch::new(place, &[]).program(&[command]);
            let mut init = launch.exec(exec).start();
            init.exits_with(code);
            let messages = init.messages();
            assert!(messages.contains(command), "{command:?} is not named in {messages:?}");
            assert_eq!(init.output(), b"");
        }
    }
}

#[test]
fn exec_replaces_the_init_with_the_program() {
    for place in Place::all() {
        let mut init = Launch::new(place, &["pause"]).option(Opt::Exec).start_ready();
        assert_eq!(children(init.pid()), [0; 0]);
        assert_eq!(
            Path::new(&format!("/proc/{}/exe", init.pid())).read_link().unwrap(),
            probe_path()
        );
        init.signal(libc::SIGKILL);
        assert_eq!(init.wait(), Ended::Killed(libc::SIGKILL));
    }
}

/// A file system that holds the init, the probe and nothing else.
struct EmptyImage {
    root: TempDir,
    init: Init,
}

impl EmptyImage {
    fn new() -> Option<Self> {
        let init = Init::under_test();
        if !is_static(&init.path) {
            if !init.is_loadline() {
                not_applicable("static linking");
            }
            not_run("the init is linked dynamically, so it cannot run in an empty image");
            return None;
        }
        let image = Self { root: tempdir().unwrap(), init: init.at("/init") };
        image.put("init", &fs::read(&init.path).unwrap());
        image.put("probe", &fs::read(probe_path()).unwrap());
        Some(image)
    }

    fn put(&self, name: &str, content: &[u8]) {
        executable(&self.root.path().join(name), content);
    }

    fn launch(&self, place: Place, program: &[&str]) -> Launch {
        Launch::new(place, &[]).init(&self.init).root(self.root.path()).program(program)
    }
}

#[test]
fn init_runs_in_an_empty_image() {
    let Some(image) = EmptyImage::new() else { return };
    for place in Place::all() {
        let mut init = image.launch(place, &["/probe", "report"]).start_ready();
        init.signal(libc::SIGHUP);
        init.expect("signal 1");
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
        assert_eq!(init.messages(), "");
    }
}

/// An empty image has no /dev/null that could replace closed descriptors.
#[test]
fn closed_descriptors_do_no_harm_in_an_empty_image() {
    let Some(image) = EmptyImage::new() else { return };
    for place in Place::all() {
        let launch = image.launch(place, &["/probe", "exit", "9"]);
        let closed = (0..3).fold(launch, |launch, fd| launch.standard(fd, Input::Closed));
        closed.start().exits_with(9);
    }
}

#[test]
fn script_without_an_interpreter_is_126_without_a_shell() {
    let Some(image) = EmptyImage::new() else { return };
    image.put("script", b"exit 0\n");
    for place in Place::all() {
        image.launch(place, &["/script"]).start().exits_with(126);
    }
}

/// A name that is too long for a file is not found, and nothing is said about an interpreter.
#[test]
fn program_with_too_long_a_name_or_directory_is_not_found() {
    Init::must_be_loadline();
    let long = "x".repeat(300);
    for (program, directories) in [(&*long, "/bin"), ("missing", &*format!("/{long}:/bin"))] {
        for &exec in Init::exec_or_not() {
            let launch = Launch::new(Place::all()[0], &[]).program(&[program]).path(directories);
            let mut init = launch.exec(exec).start();
            init.exits_with(127);
            let expected = format!("cannot execute \"{program}\": No such file or directory\n");
            assert_eq!(init.messages(), format!("loadline: {expected}"));
        }
    }
}

/// An image for another architecture is the most common program that cannot be executed. execvp(3) would
/// run it as a shell script.
#[test]
fn program_for_another_architecture_is_not_run_as_a_script() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("foreign");
    let mut file = fs::read(probe_path()).unwrap();
    // e_machine (elf(5)): a number that no architecture has.
    file[0x12..0x14].copy_from_slice(&[0x34, 0x12]);
    executable(&path, &file);
    for &exec in Init::exec_or_not() {
        for place in Place::all() {
            let launch = Launch::new(place, &[]).program(&[path.to_str().unwrap()]);
            let mut init = launch.exec(exec).start();
            init.exits_with(126);
            if Init::under_test().is_loadline() {
                assert!(init.messages().contains("another architecture"));
            }
        }
    }
}

/// With this many bytes of variables.
fn filled(launch: Launch, bytes: usize) -> Launch {
    // The kernel allows at most 128 KiB for each (execve(2), MAX_ARG_STRLEN).
    const VARIABLES: usize = 100;
    (0..VARIABLES).fold(launch, |launch, number| {
        launch.environment(format!("V{number:02}={}", "x".repeat((bytes + number) / VARIABLES)))
    })
}

/// Starts the program in an image with a memory limit, with the largest environment with which the init
/// itself can be started, less some bytes. Running the program takes 12 bytes less than running the init,
/// and loadline adds 36.
fn nearly_full(image: &EmptyImage, exec: bool, program: &[&str], less: usize) -> Launch {
    let place = Place::all()[0];
    let launch = |bytes| {
        let launch = image.launch(place, program).no_separator();
        let launch = launch.environment("LOADLINE_MEMORY_LIMIT=4000000000000000");
        filled(launch.environment(format!("LOADLINE_EXEC={}", u8::from(exec))), bytes)
    };
    let (mut fits, mut too_large) = (0, 12_000_000);
    while fits + 1 < too_large {
        let middle = usize::midpoint(fits, too_large);
        let can_start = launch(middle).try_start().is_ok();
        *(if can_start { &mut fits } else { &mut too_large }) = middle;
    }
    launch(fits - less)
}

/// The kernel limits the size of arguments and environment. What loadline adds must not exceed it.
#[test]
fn environment_is_passed_on_as_inherited_if_there_is_no_room() {
    Init::must_be_loadline();
    let Some(image) = EmptyImage::new() else { return };
    let program = ["/probe", "environment"];
    for &exec in Init::exec_or_not() {
        for (less, has_room) in [(0, false), (4, false), (100, true)] {
            let mut init = nearly_full(&image, exec, &program, less).start();
            let output = String::from_utf8(init.output()).unwrap();
            init.exits_with(0);
            assert!(output.contains("LOADLINE_MEMORY_LIMIT="));
            assert_eq!(output.contains("\0GOMEMLIMIT="), has_room);
            let messages = init.messages();
            assert_eq!(messages.lines().count(), usize::from(!has_room), "{messages:?}");
            assert_eq!(messages.contains("no room for the variables"), !has_room, "{messages:?}");
        }
    }
}

/// The line that says so must not end the program.
#[test]
fn environment_without_room_and_a_broken_stderr_do_no_harm() {
    Init::must_be_loadline();
    let Some(image) = EmptyImage::new() else { return };
    for &exec in Init::exec_or_not() {
        let (_, broken) = pipe().unwrap();
        let launch = nearly_full(&image, exec, &["/probe", "exit", "9"], 0);
        launch.standard(2, Input::Given(broken)).start().exits_with(9);
    }
}

/// There is room for the script, but not for the name of its shell too.
#[test]
fn environment_without_room_for_the_shell_of_a_script_is_as_inherited() {
    Init::must_be_loadline();
    let Some(image) = EmptyImage::new() else { return };
    fs::create_dir(image.root.path().join("bin")).unwrap();
    // A shell that takes no script.
    image.put("bin/sh", &fs::read(probe_path()).unwrap());
    image.put("script", b"exit 9\n");
    for &exec in Init::exec_or_not() {
        let mut init = nearly_full(&image, exec, &["/script"], 30).start();
        init.exits_with(97);
        let messages = init.messages();
        assert!(messages.contains("no room for the variables"), "{messages:?}");
    }
}

/// Whether the 64-bit ELF file has no program header for a loader, PT_INTERP (elf(5)).
fn is_static(path: &Path) -> bool {
    let file = fs::read(path).unwrap();
    let half = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    let (start, size, count) = (half(0x20), half(0x36), half(0x38));
    (0..count).all(|number| half(start + number * size) != 3)
}

/// Without options, and with all that watch something or have a timer.
#[test]
fn idle_init_never_wakes_up() {
    let place = Place::all()[0];
    let mut inits = vec![Launch::new(place, &["pause"]).start()];
    let tree = Tree::v2();
    if Init::under_test().is_loadline() {
        let follow = ["--on-resize=log", "--memory-warn"];
        let all = ["--report", "--kill-after=10s", "--drain=1s"];
        inits.push(tree.launch(place, &["pause"], &follow).arguments(&all).start());
        let wait_all = ["--wait-all"];
        inits.push(Launch::new(place, &["succeed", "0"]).arguments(&wait_all).start());
    }
    for init in &mut inits {
        init.expect("ready");
        if Init::under_test().is_loadline() {
            init.wait_until_idle();
        } else {
            let asleep = |pid| field(pid, "State").starts_with('S');
            init.until("the init sleeps", |init| asleep(init.pid()));
        }
    }
    if let [_, _, init] = &mut inits[..] {
        // It waits for the successor of its program.
        let program = init.program();
        init.signal(libc::SIGUSR2);
        init.expect("signal 12");
        init.expect("successor ready");
        init.until("the program is reaped", |init| !children(init.pid()).contains(&program));
        init.wait_until_idle();
    }
    let switches = |init: &Running| {
        ["Threads", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"]
            .map(|name| field(init.pid(), name))
    };
    let before: Vec<_> = inits.iter().map(switches).collect();
    // This test must wait: it checks that nothing happens.
    std::thread::sleep(std::time::Duration::from_secs(10));
    assert_eq!(inits.iter().map(switches).collect::<Vec<_>>(), before);
}

#[test]
fn code_of_the_start_is_not_resident_while_the_program_runs() {
    Init::must_be_loadline();
    let init = Launch::new(Place::all()[0], &["pause"]).start_idle();
    let smaps = std::fs::read_to_string(format!("/proc/{}/smaps", init.pid())).unwrap();
    let lines: Vec<_> = smaps.lines().collect();
    let is_code = |line: &str| line.contains(" r-xp ") && line.ends_with("/loadline");
    let resident = |at: usize| {
        let line = lines[at..].iter().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().to_owned()
    };
    let code = (0..lines.len()).filter(|at| is_code(lines[*at])).map(resident).collect::<Vec<_>>();
    // Only the linker of `make artifact` makes the second segment.
    match &*code {
        [needed] => assert_ne!(needed, "0 kB", "{smaps}"),
        [needed, startup] => {
            assert_ne!(needed, "0 kB", "{smaps}");
            assert_eq!(startup, "0 kB", "{smaps}");
        }
        _ => panic!("{smaps}"),
    }
}

#[test]
fn only_one_mapping_of_the_init_is_writable() {
    Init::must_be_loadline();
    let init = Launch::new(Place::all()[0], &["pause"]).start_idle();
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", init.pid())).unwrap();
    // Relocated data is read-only, in a mapping between the code and the variables.
    let mappings: Vec<_> = maps.lines().filter(|line| line.ends_with("/loadline")).collect();
    let writable = mappings.iter().filter(|line| line.contains(" rw")).count();
    assert_eq!(writable, 1, "{maps}");
    assert!(mappings.len() > 2, "{maps}");
}
