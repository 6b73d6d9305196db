//! What was found out about the limits: plain data, with the file that each number came from.
//!
//! Absent, unlimited and unreadable are three different things, so no number here is magic.

use crate::sys::Errno;
use crate::units::Quota;

/// What one limit file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// There is no such file: this cgroup cannot have the limit, its ancestors may.
    Absent,
    /// The file says that there is no limit.
    Unlimited,
    /// The limit.
    Limit(Quota),
    /// The file is there, but could not be read.
    Unreadable(Errno),
    /// The file holds something that is no limit; its first bytes.
    Garbage(Vec<u8>),
}

/// A limit file and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its path, as a process in that tree sees it.
    pub file: Vec<u8>,
    /// What it says.
    pub value: Value,
    /// Whether it is in an ancestor, not in the process's own cgroup.
    pub is_above: bool,
}

/// Which kernel interface a controller is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy of its own.
    V1,
    /// The unified hierarchy.
    V2,
}

/// The file of a limit above which processes are slowed down.
const HIGH: &[u8] = b"/memory.high";

/// One controller's files, from the process's own cgroup up to the mount root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readings {
    /// The interface, none where the process is in no cgroup of this controller.
    pub version: Option<Version>,
    /// Whether the process's own directory is not below any mount, so that the mount root was
    /// read in its place: right in a container, a guess elsewhere.
    pub guessed: bool,
    /// Whether the mount shows only a part of the hierarchy, as Docker's does.
    pub partial: bool,
    /// The files in the order in which the first wins a tie.
    pub files: Vec<Reading>,
}

impl Readings {
    /// No cgroup at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { version: None, guessed: false, partial: false, files: Vec::new() }
    }

    /// The least limit and its file; the first of equals.
    #[must_use]
    pub fn least(&self) -> Option<(Quota, &[u8])> {
        let mut least: Option<(Quota, &[u8])> = None;
        for Reading { file, value, .. } in &self.files {
            if let Value::Limit(limit) = *value
                && least.is_none_or(|(least, _)| limit.is_below(least))
            {
                least = Some((limit, file));
            }
        }
        least
    }

    /// Whether one who reads only the process's own cgroup, and knows no `memory.high`, finds a
    /// limit that is not above this one.
    #[must_use]
    pub fn is_in_leaf(&self, limit: Quota) -> bool {
        !self.guessed
            && self.files.iter().any(|Reading { file, value, is_above }| {
                matches!(value, Value::Limit(found) if !limit.is_below(*found))
                    && !is_above
                    && !file.ends_with(HIGH)
            })
    }

    /// The directory of the process's own cgroup, or of the nearest above it that has the
    /// controller.
    #[must_use]
    pub fn own(&self) -> Option<&[u8]> {
        let mut files = self.files.iter();
        files.find(|reading| reading.value != Value::Absent).map(|reading| directory(&reading.file))
    }
}

/// The directory that a file is in.
#[must_use]
pub fn directory(file: &[u8]) -> &[u8] {
    let slash = file.iter().rposition(|byte| *byte == b'/');
    slash.and_then(|slash| file.get(..slash)).unwrap_or_default()
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory limits.
    pub memory: Readings,
    /// CPU quotas.
    pub cpu: Readings,
    /// The machine's memory in bytes, if it is known.
    pub memory_total: Option<u64>,
    /// The number of CPUs that the process may run on, if it is known.
    pub cpus: Option<u32>,
    /// What is not a limit, but was needed to find one and could not be read or understood.
    pub problems: Vec<Reading>,
}

impl Limits {
    /// The memory limit at which the kernel kills, in bytes, and its file: at `memory.high` it does
    /// not, and a limit above the machine's memory is none.
    #[must_use]
    pub fn deadly(&self) -> Option<(u64, &[u8])> {
        let mut deadly = None;
        let mut least = self.memory_total.unwrap_or(u64::MAX);
        for Reading { file, value, .. } in &self.memory.files {
            if let Value::Limit(limit) = value
                && (limit.amount < least || (limit.amount == least && deadly.is_none()))
                && !file.ends_with(HIGH)
            {
                least = limit.amount;
                deadly = Some((least, &file[..]));
            }
        }
        deadly
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_wins_and_the_first_of_equals() {
        let limit = |bytes| Value::Limit(Quota::whole(bytes));
        let files = [
            ("/a/b", Value::Unlimited),
            ("/a/b/high", limit(5)),
            ("/a", limit(3)),
            ("/", limit(3)),
            ("/x", Value::Garbage(b"1".to_vec())),
            ("/y", Value::Unreadable(Errno(13))),
            ("/z", Value::Absent),
        ];
        let files = files.map(|(file, value)| {
            let (file, is_above) = (file.as_bytes().to_vec(), false);
            Reading { file, value, is_above }
        });
        let readings = Readings {
            version: Some(Version::V2),
            guessed: false,
            partial: false,
            files: files.to_vec(),
        };
        assert_eq!(readings.least(), Some((Quota::whole(3), &b"/a"[..])));
        assert_eq!(readings.own(), Some(&b"/a"[..]));
        assert_eq!(Readings::none().least(), None);
    }

    #[test]
    fn a_limit_in_the_leaf_is_found_there_unless_it_is_high_or_a_guess() {
        let file = |file: &[u8], limit, is_above| {
            let value = Value::Limit(Quota::whole(limit));
            Reading { file: file.to_vec(), value, is_above }
        };
        let mut readings = Readings {
            version: Some(Version::V2),
            guessed: false,
            partial: false,
            files: vec![
                file(b"/a/b/memory.max", 9, false),
                file(b"/a/b/memory.high", 5, false),
                file(b"/a/memory.max", 7, true),
            ],
        };
        let limits = [9, 5, 7].map(|limit| readings.is_in_leaf(Quota::whole(limit)));
        assert_eq!(limits, [true, false, false]);
        let limits = |total| Limits {
            memory: readings.clone(),
            cpu: Readings::none(),
            memory_total: Some(total),
            cpus: None,
            problems: Vec::new(),
        };
        assert_eq!(limits(70).deadly(), Some((7, &b"/a/memory.max"[..])), "not the high one");
        assert_eq!(limits(7).deadly(), Some((7, &b"/a/memory.max"[..])));
        assert_eq!(limits(6).deadly(), None, "no more than the machine has");
        readings.guessed = true;
        assert!(!readings.is_in_leaf(Quota::whole(9)));
        assert!(!Readings::none().is_in_leaf(Quota::whole(9)));
    }
}
