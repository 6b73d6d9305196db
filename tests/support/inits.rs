//! Which init is tested, and how it spells what it is asked to do.

use super::machine::not_applicable;
use std::env;
use std::path::PathBuf;

/// What a test asks of an init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    /// Adopt orphans where it is not PID 1, and only if asked to.
    Subreaper,
    /// Signal the whole process group of the program.
    Group,
    /// Signal the program alone.
    Alone,
    /// Say when an orphan was reaped.
    Warn,
    /// Say more; may be given several times.
    Verbose,
    /// Have this signal when the parent dies.
    ParentDeath(&'static str),
    /// Exit with 0 where the program exits with this.
    Remap(&'static str),
    /// Become the program.
    Exec,
    /// Neither options nor a program: print the usage.
    Help,
    Licence,
    Version,
    /// One of the variables of tini, `NAME=VALUE`.
    Variable(&'static str),
}

impl Opt {
    /// The arguments that ask tini for it, or would.
    fn words(self) -> Vec<&'static str> {
        match self {
            Self::Subreaper => vec!["-s"],
            Self::Group => vec!["-g"],
            Self::Warn => vec!["-w"],
            Self::Verbose => vec!["-v"],
            Self::ParentDeath(signal) => vec!["-p", signal],
            Self::Remap(code) => vec!["-e", code],
            Self::Exec => vec!["--exec"],
            Self::Help => vec!["-h"],
            Self::Licence => vec!["-l"],
            Self::Version => vec!["--version"],
            // What it does unless asked for the group, and what is no argument.
            Self::Alone | Self::Variable(_) => vec![],
        }
    }

    /// What an init is said to lack that has nothing of the kind.
    fn name(self) -> &'static str {
        match self {
            Self::Variable(entry) => entry.split('=').next().unwrap(),
            _ => self.words()[0],
        }
    }
}

/// The families of inits by their command lines.
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
    /// The one that this run of the suite is about.
    pub fn under_test() -> Self {
        let path = env::var_os("LOADLINE_ARTIFACT");
        Self::new(path.map_or_else(|| env!("CARGO_BIN_EXE_loadline").into(), PathBuf::from))
    }

    /// The one that spawns with fork in place of vfork, as an emulator makes it do.
    pub fn with_fork() -> Option<Self> {
        Self::must_be_loadline();
        env::var_os("LOADLINE_ARTIFACT_FORK").map(|path| Self::new(path.into()))
    }

    /// The same at another path, for a file system of its own.
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

    /// Whether what it says of itself goes to stdout, but for its warnings.
    pub fn is_tini(&self) -> bool {
        self.family == Family::Tini
    }

    /// Ends the case here for a peer: it tests what loadline alone says or has.
    pub fn must_be_loadline() {
        if !Self::under_test().is_loadline() {
            not_applicable("own interface");
        }
    }

    /// Whether to become the program: without, and with where it can.
    pub fn exec_or_not() -> &'static [bool] {
        if Self::under_test().is_loadline() { &[false, true] } else { &[false] }
    }

    /// Whether it adopts orphans where it is not PID 1, asked to or not.
    pub fn can_adopt(&self) -> bool {
        self.family != Family::DumbInit
    }

    /// Ends the case here if it is about an option that this init lacks.
    pub fn must_have(&self, option: Opt) {
        if self.arguments(option).is_none() && self.variable(option).is_none() {
            not_applicable(option.name());
        }
    }

    /// The arguments that ask for it, if it goes by arguments.
    fn arguments(&self, option: Opt) -> Option<Vec<&'static str>> {
        match (self.family, option) {
            (_, Opt::Variable(_)) | (Family::Tini, Opt::Exec) => None,
            (Family::Loadline | Family::Tini, _) => Some(option.words()),
            // It does that by itself, in a session that it makes for the program.
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

    /// The entry of the environment that asks for it, if it goes by the environment.
    pub fn variable(&self, option: Opt) -> Option<&'static str> {
        match (self.family, option) {
            (Family::Loadline | Family::Tini, Opt::Variable(entry)) => Some(entry),
            (Family::Catatonit, Opt::Verbose) => Some("CATATONIT_DEBUG=1"),
            _ => None,
        }
    }

    /// The arguments that ask for it, none where it has no such option.
    pub fn spell(&self, option: Opt) -> Vec<&'static str> {
        self.arguments(option).unwrap_or_default()
    }
}
