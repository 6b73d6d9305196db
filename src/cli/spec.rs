//! The table of the options and variables that set something in [`Options`].

use crate::options::{CpuMode, Format, MemoryMode, OnResize, OptionName, Options, Rounding};
use crate::signal::signal_by_name;
use crate::text::split_once;
use crate::units::{
    EXPECTED_CPUS, EXPECTED_DURATION, EXPECTED_SIZE, Ratio, parse_cpus, parse_duration,
    parse_integer, parse_size,
};

/// An option, a variable, or both.
pub struct OptionSpec {
    /// The option on the command line, if there is one: `--cpu`, or the letter of a short option.
    pub option: Option<&'static str>,
    /// The variable in the environment, if there is one.
    pub variable: Option<&'static str>,
    /// Whether the option has a value.
    pub argument: Argument,
    /// What a value may be, for messages.
    pub expected: &'static str,
    /// Whether only an init can honour it, so that it has no effect with `--exec`.
    pub init_only: bool,
    /// Sets the option; `None` if the value is invalid.
    pub set: fn(&mut Options, &'static [u8]) -> Option<()>,
}

/// The value of an option. Its variable has a value in any case, and counts as unset if that is
/// empty, except for a flag.
pub enum Argument {
    /// `-s`: none. Its variable need only exist, whatever its value is, as in tini.
    Flag,
    /// `--report` or `--report=json`, `--exec` or `--exec=true`. Alone, it is set with the value [`ON`].
    Optional,
    /// `--cpu-min 2` or `--cpu-min=2`, `-e 3` or `-e3`.
    Required,
}

/// The value of an option that is given without its optional value.
pub const ON: &[u8] = b"1";

/// What [`parse_switch`] takes.
const EXPECTED_SWITCH: &str = "true or false";

/// What [`parse_format`] takes.
pub const EXPECTED_FORMAT: &str = "text or json";

impl OptionSpec {
    /// Finds an option of the command line.
    pub fn by_option(OptionName(name): OptionName<'_>) -> Option<&'static Self> {
        OPTIONS.iter().find(|spec| spec.option.is_some_and(|option| option.as_bytes() == name))
    }

    /// Finds a variable by its whole name.
    pub fn by_variable(name: &[u8]) -> Option<&'static Self> {
        OPTIONS
            .iter()
            .find(|spec| spec.variable.is_some_and(|variable| variable.as_bytes() == name))
    }
}

/// All options that set something, except `-v`, which counts, and `--root`, which is only for
/// looking into captured trees and has no variable.
pub static OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        option: Some("--memory"),
        variable: Some("LOADLINE_MEMORY"),
        argument: Argument::Required,
        expected: "auto, cap, always or off; a size is for --memory-limit, a share for --memory-ratio",
        init_only: false,
        set: |options, value| {
            options.tuning.memory = match value {
                b"auto" => MemoryMode::Auto,
                b"cap" => MemoryMode::Cap,
                b"always" => MemoryMode::Always,
                b"off" => MemoryMode::Off,
                _ => return None,
            };
            Some(())
        },
    },
    OptionSpec {
        option: Some("--memory-ratio"),
        variable: Some("LOADLINE_MEMORY_RATIO"),
        argument: Argument::Required,
        expected: "a share above 0 and at most 1 such as 0.8 or 80%",
        init_only: false,
        set: |options, value| {
            options.tuning.memory_ratio = Ratio::parse(value)?;
            Some(())
        },
    },
    OptionSpec {
        option: Some("--memory-reserve"),
        variable: Some("LOADLINE_MEMORY_RESERVE"),
        argument: Argument::Required,
        expected: EXPECTED_SIZE,
        init_only: false,
        set: |options, value| {
            options.tuning.memory_reserve = parse_size(value)?;
            Some(())
        },
    },
    OptionSpec {
        option: Some("--memory-min"),
        variable: Some("LOADLINE_MEMORY_MIN"),
        argument: Argument::Required,
        expected: EXPECTED_SIZE,
        init_only: false,
        set: |options, value| {
            options.tuning.memory_min = parse_size(value)?;
            Some(())
        },
    },
    OptionSpec {
        option: Some("--memory-limit"),
        variable: Some("LOADLINE_MEMORY_LIMIT"),
        argument: Argument::Required,
        expected: EXPECTED_SIZE,
        init_only: false,
        set: |options, value| {
            let limit = parse_size(value).filter(|limit| limit.0 > 0)?;
            options.tuning.memory_limit = Some(limit);
            Some(())
        },
    },
    OptionSpec {
        option: Some("--cpu"),
        variable: Some("LOADLINE_CPU"),
        argument: Argument::Required,
        expected: "auto, static, live or off; a number is for --cpu-limit",
        init_only: false,
        set: |options, value| {
            options.tuning.cpu = match value {
                b"auto" => CpuMode::Auto,
                b"static" => CpuMode::Static,
                b"live" => CpuMode::Live,
                b"off" => CpuMode::Off,
                _ => return None,
            };
            Some(())
        },
    },
    OptionSpec {
        option: Some("--cpu-limit"),
        variable: Some("LOADLINE_CPU_LIMIT"),
        argument: Argument::Required,
        expected: EXPECTED_CPUS,
        init_only: false,
        set: |options, value| {
            options.tuning.cpu_limit = Some(parse_cpus(value)?);
            Some(())
        },
    },
    OptionSpec {
        option: Some("--cpu-min"),
        variable: Some("LOADLINE_CPU_MIN"),
        argument: Argument::Required,
        expected: "a whole number from 1 to 65535",
        init_only: false,
        set: |options, value| {
            let minimum = parse_integer(value).filter(|minimum| (1..=65535).contains(minimum))?;
            options.tuning.cpu_min = minimum;
            Some(())
        },
    },
    OptionSpec {
        option: Some("--cpu-rounding"),
        variable: Some("LOADLINE_CPU_ROUNDING"),
        argument: Argument::Required,
        expected: "up or down",
        init_only: false,
        set: |options, value| {
            options.tuning.cpu_rounding = match value {
                b"up" => Rounding::Up,
                b"down" => Rounding::Down,
                _ => return None,
            };
            Some(())
        },
    },
    OptionSpec {
        option: Some("--exec"),
        variable: Some("LOADLINE_EXEC"),
        argument: Argument::Optional,
        expected: EXPECTED_SWITCH,
        init_only: false,
        set: |options, value| {
            options.exec = parse_switch(value)?;
            Some(())
        },
    },
    OptionSpec {
        option: Some("s"),
        variable: Some("TINI_SUBREAPER"),
        argument: Argument::Flag,
        expected: "",
        init_only: true,
        set: |options, _| {
            options.subreaper = true;
            Some(())
        },
    },
    OptionSpec {
        option: Some("g"),
        variable: Some("TINI_KILL_PROCESS_GROUP"),
        argument: Argument::Flag,
        expected: "",
        init_only: true,
        set: |options, _| {
            options.signal_group = true;
            Some(())
        },
    },
    OptionSpec {
        option: Some("p"),
        variable: None,
        argument: Argument::Required,
        expected: "the name of a signal such as SIGTERM",
        init_only: true,
        set: |options, value| {
            options.parent_death_signal = Some(signal_by_name(value)?);
            Some(())
        },
    },
    OptionSpec {
        option: Some("e"),
        variable: None,
        argument: Argument::Required,
        expected: "an exit code from 0 to 255",
        init_only: true,
        set: |options, value| {
            options.expected_codes.insert(parse_integer(value)?.try_into().ok()?);
            Some(())
        },
    },
    OptionSpec {
        option: Some("w"),
        variable: None,
        argument: Argument::Flag,
        expected: "",
        init_only: true,
        set: |options, _| {
            options.warn_on_reap = true;
            Some(())
        },
    },
    // Its option is `-v`, which counts.
    OptionSpec {
        option: None,
        variable: Some("TINI_VERBOSITY"),
        argument: Argument::Required,
        expected: "a whole number such as 1 (the default), 2 (-v) or 3 (-vv)",
        init_only: false,
        set: |options, value| {
            options.verbosity = parse_integer(value)?.try_into().ok()?;
            Some(())
        },
    },
    OptionSpec {
        option: Some("--rewrite"),
        variable: Some("LOADLINE_REWRITE"),
        argument: Argument::Required,
        expected: "signals such as TERM:QUIT, RTMIN+3:TERM or 15:3, or HUP:0 to drop one; CHLD, KILL \
                   and STOP cannot be rewritten",
        init_only: true,
        set: |options, value| {
            // A copy, so that a list with one invalid pair changes nothing.
            let mut rewrites = options.rewrites;
            for pair in value.split(|byte| *byte == b',') {
                let (from, to) = split_once(pair, b':')?;
                rewrites.set(parse_signal(from)?, parse_signal(to)?)?;
            }
            options.rewrites = rewrites;
            Some(())
        },
    },
    OptionSpec {
        option: Some("--stop-delay"),
        variable: Some("LOADLINE_STOP_DELAY"),
        argument: Argument::Required,
        expected: EXPECTED_DURATION,
        init_only: true,
        set: |options, value| {
            options.stop_delay = Some(parse_duration(value)?);
            Some(())
        },
    },
    OptionSpec {
        option: Some("--kill-after"),
        variable: Some("LOADLINE_KILL_AFTER"),
        argument: Argument::Required,
        expected: EXPECTED_DURATION,
        init_only: true,
        set: |options, value| {
            options.kill_after = Some(parse_duration(value)?);
            Some(())
        },
    },
    OptionSpec {
        option: Some("--wait-all"),
        variable: Some("LOADLINE_WAIT_ALL"),
        argument: Argument::Optional,
        expected: EXPECTED_SWITCH,
        // Switched off by its variable, it has no effect with an init either.
        init_only: false,
        set: |options, value| {
            options.wait_all = parse_switch(value)?;
            options.uses_init_options |= options.wait_all;
            Some(())
        },
    },
    OptionSpec {
        option: Some("--drain"),
        variable: Some("LOADLINE_DRAIN"),
        argument: Argument::Required,
        expected: EXPECTED_DURATION,
        init_only: true,
        set: |options, value| {
            options.drain = Some(parse_duration(value)?);
            Some(())
        },
    },
    OptionSpec {
        option: Some("--on-resize"),
        variable: Some("LOADLINE_ON_RESIZE"),
        argument: Argument::Required,
        expected: "ignore, log, signal:NAME such as signal:USR1, or exit",
        // `ignore` has no effect with an init either.
        init_only: false,
        set: |options, value| {
            options.on_resize = match value {
                b"ignore" => OnResize::Ignore,
                b"log" => OnResize::Log,
                b"exit" => OnResize::Exit,
                _ => {
                    let signal = parse_signal(value.strip_prefix(b"signal:")?)?;
                    if !(1..=64).contains(&signal) {
                        return None;
                    }
                    OnResize::Signal(signal)
                }
            };
            options.uses_init_options |= options.on_resize != OnResize::Ignore;
            Some(())
        },
    },
    OptionSpec {
        option: Some("--memory-warn"),
        variable: Some("LOADLINE_MEMORY_WARN"),
        argument: Argument::Optional,
        expected: EXPECTED_SWITCH,
        // Switched off by its variable, it has no effect with an init either.
        init_only: false,
        set: |options, value| {
            options.memory_warn = parse_switch(value)?;
            options.uses_init_options |= options.memory_warn;
            Some(())
        },
    },
    OptionSpec {
        option: Some("--report"),
        variable: Some("LOADLINE_REPORT"),
        argument: Argument::Optional,
        expected: EXPECTED_FORMAT,
        // Switched off by its variable, it has no effect with an init either.
        init_only: false,
        set: |options, value| {
            options.report = match parse_switch(value) {
                Some(false) => None,
                _ => Some(parse_format(value)?),
            };
            options.uses_init_options |= options.report.is_some();
            Some(())
        },
    },
    OptionSpec {
        option: Some("--termination-log"),
        variable: Some("LOADLINE_TERMINATION_LOG"),
        argument: Argument::Required,
        expected: "an absolute path",
        init_only: true,
        set: |options, value| {
            if !value.starts_with(b"/") {
                return None;
            }
            options.termination_log = Some(value);
            Some(())
        },
    },
];

/// Parses the boolean words of systemd.syntax(7).
fn parse_switch(value: &[u8]) -> Option<bool> {
    match value {
        b"1" | b"true" | b"yes" | b"on" => Some(true),
        b"0" | b"false" | b"no" | b"off" => Some(false),
        _ => None,
    }
}

/// Parses the format of `--explain` and `--report`. To switch either on is to ask for text.
pub fn parse_format(value: &[u8]) -> Option<Format> {
    match value {
        b"text" => Some(Format::Text),
        b"json" => Some(Format::Json),
        _ => parse_switch(value)?.then_some(Format::Text),
    }
}

/// A signal by its name or its number.
fn parse_signal(text: &[u8]) -> Option<u8> {
    let by_name = signal_by_name(text).and_then(|signal| signal.try_into().ok());
    by_name.or_else(|| parse_integer(text)?.try_into().ok())
}
