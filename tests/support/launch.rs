//! How an init, or a program without one, is started.

use super::inits::{Init, Opt};
use super::running::{Output, Running};
use super::spawn::{Plan, refusing, spawn};
use super::{Terminal, not_run, probe};
use libc::c_long;
use nix::fcntl::OFlag;
use nix::unistd::{getgid, getuid, pipe2};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::OnceLock;

/// The place of the init among other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// PID 1 of a PID namespace, as in a container.
    PidOne,
    /// An ordinary process with the option to adopt orphans, if the init has it.
    Subreaper,
    /// An ordinary process.
    Plain,
}

impl Place {
    /// The two places where an init reaps orphans, or only one if this machine has no PID namespaces.
    pub fn all() -> Vec<Self> {
        static POSSIBLE: OnceLock<bool> = OnceLock::new();
        let possible = || Launch::bare(&["exit", "0"]).place(Self::PidOne).try_start().is_ok();
        if *POSSIBLE.get_or_init(possible) {
            vec![Self::PidOne, Self::Subreaper]
        } else {
            not_run("cannot create a PID namespace, neither as root nor in a user namespace");
            vec![Self::Subreaper]
        }
    }

    /// The places where the init adopts orphans.
    pub fn with_orphans() -> Vec<Self> {
        let mut places = Self::all();
        places.retain(|&place| place == Self::PidOne || Init::under_test().can_adopt());
        places
    }
}

/// Whether this machine allows user namespaces. If not, the test is recorded as not run.
pub fn user_namespaces() -> bool {
    let possible = Launch::bare(&["exit", "0"]).user_namespace().try_start().is_ok();
    if !possible {
        not_run("cannot create a user namespace");
    }
    possible
}

/// Whether the test may start programs as other users. If not, it is recorded as not run.
pub fn other_users() -> bool {
    let is_root = getuid().is_root();
    if !is_root {
        not_run("only root can start a program as another user");
    }
    is_root
}

/// What a standard descriptor is.
#[derive(Debug)]
pub enum Input {
    /// /dev/null for stdin, and a pipe to the test for stdout and stderr.
    Usual,
    Closed,
    Given(OwnedFd),
}

/// An init to start. The defaults are those of a new container: no signal is blocked or ignored, and the
/// environment is only `PATH`.
#[derive(Debug)]
pub struct Launch {
    init: Option<Init>,
    place: Place,
    options: Vec<OsString>,
    separator: bool,
    program: Vec<OsString>,
    environment: Vec<OsString>,
    standard: [Input; 3],
    extra: Option<(OwnedFd, RawFd)>,
    terminal: bool,
    root: Option<CString>,
    user_namespace: bool,
    blocked: u64,
    ignored: u64,
    queue: Option<u64>,
    file_size: Option<u64>,
    lacks_capability: Option<i32>,
    filter: Vec<libc::sock_filter>,
}

impl Launch {
    /// The init under test, which runs the probe with these arguments.
    pub fn new(place: Place, arguments: &[&str]) -> Self {
        Self { init: Some(Init::under_test()), ..Self::bare(arguments).place(place) }
    }

    /// The probe without an init, for comparison.
    pub fn bare(arguments: &[&str]) -> Self {
        Self {
            init: None,
            place: Place::Plain,
            options: Vec::new(),
            separator: true,
            program: probe(arguments),
            environment: vec!["PATH=/usr/sbin:/usr/bin:/sbin:/bin".into()],
            standard: [Input::Usual, Input::Usual, Input::Usual],
            extra: None,
            terminal: false,
            root: None,
            user_namespace: false,
            blocked: 0,
            ignored: 0,
            queue: None,
            file_size: None,
            lacks_capability: None,
            filter: Vec::new(),
        }
    }

    fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// Another init than the one under test.
    pub fn init(mut self, init: &Init) -> Self {
        self.init = Some(init.clone());
        self
    }

    /// Adds an option. Ends the test if the init does not have it.
    pub fn option(self, option: Opt) -> Self {
        self.init.as_ref().unwrap().must_have(option);
        self.options_if_any(&[option])
    }

    /// Adds the options that the init has.
    pub fn options_if_any(mut self, options: &[Opt]) -> Self {
        let init = self.init.as_ref().unwrap();
        for &option in options {
            self.options.extend(init.arguments_for(option).iter().map(OsString::from));
            self.environment.extend(init.variable(option).map(OsString::from));
        }
        self
    }

    /// With all messages on stderr. tini writes only its warnings there.
    pub fn loud(self) -> Self {
        let verbose = if self.init.as_ref().unwrap().is_tini() { 0 } else { 3 };
        self.options_if_any(&[Opt::Warn]).options_if_any(&[Opt::Verbose; 3][..verbose])
    }

    /// With `--exec`, if `wanted`.
    pub fn exec(self, wanted: bool) -> Self {
        if wanted { self.option(Opt::Exec) } else { self }
    }

    /// Arguments of the init, unchanged.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.options.extend(arguments.iter().map(OsString::from));
        self
    }

    /// Without the `--` before the program.
    pub fn no_separator(mut self) -> Self {
        self.separator = false;
        self
    }

    /// A program other than the probe, or none.
    pub fn program<S: AsRef<OsStr>>(mut self, command: &[S]) -> Self {
        self.program = command.iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    pub fn environment<S: AsRef<OsStr>>(mut self, entry: S) -> Self {
        self.environment.push(entry.as_ref().to_owned());
        self
    }

    /// The value of PATH.
    pub fn path(mut self, directories: &str) -> Self {
        self.environment[0] = format!("PATH={directories}").into();
        self
    }

    pub fn standard(mut self, number: usize, input: Input) -> Self {
        self.standard[number] = input;
        self
    }

    /// One more descriptor.
    pub fn inherits(mut self, file: OwnedFd, number: RawFd) -> Self {
        self.extra = Some((file, number));
        self
    }

    /// Stdin is the terminal of a new session.
    pub fn terminal(mut self, terminal: &Terminal) -> Self {
        self.terminal = true;
        self.standard(0, Input::Given(terminal.slave()))
    }

    /// Stdin, stdout and stderr are the terminal of a new session.
    pub fn all_terminal(self, terminal: &Terminal) -> Self {
        self.terminal(terminal)
            .standard(1, Input::Given(terminal.slave()))
            .standard(2, Input::Given(terminal.slave()))
    }

    pub fn root(mut self, directory: &Path) -> Self {
        self.root = Some(string(directory.as_os_str()));
        self
    }

    /// In a user namespace, for which the kernel counts pending signals separately from all other tests.
    pub fn user_namespace(mut self) -> Self {
        self.user_namespace = true;
        self
    }

    pub fn blocked(mut self, signals: &[i32]) -> Self {
        self.blocked = set(signals);
        self
    }

    pub fn ignored(mut self, signals: &[i32]) -> Self {
        self.ignored = set(signals);
        self
    }

    /// The soft limit of pending signals of the user, for this process and its program
    /// (`RLIMIT_SIGPENDING`).
    pub fn queue(mut self, limit: u64) -> Self {
        self.queue = Some(limit);
        self
    }

    /// The `RLIMIT_FSIZE` of the init.
    pub fn file_size(mut self, limit: u64) -> Self {
        self.file_size = Some(limit);
        self
    }

    /// Without the privilege to signal processes of other users. The test must run as root.
    pub fn without_cap_kill(mut self) -> Self {
        self.lacks_capability = Some(5);
        self
    }

    /// Without the privilege to open files that it may not open. The test must run as root.
    pub fn without_cap_dac_override(mut self) -> Self {
        self.lacks_capability = Some(1);
        self
    }

    /// With a seccomp filter that makes these system calls fail.
    pub fn refusing(mut self, calls: &[c_long], error: i32) -> Self {
        self.filter = refusing(calls, error);
        self
    }

    /// Starts it. The test fails if execve fails.
    #[track_caller]
    pub fn start(self) -> Running {
        match self.try_start() {
            Ok(running) => running,
            Err(error) => panic!("cannot start the init: {error}"),
        }
    }

    /// Starts it with a program that prints "ready", and waits for that.
    #[track_caller]
    pub fn start_ready(self) -> Running {
        let mut init = self.start();
        init.expect("ready");
        init
    }

    /// The same, and waits until the init is idle too.
    #[track_caller]
    pub fn start_idle(self) -> Running {
        let mut init = self.start_ready();
        init.wait_until_idle();
        init
    }

    /// Starts it, if this machine allows it.
    pub fn try_start(mut self) -> std::io::Result<Running> {
        let mut command = Vec::new();
        if let Some(init) = &self.init {
            command.push(init.path.clone().into_os_string());
            if self.place == Place::Subreaper {
                command.extend(init.arguments_for(Opt::Subreaper).iter().map(OsString::from));
            }
        }
        command.append(&mut self.options);
        // Without it, tini would parse the options of the program.
        if self.separator && self.init.is_some() && !self.program.is_empty() {
            command.push("--".into());
        }
        command.append(&mut self.program);
        let null = OwnedFd::from(File::open("/dev/null")?);
        let (out, stdout) = pipe2(OFlag::O_CLOEXEC)?;
        let (err, stderr) = pipe2(OFlag::O_CLOEXEC)?;
        let usual = [&null, &stdout, &stderr];
        let chosen = |number: usize| match &self.standard[number] {
            Input::Usual => Some(usual[number].as_raw_fd()),
            Input::Closed => None,
            Input::Given(file) => Some(file.as_raw_fd()),
        };
        let pid_1 = self.place == Place::PidOne;
        let plan = Plan {
            path: string(&command[0]),
            arguments: command.iter().map(|word| string(word)).collect(),
            environment: self.environment.iter().map(|entry| string(entry)).collect(),
            standard: [chosen(0), chosen(1), chosen(2)],
            extra: self.extra.as_ref().map(|(file, number)| (file.as_raw_fd(), *number)),
            pid_1,
            // An ordinary user needs a user namespace to create the others.
            user_namespace: self.user_namespace
                || (pid_1 || self.root.is_some()) && !getuid().is_root(),
            terminal: self.terminal,
            root: self.root,
            blocked: self.blocked,
            ignored: self.ignored,
            queue: self.queue,
            file_size: self.file_size,
            lacks_capability: self.lacks_capability,
            filter: self.filter,
            maps: [
                CString::new(format!("0 {} 1", getuid()))?,
                CString::new(format!("0 {} 1", getgid()))?,
            ],
        };
        let spawned = spawn(&plan)?;
        Ok(Running::new(spawned, Output::new(out), Output::new(err)))
    }
}

fn string(bytes: &OsStr) -> CString {
    CString::new(bytes.as_bytes()).unwrap()
}

/// A set of signals in the kernel's format: bit n-1 is signal n.
fn set(signals: &[i32]) -> u64 {
    signals.iter().fold(0, |set, signal| set | 1 << (signal - 1))
}

/// An `OsString` of any bytes.
pub fn bytes(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}
