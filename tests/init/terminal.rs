//! The program gets the terminal, and gives it back. Job control works for shells that run the init and
//! for shells that it runs.

use crate::support::{
    Init, Launch, Opt, Place, Running, Terminal, children, exists, field, other_users, probe_path,
    send, signal_set,
};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::OpenOptions;
use std::io::Write;
use tempfile::tempdir;

/// The prompt of the shell.
const PROMPT: &str = "prompt> ";

/// An interactive shell without the settings of the user.
fn shell(launch: Launch) -> Launch {
    launch.environment(format!("PS1={PROMPT}")).environment("TERM=dumb")
}

const SHELL: [&str; 4] = ["/bin/bash", "--norc", "--noprofile", "-i"];

#[test]
fn program_has_the_terminal() {
    for place in Place::all() {
        let terminal = Terminal::new();
        let mut init = Launch::new(place, &["report"]).terminal(&terminal).start_ready();
        let program = init.program();
        assert_eq!(terminal.foreground(), program);
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn ctrl_c_reaches_the_program_once() {
    for place in Place::all() {
        let terminal = Terminal::new();
        let mut init = Launch::new(place, &["report"]).terminal(&terminal).start_ready();
        terminal.types("\x03");
        init.expect("signal 2");
        // A second SIGINT, forwarded by the init, would arrive before this.
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn new_size_of_the_terminal_reaches_the_program() {
    for place in Place::all() {
        let terminal = Terminal::new();
        let mut init = Launch::new(place, &["report"]).terminal(&terminal).start_ready();
        terminal.resize(50, 132);
        init.expect("signal 28");
        init.signal(libc::SIGTERM);
        init.expect("signal 15");
        init.exits_with(0);
    }
}

#[test]
fn shell_under_the_init_stops_and_continues_its_jobs() {
    for place in Place::all() {
        let mut terminal = Terminal::new();
        let launch = Launch::new(place, &[]).program(&SHELL).all_terminal(&terminal);
        let mut init = shell(launch).start();
        terminal.expect(PROMPT);
        terminal.types(&format!("{} job\n", probe_path().display()));
        terminal.expect("running");
        stop_and_continue(&mut terminal);
        terminal.types("\x03");
        terminal.expect(PROMPT);
        terminal.types("exit 5\n");
        init.exits_with(5);
    }
}

#[test]
fn shell_stops_and_continues_the_init() {
    let mut terminal = Terminal::new();
    let outer = shell_around(&mut terminal, "job", "");
    terminal.expect("running");
    stop_and_continue(&mut terminal);
    // A second time, in case the first leaves something changed.
    stop_and_continue(&mut terminal);
    terminal.types("\x03");
    terminal.expect(PROMPT);
    terminal.types("echo code $?\n");
    terminal.expect("code 130");
    leave(terminal, outer);
}

#[test]
fn shell_gets_the_terminal_back_when_the_init_exits() {
    let mut terminal = Terminal::new();
    let outer = shell_around(&mut terminal, "exit 7", "");
    terminal.expect(PROMPT);
    terminal.types("echo code $?\n");
    terminal.expect("code 7");
    leave(terminal, outer);
}

/// A script has no job control and does not take the terminal back itself. If the init kept it, the next
/// command of the script could not read.
#[test]
fn script_reads_the_terminal_after_the_init() {
    let mut terminal = Terminal::new();
    let outer = prompt(&mut terminal);
    let script = format!("{}; read line; echo got $line", init_with("exit 0"));
    terminal.types(&format!("sh -c '{script}'\n"));
    terminal.expect("\r\n");
    terminal.types("text\n");
    terminal.expect("got text");
    leave(terminal, outer);
}

#[test]
fn init_in_the_background_leaves_the_terminal_to_the_shell() {
    let mut terminal = Terminal::new();
    let directory = tempdir().unwrap();
    let gate = directory.path().join("gate");
    mkfifo(&gate, Mode::S_IRWXU).unwrap();
    let mut outer = prompt(&mut terminal);
    // The shell takes the terminal before it prints its prompt. The init must start after that.
    terminal.types(&format!("{{ read < {}; exec {}; }} &\n", gate.display(), init_with("job")));
    terminal.expect(PROMPT);
    // Opened for reading and writing, so that opening does not wait for the shell.
    let mut gate = OpenOptions::new().read(true).write(true).open(gate).unwrap();
    gate.write_all(b"\n").unwrap();
    terminal.expect("running");
    assert_eq!(terminal.foreground(), outer.pid());
    terminal.types("echo still $((40 + 2))\n");
    terminal.expect("still 42");
    // In the foreground the program gets the terminal.
    terminal.types("fg\n");
    terminal.expect("job");
    let shell = outer.pid();
    outer.until("the job has the terminal", |_| terminal.foreground() != shell);
    terminal.types("\x03");
    leave(terminal, outer);
}

#[test]
fn shell_stops_and_continues_a_pipeline_with_the_init() {
    let mut terminal = Terminal::new();
    let outer = shell_around(&mut terminal, "job", "| cat");
    terminal.expect("running");
    stop_and_continue(&mut terminal);
    terminal.types("\x03");
    leave(terminal, outer);
}

#[test]
fn shell_stops_and_continues_a_script_with_the_init() {
    let mut terminal = Terminal::new();
    let outer = prompt(&mut terminal);
    // Two commands: with only one, the shell would exec the init.
    terminal.types(&format!("sh -c '{}; exit 7'\n", init_with("job")));
    terminal.expect("running");
    stop_and_continue(&mut terminal);
    terminal.types("\x03");
    leave(terminal, outer);
}

/// The job is a process that the program has left behind (--wait-all), in the process group that has the
/// terminal.
#[test]
fn shell_stops_and_continues_the_init_after_the_program() {
    Init::must_be_loadline();
    let mut terminal = Terminal::new();
    let mut outer = prompt(&mut terminal);
    let script = r#""$0" job & exit 0"#;
    let init = init_words().join(" ").replace(" --", " --wait-all --");
    terminal.types(&format!("{init} sh -c '{script}' {}\n", probe_path().display()));
    terminal.expect("running");
    let init = children(outer.pid())[0];
    outer.until(
        "the program is reaped",
        |_| matches!(children(init)[..], [child] if field(child, "Name").starts_with("probe")),
    );
    stop_and_continue(&mut terminal);
    stop_and_continue(&mut terminal);
    send(init, libc::SIGTERM);
    terminal.expect(PROMPT);
    terminal.types("echo code $?\n");
    terminal.expect("code 143");
    leave(terminal, outer);
}

#[test]
fn background_program_stops_when_it_reads_and_reads_in_the_foreground() {
    let mut terminal = Terminal::new();
    let mut outer = prompt(&mut terminal);
    terminal.types(&format!("{} head -n1 &\n", init_words().join(" ")));
    terminal.expect(PROMPT);
    // The shell reports this with its next prompt, so let it print one.
    outer.until("the init is stopped", |outer| {
        children(outer.pid()).first().is_some_and(|&pid| field(pid, "State").starts_with('T'))
    });
    terminal.types("\n");
    terminal.expect("Stopped");
    terminal.expect(PROMPT);
    terminal.types("fg\n");
    terminal.expect("fg\r\n");
    terminal.expect("head -n1\r\n");
    terminal.types("text\n");
    terminal.expect("text\r\ntext\r\n");
    leave(terminal, outer);
}

/// In the background, both the program and the next command of the script read the terminal.
#[test]
fn background_script_stops_as_a_whole() {
    let mut terminal = Terminal::new();
    let mut outer = prompt(&mut terminal);
    let script = format!("{} head -n1; read line; echo got $line", init_words().join(" "));
    terminal.types(&format!("sh -c '{script}' &\n"));
    terminal.expect(PROMPT);
    outer.until("the script is stopped", |outer| {
        children(outer.pid()).first().is_some_and(|&pid| field(pid, "State").starts_with('T'))
    });
    terminal.types("fg\n");
    terminal.expect("got $line'\r\n");
    terminal.types("one\n");
    terminal.expect("one\r\none\r\n");
    terminal.types("two\n");
    terminal.expect("got two");
    leave(terminal, outer);
}

/// The kernel does not stop PID 1 or an orphaned process group for Ctrl-Z, because nothing could continue
/// them.
#[test]
fn ctrl_z_does_nothing_if_no_shell_can_continue_the_program() {
    for place in Place::all() {
        let mut terminal = Terminal::new();
        let launch = Launch::new(place, &[]).program(&["head", "-n1"]).all_terminal(&terminal);
        let mut init = launch.start();
        // Before execve(2) the child could stop while vfork(2) suspends the init.
        init.until("the program is executed", |init| {
            children(init.pid()).first().is_some_and(|&pid| field(pid, "Name") == "head")
        });
        let program = init.program();
        assert_eq!(terminal.foreground(), program);
        terminal.types("\x1a");
        terminal.expect("^Z");
        terminal.types("text\n");
        terminal.expect("text\r\ntext\r\n");
        init.exits_with(0);
        assert!(!exists(program));
    }
}

/// A redirection or a pipe leaves a job its terminal.
#[test]
fn program_reads_the_terminal_if_stdin_is_something_else() {
    let mut terminal = Terminal::new();
    let mut outer = prompt(&mut terminal);
    let mut reads = |command: String| {
        terminal.types(&format!("{command}\n"));
        terminal.expect("\r\ngo\r\n");
        terminal.types("text\n");
        terminal.expect("text\r\ntext\r\n");
        terminal.expect(PROMPT);
    };
    let program = "sh -c 'echo go; head -n1 /dev/tty'";
    let init = init_words().join(" ");
    reads(format!("{init} {program} </dev/null"));
    reads(format!("true | {init} {program}"));
    reads(format!("{init} {program} <&- 2>/dev/null | cat"));
    if other_users() {
        // As PID 1 too, where the process groups of the shell have no numbers.
        reads(format!("unshare -pf --kill-child {init} {program} </dev/null"));
    }
    terminal.types("exit 5\n");
    outer.exits_with(5);
}

#[test]
fn shell_stops_and_continues_the_init_if_stdin_is_something_else() {
    let mut terminal = Terminal::new();
    let outer = shell_around(&mut terminal, "job", "</dev/null");
    terminal.expect("running");
    stop_and_continue(&mut terminal);
    stop_and_continue(&mut terminal);
    terminal.types("\x03");
    leave(terminal, outer);
}

/// Ctrl-C is for the whole job, so also for what the program has started.
#[test]
fn ctrl_c_ends_the_children_of_the_program_if_stdin_is_something_else() {
    let mut terminal = Terminal::new();
    let outer = prompt(&mut terminal);
    let program = format!("sh -c '{} job; exit 7'", probe_path().display());
    terminal.types(&format!("{} {program} </dev/null\n", init_words().join(" ")));
    terminal.expect("running");
    terminal.types("\x03");
    leave(terminal, outer);
}

/// Whoever stops the program continues it, and not the init.
#[test]
fn init_in_the_background_does_not_stop_with_the_program() {
    let mut terminal = Terminal::new();
    let mut outer = prompt(&mut terminal);
    terminal.types(&format!("{} &\n", init_with("job")));
    terminal.expect(PROMPT);
    terminal.expect("running");
    let init = children(outer.pid())[0];
    let program = children(init)[0];
    send(program, libc::SIGSTOP);
    let state = state_after_stop(&mut outer, init, program);
    assert!(state.starts_with('S'), "{state}");
    send(program, libc::SIGCONT);
    terminal.expect("continued");
    terminal.types("kill %1\n");
    leave(terminal, outer);
}

/// In a PID namespace, the process groups of the shell and of its job both have the number 0.
#[test]
fn background_init_in_a_pid_namespace_leaves_the_terminal_alone() {
    if !other_users() {
        return;
    }
    let mut terminal = Terminal::new();
    let outer = prompt(&mut terminal);
    terminal.types(&format!("unshare -pf --kill-child {} &\n", init_with("job")));
    terminal.expect(PROMPT);
    terminal.expect("running");
    assert_eq!(terminal.foreground(), outer.pid());
    terminal.types("kill %1\n");
    leave(terminal, outer);
}

/// Whoever stops the program without a terminal continues the program, and not the init.
#[test]
fn init_does_not_stop_with_the_program_without_a_terminal() {
    // The session has no terminal. The process group is not orphaned, because the parent of the init is
    // in another one: the kernel would stop it (credentials(7)).
    let script = format!("set -m; {} & echo $!; wait $!", init_with("job"));
    let mut session =
        Launch::bare(&[]).program(&["/usr/bin/setsid", "-w", "/bin/bash", "-c", &script]).start();
    let mut lines = [session.line(), session.line()];
    lines.sort();
    assert_eq!(lines[1], "running");
    let init = lines[0].parse().unwrap();
    let program = children(init)[0];
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGSTOP] {
        send(program, signal);
        let state = state_after_stop(&mut session, init, program);
        assert!(state.starts_with('S'), "{signal}: {state}");
        send(program, libc::SIGCONT);
        session.expect("continued");
    }
    send(init, libc::SIGTERM);
    session.exits_with(143);
}

/// The state of the init when it has noticed that the program is stopped.
#[track_caller]
fn state_after_stop(outer: &mut Running, init: i32, program: i32) -> String {
    outer.until("the program is stopped", |_| field(program, "State").starts_with('T'));
    let mut state = String::new();
    outer.until("the init knows", |_| {
        let is_taken = signal_set(init, "ShdPnd") == 0;
        state = field(init, "State");
        is_taken && !state.starts_with(['R', 'D'])
    });
    state
}

/// A shell that has printed its first prompt.
#[track_caller]
fn prompt(terminal: &mut Terminal) -> Running {
    let launch = Launch::bare(&[]).program(&SHELL).all_terminal(terminal);
    let outer = shell(launch).start();
    terminal.expect(PROMPT);
    outer
}

/// Checks that the shell has its terminal back, and ends it.
#[track_caller]
fn leave(mut terminal: Terminal, mut outer: Running) {
    terminal.expect(PROMPT);
    terminal.types("exit 5\n");
    outer.exits_with(5);
}

/// A shell that runs the init with the probe.
fn shell_around(terminal: &mut Terminal, command: &str, end: &str) -> Running {
    let outer = prompt(terminal);
    terminal.types(&format!("{} {end}\n", init_with(command)));
    outer
}

/// The command line that runs the probe under the init.
fn init_with(command: &str) -> String {
    format!("{} {} {command}", init_words().join(" "), probe_path().display())
}

fn init_words() -> Vec<String> {
    let init = Init::under_test();
    let mut words = vec![init.path.display().to_string()];
    words.extend(init.arguments_for(Opt::Subreaper).iter().map(ToString::to_string));
    words.push("--".into());
    words
}

/// Stops the job with Ctrl-Z and continues it with fg.
#[track_caller]
fn stop_and_continue(terminal: &mut Terminal) {
    terminal.types("\x1a");
    terminal.expect("Stopped");
    terminal.expect(PROMPT);
    terminal.types("fg\n");
    terminal.expect("continued");
}

#[test]
fn hangup_of_the_terminal_ends_the_program() {
    for place in Place::all() {
        let mut terminal = Terminal::new();
        let launch = Launch::new(place, &[]).program(&SHELL).all_terminal(&terminal);
        let mut init = shell(launch).start();
        terminal.expect(PROMPT);
        let program = init.program();
        drop(terminal);
        init.wait();
        assert_eq!(field(program, "State"), "");
    }
}
