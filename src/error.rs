//! Everything that can go wrong, with its cause. Who handles an error decides whether it is fatal;
//! one that is not fatal is one line on standard error.

use crate::options::OptionName;
use crate::signal::{SignalName, SignalTarget};
use crate::sys::{Errno, FailedCall};
use crate::text::{Escaped, Quoted};
use crate::units::Bytes;
use core::ffi::c_int;
use core::fmt;

/// Something that went wrong.
#[derive(Clone, Copy, Debug)]
pub enum Error<'a> {
    /// There is no such option.
    UnknownOption {
        /// The option.
        option: OptionName<'a>,
        /// What may have been meant, after a semicolon, or nothing.
        hint: &'static str,
    },
    /// The option requires a value and has none.
    MissingValue(OptionName<'a>),
    /// The option takes no value and has one.
    UnexpectedValue {
        /// The option.
        option: OptionName<'a>,
        /// What it was given.
        value: &'a [u8],
    },
    /// Our own file cannot be installed.
    Install {
        /// The new file.
        path: &'a [u8],
        /// The cause.
        cause: Errno,
    },
    /// The loadline with this process ID has no program to inspect.
    NothingToInspect(i32),
    /// What is to be inspected is not one process ID.
    InvalidPid {
        /// What was given.
        value: &'a [u8],
        /// What may have been meant, after a semicolon, or nothing.
        hint: &'static str,
    },
    /// There is no program on the command line.
    NoProgram,
    /// An option has an invalid value.
    InvalidOption {
        /// The option.
        option: OptionName<'a>,
        /// What it was given.
        value: &'a [u8],
        /// What it takes.
        expected: &'static str,
        /// What may have been meant, after a semicolon, or nothing.
        hint: &'static str,
    },
    /// A variable for us has an invalid value.
    InvalidVariable {
        /// Its name.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// What it takes.
        expected: &'static str,
    },
    /// A file about limits cannot be read.
    UnreadableFile {
        /// Its path.
        path: &'a [u8],
        /// The cause.
        cause: Errno,
    },
    /// A file about limits has unexpected content.
    InvalidFile {
        /// Its path.
        path: &'a [u8],
        /// The beginning of its content.
        content: &'a [u8],
    },
    /// The reserve is not below the limit.
    ReserveTooLarge {
        /// The reserve in bytes.
        reserve: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The Go runtime refuses to start with this `GOMEMLIMIT`.
    RefusedByGo(&'a [u8]),
    /// This `GOMEMLIMIT` is not below the memory limit, which is reached first.
    TooHighForLimit {
        /// Its value.
        value: &'a [u8],
        /// What the Go runtime takes it for.
        bytes: Bytes,
        /// The memory limit.
        limit: Bytes,
    },
    /// The Go runtime ignores the value of this variable.
    IgnoredByGo {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: &'a [u8],
        /// What Go takes.
        expected: &'static str,
    },
    /// /proc does not list our children by the numbers that we know them by.
    ForeignProc,
    /// The program's orphans will not become our children.
    NoReaping,
    /// We cannot become a subreaper.
    Subreaper(Errno),
    /// The parent-death signal cannot be set.
    ParentDeathSignal(Errno),
    /// A signal cannot be forwarded.
    Forward {
        /// Its number.
        signal: c_int,
        /// Who was to receive it.
        target: SignalTarget,
        /// The cause.
        cause: Errno,
    },
    /// A process that does not exit cannot be killed either.
    Kill {
        /// Who was to be killed.
        target: SignalTarget,
        /// The cause.
        cause: Errno,
    },
    /// The program cannot be executed.
    Exec {
        /// Its name or path.
        program: &'a [u8],
        /// The cause.
        cause: Errno,
        /// Whether the file exists and what it needs does not: its interpreter or its loader.
        lacks_interpreter: bool,
        /// What may have been meant, after a semicolon, or nothing.
        hint: &'static str,
    },
    /// The program cannot be executed with the variables that we set, because there is no room.
    NoRoomForVariables(Errno),
    /// What the start requires is denied.
    Start(FailedCall),
    /// The program cannot be waited for.
    Wait(Errno),
    /// The termination message cannot be written.
    TerminationLog {
        /// The file.
        path: &'a [u8],
        /// The cause.
        cause: Errno,
    },
    /// What an option waits for cannot be watched.
    Watch {
        /// The option.
        option: &'static str,
        /// The cause.
        cause: Errno,
    },
    /// There are options for an init, and no init.
    NoInit,
    /// Standard output cannot be written to.
    Output(Errno),
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption { option, hint } => {
                write!(f, "unknown option {option}{hint}; see loadline --help")
            }
            Self::MissingValue(option) => {
                write!(f, "{option} requires a value; see loadline --help")
            }
            Self::UnexpectedValue { option, value } => write!(
                f,
                "{option} takes no value, but was given {}; see loadline --help",
                Quoted(value)
            ),
            Self::Install { path, cause } => write!(f, "cannot install {}: {cause}", Quoted(path)),
            Self::NothingToInspect(pid) => write!(f, "the loadline with PID {pid} runs no program"),
            Self::InvalidPid { value, hint } => {
                write!(f, "--inspect takes one process ID, but was given {}{hint}", Quoted(value))
            }
            Self::NoProgram => f.write_str(
                "no program given; usage: loadline [OPTIONS] [--] PROGRAM [ARGS...]; see loadline \
                 --help",
            ),
            Self::InvalidOption { option, value, expected, hint } => write!(
                f,
                "invalid value {} for {option}: expected {expected}{hint}; see loadline --help",
                Quoted(value)
            ),
            Self::InvalidVariable { name, value, expected } => {
                write!(f, "ignoring {}={}: expected {expected}", Escaped(name), Quoted(value))
            }
            Self::UnreadableFile { path, cause } => {
                write!(f, "cannot read {}: {cause}", Quoted(path))
            }
            Self::InvalidFile { path, content } => {
                write!(f, "cannot parse {}: unexpected content {}", Quoted(path), Quoted(content))
            }
            Self::ReserveTooLarge { reserve, limit } => write!(
                f,
                "ignoring the memory reserve of {reserve} bytes: it is not below the limit of \
                 {limit} bytes"
            ),
            Self::RefusedByGo(value) => write!(
                f,
                "GOMEMLIMIT={} is left unchanged, but Go refuses to start with it: expected bytes, \
                 or a whole number of KiB, MiB, GiB or TiB such as 360MiB, or off",
                Quoted(value)
            ),
            Self::TooHighForLimit { value, bytes, limit } => write!(
                f,
                "GOMEMLIMIT={} is left unchanged, but is too high to help: it is {bytes}, and the \
                 memory limit is {limit}; --memory cap lowers it",
                Quoted(value)
            ),
            Self::IgnoredByGo { name, value, expected } => write!(
                f,
                "{name}={} is left unchanged, but Go ignores it: expected {expected}",
                Quoted(value)
            ),
            Self::ForeignProc => f.write_str(
                "cannot find the processes that are left: /proc belongs to another PID namespace",
            ),
            // In the words of tini, which scripts look for.
            Self::NoReaping => f.write_str(
                "not running as PID 1 and not a child subreaper, so zombie reaping won't work unless \
                 PID 1 does it; use -s or set TINI_SUBREAPER, or run as PID 1",
            ),
            Self::Subreaper(cause) => write!(f, "cannot become a child subreaper: {cause}"),
            Self::ParentDeathSignal(cause) => {
                write!(f, "cannot set the parent-death signal: {cause}")
            }
            Self::Forward { signal, target, cause } => {
                write!(f, "cannot forward {} to {target}: {cause}", SignalName(*signal))
            }
            Self::Kill { target, cause } => {
                write!(f, "cannot kill {target}: {cause}")
            }
            Self::Exec { program, cause, lacks_interpreter, hint } => {
                write!(f, "cannot execute {}: {cause}{hint}", Quoted(program))?;
                if cause.0 == libc::ENOEXEC {
                    f.write_str("; it may be built for another architecture")?;
                }
                if *lacks_interpreter {
                    f.write_str(
                        "; the file exists, but its interpreter (of a script) or dynamic loader \
                         does not",
                    )?;
                }
                Ok(())
            }
            Self::NoRoomForVariables(cause) => write!(
                f,
                "no room for the variables that loadline sets: {cause}; trying without them"
            ),
            Self::Start(FailedCall { name, cause }) => {
                write!(f, "cannot start the program: {name} failed: {cause}")?;
                if cause.is_denied() {
                    f.write_str("; a seccomp filter may deny this call")?;
                }
                Ok(())
            }
            Self::Wait(cause) => write!(f, "cannot wait for the program: {cause}"),
            Self::TerminationLog { path, cause } => {
                write!(f, "cannot write to {}: {cause}", Quoted(path))
            }
            Self::Watch { option, cause } => {
                write!(f, "cannot watch the cgroup for {option}: {cause}")?;
                if cause.is_not_found() {
                    f.write_str("; it requires cgroup v2")?;
                }
                Ok(())
            }
            Self::NoInit => f.write_str(
                "options for an init, such as -s, -e, --kill-after or --report, have no effect \
                 with --exec",
            ),
            Self::Output(cause) => write!(f, "cannot write to standard output: {cause}"),
        }
    }
}
