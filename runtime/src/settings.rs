//! What the host's administrator sets for all containers (`/etc/loadline/runtime.toml`), and what
//! annotations set for one.
//!
//! Whatever tunes loadline has the same name in all places: `memory-ratio` in the file,
//! `loadline.memory-ratio` among the annotations, and `LOADLINE_MEMORY_RATIO` in the environment. So file
//! and annotations become variables, and loadline parses them.

use loadline::cli;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, Value};

/// Where the settings are.
pub const FILE: &str = "/etc/loadline/runtime.toml";
/// More than anybody writes there.
const MAX_FILE: u64 = 64 << 10;

/// The settings of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The runtime, if it is not the one that our own name stands for.
    pub runtime: Option<OsString>,
    /// Whether containers get loadline as their init.
    pub init: bool,
    /// The file of loadline.
    pub init_path: PathBuf,
    /// What the names of annotations begin with.
    pub annotation_prefix: String,
    /// Variables for loadline's options, each as `name=value`.
    pub variables: Vec<CString>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runtime: None,
            init: false,
            init_path: "/usr/local/bin/loadline".into(),
            annotation_prefix: "loadline.".to_owned(),
            variables: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads the settings, and tells what is wrong with them. Without a file, all are the default.
    pub fn read(file: &Path) -> (Self, Vec<String>) {
        let mut text = String::new();
        let read = File::open(file).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
        match read {
            Ok(_) => Self::parse(&text, file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                (Self::default(), Vec::new())
            }
            Err(error) => {
                (Self::default(), vec![format!("cannot read {}: {error}", file.display())])
            }
        }
    }

    fn parse(text: &str, file: &Path) -> (Self, Vec<String>) {
        let mut settings = Self::default();
        let document = match text.parse::<DocumentMut>() {
            Ok(document) => document,
            Err(error) => {
                let error = error.message().lines().next().unwrap_or_default().to_owned();
                return (settings, vec![format!("ignoring {}: {error}", file.display())]);
            }
        };
        let mut problems = Vec::new();
        for (key, item) in document.iter() {
            if let Err(expected) = settings.set(key, item) {
                problems.push(format!("{}: ignoring {key}: {expected}", file.display()));
            }
        }
        (settings, problems)
    }

    fn set(&mut self, key: &str, item: &Item) -> Result<(), String> {
        let text = || match item.as_value() {
            Some(Value::String(text)) => Ok(text.value().clone()),
            // Not as it is written there, which may have a comment behind it.
            Some(Value::Integer(number)) => Ok(number.value().to_string()),
            Some(Value::Float(number)) => Ok(number.value().to_string()),
            _ => Err("expected a string or a number".to_owned()),
        };
        match key {
            "runtime" => self.runtime = Some(text()?.into()),
            "init" => self.init = item.as_bool().ok_or("expected true or false")?,
            "init-path" => self.init_path = text()?.into(),
            "annotation-prefix" => self.annotation_prefix = text()?,
            _ => self.variables.push(variable(key, &text()?)?),
        }
        Ok(())
    }
}

/// The variable for an option of loadline, as `name=value`.
///
/// # Errors
/// If there is no such option, or if the value is not one of an environment.
pub fn variable(option: &str, value: &str) -> Result<CString, String> {
    let name = format!("LOADLINE_{}", option.replace('-', "_").to_uppercase());
    let entry = format!("{name}={value}");
    if option.contains(|char: char| char == '_' || char.is_ascii_uppercase())
        || !cli::is_setting(entry.as_bytes())
    {
        return Err("there is no such setting".to_owned());
    }
    if !is_decided_here(option) {
        return Err(format!("an init reads it from the container's environment, as {name}"));
    }
    CString::new(entry).map_err(|_| "the value contains a NUL".to_owned())
}

/// Whether an option is about the variables that the container gets. The others are those of an init.
fn is_decided_here(option: &str) -> bool {
    let (controller, _) = option.split_once('-').unwrap_or((option, ""));
    matches!(controller, "memory" | "cpu") && option != "memory-warn"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Settings, Vec<String>) {
        Settings::parse(text, Path::new("x.toml"))
    }

    #[test]
    fn every_setting_is_read() {
        let (settings, problems) = parsed(
            "runtime = \"/usr/bin/crun\"\ninit = true\ninit-path = \"/opt/loadline\"\n\
             annotation-prefix = \"example.com/\"\nmemory-ratio = 0.7 # for bursts\nmemory-min = \"32Mi\"\ncpu-min = 0x2\n",
        );
        assert_eq!(problems, [""; 0]);
        let variables =
            [c"LOADLINE_MEMORY_RATIO=0.7", c"LOADLINE_MEMORY_MIN=32Mi", c"LOADLINE_CPU_MIN=2"];
        let expected = Settings {
            runtime: Some("/usr/bin/crun".into()),
            init: true,
            init_path: "/opt/loadline".into(),
            annotation_prefix: "example.com/".to_owned(),
            variables: variables.map(ToOwned::to_owned).into(),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn what_is_wrong_is_one_line_each_and_the_rest_counts() {
        let (settings, problems) = parsed(
            "nope = 1\ninit = \"yes\"\nmemory-ratio = [1]\nmemory_min = 1\nCPU = 1\nmemory-warn = 1\ncpu-min = 3\n",
        );
        assert_eq!(
            problems,
            [
                "x.toml: ignoring nope: there is no such setting",
                "x.toml: ignoring init: expected true or false",
                "x.toml: ignoring memory-ratio: expected a string or a number",
                "x.toml: ignoring memory_min: there is no such setting",
                "x.toml: ignoring CPU: there is no such setting",
                "x.toml: ignoring memory-warn: an init reads it from the container's environment, as LOADLINE_MEMORY_WARN",
            ]
        );
        assert_eq!(settings.variables, [c"LOADLINE_CPU_MIN=3".to_owned()]);
        let (settings, problems) = parsed("a = \n");
        assert_eq!(settings, Settings::default());
        assert!(problems[0].starts_with("ignoring x.toml: "), "{problems:?}");
        assert_eq!(problems[0].lines().count(), 1);
    }

    #[test]
    fn no_file_is_the_default_and_an_unreadable_one_is_a_line() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            Settings::read(&directory.path().join("none")),
            (Settings::default(), Vec::new())
        );
        let (settings, problems) = Settings::read(directory.path());
        assert_eq!((settings, problems.len()), (Settings::default(), 1));
    }
}
