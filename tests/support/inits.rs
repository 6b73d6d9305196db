//! Which init is tested, and how it spells what it is asked to do.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// What a test asks of an init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    /// Adopt orphans where it is not PID 1.
    Subreaper,
    /// Signal the whole process group of the program.
    Group,
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
}

/// The families of inits by their command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Loadline,
    Tini,
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
        env::var_os("LOADLINE_ARTIFACT_FORK").map(|path| Self::new(path.into()))
    }

    /// The same at another path, for a file system of its own.
    pub fn at(&self, path: &str) -> Self {
        Self { path: path.into(), ..self.clone() }
    }

    fn new(path: PathBuf) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let family = if name.starts_with("tini") { Family::Tini } else { Family::Loadline };
        Self { path, family }
    }

    /// Whether to become the program: without, and with where it can.
    pub fn exec_or_not() -> &'static [bool] {
        match Self::under_test().family {
            Family::Loadline => &[false, true],
            Family::Tini => &[false],
        }
    }

    /// The arguments that ask for it.
    pub fn spell(&self, option: Opt) -> Vec<OsString> {
        let words: &[&str] = match option {
            Opt::Subreaper => &["-s"],
            Opt::Group => &["-g"],
            Opt::Warn => &["-w"],
            Opt::Verbose => &["-v"],
            Opt::ParentDeath(signal) => &["-p", signal],
            Opt::Remap(code) => &["-e", code],
            Opt::Help => &["-h"],
            Opt::Licence => &["-l"],
            Opt::Version => &["--version"],
            Opt::Exec if self.family == Family::Loadline => &["--exec"],
            Opt::Exec => panic!("{} has no option for {option:?}", self.path.display()),
        };
        words.iter().map(OsString::from).collect()
    }
}
