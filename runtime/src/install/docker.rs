//! Docker: `runtimes` and `default-runtime` in `/etc/docker/daemon.json`.
//!
//! The text is edited where it has to change, and nowhere else. So indentation, order and line breaks
//! stay as they are, and `uninstall` gives back the bytes that `install` found, unless there was an empty
//! object or another default runtime.

use super::files::{Files, error_in};
use super::{Command, Edit, NAME, Plan, Runtime, is_own_program, not_ours};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::path::Path;

const FILE: &str = "/etc/docker/daemon.json";
const RUNTIMES: &str = "runtimes";
const DEFAULT: &str = "default-runtime";
const PATH: &str = "path";
const EMPTY: &str = "{}";

pub fn plan(command: Command, files: &Files, runtime: &Runtime) -> Result<Plan, String> {
    let old = files.read(Path::new(FILE))?;
    let text = old.as_deref().unwrap_or_default();
    let in_file = |error: String| error_in(Path::new(FILE), &error);
    let new = match command {
        Command::Install => Some(install(text, runtime).map_err(in_file)?),
        Command::Uninstall if old.is_none() => None,
        Command::Uninstall => Some(uninstall(text).map_err(in_file)?),
    };
    let lines = install("", runtime)?;
    Ok(Plan { edits: vec![Edit { path: FILE.into(), old, new, lines }], notes: Vec::new() })
}

/// The text with the runtime added.
pub fn install(text: &str, runtime: &Runtime) -> Result<String, String> {
    edit(text, |root| {
        let path = serde_json::Value::from(&*runtime.path).to_string();
        let layout = root.layout();
        let runtimes = root.object(RUNTIMES)?.unwrap_or_default();
        let entry = match own_entry(&runtimes)? {
            Some(entry) => entry.with(PATH, &path, &layout),
            None => format!("{{ \"{PATH}\": {path} }}"),
        };
        let text = root.with(RUNTIMES, &runtimes.with(NAME, &entry, &layout.deeper()), &layout);
        if !runtime.make_default {
            return Ok(text);
        }
        Ok(Object::parse(&text)?.with(DEFAULT, &format!("\"{NAME}\""), &layout))
    })
}

/// The text without the runtime.
pub fn uninstall(text: &str) -> Result<String, String> {
    edit(text, |root| {
        let mut text = root.text.to_owned();
        let runtimes = root.object(RUNTIMES)?.unwrap_or_default();
        if own_entry(&runtimes)?.is_some() {
            text = match runtimes.without(NAME) {
                rest if rest == EMPTY => root.without(RUNTIMES),
                rest => root.with(RUNTIMES, &rest, &root.layout()),
            };
        }
        let root = Object::parse(&text)?;
        let is_default = root.string(DEFAULT).is_some_and(|name| name == NAME);
        Ok(if is_default { root.without(DEFAULT) } else { text })
    })
}

/// Edits the object that is the whole text. Docker takes an empty file for an empty object.
fn edit(
    text: &str,
    action: impl FnOnce(&Object<'_>) -> Result<String, String>,
) -> Result<String, String> {
    let object = text.trim_ascii();
    if object.is_empty() {
        let new = action(&Object::default())?;
        return Ok(if new == EMPTY { text.to_owned() } else { new + "\n" });
    }
    // Parsed as a whole first, for the number of the line in an error.
    Object::parse(text)?;
    let new = action(&Object::parse(object)?)?;
    let (before, after) = text.split_once(object).unwrap_or_default();
    Ok(format!("{before}{new}{after}"))
}

/// Our entry among the runtimes. It is an error if there is one that is not ours.
fn own_entry<'a>(runtimes: &Object<'a>) -> Result<Option<Object<'a>>, String> {
    let Some(entry) = runtimes.object(NAME)? else { return Ok(None) };
    match entry.string(PATH) {
        Some(path) if is_own_program(&path) => Ok(Some(entry)),
        path => Err(not_ours(path.as_deref())),
    }
}

/// A JSON object: its text, and its members, each with the part of the text that is its value.
struct Object<'a> {
    text: &'a str,
    members: Vec<(String, &'a str)>,
}

impl Default for Object<'_> {
    fn default() -> Self {
        Self { text: EMPTY, members: Vec::new() }
    }
}

impl<'a> Object<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let Members(members) = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let members = members.into_iter().map(|(key, value)| (key, value.get())).collect();
        Ok(Self { text, members })
    }

    /// The last one of that name, which is the one that counts for Docker.
    fn index(&self, key: &str) -> Option<usize> {
        self.members.iter().rposition(|(name, _)| name == key)
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.members.get(self.index(key)?).map(|(_, value)| *value)
    }

    fn string(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.get(key)?).ok()
    }

    fn object(&self, key: &str) -> Result<Option<Self>, String> {
        match self.get(key) {
            Some(value) if !value.starts_with('{') => Err(format!("{key} is not an object")),
            value => value.map(Self::parse).transpose(),
        }
    }

    /// The text before a value, and after it.
    fn around(&self, value: &str) -> (&'a str, &'a str) {
        // A value is a part of the text.
        let begin = value.as_ptr().addr() - self.text.as_ptr().addr();
        let before = self.text.get(..begin).unwrap_or_default();
        (before, self.text.get(begin + value.len()..).unwrap_or_default())
    }

    /// How the members of the whole file are laid out.
    fn layout(&self) -> Layout {
        let inner = self.text.strip_prefix('{').unwrap_or_default();
        match inner.split_once('"') {
            Some((space, _)) => {
                Layout { before_key: space.to_owned(), before_end: space.to_owned() }
            }
            // Two spaces, as in Docker's documentation.
            None => Layout { before_key: "\n  ".to_owned(), before_end: "\n".to_owned() },
        }
    }

    /// The text with a value replaced, or with a member added at the end.
    fn with(&self, key: &str, value: &str, layout_if_empty: &Layout) -> String {
        if let Some(old) = self.get(key) {
            let (before, after) = self.around(old);
            return format!("{before}{value}{after}");
        }
        let Some((_, last)) = self.members.last() else {
            let Layout { before_key, before_end } = layout_if_empty;
            return format!("{{{before_key}\"{key}\": {value}{before_end}}}");
        };
        let (before, after) = self.around(last);
        let Layout { before_key, .. } = self.layout();
        format!("{before}{last},{before_key}\"{key}\": {value}{after}")
    }

    /// The text without a member.
    fn without(&self, key: &str) -> String {
        let Some(index) = self.index(key) else { return self.text.to_owned() };
        let value = self.members.get(index).map_or("", |(_, value)| value);
        let (_, after) = self.around(value);
        match index.checked_sub(1).and_then(|previous| self.members.get(previous)) {
            Some((_, previous)) => format!("{}{previous}{after}", self.around(previous).0),
            // The first one: what follows it is a comma, or the end.
            None => match after.split_once(',') {
                Some((_, rest)) => format!("{{{rest}"),
                None => EMPTY.to_owned(),
            },
        }
    }
}

/// White space in an object.
struct Layout {
    before_key: String,
    before_end: String,
}

impl Layout {
    /// The layout of an object that is a member of one with this layout.
    fn deeper(&self) -> Self {
        let indentation = self.before_key.rsplit_once('\n').map_or("", |(_, it)| it);
        Self {
            before_key: format!("{}{indentation}", self.before_key),
            before_end: self.before_key.clone(),
        }
    }
}

/// The members of an object in their order, with their values unparsed.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
