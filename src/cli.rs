//! The command line and the variables that stand for it. Pure: it touches no system.
//!
//! tini's options and variables mean what they mean in tini; our own options are long, and each
//! that tunes something can be given as `LOADLINE_<NAME>` too. The command line wins.

use crate::cgroup::Root;
use crate::error::Error;
use crate::exit::Remap;
use crate::getopt::Parser;
use crate::packed::{Packed, packed};
use crate::policy::{CpuMode, MemoryMode, Rounding, Tuning};
use crate::supervise::{Rewrites, signal_by_name};
use crate::text::Fields;
use crate::units::{CPUS, Micros, Ratio, SIZE, TIME, cpus, integer, size, time};
use core::ffi::{CStr, c_int};

/// The text of `--help`.
pub const HELP: &str = "\
Usage: loadline [OPTIONS] [--] PROGRAM [ARGS...]

Fits a Go program to the limits of its container and runs it as its init.

Limits (each also as a variable, LOADLINE_MEMORY and so on):
  --memory auto|always|off  set GOMEMLIMIT unless it has a value, always, never
  --cpu auto|static|live|off
                            set GOMAXPROCS where it has no value, the quota is less
                            than the CPUs and Go would not know; always; let Go
                            follow the quota where it can; never
  --memory-ratio R          the part of the memory limit for Go (default 0.8)
  --memory-reserve SIZE     leave Go that much less than the limit; the lesser counts
  --memory-limit SIZE       take this for the limit: 400MiB, 400Mi, 400M or bytes
  --cpu-limit CPUS          take this for the CPU quota: 0.5 or 500m
  --cpu-min N               set GOMAXPROCS to no less than N (default 1)
  --cpu-rounding up|down    what becomes of a part of a CPU (default up)
  --exec                    become the program: no init, nothing stays behind
                            (LOADLINE_EXEC=1)

Init (as in tini):
  -s          reap orphans even where not PID 1 (TINI_SUBREAPER)
  -g          send signals to the program's group (TINI_KILL_PROCESS_GROUP)
  -p SIGNAL   get SIGNAL when the parent dies, e.g. SIGTERM
  -e CODE     report the exit code CODE as 0; can be repeated
  -w          warn when a zombie is reaped
  -v          say more; can be repeated (TINI_VERBOSITY)
  --rewrite FROM:TO  pass on the signal FROM as TO, or with TO 0 not at all: names or
                     numbers; can be repeated (LOADLINE_REWRITE=FROM:TO,...)
  --kill-after TIME  kill the program if it has not ended so long after the first TERM,
                     INT or QUIT: 10s, 1.5s, 500ms, 2m (LOADLINE_KILL_AFTER)
  --drain TIME       when the program has ended, tell what it leaves behind to end too,
                     and kill what is there so long after that (LOADLINE_DRAIN)

While it runs, and at its end (each also as a variable):
  --on-resize ignore|log|signal:NAME|exit
                          when the limits change: nothing; say so; and if the program
                          would be told otherwise, send it a signal; have it end
  --memory-warn           say when memory runs out, before the kernel kills all of
                          the container (cgroup v2; LOADLINE_MEMORY_WARN=1)
  --report[=text|json]    say at the end what the program took (as -v does)
  --termination-log PATH  an empty file to say there too why the program was killed
                          (default /dev/termination-log)

Other:
  --explain[=text|json]  show what was found and would be set, and run nothing
  --root DIR             read /proc and /sys below DIR
  -l                     show the licence
  -h, --help             show this help
  --version              show the version
";

/// The text of `--version`. dockerd takes the commit from what is behind ` - git.`.
pub const VERSION: &str = concat!("loadline version ", env!("CARGO_PKG_VERSION"), " - git.");

/// The commit this was built from.
pub const COMMIT: &str = match option_env!("LOADLINE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The text of `-l`.
pub const LICENSE: &str = include_str!("../LICENSE");

/// What to do.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Show a text.
    Show(&'static [Packed]),
    /// Say what would be set.
    Explain(Format),
    /// Become the program.
    Exec,
    /// Be the program's init.
    Supervise,
}

/// All that was asked for.
#[derive(Debug)]
pub struct Request<'a> {
    /// What to do, or why that is not clear.
    pub command: Result<Command, Error<'static>>,
    /// How.
    pub options: Options,
    /// The program and its arguments; empty only where it is not run.
    pub program: &'a [&'static CStr],
    /// What is wrong with the variables.
    pub warnings: Vec<Error<'static>>,
}

/// The form of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

/// What is done when limits change while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnResize {
    /// Nothing: nobody looks.
    Ignore,
    /// It is said.
    Log,
    /// It is said, and the program gets this signal.
    Signal(u8),
    /// It is said, and the program is told to end.
    Exit,
}

/// All options. What they are given lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How the limits become variables.
    pub tuning: Tuning,
    /// The tree that is read in the place of the root.
    pub root: Option<&'static [u8]>,
    /// Whether orphans become our children where we are not PID 1.
    pub subreaper: bool,
    /// Whether the program's whole group gets the signals.
    pub group: bool,
    /// The signal for the death of our parent.
    pub parent_death: Option<c_int>,
    /// Whether each zombie that is reaped is worth a warning.
    pub warn_on_reap: bool,
    /// The form of the account at the end, if it was asked for by itself.
    pub report: Option<Format>,
    /// What is done when limits change.
    pub on_resize: OnResize,
    /// Whether it is said when memory runs out.
    pub memory_warn: bool,
    /// The file for the reason of a death, if it is not the usual one.
    pub termination_log: Option<&'static [u8]>,
    /// As in tini: warnings from 1, what is set from 2, events from 3.
    pub verbosity: u32,
    /// The exit codes that are reported as 0.
    pub remap: Remap,
    /// What signals are passed on as.
    pub rewrites: Rewrites,
    /// How long the program has to stop when it is told to.
    pub kill_after: Option<Micros>,
    /// How long what the program leaves behind has to end.
    pub drain: Option<Micros>,
    /// Whether any of it is of use only to an init.
    pub is_for_an_init: bool,
    exec: bool,
}

impl Options {
    /// Where the kernel's files are looked up.
    #[must_use]
    pub fn root(&self) -> Root<'static> {
        self.root.map_or_else(Root::system, Root::at)
    }
}

/// What verbosity is without a word about it.
const VERBOSITY: u32 = 1;

/// What has a value: an option, a variable, or one that is both.
struct Setting {
    /// The option, of which `LOADLINE` and the rest of it is the variable if it is a long one; or
    /// the variable, if there is no option.
    name: &'static str,
    /// What it takes, nothing where it only has to be there.
    expected: Packed,
    /// Sets what it stands for, unless that cannot be.
    set: fn(&mut Options, &'static [u8]) -> Option<()>,
}

/// What a switch takes: an option needs no value to switch it on.
const SWITCH: Packed = packed!("1, true, 0 or false");

fn switch(value: &[u8]) -> Option<bool> {
    Some(word(value, b"1 true 0 false")? < 2)
}

/// How many settings are of use to more than an init, or have values that are for none: they come
/// first.
const COMMON: usize = 12;

const SETTINGS: [Setting; 21] = [
    Setting {
        name: "--memory",
        expected: packed!("auto, always or off"),
        set: |options, value| {
            options.tuning.memory = match word(value, b"auto always off")? {
                0 => MemoryMode::Auto,
                1 => MemoryMode::Always,
                _ => MemoryMode::Off,
            };
            Some(())
        },
    },
    Setting {
        name: "--cpu",
        expected: packed!("auto, static, live or off"),
        set: |options, value| {
            options.tuning.cpu = match word(value, b"auto static live off")? {
                0 => CpuMode::Auto,
                1 => CpuMode::Static,
                2 => CpuMode::Live,
                _ => CpuMode::Off,
            };
            Some(())
        },
    },
    Setting {
        name: "--memory-ratio",
        expected: packed!("a number above 0 and at most 1 such as 0.8"),
        set: |options, value| Ratio::parse(value).map(|ratio| options.tuning.ratio = ratio),
    },
    Setting {
        name: "--memory-reserve",
        expected: packed!(SIZE),
        set: |options, value| size(value).map(|bytes| options.tuning.reserve = bytes),
    },
    Setting {
        name: "--memory-limit",
        expected: packed!(SIZE),
        set: |options, value| {
            let bytes = size(value).filter(|bytes| *bytes > 0)?;
            options.tuning.memory_limit = Some(bytes);
            Some(())
        },
    },
    Setting {
        name: "--cpu-limit",
        expected: packed!(CPUS),
        set: |options, value| cpus(value).map(|quota| options.tuning.cpu_limit = Some(quota)),
    },
    Setting {
        name: "--cpu-min",
        expected: packed!("a whole number from 1 to 65535"),
        set: |options, value| {
            let least = integer(value).filter(|least| (1..=0xffff).contains(least))?;
            options.tuning.cpu_min = least;
            Some(())
        },
    },
    Setting {
        name: "--cpu-rounding",
        expected: packed!("up or down"),
        set: |options, value| {
            options.tuning.rounding = match word(value, b"up down")? {
                0 => Rounding::Up,
                _ => Rounding::Down,
            };
            Some(())
        },
    },
    Setting {
        name: "--exec",
        expected: SWITCH,
        set: |options, value| switch(value).map(|is_on| options.exec = is_on),
    },
    Setting {
        name: "TINI_VERBOSITY",
        expected: packed!("a whole number"),
        set: |options, value| {
            options.verbosity = integer(value)?.try_into().ok()?;
            Some(())
        },
    },
    Setting {
        name: "--memory-warn",
        expected: SWITCH,
        set: |options, value| {
            options.memory_warn = switch(value)?;
            options.is_for_an_init |= options.memory_warn;
            Some(())
        },
    },
    Setting {
        name: "--on-resize",
        expected: packed!("ignore, log, signal: and the name of one such as USR1, or exit"),
        set: |options, value| {
            options.on_resize = match word(value, b"ignore log exit") {
                Some(0) => OnResize::Ignore,
                Some(1) => OnResize::Log,
                Some(_) => OnResize::Exit,
                None => {
                    let signal = signal_by_name_or_number(value.strip_prefix(b"signal:")?)?;
                    OnResize::Signal(Some(signal).filter(|signal| (1..=64).contains(signal))?)
                }
            };
            options.is_for_an_init |= options.on_resize != OnResize::Ignore;
            Some(())
        },
    },
    Setting {
        name: "--report",
        expected: FORMATS,
        set: |options, value| format(value).map(|format| options.report = Some(format)),
    },
    Setting {
        name: "--termination-log",
        expected: packed!("an absolute path"),
        set: |options, value| {
            options.termination_log = value.starts_with(b"/").then_some(value);
            options.termination_log.map(|_| ())
        },
    },
    Setting {
        name: "p",
        expected: packed!("the name of a signal such as SIGTERM"),
        set: |options, value| {
            options.parent_death = Some(signal_by_name(value)?);
            Some(())
        },
    },
    Setting {
        name: "e",
        expected: packed!("an exit code from 0 to 255"),
        set: |options, value| {
            options.remap.insert(integer(value)?.try_into().ok()?);
            Some(())
        },
    },
    Setting {
        name: "--rewrite",
        expected: packed!(
            "signals such as TERM:QUIT or 15:3, or HUP:0 to drop one, but no CHLD, KILL or STOP to \
             be rewritten"
        ),
        set: |options, value| {
            // All or nothing.
            let mut rewrites = options.rewrites;
            for pair in Fields::new(value, b',') {
                let mut parts = Fields::new(pair, b':');
                let (from, to) = (parts.next()?, parts.rest()?);
                rewrites.set(signal_by_name_or_number(from)?, signal_by_name_or_number(to)?)?;
            }
            options.rewrites = rewrites;
            Some(())
        },
    },
    Setting {
        name: "--kill-after",
        expected: packed!(TIME),
        set: |options, value| {
            options.kill_after = Some(time(value)?);
            Some(())
        },
    },
    Setting {
        name: "--drain",
        expected: packed!(TIME),
        set: |options, value| {
            options.drain = Some(time(value)?);
            Some(())
        },
    },
    // tini asks only whether these two are there.
    Setting {
        name: "TINI_SUBREAPER",
        expected: packed!(""),
        set: |options, _| {
            options.subreaper = true;
            Some(())
        },
    },
    Setting {
        name: "TINI_KILL_PROCESS_GROUP",
        expected: packed!(""),
        set: |options, _| {
            options.group = true;
            Some(())
        },
    },
];

/// Reads the command line and the environment. What is wrong with a variable is only a warning: a
/// typo in one pod's settings must not keep it down.
#[must_use]
pub fn parse<'a>(arguments: &'a [&'static CStr], environment: &[&'static CStr]) -> Request<'a> {
    let mut warnings = Vec::new();
    let mut options = Options {
        tuning: Tuning::DEFAULT,
        root: None,
        subreaper: false,
        group: false,
        parent_death: None,
        warn_on_reap: false,
        report: None,
        on_resize: OnResize::Ignore,
        memory_warn: false,
        termination_log: None,
        verbosity: VERBOSITY,
        remap: Remap::default(),
        rewrites: Rewrites::DEFAULT,
        kill_after: None,
        drain: None,
        is_for_an_init: false,
        exec: false,
    };
    // From the last to the first, so that of several by one name the first counts.
    for entry in environment.iter().rev() {
        let entry = entry.to_bytes();
        if (entry.starts_with(b"LOADLINE_") || entry.starts_with(b"TINI_"))
            && let Some(warning) = variable(entry, &mut options)
        {
            warnings.push(warning);
        }
    }
    let mut parser = Parser::new(arguments);
    let command = command(&mut parser, &mut options);
    Request { command, options, program: parser.operands(), warnings }
}

/// Takes what one of our variables says; an empty one says nothing, an unknown one is not ours.
fn variable(entry: &'static [u8], options: &mut Options) -> Option<Error<'static>> {
    let mut parts = Fields::new(entry, b'=');
    let (name, value) = (parts.next()?, parts.rest()?);
    // Kubernetes makes LOADLINE_PORT for a service by our name.
    let mut settings = SETTINGS.iter().enumerate();
    let (index, setting) = settings.find(|(_, setting)| is_variable_of(name, setting.name))?;
    let expected = setting.expected;
    if value.is_empty() && !expected.is_empty() {
        return None;
    }
    let set = (setting.set)(options, value);
    options.is_for_an_init |= set.is_some() && index >= COMMON;
    set.is_none().then_some(Error::Variable { name, value, expected })
}

/// Whether a name is that of a setting, as `LOADLINE_CPU_MIN` is that of `--cpu-min`.
fn is_variable_of(name: &[u8], setting: &str) -> bool {
    let upper = |byte: &u8| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() };
    match (name.strip_prefix(b"LOADLINE"), setting.as_bytes()) {
        (Some(name), [b'-', option @ ..]) => {
            name.len() == option.len() && name.iter().zip(option).all(|(a, b)| *a == upper(b))
        }
        (_, setting) => name == setting,
    }
}

/// What [`format`] takes.
const FORMATS: Packed = packed!("text or json");

fn format(value: &[u8]) -> Option<Format> {
    let format = word(value, b"text json")?;
    Some(if format == 0 { Format::Text } else { Format::Json })
}

/// Which of these words it is.
fn word(value: &[u8], words: &[u8]) -> Option<usize> {
    Fields::new(words, b' ').position(|word| word == value)
}

fn command(parser: &mut Parser<'_>, options: &mut Options) -> Result<Command, Error<'static>> {
    let mut explain = None;
    let mut verbose = 0u32;
    while let Some(option) = parser.option() {
        let mut show = None;
        // Words are compared by `==`: a pattern is compared byte by byte, in three times the code.
        match option.0 {
            b"s" => (options.subreaper, options.is_for_an_init) = (true, true),
            b"g" => (options.group, options.is_for_an_init) = (true, true),
            b"w" => (options.warn_on_reap, options.is_for_an_init) = (true, true),
            b"v" => verbose = verbose.saturating_add(1),
            b"l" => show = Some(&[Packed::LICENSE][..]),
            name if name == b"h" || name == b"--help" => show = Some(&[Packed::HELP][..]),
            name if name == b"--version" => {
                show = Some(&[packed!(VERSION), packed!(COMMIT), packed!("\n")][..])
            }
            name if name == b"--root" => {
                options.root = Some(parser.value().ok_or(Error::MissingValue(option))?);
            }
            name if name == b"--explain" => {
                let value = parser.attached().unwrap_or(b"text");
                let error = Error::Option { option, value, expected: FORMATS };
                explain = Some(format(value).ok_or(error)?);
            }
            name => {
                let mut settings = SETTINGS.iter().enumerate();
                let setting = settings.find(|(_, setting)| setting.name.as_bytes() == name);
                let (index, setting) = setting.ok_or(Error::UnknownOption(option))?;
                options.is_for_an_init |= index >= COMMON;
                let expected = setting.expected;
                // What is likely need not be spelled out, and then nothing else can follow.
                let value = if name == b"--exec" || name == b"--memory-warn" {
                    Some(&b"1"[..])
                } else if name == b"--report" {
                    Some(parser.attached().unwrap_or(b"text"))
                } else {
                    parser.value()
                };
                let value = value.ok_or(Error::MissingValue(option))?;
                let set = (setting.set)(options, value);
                set.ok_or(Error::Option { option, value, expected })?;
            }
        }
        if option.is_long()
            && let Some(value) = parser.attached()
        {
            return Err(Error::UnexpectedValue { option, value });
        }
        if let Some(texts) = show {
            return Ok(Command::Show(texts));
        }
    }
    if verbose > 0 {
        options.verbosity = VERBOSITY.saturating_add(verbose);
    }
    match explain {
        Some(format) => Ok(Command::Explain(format)),
        None if parser.operands().is_empty() => Err(Error::NoProgram),
        None if options.exec => Ok(Command::Exec),
        None => Ok(Command::Supervise),
    }
}

fn signal_by_name_or_number(text: &[u8]) -> Option<u8> {
    let signal = signal_by_name(text).map(i32::unsigned_abs).map(u64::from);
    signal.or_else(|| integer(text))?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Put;
    use crate::units::Quota;

    fn parsed(arguments: &[&str], environment: &[&str]) -> Request<'static> {
        let strings = |texts: &[&str]| -> Vec<&'static CStr> {
            let owned = texts.iter().map(|text| std::ffi::CString::new(*text).unwrap());
            owned.map(|string| &*Box::leak(string.into_boxed_c_str())).collect()
        };
        parse(strings(arguments).leak(), &strings(environment))
    }

    fn options(arguments: &[&str], environment: &[&str]) -> Options {
        let request = parsed(arguments, environment);
        assert!(request.command.is_ok() && request.warnings.is_empty(), "{request:?}");
        request.options
    }

    fn error(arguments: &[&str]) -> String {
        parsed(arguments, &[]).command.unwrap_err().text()
    }

    #[test]
    fn options_end_at_the_first_operand() {
        let program = |arguments: &[&str]| {
            let Request { options, program, .. } = parsed(arguments, &[]);
            let texts = program.iter().map(|text| text.to_str().unwrap());
            (texts.collect::<Vec<_>>().join(" "), options.verbosity, options.group)
        };
        assert_eq!(program(&["-v", "sh", "-g"]), ("sh -g".into(), 2, false));
        assert_eq!(program(&["-vvg", "--", "-x", "-v"]), ("-x -v".into(), 3, true));
        assert_eq!(program(&["--", "--"]), ("--".into(), 1, false));
        assert_eq!(program(&["sh", "--", "x"]), ("sh -- x".into(), 1, false));
        assert_eq!(program(&["--cpu-min", "2", "-"]), ("-".into(), 1, false));
        assert_eq!(program(&["", "x"]), (" x".into(), 1, false));
    }

    #[test]
    fn tinis_options_and_variables_are_known() {
        let tini = options(&["-swge", "3", "-e143", "-p", "SIGTERM", "x"], &[]);
        assert!(tini.subreaper && tini.warn_on_reap && tini.group);
        assert_eq!(tini.parent_death, Some(15));
        let mut remap = Remap::default();
        remap.insert(3);
        remap.insert(143);
        assert_eq!(tini.remap, remap);
        let tini = options(&["x"], &["TINI_SUBREAPER=", "TINI_KILL_PROCESS_GROUP=0"]);
        assert!(tini.subreaper && tini.group);
        assert_eq!(options(&["x"], &["TINI_VERBOSITY=3"]).verbosity, 3);
        assert_eq!(options(&["-v", "x"], &["TINI_VERBOSITY=3"]).verbosity, 2);
        assert_eq!(options(&["x"], &["TINI_VERBOSITY="]).verbosity, 1);
    }

    #[test]
    fn the_28_signals_of_tini_have_names() {
        let names = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM CHLD \
                     CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH SYS";
        for name in names.split_whitespace() {
            let signal = signal_by_name(name.as_bytes());
            assert!(signal.is_some(), "{name}");
            assert_eq!(signal_by_name(format!("SIG{name}").as_bytes()), signal);
        }
        for text in ["", "SIG", "sigterm", "SIGNONE", "15"] {
            assert_eq!(signal_by_name(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn each_tunable_is_an_option_and_a_variable_and_the_command_line_wins() {
        let names = SETTINGS.iter().map(|setting| setting.name);
        let switches = ["--exec", "--memory-warn"];
        let tunables = names.filter(|name| name.starts_with("--") && !switches.contains(name));
        for option in tunables {
            let value = match option {
                "--rewrite" => "TERM:QUIT",
                "--memory" | "--cpu" => "off",
                "--cpu-rounding" => "down",
                "--memory-ratio" => "0.5",
                "--report" => "json",
                "--termination-log" => "/log",
                "--on-resize" => "signal:HUP",
                _ => "5",
            };
            let shown = |arguments: &[&str], environment: &[&str]| {
                let Options { tuning, rewrites, kill_after, drain, .. } =
                    options(arguments, environment);
                let Options { report, termination_log, on_resize, .. } =
                    options(arguments, environment);
                format!(
                    "{tuning:?} {rewrites:?} {kill_after:?} {drain:?} {report:?} \
                     {termination_log:?} {on_resize:?}"
                )
            };
            let default = shown(&["x"], &[]);
            let name = option.trim_start_matches('-').replace('-', "_").to_uppercase();
            let variable = format!("LOADLINE_{name}={value}");
            let joined = format!("{option}={value}");
            let by_variable = shown(&["x"], &[&variable]);
            let by_option = shown(&[&joined, "x"], &[]);
            assert_ne!(by_option, default, "{name}");
            assert_eq!(by_option, by_variable, "{name}");
            // Of this one the value may be left out, so it has to be in the same argument.
            if option != "--report" {
                assert_eq!(by_option, shown(&[option, value, "x"], &[]), "{name}");
            }
            assert!(HELP.contains(option), "{name}");
        }
        let both = options(&["--cpu-limit=2", "x"], &["LOADLINE_CPU_LIMIT=500m"]);
        assert_eq!(both.tuning.cpu_limit, Quota::new(2_000_000, 1_000_000));
        let twice = options(&["x"], &["LOADLINE_CPU_MIN=3", "LOADLINE_CPU_MIN=4"]);
        assert_eq!(twice.tuning.cpu_min, 3, "the first of a name counts");
        let both = options(&["--report", "x"], &["LOADLINE_REPORT=json"]);
        assert_eq!(both.report, Some(Format::Text));
    }

    #[test]
    fn rewrites_are_pairs_of_names_or_numbers() {
        let rewritten = |arguments: &[&str], variables: &[&str]| {
            let rewrites = options(arguments, variables).rewrites;
            let as_what = |signal| (signal, rewrites.of(signal, None, 1).unwrap_or(0));
            let all = (1..=64).map(as_what).filter(|(from, to)| from != to);
            all.filter(|pair| ![(21, 0), (22, 0)].contains(pair)).collect::<Vec<_>>()
        };
        for (value, pairs) in [
            ("TERM:QUIT", &[(15, 3)][..]),
            ("SIGTERM:3", &[(15, 3)]),
            ("15:SIGQUIT,HUP:0", &[(1, 0), (15, 3)]),
            ("TERM:QUIT,TERM:INT", &[(15, 2)]),
            ("TTIN:TSTP,64:34,USR1:KILL", &[(10, 9), (21, 20), (64, 34)]),
        ] {
            assert_eq!(rewritten(&["--rewrite", value, "x"], &[]), pairs, "{value}");
            let variable = format!("LOADLINE_REWRITE={value}");
            assert_eq!(rewritten(&["x"], &[&variable]), pairs, "{value}");
        }
        let both = ["--rewrite=TERM:INT", "--rewrite", "HUP:0", "x"];
        let variable = ["LOADLINE_REWRITE=TERM:QUIT,USR1:USR2"];
        assert_eq!(rewritten(&both, &variable), [(1, 0), (10, 12), (15, 2)]);
        for bad in [
            "TERM",
            "TERM:",
            ":TERM",
            ":",
            ",",
            "TERM:QUIT,",
            "TERM:QUIT,NOPE:1",
            "term:QUIT",
            "0:TERM",
            "65:TERM",
            "TERM:65",
            "TERM:256",
            "TERM:-1",
            "CHLD:TERM",
            "KILL:TERM",
            "SIGSTOP:TERM",
            "TERM:QUIT:INT",
            "TERM=QUIT",
        ] {
            assert!(error(&["--rewrite", bad, "x"]).starts_with("--rewrite takes "), "{bad}");
            let variable = format!("LOADLINE_REWRITE={bad}");
            let request = parsed(&["x"], &[&variable]);
            assert_eq!((request.warnings.len(), request.options.rewrites), (1, Rewrites::DEFAULT));
        }
    }

    #[test]
    fn a_bad_variable_is_a_warning_and_the_default_an_empty_or_unknown_one_is_nothing() {
        for (variable, message) in [
            (
                "LOADLINE_MEMORY_RATIO=2",
                "LOADLINE_MEMORY_RATIO is ignored: it takes a number above 0 and at most 1 such \
                 as 0.8, not \"2\"",
            ),
            (
                "LOADLINE_EXEC=maybe",
                "LOADLINE_EXEC is ignored: it takes 1, true, 0 or false, not \"maybe\"",
            ),
            ("TINI_VERBOSITY=x", "TINI_VERBOSITY is ignored: it takes a whole number, not \"x\""),
        ] {
            let request = parsed(&["x"], &[variable]);
            assert!(matches!(request.command, Ok(Command::Supervise)), "{variable}");
            let warnings: Vec<_> = request.warnings.iter().map(Put::text).collect();
            assert_eq!(warnings, [message]);
        }
        for variable in [
            "LOADLINE_PORT=tcp://10.0.0.1:80",
            "LOADLINE_CPU=",
            "LOADLINE_=x",
            "LOADLINE_ROOT=x",
            "LOADLINE_E=x",
            "LOADLINE=x",
            "LOADLINEe=x",
            "TINI_SUBREAPERS=x",
        ] {
            options(&["x"], &[variable]);
        }
        assert!(matches!(parsed(&["x"], &["LOADLINE_EXEC=1"]).command, Ok(Command::Exec)));
        assert!(matches!(parsed(&["x"], &["LOADLINE_EXEC=0"]).command, Ok(Command::Supervise)));
    }

    #[test]
    fn a_bad_option_says_what_it_takes() {
        let no_program = format!("no program to run is given\n\n{HELP}");
        assert_eq!(error(&[]), no_program);
        assert_eq!(error(&["-v"]), no_program);
        assert_eq!(error(&["--nope", "x"]), "there is no option --nope; see loadline --help");
        assert_eq!(error(&["-X", "x"]), "there is no option -X; see loadline --help");
        assert_eq!(error(&["-e", "256", "x"]), "-e takes an exit code from 0 to 255, not \"256\"");
        assert_eq!(
            error(&["--memory-limit", "0", "x"]),
            "--memory-limit takes a size such as 400MiB, 400Mi (1024s), 400MB, 400M (1000s) or \
             bytes, not \"0\""
        );
        assert_eq!(error(&["--explain=xml"]), "--explain takes text or json, not \"xml\"");
        assert!(error(&["-p", "NOPE", "x"]).starts_with("-p takes the name of a signal"));
        assert_eq!(error(&["--exec=1", "x"]), "--exec takes no value such as \"1\"");
        assert_eq!(error(&["--help=1"]), "--help takes no value such as \"1\"");
        assert_eq!(error(&["-p"]), "-p takes a value; see loadline --help");
        assert_eq!(error(&["--root"]), "--root takes a value; see loadline --help");
    }

    #[test]
    fn explaining_needs_no_program() {
        let text = parsed(&["--explain"], &[]);
        assert!(matches!(text.command, Ok(Command::Explain(Format::Text))));
        let json = parsed(&["--explain=json", "--root", "/x", "y"], &[]);
        assert!(matches!(json.command, Ok(Command::Explain(Format::Json))));
        assert_eq!(json.options.root, Some(&b"/x"[..]));
        assert_eq!(json.program, [c"y"]);
    }
}
