//! Parses the command line of the runtime that we stand for: runc, crun or one that is called like them.
//!
//! Only what matters here is understood. All arguments are passed on, except `--runtime`, which is ours.

use crate::{bundle, install};
use core::ffi::CStr;
use loadline::options::Format;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What our own file is called. A released one has its architecture in the name too:
/// `loadline-runtime-linux-amd64`. By another name that begins with [`PREFIX`] it runs in place of a runtime.
const OWN_NAME: &[u8] = b"loadline-runtime";
/// `loadline-runc` runs in place of runc.
const PREFIX: &[u8] = b"loadline-";
/// The runtime if no name says otherwise.
const DEFAULT_RUNTIME: &str = "runc";

/// The global options of runc, crun and youki that have a value. It may be the next argument.
const WITH_VALUE: [&[u8]; 9] = [
    b"log",
    b"l",
    b"log-level",
    b"log-format",
    b"root",
    b"r",
    b"criu",
    b"rootless",
    b"cgroup-manager",
];

const VERSION: &str = concat!("loadline-runtime version ", env!("CARGO_PKG_VERSION"), "\n");

const USAGE: &str = "\
Usage: loadline-runc [--runtime FILE] ARGS...
       loadline-runtime explain [--json] BUNDLE
       loadline-runtime install --docker|--containerd|--podman|--crio
                        [--default] [--write] [--root DIR]
       loadline-runtime uninstall --docker|--containerd|--podman|--crio
                        [--write] [--root DIR]

Runs in place of an OCI runtime: sets GOMEMLIMIT and GOMAXPROCS in containers
that it creates, and executes the runtime, which is runc or what follows
\"loadline-\" in its own name. --runtime names another file.

  explain BUNDLE   show what would be set in the container of a bundle
  install          print the lines that add it to an engine (--write adds them)
  uninstall        print the lines to remove (--write removes them)
  -h, --help       show this help
  --version        show the version

/etc/loadline/runtime.toml and annotations of a container change what is set:
see docs/runtime.md.
";

/// What is asked for.
#[derive(Debug)]
pub enum Request {
    /// To print a text.
    Print(&'static str),
    /// To explain what would be set in the container of a bundle.
    Explain {
        /// The directory of the bundle.
        bundle: &'static Path,
        /// The form.
        format: Format,
    },
    /// To add us to a configuration, or to remove us.
    Install {
        /// Which of the two.
        command: install::Command,
        /// Its arguments.
        arguments: Vec<OsString>,
    },
    /// To become the runtime.
    Call(Call),
    /// Nothing that is known: what is wrong.
    Invalid(String),
}

/// A call of the runtime.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// The file of the runtime that `--runtime` names.
    pub given_runtime: Option<&'static OsStr>,
    /// The runtime that our own name stands for.
    pub named_runtime: String,
    /// All arguments that are the runtime's.
    pub arguments: Vec<CString>,
    /// The container, if one is to be created.
    pub create: Option<Create>,
}

/// What the call says of a container that is to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Create {
    /// The directory of the bundle; the working directory if it is empty.
    pub bundle: &'static [u8],
    /// The configuration, if it is another file than that of the bundle (crun).
    pub config: Option<&'static [u8]>,
    /// The container's ID.
    pub id: &'static [u8],
    /// The file that the runtime logs to.
    pub log: Option<&'static [u8]>,
    /// Whether the log is lines of JSON.
    pub logs_json: bool,
    /// Whether systemd makes the cgroup, so that its path is `slice:prefix:name`.
    pub systemd_cgroup: bool,
}

/// Parses the arguments, the name of our own program included.
pub fn parse(arguments: &[&'static CStr]) -> Request {
    let (own, arguments) = arguments
        .split_first()
        .map_or((b"" as &[u8], &[][..]), |(own, rest)| (own.to_bytes(), rest));
    let name = own.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let is_own = name.strip_prefix(OWN_NAME).is_some_and(|rest| matches!(rest, [] | [b'-', ..]));
    if is_own && let Some(request) = own_command(arguments) {
        return request;
    }
    let named = name.strip_prefix(PREFIX).filter(|_| !is_own);
    let named = named.and_then(|name| core::str::from_utf8(name).ok());
    Request::Call(call(named.unwrap_or(DEFAULT_RUNTIME), arguments))
}

/// The command of ours that the arguments begin with.
fn own_command(arguments: &[&'static CStr]) -> Option<Request> {
    let Some((command, rest)) = arguments.split_first() else {
        return Some(Request::Print(USAGE));
    };
    let os_strings = || rest.iter().map(|it| OsStr::from_bytes(it.to_bytes()).to_owned()).collect();
    Some(match command.to_bytes() {
        b"-h" | b"--help" => Request::Print(USAGE),
        b"--version" => Request::Print(VERSION),
        b"install" => {
            Request::Install { command: install::Command::Install, arguments: os_strings() }
        }
        b"uninstall" => {
            Request::Install { command: install::Command::Uninstall, arguments: os_strings() }
        }
        b"explain" => match rest {
            [bundle] => explain(bundle, Format::Text),
            [json, bundle] if json.to_bytes() == b"--json" => explain(bundle, Format::Json),
            _ => Request::Invalid("usage: loadline-runtime explain [--json] BUNDLE".to_owned()),
        },
        _ => return None,
    })
}

fn explain(bundle: &'static CStr, format: Format) -> Request {
    Request::Explain { bundle: Path::new(OsStr::from_bytes(bundle.to_bytes())), format }
}

/// A call of the runtime with these arguments.
fn call(named_runtime: &str, arguments: &[&'static CStr]) -> Call {
    let mut call = Call {
        given_runtime: None,
        named_runtime: named_runtime.to_owned(),
        arguments: Vec::new(),
        create: None,
    };
    let mut create = Create::default();
    let mut arguments = arguments.iter().copied();
    while let Some(argument) = arguments.next() {
        let text = argument.to_bytes();
        let Some(option) = Flag::parse(text) else {
            // The command. What follows it is its own.
            call.arguments.push(argument.to_owned());
            let rest: Vec<_> = arguments.collect();
            call.arguments.extend(rest.iter().map(|it| (*it).to_owned()));
            if matches!(text, b"create" | b"run") {
                create.read_command(&rest);
                call.create = Some(create);
            }
            break;
        };
        let is_ours = option.name == b"runtime";
        if !is_ours {
            call.arguments.push(argument.to_owned());
        }
        let mut value = option.value;
        if value.is_none()
            && (is_ours || WITH_VALUE.contains(&option.name))
            && let Some(next) = arguments.next()
        {
            if !is_ours {
                call.arguments.push(next.to_owned());
            }
            value = Some(next.to_bytes());
        }
        match (option.name, value) {
            (b"runtime", Some(file)) => call.given_runtime = Some(OsStr::from_bytes(file)),
            (b"log" | b"l", Some(log)) => create.log = log_file(log),
            (b"log-format", Some(format)) => create.logs_json = format == b"json",
            (b"systemd-cgroup" | b"s", value) => create.systemd_cgroup = value != Some(b"false"),
            (b"cgroup-manager", Some(manager)) => create.systemd_cgroup = manager == b"systemd",
            _ => {}
        }
    }
    call
}

/// The file that `--log` names. crun also logs to journald and to syslog, which we do not.
fn log_file(log: &'static [u8]) -> Option<&'static [u8]> {
    let is_file = !log.starts_with(b"journald:") && !log.starts_with(b"syslog:");
    Some(log.strip_prefix(b"file:").unwrap_or(log)).filter(|file| is_file && !file.is_empty())
}

impl Create {
    /// Reads the arguments of `create` or `run`: options, and the ID of the container. runc takes options
    /// after the ID too.
    fn read_command(&mut self, arguments: &[&'static CStr]) {
        let mut arguments = arguments.iter().map(|it| it.to_bytes());
        let mut operands = Vec::new();
        while let Some(argument) = arguments.next() {
            let Some(option) = Flag::parse(argument) else {
                operands.push(argument);
                continue;
            };
            match option.name {
                b"" => operands.extend(arguments.by_ref()),
                b"b" | b"bundle" => {
                    self.bundle = option.value.or_else(|| arguments.next()).unwrap_or_default();
                }
                // That of the bundle, from whatever directory.
                b"f" | b"config" => {
                    let file = option.value.or_else(|| arguments.next());
                    self.config = file.filter(|file| *file != bundle::CONFIG.as_bytes());
                }
                // These have a value, too.
                b"console-socket" | b"pid-file" | b"preserve-fds" | b"pidfd-socket"
                    if option.value.is_none() =>
                {
                    arguments.next();
                }
                _ => {}
            }
        }
        self.id = operands.first().copied().unwrap_or_default();
    }
}

/// An option by its name, without its dashes: one dash or two mean the same to runc. The name is empty for
/// `--`.
struct Flag {
    name: &'static [u8],
    value: Option<&'static [u8]>,
}

impl Flag {
    fn parse(argument: &'static [u8]) -> Option<Self> {
        let option = argument.strip_prefix(b"-")?;
        let option = option.strip_prefix(b"-").unwrap_or(option);
        let mut parts = option.splitn(2, |byte| *byte == b'=');
        Some(Self { name: parts.next().unwrap_or_default(), value: parts.next() })
    }
}

#[cfg(test)]
mod tests;
