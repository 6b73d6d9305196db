//! The configuration of a container, `config.json` of an OCI bundle, as text in which some places are
//! replaced. All the rest stays byte for byte: numbers of any size, the order of keys, what nobody knows
//! yet.
//!
//! <https://github.com/opencontainers/runtime-spec/blob/main/config.md>

use crate::replace::{Durability, replace};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// The name of the file.
pub const CONFIG: &str = "config.json";
/// Configurations have some ten kilobytes. A larger file than this takes too long.
const MAX_CONFIG: u64 = 4 << 20;

/// What matters of a configuration.
#[derive(Debug, Deserialize)]
pub struct Config<'a> {
    /// The process.
    #[serde(borrow)]
    process: Option<&'a RawValue>,
    /// Where the root filesystem is.
    pub root: Option<Root<'a>>,
    #[serde(borrow)]
    mounts: Option<&'a RawValue>,
    /// What is special to Linux.
    #[serde(borrow)]
    pub linux: Option<Linux<'a>>,
    /// What others say about the container.
    #[serde(default)]
    pub annotations: Option<HashMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct Process<'a> {
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    /// If it is `null`, that is its text.
    #[serde(borrow, default, deserialize_with = "present")]
    env: Option<&'a RawValue>,
    #[serde(borrow)]
    cwd: Option<Cow<'a, str>>,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// The root filesystem.
#[derive(Debug, Deserialize)]
pub struct Root<'a> {
    /// Its directory, relative to that of the bundle.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
}

/// A mount.
#[derive(Debug, Deserialize)]
pub struct Mount {
    /// Where it is in the container.
    pub destination: String,
    /// The type of the file system.
    #[serde(rename = "type")]
    pub file_system: Option<String>,
}

/// What is special to Linux.
#[derive(Debug, Deserialize)]
pub struct Linux<'a> {
    /// The cgroup: a path, or `slice:prefix:name` if systemd makes it.
    #[serde(rename = "cgroupsPath", borrow)]
    pub cgroups_path: Option<Cow<'a, str>>,
    /// The limits.
    pub resources: Option<Resources>,
    /// The namespaces that the container gets or joins.
    #[serde(default)]
    pub namespaces: Option<Vec<Namespace>>,
}

/// A namespace.
#[derive(Debug, Deserialize)]
pub struct Namespace {
    /// `pid`, `cgroup` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// The namespace to join; without it, the container gets a new one.
    pub path: Option<String>,
}

/// The limits of a container.
#[derive(Debug, Deserialize)]
pub struct Resources {
    /// Those of memory.
    pub memory: Option<Memory>,
    /// Those of CPU time.
    pub cpu: Option<Cpu>,
    /// Files of cgroup v2 and their content. They win over the others.
    #[serde(default)]
    pub unified: Option<HashMap<String, String>>,
}

/// The limits of memory.
#[derive(Debug, Deserialize)]
pub struct Memory {
    /// In bytes; -1 for none.
    pub limit: Option<i64>,
}

/// The limits of CPU time.
#[derive(Debug, Deserialize)]
pub struct Cpu {
    /// In microseconds in each period; none if it is not positive.
    pub quota: Option<i64>,
    /// In microseconds.
    pub period: Option<u64>,
    /// The CPUs that may be used, such as `0-3,8`.
    pub cpus: Option<String>,
}

/// The process of a container.
#[derive(Debug)]
pub struct Command<'a> {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// The environment, each entry with its text in the configuration.
    pub env: Vec<(String, &'a str)>,
    /// The working directory.
    pub cwd: String,
}

/// Reads a configuration.
///
/// # Errors
/// If the file cannot be read, or is not of the size that configurations have.
pub fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("cannot read {}: {error}", path.display());
    let mut text = String::new();
    // The runtime opens it as well, so it may be anything that this can read.
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_CONFIG + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_CONFIG {
        return Err(format!("{} has more than {MAX_CONFIG} bytes", path.display()));
    }
    Ok(text)
}

/// Replaces a configuration. Its mode and its owner stay.
///
/// # Errors
/// If the file cannot be written. Then it is as it was.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    // Engines write it anew for each container.
    replace(path, text.as_bytes(), 0o600, Durability::Temporary)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

impl<'a> Config<'a> {
    /// Parses a configuration.
    ///
    /// # Errors
    /// If it is not JSON, has a key twice, or a value of another type than the specification says.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("cannot parse {CONFIG}: {error}"))
    }

    /// The process, if there is one with a program.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn command(&self) -> Result<Option<Command<'a>>, String> {
        let invalid = |error| format!("cannot parse the process in {CONFIG}: {error}");
        let process = self.process().map_err(invalid)?;
        let Some(Process { args: Some(args), env, cwd }) = process else { return Ok(None) };
        let args: Vec<String> = serde_json::from_str(args.get()).map_err(invalid)?;
        let env: Option<Vec<&RawValue>> = match env {
            Some(env) => serde_json::from_str(env.get()).map_err(invalid)?,
            None => None,
        };
        let mut entries = Vec::new();
        for entry in env.unwrap_or_default() {
            entries.push((serde_json::from_str(entry.get()).map_err(invalid)?, entry.get()));
        }
        let cwd = cwd.map_or_else(|| "/".to_owned(), Cow::into_owned);
        Ok((!args.is_empty()).then_some(Command { args, env: entries, cwd }))
    }

    fn process(&self) -> serde_json::Result<Option<Process<'a>>> {
        self.process.map(|process| serde_json::from_str(process.get())).transpose()
    }

    /// The mounts.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn mounts(&self) -> Result<Vec<Mount>, String> {
        let Some(mounts) = self.mounts else { return Ok(Vec::new()) };
        serde_json::from_str(mounts.get())
            .map_err(|error| format!("cannot parse the mounts in {CONFIG}: {error}"))
    }

    /// The value of an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// The text with this environment, and with this init.
    #[must_use]
    pub fn edited(&self, text: &str, env: &[String], init: Option<&Init>) -> Option<String> {
        let process = self.process?;
        let Process { args, env: old_env, .. } = self.process().ok()??;
        let mut edits = Vec::new();
        let env = array(env);
        match old_env {
            Some(old) => edits.push((range(text, old.get())?, env)),
            // At the beginning of the object, which has more members: at least the arguments.
            None => {
                let start = range(text, process.get())?.start + 1;
                edits.push((start..start, format!("\"env\":{env},")));
            }
        }
        if let Some(init) = init {
            edits.push((range(text, args?.get())?, array(&init.args)));
            // Before the bracket that ends the array, which has an element: the mount of /dev.
            let end = range(text, self.mounts?.get())?.end - 1;
            edits.push((end..end, format!(",{}", init.mount)));
        }
        edits.sort_by_key(|(range, _)| range.start);
        let mut edited = String::with_capacity(text.len() + 1024);
        let mut copied = 0;
        for (range, new) in edits {
            edited.push_str(text.get(copied..range.start)?);
            edited.push_str(&new);
            copied = range.end;
        }
        edited.push_str(text.get(copied..)?);
        Some(edited)
    }
}

/// What an init changes.
#[derive(Debug)]
pub struct Init {
    /// All arguments, each as JSON.
    pub args: Vec<String>,
    /// The mount of its file, as JSON.
    pub mount: String,
}

/// A JSON array of these values.
fn array(values: &[String]) -> String {
    format!("[{}]", values.join(","))
}

/// Where a part of a text is in it.
fn range(text: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= text.len()).then_some(start..end)
}

#[cfg(test)]
mod tests;
