use super::spec::OPTIONS;
use super::*;
use crate::exit::ExpectedCodes;
use crate::options::{Format, OnResize};
use crate::signal::SignalRewrites;
use crate::units::CpuQuota;

fn parsed(arguments: &[&str], environment: &[&str]) -> Request<'static> {
    let strings = |texts: &[&str]| -> Vec<&'static CStr> {
        let owned = texts.iter().map(|text| std::ffi::CString::new(*text).unwrap());
        owned.map(|string| &*Box::leak(string.into_boxed_c_str())).collect()
    };
    parse(strings(arguments).leak(), &strings(environment))
}

fn options(arguments: &[&str], environment: &[&str]) -> Options {
    let request = parsed(arguments, environment);
    assert!(request.action.is_ok() && request.warnings.is_empty(), "{request:?}");
    request.options
}

fn error(arguments: &[&str]) -> String {
    parsed(arguments, &[]).action.unwrap_err().to_string()
}

#[test]
fn options_end_at_the_first_operand() {
    let program = |arguments: &[&str]| {
        let Request { options, program, .. } = parsed(arguments, &[]);
        let texts = program.iter().map(|text| text.to_str().unwrap());
        (texts.collect::<Vec<_>>().join(" "), options.verbosity, options.signal_group)
    };
    assert_eq!(program(&["-v", "sh", "-g"]), ("sh -g".into(), 2, false));
    assert_eq!(program(&["-vvg", "--", "-x", "-v"]), ("-x -v".into(), 3, true));
    assert_eq!(program(&["--", "--"]), ("--".into(), 1, false));
    assert_eq!(program(&["sh", "--", "x"]), ("sh -- x".into(), 1, false));
    assert_eq!(program(&["--cpu-min", "2", "-"]), ("-".into(), 1, false));
    assert_eq!(program(&["", "x"]), (" x".into(), 1, false));
}

#[test]
fn the_options_and_variables_of_tini_work() {
    let tini = options(&["-swge", "3", "-e143", "-p", "SIGTERM", "x"], &[]);
    assert!(tini.subreaper && tini.warn_on_reap && tini.signal_group);
    assert_eq!(tini.parent_death_signal, Some(15));
    let mut expected_codes = ExpectedCodes::NONE;
    expected_codes.insert(3);
    expected_codes.insert(143);
    assert_eq!(tini.expected_codes, expected_codes);
    let tini = options(&["x"], &["TINI_SUBREAPER=", "TINI_KILL_PROCESS_GROUP=0"]);
    assert!(tini.subreaper && tini.signal_group);
    assert_eq!(options(&["x"], &["TINI_VERBOSITY=3"]).verbosity, 3);
    assert_eq!(options(&["-v", "x"], &["TINI_VERBOSITY=3"]).verbosity, 2);
    assert_eq!(options(&["x"], &["TINI_VERBOSITY="]).verbosity, 1);
}

#[test]
fn each_tunable_is_an_option_and_a_variable_and_the_command_line_wins() {
    let takes_value =
        |spec: &&OptionSpec| matches!(spec.argument, Argument::Required | Argument::Optional);
    for spec in OPTIONS.iter().filter(takes_value) {
        let (Some(option), Some(variable)) = (spec.option, spec.variable) else {
            continue;
        };
        let value = match option {
            "--rewrite" => "TERM:QUIT",
            "--memory" | "--cpu" => "off",
            "--cpu-rounding" => "down",
            "--memory-ratio" => "0.5",
            "--report" => "json",
            "--termination-log" => "/log",
            "--on-resize" => "signal:HUP",
            "--exec" | "--memory-warn" | "--wait-all" => "true",
            _ => "5",
        };
        let shown = |arguments: &[&str], environment: &[&str]| {
            let Options { tuning, rewrites, stop_delay, kill_after, drain, exec, .. } =
                options(arguments, environment);
            let Options { report, termination_log, on_resize, memory_warn, wait_all, .. } =
                options(arguments, environment);
            format!(
                "{tuning:?} {rewrites:?} {stop_delay:?} {kill_after:?} {drain:?} {exec} {report:?} \
                 {termination_log:?} {on_resize:?} {memory_warn} {wait_all}"
            )
        };
        let default = shown(&["x"], &[]);
        let by_variable = shown(&["x"], &[&format!("{variable}={value}")]);
        let by_option = shown(&[&format!("{option}={value}"), "x"], &[]);
        assert_ne!(by_option, default, "{option}");
        assert_eq!(by_option, by_variable, "{option}");
        // An optional value has to be in the same argument.
        if matches!(spec.argument, Argument::Required) {
            assert_eq!(by_option, shown(&[option, value, "x"], &[]), "{option}");
        }
    }
    let both = options(&["--cpu-limit=2", "x"], &["LOADLINE_CPU_LIMIT=500m"]);
    assert_eq!(both.tuning.cpu_limit, CpuQuota::new(2_000_000, 1_000_000));
    let twice = options(&["x"], &["LOADLINE_CPU_MIN=3", "LOADLINE_CPU_MIN=4"]);
    assert_eq!(twice.tuning.cpu_min, 3, "the first of a name counts");
    let both = options(&["--report", "x"], &["LOADLINE_REPORT=json"]);
    assert_eq!(both.report, Some(Format::Text));
}

#[test]
fn the_variable_of_a_long_option_is_its_name() {
    let mut names = Vec::new();
    for spec in OPTIONS {
        if let Some(name) = spec.option.and_then(|option| option.strip_prefix("--")) {
            let expected = format!("LOADLINE_{}", name.replace('-', "_").to_uppercase());
            assert_eq!(spec.variable, Some(expected.as_str()));
            names.push(name);
        }
    }
    assert_eq!(names.len(), 19);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 19, "none is there twice");
}

#[test]
fn the_help_fits_a_screen_and_has_one_line_for_each_option() {
    assert!(HELP.lines().count() <= 44);
    assert!(HELP.lines().all(|line| line.len() <= 80 && line.is_ascii()));
    let named = OPTIONS.iter().filter_map(|spec| spec.option);
    let others =
        ["v", "l", "h", "--help", "--explain", "--inspect", "--install", "--root", "--version"];
    let options = named.chain(others).map(|name| OptionName(name.as_bytes()).to_string());
    let mut options: Vec<_> = options.collect();
    let lines = HELP.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    // The description is behind two spaces, and may be that of several options.
    let names = lines.flat_map(|line| line.split("  ").next().unwrap().split(", "));
    let mut in_help: Vec<_> = names.map(|name| name.split([' ', '[']).next().unwrap()).collect();
    in_help.sort_unstable();
    options.sort();
    assert_eq!(in_help, options, "each is there once");
    for spec in OPTIONS {
        if let Some(variable) = spec.variable
            && variable.starts_with("TINI_")
        {
            assert!(HELP.contains(variable), "{variable}");
        }
    }
}

#[test]
fn rewrites_are_pairs_of_names_or_numbers() {
    let rewritten = |arguments: &[&str], variables: &[&str]| {
        let rewrites = options(arguments, variables).rewrites;
        let pair = |signal| (signal, rewrites.apply(signal).unwrap_or(0));
        let all = (1..=64).map(pair).filter(|(from, to)| from != to);
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
        let message = error(&["--rewrite", bad, "x"]);
        let expected = format!("invalid value \"{bad}\" for --rewrite: expected signals ");
        assert!(message.starts_with(&expected), "{message}");
        let variable = format!("LOADLINE_REWRITE={bad}");
        let request = parsed(&["x"], &[&variable]);
        assert_eq!(
            (request.warnings.len(), request.options.rewrites),
            (1, SignalRewrites::DEFAULT)
        );
    }
}

#[test]
fn the_action_on_resize_is_a_word_or_a_signal() {
    for (value, expected) in [
        ("ignore", Some(OnResize::Ignore)),
        ("log", Some(OnResize::Log)),
        ("exit", Some(OnResize::Exit)),
        ("signal:USR1", Some(OnResize::Signal(10))),
        ("signal:SIGUSR1", Some(OnResize::Signal(10))),
        ("signal:64", Some(OnResize::Signal(64))),
        ("signal:0", None),
        ("signal:65", None),
        ("signal:", None),
        ("signal", None),
        ("USR1", None),
    ] {
        let request = parsed(&["x"], &[&format!("LOADLINE_ON_RESIZE={value}")]);
        assert_eq!(request.warnings.len(), usize::from(expected.is_none()), "{value}");
        assert_eq!(request.options.on_resize, expected.unwrap_or(OnResize::Ignore), "{value}");
    }
}

#[test]
fn options_that_only_an_init_can_honour_are_noticed() {
    for arguments in [
        &["-s"][..],
        &["-g"],
        &["-w"],
        &["-e3"],
        &["-pTERM"],
        &["--rewrite=TERM:INT"],
        &["--stop-delay=1s"],
        &["--kill-after=1s"],
        &["--wait-all"],
        &["--drain=1s"],
        &["--report"],
        &["--termination-log=/x"],
        &["--on-resize=log"],
        &["--memory-warn"],
    ] {
        assert!(options(&[arguments, &["x"]].concat(), &[]).uses_init_options, "{arguments:?}");
    }
    for variable in ["TINI_SUBREAPER=", "LOADLINE_DRAIN=1s", "LOADLINE_MEMORY_WARN=1"] {
        assert!(options(&["x"], &[variable]).uses_init_options, "{variable}");
    }
    let others = ["-vv", "--exec", "--memory=always", "--cpu-min=2", "--on-resize=ignore", "x"];
    let variables = [
        "LOADLINE_MEMORY_WARN=0",
        "LOADLINE_WAIT_ALL=0",
        "LOADLINE_REPORT=false",
        "TINI_VERBOSITY=3",
    ];
    assert!(!options(&others, &variables).uses_init_options);
    assert!(!parsed(&["x"], &["LOADLINE_DRAIN=soon"]).options.uses_init_options);
}

#[test]
fn a_bad_variable_is_one_warning_and_the_default_an_empty_or_unknown_one_is_ignored() {
    for (variable, message) in [
        (
            "LOADLINE_MEMORY_RATIO=2",
            "ignoring LOADLINE_MEMORY_RATIO=\"2\": expected a share above 0 and at most 1 such \
             as 0.8 or 80%",
        ),
        ("LOADLINE_EXEC=maybe", "ignoring LOADLINE_EXEC=\"maybe\": expected true or false"),
        (
            "TINI_VERBOSITY=true",
            "ignoring TINI_VERBOSITY=\"true\": expected a whole number such as 1 (the default), 2 \
             (-v) or 3 (-vv)",
        ),
    ] {
        let request = parsed(&["x"], &[variable]);
        assert!(matches!(request.action, Ok(Action::Supervise)), "{variable}");
        let warnings: Vec<_> = request.warnings.iter().map(ToString::to_string).collect();
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
}

#[test]
fn switches_take_the_boolean_words_of_systemd() {
    for (value, is_on) in [
        ("1", true),
        ("true", true),
        ("yes", true),
        ("on", true),
        ("0", false),
        ("false", false),
        ("no", false),
        ("off", false),
    ] {
        let [exec, memory_warn, report] =
            ["EXEC", "MEMORY_WARN", "REPORT"].map(|name| format!("LOADLINE_{name}={value}"));
        let by_variable = options(&["x"], &[&exec, &memory_warn, &report]);
        let [exec, memory_warn, report] =
            ["exec", "memory-warn", "report"].map(|name| format!("--{name}={value}"));
        let by_option = options(&[&exec, &memory_warn, &report, "x"], &[]);
        for options in [by_variable, by_option] {
            assert_eq!((options.exec, options.memory_warn), (is_on, is_on), "{value}");
            assert_eq!(options.report, is_on.then_some(Format::Text), "{value}");
        }
    }
    assert!(!options(&["--exec", "--exec=no", "x"], &["LOADLINE_EXEC=1"]).exec);
    let explain = parsed(&["--explain=yes"], &[]).action;
    assert!(matches!(explain, Ok(Action::Explain(ExplainFormat::Report(Format::Text)))));
    assert!(parsed(&["--explain=no"], &[]).action.is_err());
}

#[test]
fn the_share_of_memory_may_be_a_percentage() {
    let ratio = |value: &str| options(&["--memory-ratio", value, "x"], &[]).tuning.memory_ratio;
    assert_eq!(ratio("70%"), ratio("0.7"));
    assert_eq!(ratio("99.5%"), ratio(".995"));
    let by_variable = options(&["x"], &["LOADLINE_MEMORY_RATIO=70%"]);
    assert_eq!(by_variable.tuning.memory_ratio, ratio("0.7"));
}

#[test]
fn a_bad_option_says_what_is_expected() {
    let no_program = "no program given; usage: loadline [OPTIONS] [--] PROGRAM [ARGS...]; see \
                      loadline --help";
    assert_eq!(error(&[]), no_program);
    assert_eq!(error(&["-v"]), no_program);
    assert_eq!(error(&["--nope", "x"]), "unknown option --nope; see loadline --help");
    assert_eq!(error(&["--nope=1", "x"]), "unknown option --nope; see loadline --help");
    assert_eq!(error(&["-X", "x"]), "unknown option -X; see loadline --help");
    assert_eq!(
        error(&["-s=1", "x"]),
        "unknown option -=; long options begin with --; see loadline --help"
    );
    assert_eq!(
        error(&["-e", "256", "x"]),
        "invalid value \"256\" for -e: expected an exit code from 0 to 255; see loadline --help"
    );
    assert_eq!(
        error(&["--explain=xml"]),
        "invalid value \"xml\" for --explain: expected text, json or env; see loadline --help"
    );
    assert_eq!(
        error(&["-p", "NOPE", "x"]),
        "invalid value \"NOPE\" for -p: expected the name of a signal such as SIGTERM; see \
         loadline --help"
    );
    assert_eq!(
        error(&["--help=1"]),
        "--help takes no value, but was given \"1\"; see loadline --help"
    );
    assert_eq!(error(&["-p"]), "-p requires a value; see loadline --help");
    assert_eq!(error(&["--root"]), "--root requires a value; see loadline --help");
}

/// Each of these was typed by somebody.
#[test]
fn a_value_for_another_option_or_in_other_units_is_refused_with_what_is_meant() {
    for (option, value, meant) in [
        ("--memory", "80%", "a share for --memory-ratio"),
        ("--memory", "400Mi", "a size is for --memory-limit"),
        ("--memory-limit", "80%", "a percentage is for --memory-ratio"),
        ("--memory-limit", "400m", "400Mi (1024s), 400MB, 400M (1000s) or bytes; m is thousandths"),
        ("--memory-limit", "1gb", "such as 400MiB, 400Mi"),
        ("--memory-limit", "400 MiB", "such as 400MiB, 400Mi"),
        ("--memory-reserve", "10%", "a percentage is for --memory-ratio"),
        ("--memory-ratio", "80", "at most 1 such as 0.8 or 80%"),
        ("--cpu", "2", "a number is for --cpu-limit"),
        ("--cpu-limit", "50%", "such as 0.5, 2 or 500m"),
        ("--kill-after", "10sec", "such as 10s"),
        ("--rewrite", "TERM=QUIT", "such as TERM:QUIT"),
        ("--on-resize", "USR1", "such as signal:USR1"),
        ("--exec", "maybe", "true or false"),
    ] {
        let message = error(&[&format!("{option}={value}"), "x"]);
        let begin = format!("invalid value \"{value}\" for {option}: expected ");
        assert!(message.starts_with(&begin), "{message}");
        assert!(message.contains(meant), "{message}");
        assert!(message.ends_with("; see loadline --help"), "{message}");
        let variable = format!("LOADLINE_{}", option[2..].replace('-', "_").to_uppercase());
        let request = parsed(&["x"], &[&format!("{variable}={value}")]);
        let [warning] = &request.warnings[..] else { panic!("{request:?}") };
        let warning = warning.to_string();
        assert!(warning.starts_with(&format!("ignoring {variable}=\"{value}\": expected ")));
        assert!(warning.contains(meant) && !warning.contains('\n'), "{warning}");
    }
}

#[test]
fn a_long_option_with_one_dash_is_recognised() {
    let hint = "; long options begin with --; see loadline --help";
    for (option, begin) in [
        ("-memory=off", "unknown option -m"),
        ("-report", "unknown option -r"),
        ("-subreaper", "unknown option -u"),
        ("-exec", "invalid value \"xec\" for -e: "),
        ("-explain", "invalid value \"xplain\" for -e: "),
        ("-verbose", "invalid value \"rbose\" for -e: "),
    ] {
        let message = error(&[option, "x"]);
        assert!(message.starts_with(begin) && message.ends_with(hint), "{message}");
    }
    for option in ["-x", "--nope"] {
        assert!(!error(&[option, "x"]).contains("begin with"), "{option}");
    }
}

#[test]
fn what_is_no_program_is_recognised() {
    let entry_point = "; options for loadline go before the -- (see ENTRYPOINT), or into variables";
    let format = "; a format follows a =: --report=json, --explain=json";
    for (arguments, hint) in [
        (&["--", "-v", "/service"][..], entry_point),
        (&["-s", "--", "--report=json", "/service"], entry_point),
        (&["--report", "json", "/service"], format),
        (&["-v", "--report", "yes"], format),
        (&["--explain", "json"], format),
        (&["--inspect", "json"], format),
        (&["/service -port 80"], "; it contains a space"),
        (&["--", "/service -port 80"], "; it contains a space"),
        (&["--", "/service", "-v"], ""),
        (&["--report", "/service", "json"], ""),
        (&["--report=text", "json"], ""),
        (&["--report", "--", "json"], ""),
        (&["--report", "-v", "json"], ""),
        (&["-v", "json"], ""),
        (&["-"], ""),
        (&[], ""),
    ] {
        assert_eq!(parsed(arguments, &[]).program_hint, hint, "{arguments:?}");
    }
}

#[test]
fn explaining_needs_no_program() {
    let text = parsed(&["--explain"], &[]);
    assert!(matches!(text.action, Ok(Action::Explain(ExplainFormat::Report(Format::Text)))));
    let json = parsed(&["--explain=json", "--root", "/x", "y"], &[]);
    assert!(matches!(json.action, Ok(Action::Explain(ExplainFormat::Report(Format::Json)))));
    let variables = parsed(&["--explain=env"], &[]);
    assert_eq!(variables.action.unwrap(), Action::Explain(ExplainFormat::Environment));
    assert!(parsed(&["--report=env", "x"], &[]).action.is_err());
    assert_eq!(json.options.root, Some(&b"/x"[..]));
    assert_eq!(json.program, [c"y"]);
}

#[test]
fn a_running_program_is_named_by_its_process_id() {
    for (option, format) in [
        ("--inspect", Format::Text),
        ("--inspect=text", Format::Text),
        ("--inspect=json", Format::Json),
    ] {
        let request = parsed(&[option, "7"], &[]);
        assert_eq!(request.action.unwrap(), Action::Inspect(format));
        assert_eq!(request.program, [c"7"]);
    }
    assert_eq!(
        error(&["--inspect=env"]),
        "invalid value \"env\" for --inspect: expected text or json; see loadline --help"
    );
}

#[test]
fn a_setting_is_an_entry_for_an_option() {
    for entry in ["LOADLINE_MEMORY=off", "LOADLINE_CPU=", "TINI_SUBREAPER=", "TINI_VERBOSITY=3"] {
        assert!(is_setting(entry.as_bytes()), "{entry}");
    }
    for entry in ["LOADLINE_MEMORY", "LOADLINE_PORT=tcp://10.0.0.1:80", "GOMEMLIMIT=1", ""] {
        assert!(!is_setting(entry.as_bytes()), "{entry}");
    }
}

#[test]
fn the_version_names_the_commit() {
    let commit =
        VERSION.strip_prefix("loadline version ").and_then(|rest| rest.split_once(" - git."));
    let (version, commit) = commit.unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert!(commit.len() > 1 && commit.ends_with('\n') && !commit.contains(' '), "{commit}");
}
