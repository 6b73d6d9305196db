//! The init under test, and the options that it has.

use super::machine::not_applicable;
use std::env;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

/// What a test asks of an init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    /// Adopt orphans if it is not PID 1.
    Subreaper,
    /// Signal the whole process group of the program.
    Group,
    /// Signal only the program.
    Alone,
    /// Log each orphan that was reaped.
    Warn,
    /// Log more. May be given several times.
    Verbose,
    /// Get this signal when the parent dies.
    ParentDeath(&'static str),
    /// Exit with 0 if the program exits with this code.
    ExpectedCode(&'static str),
    /// Execute the program in place of the init.
    Exec,
    /// Print the usage.
    Help,
    Licence,
    Version,
    /// A variable of tini, `NAME=VALUE`.
    Variable(&'static str),
}

impl Opt {
    /// The arguments of tini, or of loadline if tini has no such option.
    fn words(self) -> Vec<&'static str> {
        match self {
            Self::Subreaper => vec!["-s"],
            Self::Group => vec!["-g"],
            Self::Warn => vec!["-w"],
            Self::Verbose => vec!["-v"],
            Self::ParentDeath(signal) => vec!["-p", signal],
            Self::ExpectedCode(code) => vec!["-e", code],
            Self::Exec => vec!["--exec"],
            Self::Help => vec!["-h"],
            Self::Licence => vec!["-l"],
            Self::Version => vec!["--version"],
            // The default, and a variable, have no argument.
            Self::Alone | Self::Variable(_) => vec![],
        }
    }

    /// The name of the option, for an init that does not have it.
    fn name(self) -> &'static str {
        match self {
            Self::Variable(entry) => entry.split('=').next().unwrap(),
            _ => self.words()[0],
        }
    }
}

/// Inits that have the same command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Loadline,
    Tini,
    DumbInit,
    Catatonit,
}

/// An init under test.
#[derive(Clone, Debug)]
pub struct Init {
    pub path: PathBuf,
    family: Family,
}

impl Init {
    /// The init that this run tests.
    pub fn under_test() -> Self {
        let path = env::var_os("LOADLINE_ARTIFACT");
        Self::new(path.map_or_else(|| env!("CARGO_BIN_EXE_loadline").into(), PathBuf::from))
    }

    /// A build that starts programs with fork instead of vfork, as under an emulator.
    pub fn with_fork() -> Option<Self> {
        Self::must_be_loadline();
        env::var_os("LOADLINE_ARTIFACT_FORK").map(|path| Self::new(path.into()))
    }

    /// The same init at another path, inside another root directory.
    pub fn at(&self, path: &str) -> Self {
        Self { path: path.into(), ..self.clone() }
    }

    fn new(path: PathBuf) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let family = match &*name {
            "tini" | "tini-static" => Family::Tini,
            "dumb-init" => Family::DumbInit,
            "catatonit" => Family::Catatonit,
            _ => Family::Loadline,
        };
        Self { path, family }
    }

    pub fn is_loadline(&self) -> bool {
        self.family == Family::Loadline
    }

    /// Whether it is tini, which logs to stdout, except for warnings.
    pub fn is_tini(&self) -> bool {
        self.family == Family::Tini
    }

    /// Whether its file is for 386 (elf(5), `EM_386`), which the kernel of an amd64 machine runs too.
    pub fn is_for_386(&self) -> bool {
        const E_MACHINE: Range<usize> = 18..20;
        fs::read(&self.path).unwrap().get(E_MACHINE) == Some(&[3, 0])
    }

    /// Ends the test for other inits: it is about options or messages of loadline.
    pub fn must_be_loadline() {
        if !Self::under_test().is_loadline() {
            not_applicable("own interface");
        }
    }

    /// Without `--exec`, and with it if the init has it.
    pub fn exec_or_not() -> &'static [bool] {
        if Self::under_test().is_loadline() { &[false, true] } else { &[false] }
    }

    /// Whether it can adopt orphans if it is not PID 1.
    pub fn can_adopt(&self) -> bool {
        self.family != Family::DumbInit
    }

    /// Ends the test if the init does not have the option.
    pub fn must_have(&self, option: Opt) {
        if self.arguments(option).is_none() && self.variable(option).is_none() {
            not_applicable(option.name());
        }
    }

    /// The arguments for the option, if it has arguments.
    fn arguments(&self, option: Opt) -> Option<Vec<&'static str>> {
        match (self.family, option) {
            (_, Opt::Variable(_)) | (Family::Tini, Opt::Exec) => None,
            (Family::Loadline | Family::Tini, _) => Some(option.words()),
            // dumb-init does this by default, in a session of the program.
            (Family::DumbInit, Opt::Group) => Some(vec![]),
            (Family::DumbInit, Opt::Alone) => Some(vec!["--single-child"]),
            (Family::DumbInit, Opt::Verbose | Opt::Help | Opt::Version) => Some(option.words()),
            (Family::Catatonit, Opt::Licence) => Some(vec!["-L"]),
            (Family::Catatonit, Opt::Group | Opt::Alone | Opt::Help | Opt::Version) => {
                Some(option.words())
            }
            (Family::DumbInit | Family::Catatonit, _) => None,
        }
    }

    /// The environment variable for the option, if it has one.
    pub fn variable(&self, option: Opt) -> Option<&'static str> {
        match (self.family, option) {
            (Family::Loadline | Family::Tini, Opt::Variable(entry)) => Some(entry),
            (Family::Catatonit, Opt::Verbose) => Some("CATATONIT_DEBUG=1"),
            _ => None,
        }
    }

    /// The arguments for the option, or none if the init does not have it.
    pub fn arguments_for(&self, option: Opt) -> Vec<&'static str> {
        self.arguments(option).unwrap_or_default()
    }
}
