//! The limits that were found, as plain data: each with the file that it comes from.
//!
//! Absent, unlimited and unreadable are three different things, so no number stands for any of
//! them.

use super::sysroot::MEMINFO;
use crate::sys::Errno;
use crate::units::{Bytes, CpuQuota};

/// What a limit file contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitValue<T> {
    /// The file does not exist: this cgroup cannot have the limit, but its ancestors may.
    Absent,
    /// The file says that there is no limit.
    Unlimited,
    /// The limit.
    Limit(T),
    /// The file exists, but is unusable.
    Problem(FileProblem),
}

/// Why a file that exists is unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileProblem {
    /// It could not be read.
    Unreadable(Errno),
    /// It could not be parsed: the first bytes of its content.
    Invalid(Vec<u8>),
}

/// A kind of limit.
pub trait Limit: Copy {
    /// Whether this limit allows less than another.
    fn is_below(self, other: Self) -> bool;
}

impl Limit for Bytes {
    fn is_below(self, other: Self) -> bool {
        self < other
    }
}

impl Limit for CpuQuota {
    fn is_below(self, other: Self) -> bool {
        Self::is_below(self, other)
    }
}

impl<T> LimitValue<T> {
    /// Whether the file does not exist.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether the file exists, but is unusable.
    #[must_use]
    pub const fn is_problem(&self) -> bool {
        matches!(self, Self::Problem(_))
    }
}

impl<T: Limit> LimitValue<T> {
    /// The limit, if the file contains one.
    #[must_use]
    pub const fn limit(&self) -> Option<T> {
        match self {
            Self::Limit(limit) => Some(*limit),
            Self::Absent | Self::Unlimited | Self::Problem(_) => None,
        }
    }

    /// Whether this allows less than another, where anything but a limit allows everything.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        let other = other.limit();
        self.limit().is_some_and(|limit| other.is_none_or(|other| limit.is_below(other)))
    }
}

/// A limit file and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitFile<T> {
    /// Its path, without the directory given by `--root`.
    pub path: Vec<u8>,
    /// Its content.
    pub value: LimitValue<T>,
    /// Whether it belongs to an ancestor of the process's own cgroup.
    pub in_ancestor: bool,
}

/// The limit of v2 above which the kernel slows processes down and reclaims their memory, but kills none
/// (Documentation/admin-guide/cgroup-v2.rst).
pub(super) const MEMORY_HIGH: &[u8] = b"memory.high";

impl<T> LimitFile<T> {
    pub(super) fn is_memory_high(&self) -> bool {
        self.path.ends_with(MEMORY_HIGH)
    }
}

/// The version of the kernel's cgroup interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// Each controller has a hierarchy of its own.
    V1,
    /// All controllers share the unified hierarchy.
    V2,
}

/// The limit files of one controller, from the process's own cgroup up to the mount root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerLimits<T> {
    /// The version of the interface; none if the process is in no cgroup of this controller.
    pub version: Option<CgroupVersion>,
    /// Whether the files are a guess, because the process's own cgroup could not be located: the root
    /// of a mount was read instead, or the conventional place if there is no list of mounts. In a
    /// container that is the same cgroup; elsewhere it may not be.
    pub is_guess: bool,
    /// The files that matter: those of the process's own cgroup, then of its ancestors those with a
    /// lower limit or a problem, and last `/proc/meminfo` if it shows a limit. If two have the same
    /// limit, the first is its source. Empty if no directory of the hierarchy is visible.
    pub files: Vec<LimitFile<T>>,
}

impl<T> ControllerLimits<T> {
    /// The limits of a process that is in no cgroup of the controller.
    #[must_use]
    pub const fn none() -> Self {
        Self { version: None, is_guess: false, files: Vec::new() }
    }

    /// Why the first of the unusable files is that.
    fn problem(&self) -> Option<&FileProblem> {
        self.files.iter().find_map(|file| match &file.value {
            LimitValue::Problem(problem) => Some(problem),
            _ => None,
        })
    }

    /// Whether the controller is enabled where the files were read: the first one exists then.
    pub(super) fn has_controller(&self) -> bool {
        self.files.first().is_some_and(|first| !first.value.is_absent())
    }
}

impl<T: Limit> ControllerLimits<T> {
    /// The directory of the process's own cgroup, if it is visible.
    pub(super) fn leaf_dir(&self) -> Option<&[u8]> {
        cgroup_dir(self.files.first()?)
    }

    /// The lowest limit and the path of its file.
    #[must_use]
    pub fn lowest(&self) -> Option<(T, &[u8])> {
        self.lowest_where(&|_, _| true)
    }

    /// The lowest of the limits that `applies` accepts, and the path of its file.
    fn lowest_where(&self, applies: &dyn Fn(&LimitFile<T>, T) -> bool) -> Option<(T, &[u8])> {
        let mut lowest: Option<(T, &[u8])> = None;
        for file in &self.files {
            if let Some(limit) = file.value.limit()
                && lowest.is_none_or(|(lowest, _)| limit.is_below(lowest))
                && applies(file, limit)
            {
                lowest = Some((limit, &file.path));
            }
        }
        lowest
    }

    /// Whether a reader that looks only at the leaf cgroup and ignores `memory.high`, as Go's
    /// runtime does, finds a limit at most as high as this one.
    #[must_use]
    pub fn leaf_shows(&self, limit: T) -> bool {
        !self.is_guess
            && self.files.iter().any(|file| {
                file.value.limit().is_some_and(|found| !limit.is_below(found))
                    && !file.in_ancestor
                    && !file.is_memory_high()
            })
    }

    /// The directory of the process's own cgroup, or of its nearest ancestor that has the
    /// controller.
    #[must_use]
    pub fn controller_dir(&self) -> Option<&[u8]> {
        cgroup_dir(self.files.iter().find(|file| !file.value.is_absent())?)
    }
}

/// The directory of the cgroup that a file is in; none for `/proc/meminfo`.
fn cgroup_dir<T>(file: &LimitFile<T>) -> Option<&[u8]> {
    (file.path != MEMINFO).then(|| parent_dir(&file.path))
}

/// The directory that a file is in: everything before the last slash.
#[must_use]
pub fn parent_dir(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    slash.and_then(|slash| path.get(..slash)).unwrap_or_default()
}

/// What the Go runtime finds as its CPU quota; none if its cgroup has none.
pub type RuntimeQuota = Result<Option<CpuQuota>, RuntimeError>;

/// Why the Go runtime does not find its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeError {
    /// The list of mounts cannot be read.
    Unreadable,
    /// A line of the list of mounts or of cgroups cannot be parsed.
    Malformed,
    /// The root of a mount is no path, such as `net:[4026531840]` for a network namespace that is bound
    /// to a file (golang/go#81864).
    RootIsNoPath,
    /// No mount is the one that the runtime looks for, or its cgroup is not below that.
    NotFound,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The memory limits.
    pub memory: ControllerLimits<Bytes>,
    /// The CPU quotas.
    pub cpu: ControllerLimits<CpuQuota>,
    /// The machine's memory, if it is known.
    pub memory_total: Option<Bytes>,
    /// The number of CPUs that the process may run on, if it is known.
    pub cpus: Option<u32>,
    /// The paths of other files that were needed to find the limits, and why they are unusable.
    pub problems: Vec<(Vec<u8>, FileProblem)>,
    /// The content of `/proc/self/cgroup`; empty if there is none.
    pub cgroups: Vec<u8>,
    /// What the program's Go runtime finds as its CPU quota. None if that does not matter, because it
    /// takes a read of the list of mounts.
    pub runtime_quota: Option<RuntimeQuota>,
}

impl Limits {
    /// The cause if a file could not be read or parsed. What was found may not be all then.
    #[must_use]
    pub fn problem(&self) -> Option<Errno> {
        let problem = self.problems.first().map(|(_, problem)| problem);
        let problem = problem.or_else(|| self.memory.problem()).or_else(|| self.cpu.problem());
        Some(match problem? {
            FileProblem::Unreadable(cause) => *cause,
            FileProblem::Invalid(_) => Errno(libc::EINVAL),
        })
    }

    /// The memory limit at which the kernel's OOM killer acts, and the path of its file: the lowest
    /// one that is neither `memory.high` nor above the machine's memory.
    #[must_use]
    pub fn oom_limit(&self) -> Option<(Bytes, &[u8])> {
        self.memory.lowest_where(&|file, limit| {
            self.memory_total.is_none_or(|total| limit <= total) && !file.is_memory_high()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_wins_and_the_first_of_two_that_are_equal() {
        let limit = |bytes| LimitValue::Limit(Bytes(bytes));
        let files = [
            ("/a/b", LimitValue::Unlimited),
            ("/a/b/high", limit(5)),
            ("/a", limit(3)),
            ("/", limit(3)),
            ("/x", LimitValue::Problem(FileProblem::Invalid(b"1".to_vec()))),
            ("/y", LimitValue::Problem(FileProblem::Unreadable(Errno(13)))),
            ("/z", LimitValue::Absent),
        ];
        let files = files.map(|(path, value)| {
            let (path, in_ancestor) = (path.as_bytes().to_vec(), false);
            LimitFile { path, value, in_ancestor }
        });
        let limits = ControllerLimits {
            version: Some(CgroupVersion::V2),
            files: files.to_vec(),
            ..ControllerLimits::none()
        };
        assert_eq!(limits.lowest(), Some((Bytes(3), &b"/a"[..])));
        assert_eq!(limits.controller_dir(), Some(&b"/a"[..]));
        assert_eq!(ControllerLimits::<Bytes>::none().lowest(), None);
    }

    /// The limits of a process in the cgroup `/a/b`.
    fn nested() -> ControllerLimits<Bytes> {
        let file = |path: &[u8], limit, in_ancestor| {
            let value = LimitValue::Limit(Bytes(limit));
            LimitFile { path: path.to_vec(), value, in_ancestor }
        };
        ControllerLimits {
            version: Some(CgroupVersion::V2),
            files: vec![
                file(b"/a/b/memory.max", 9, false),
                file(b"/a/b/memory.high", 5, false),
                file(b"/a/memory.max", 7, true),
            ],
            ..ControllerLimits::none()
        }
    }

    #[test]
    fn the_leaf_shows_a_limit_unless_it_is_memory_high_or_a_guess() {
        let mut memory = nested();
        let shown = [9, 5, 7].map(|limit| memory.leaf_shows(Bytes(limit)));
        assert_eq!(shown, [true, false, false]);
        memory.is_guess = true;
        assert!(!memory.leaf_shows(Bytes(9)));
        assert!(!ControllerLimits::none().leaf_shows(Bytes(9)));
    }

    #[test]
    fn the_oom_limit_is_neither_memory_high_nor_above_the_machines_memory() {
        let limits = |memory_total| Limits {
            memory: nested(),
            cpu: ControllerLimits::none(),
            memory_total,
            cpus: None,
            problems: Vec::new(),
            cgroups: Vec::new(),
            runtime_quota: None,
        };
        let expected = Some((Bytes(7), &b"/a/memory.max"[..]));
        assert_eq!(limits(None).oom_limit(), expected);
        assert_eq!(limits(Some(Bytes(70))).oom_limit(), expected);
        assert_eq!(limits(Some(Bytes(7))).oom_limit(), expected);
        assert_eq!(limits(Some(Bytes(6))).oom_limit(), None);
    }

    #[test]
    fn a_value_without_a_limit_is_above_every_limit() {
        let [low, high] = [1, 2].map(|bytes| LimitValue::Limit(Bytes(bytes)));
        assert!(low.is_below(&high) && high.is_below(&LimitValue::Unlimited));
        assert!(!high.is_below(&low) && !low.is_below(&low));
        assert!(!LimitValue::Absent.is_below(&high));
        assert!(!LimitValue::<Bytes>::Absent.is_below(&LimitValue::Unlimited));
    }
}
