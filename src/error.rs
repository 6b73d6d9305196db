//! Everything that can go wrong, as what, where and why. Whether it is fatal is decided where it
//! happens; what is not fatal is one line on standard error.

use crate::getopt::Opt;
use crate::packed::{Packed, packed};
use crate::supervise::Target;
use crate::sys::Errno;
use crate::text::{Out, Plain, Put, Quoted, put};
use core::ffi::c_int;

/// Something that went wrong.
#[derive(Clone, Copy, Debug)]
pub enum Error<'a> {
    /// There is no such option.
    UnknownOption(Opt<'a>),
    /// The option takes a value and has none.
    MissingValue(Opt<'a>),
    /// The option takes no value and has one.
    UnexpectedValue {
        /// The option.
        option: Opt<'a>,
        /// What it was given.
        value: &'a [u8],
    },
    /// There is no program on the command line.
    NoProgram,
    /// An option has a value that it cannot have.
    Option {
        /// The option.
        option: Opt<'a>,
        /// What it was given.
        value: &'a [u8],
        /// What it takes.
        expected: Packed,
    },
    /// A variable has a value that it cannot have.
    Variable {
        /// Its name.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// What it takes.
        expected: Packed,
    },
    /// A file about limits could not be read.
    Unreadable {
        /// Its path.
        file: &'a [u8],
        /// Why.
        cause: Errno,
    },
    /// A file about limits holds something else.
    Garbage {
        /// Its path.
        file: &'a [u8],
        /// How it begins.
        content: &'a [u8],
    },
    /// The reserve takes the whole limit.
    ReserveTooLarge {
        /// The reserve in bytes.
        reserve: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The Go runtime will not start with this `GOMEMLIMIT`.
    GoWillAbort(&'a [u8]),
    /// The Go runtime takes no notice of the value that this variable has.
    GoWillIgnore {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: &'a [u8],
        /// What Go takes.
        expected: Packed,
    },
    /// Orphans of the program will not become our children.
    NoReaping,
    /// We cannot become a subreaper.
    Subreaper(Errno),
    /// The signal for the death of our parent cannot be set.
    ParentDeath(Errno),
    /// A signal could not be passed on.
    Forward {
        /// Its number.
        signal: c_int,
        /// To whom.
        target: Target,
        /// Why.
        cause: Errno,
    },
    /// The program could not be executed.
    Exec {
        /// Its name or path.
        program: &'a [u8],
        /// Why.
        cause: Errno,
        /// Whether it is what the file asks for that is not there: the interpreter or the loader.
        interpreter: bool,
    },
    /// There can be no child, or none that could be waited for.
    Spawn(Errno),
    /// Why the program died could not be written for Kubernetes.
    TerminationLog {
        /// The file.
        file: &'a [u8],
        /// Why.
        cause: Errno,
    },
    /// What an option is to wait for cannot be waited for.
    Watch {
        /// The option.
        option: &'static str,
        /// Why.
        cause: Errno,
    },
    /// Options for an init that there is not.
    NoInit,
    /// Standard output did not take what was asked for.
    Output(Errno),
}

const SEE_HELP: Packed = packed!("; see loadline --help");

impl Put for Error<'_> {
    fn put(&self, out: &mut Out<'_>) {
        match self {
            Self::UnknownOption(option) => {
                put!(out, "there is no option ", option, SEE_HELP);
            }
            Self::MissingValue(option) => {
                put!(out, option, " takes a value", SEE_HELP);
            }
            Self::UnexpectedValue { option, value } => {
                put!(out, option, " takes no value such as ", Quoted(value));
            }
            Self::NoProgram => put!(out, "no program to run is given\n\n", Packed::HELP),
            Self::Option { option, value, expected } => {
                put!(out, option, " takes ", expected, ", not ", Quoted(value));
            }
            Self::Variable { name, value, expected } => {
                put!(
                    out,
                    Plain(name),
                    " is ignored: it",
                    " takes ",
                    expected,
                    ", not ",
                    Quoted(value)
                );
            }
            Self::Unreadable { file, cause } => {
                put!(out, "could not read ", Quoted(file), ": ", cause);
            }
            Self::Garbage { file, content } => {
                put!(out, Quoted(file), " holds no limit but ", Quoted(content));
            }
            Self::ReserveTooLarge { reserve, limit } => put!(
                out,
                "the memory reserve is ignored: ",
                reserve,
                " bytes leave nothing of a limit of ",
                limit
            ),
            Self::GoWillAbort(value) => put!(
                out,
                "GOMEMLIMIT is left at ",
                Quoted(value),
                ", with which Go will not start: it takes bytes, or a whole number of KiB, MiB, \
                 GiB or TiB such as 360MiB, or off"
            ),
            Self::GoWillIgnore { name, value, expected } => {
                let value = Quoted(value);
                put!(out, name, " is left at ", value, ", which Go ignores: it takes ", expected);
            }
            Self::NoReaping => put!(
                out,
                "not running as PID 1 and not a child subreaper, so zombie reaping won't work; \
                 use -s or set TINI_SUBREAPER, or run as PID 1"
            ),
            Self::Subreaper(cause) => put!(out, "could not become a child subreaper: ", cause),
            Self::ParentDeath(cause) => {
                put!(out, "could not ask for a signal when the parent dies: ", cause);
            }
            Self::Forward { signal, target, cause } => {
                let signal = signal.unsigned_abs();
                put!(out, "could not pass on signal ", signal, " to ", target, ": ", cause);
            }
            Self::Exec { program, cause, interpreter } => {
                put!(out, "could not execute ", Quoted(program), ": ", cause);
                if cause.0 == libc::ENOEXEC {
                    put!(out, "; it may be for another architecture");
                }
                if *interpreter {
                    put!(
                        out,
                        "; the file is there, but the interpreter it asks for is not: of a \
                         script, or the dynamic loader of a program that is not static"
                    );
                }
            }
            Self::Spawn(cause) => {
                put!(out, "could not start a process and wait for it: ", cause);
                if cause.is_refused() {
                    put!(out, "; a seccomp filter may forbid clone, waitid or rt_sigtimedwait");
                }
            }
            Self::TerminationLog { file, cause } => {
                put!(out, "could not write to ", Quoted(file), ": ", cause);
            }
            Self::Watch { option, cause } => {
                put!(out, "could not begin to watch for ", option, ": ", cause);
                if cause.is_absence() {
                    put!(out, "; it takes cgroup v2");
                }
            }
            Self::NoInit => put!(
                out,
                "options for an init, such as -s, -e, --kill-after or --report, do nothing together \
                 with --exec"
            ),
            Self::Output(cause) => put!(out, "could not write to standard output: ", cause),
        }
    }
}
