//! What has happened in a cgroup so far: counters that only grow, as the kernel keeps them for the
//! life of the cgroup. What is not there, or not understood, is none.
//!
//! v1 counts a process that was killed for want of memory in its own cgroup alone, v2 there and in
//! all above, whoever's limit it was. So the cgroup that knows of the program, and of what else runs
//! beside it, is our own, wherever the limit is set; what is above it knows of other containers too.

use super::{Path, Root, SMALL, proc};
use crate::limits::{Limits, Version, directory};
use crate::sys;
use crate::units::integer;
use core::ffi::CStr;
use core::mem::ManuallyDrop;

/// How often a quota of CPU time was used up: the periods in which there was something to run,
/// those of them in which the quota was used up, and the microseconds that anything waited then.
pub type Throttling = Option<[u64; 3]>;

/// Reads counters.
pub struct Counters<'a> {
    path: Path<'a>,
    limits: &'a Limits,
}

impl<'a> Counters<'a> {
    /// Those of the cgroups in which these limits were found.
    #[must_use]
    pub const fn new(root: &Root<'a>, limits: &'a Limits) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self { path: Path::new(root), limits })
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// Where the processes are counted that the kernel kills for want of memory.
    pub fn kills(&mut self) -> Kills {
        let mut file = [0; Kills::LONGEST];
        if let Some(own) = self.limits.memory.own()
            && let Some(path) = self.set(own, EVENTS)
            && let Some(room) = file.get_mut(..path.to_bytes_with_nul().len())
        {
            room.copy_from_slice(path.to_bytes_with_nul());
        }
        Kills { file }
    }

    /// A file of v2 in the cgroup that has the limit, or in our own if none has.
    pub fn limiting_file(&mut self, name: &[u8]) -> Option<&CStr> {
        self.limits.memory.version.filter(|version| *version == Version::V2)?;
        let place = self.limiting()?;
        self.set(place, [b"", name])
    }

    /// The directory of the cgroup that has the limit, or of our own if none has.
    fn limiting(&self) -> Option<&'a [u8]> {
        let limiting = self.limits.deadly().map(|(_, file)| directory(file));
        limiting.or_else(|| self.limits.memory.own())
    }

    /// How many times a whole cgroup was killed (`memory.oom.group`): some kernels count its first
    /// victim twice among the processes.
    pub fn group_kills(&mut self) -> Option<u64> {
        let own = self.limits.memory.own()?;
        self.number(own, EVENTS, b"oom_group_kill")
    }

    /// The most memory that was ever in use in the cgroup that has the limit, or in our own if none
    /// has. v2 tells it since Linux 5.19.
    pub fn peak(&mut self) -> Option<u64> {
        let place = self.limiting()?;
        self.number(place, [b"memory.max_usage_in_bytes", b"memory.peak"], b"")
    }

    /// Whether the kernel kills all that is in our cgroup together.
    pub fn kills_all(&mut self) -> Option<bool> {
        let own = self.limits.memory.own()?;
        Some(self.number(own, [b"", b"memory.oom.group"], b"")? > 0)
    }

    /// What the least quota has done, in the cgroup that has it.
    pub fn throttling(&mut self) -> Throttling {
        let (_, file) = self.limits.cpu.least()?;
        let mut number = |name| self.number(directory(file), [b"cpu.stat"; 2], name);
        let (periods, throttled) = (number(b"nr_periods")?, number(b"nr_throttled")?);
        let time = match number(b"throttled_usec") {
            Some(microseconds) => microseconds,
            // v1 has nanoseconds.
            None => number(b"throttled_time")? / 1000,
        };
        Some([periods, throttled, time])
    }

    /// The number behind a name in a file, or the only one in it where there is no name.
    fn number(&mut self, directory: &[u8], files: [&[u8]; 2], name: &[u8]) -> Option<u64> {
        let mut text = ManuallyDrop::new(Vec::new());
        sys::read_file(self.set(directory, files)?, &mut text, SMALL).ok()?;
        number(&text, name)
    }

    /// Goes to a file: the first in v1, the second in v2.
    fn set(&mut self, directory: &[u8], files: [&[u8]; 2]) -> Option<&CStr> {
        let [v1, v2] = files;
        let file = if self.limits.memory.version == Some(Version::V1) { v1 } else { v2 };
        self.path.set(directory, file).ok()
    }
}

/// The files in which the kernel counts what happens for want of memory.
const EVENTS: [&[u8]; 2] = [b"memory.oom_control", b"memory.events"];

/// The file that counts the processes that the kernel has killed for want of memory. Kernels before
/// 4.13 do not count them.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    file: [u8; Self::LONGEST],
}

impl Kills {
    /// The longest path, with its NUL. Those of Kubernetes on its host have some 230 bytes.
    const LONGEST: usize = 256;

    /// How many they are by now, if that is known.
    #[must_use]
    pub fn read(&self) -> Option<u64> {
        // On the stack, as at the end nothing is allocated, and no page taken for it.
        let mut text = [0; 512];
        number(sys::read_head(sys::c_str(&self.file)?, &mut text)?, b"oom_kill")
    }
}

/// The number behind a name, or the only one where there is no name.
pub(super) fn number(text: &[u8], name: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    integer(if name.is_empty() { text } else { proc::value(text, name)? })
}

/// What has been added to a counter, where it was known before.
#[must_use]
pub fn since(before: Option<u64>, now: Option<u64>) -> Option<u64> {
    Some(now?.saturating_sub(before?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{read, tests::tree};
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn numbers_are_found_by_their_whole_names() {
        let v1 = b"oom_kill_disable 0\nunder_oom 0\noom_kill 2";
        assert_eq!(number(v1, b"oom_kill"), Some(2));
        assert_eq!(number(v1, b"oom_group_kill"), None);
        let v2 = b"low 0\nhigh 0\nmax 7\noom 1\noom_kill 3\noom_group_kill 1";
        assert_eq!(number(v2, b"oom_kill"), Some(3));
        assert_eq!(number(v2, b"oom_group_kill"), Some(1));
        // Linux 4.12, v1
        assert_eq!(number(b"oom_kill_disable 0\nunder_oom 0", b"oom_kill"), None);
        assert_eq!(number(b"oom_kill x", b"oom_kill"), None);
        assert_eq!((number(b"12", b""), number(b"max", b"")), (Some(12), None));
    }

    #[test]
    fn what_was_added_is_known_where_both_are() {
        assert_eq!(since(Some(2), Some(5)), Some(3));
        assert_eq!(since(Some(5), Some(2)), Some(0), "another cgroup");
        assert_eq!((since(None, Some(5)), since(Some(5), None)), (None, None));
    }

    const LIMIT_ABOVE: (&str, &str) = ("sys/fs/cgroup/pod/memory.max", "4096000\n");

    /// What is asked of a cgroup on v2, but for other files.
    pub(in crate::cgroup) fn counted<T>(
        files: &[(&str, &str)],
        ask: impl FnOnce(&mut Counters<'_>) -> T,
    ) -> T {
        let usual = [
            ("proc/self/mountinfo", "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            ("proc/self/cgroup", "0::/pod/app\n"),
            ("sys/fs/cgroup/pod/app/memory.max", "max\n"),
        ];
        let tree = tree(&[&usual, files].concat());
        let root = Root::at(tree.path().as_os_str().as_bytes());
        let limits = read(&root, &mut Vec::new());
        ask(&mut Counters::new(&root, &limits))
    }

    #[test]
    fn limiting_file_is_where_the_limit_is_and_in_v2_alone() {
        let file = |files: &[(&str, &str)]| {
            let place = |it: &CStr| {
                let (_, file) = it.to_str().unwrap().split_once("/sys/fs/cgroup/").unwrap();
                file.to_owned()
            };
            counted(files, |it| it.limiting_file(b"memory.events").map(place))
        };
        assert_eq!(file(&[LIMIT_ABOVE]).as_deref(), Some("pod/memory.events"));
        assert_eq!(file(&[]).as_deref(), Some("pod/app/memory.events"), "no limit in sight");
        // At memory.high the kernel does not kill.
        let high = ("sys/fs/cgroup/pod/app/memory.high", "4096\n");
        assert_eq!(file(&[LIMIT_ABOVE, high]).as_deref(), Some("pod/memory.events"));
        let v1 = [
            ("proc/self/mountinfo", "1 2 0:3 / /sys/fs/cgroup/memory rw - cgroup c rw,memory\n"),
            ("proc/self/cgroup", "1:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "4096000\n"),
        ];
        assert_eq!(file(&v1), None);
        assert_eq!(file(&[("proc/self/cgroup", "")]), None);
    }

    #[test]
    fn kills_are_those_of_the_own_cgroup() {
        let own = ("sys/fs/cgroup/pod/app/memory.events", "oom 1\noom_kill 3\n");
        let above = ("sys/fs/cgroup/pod/memory.events", "oom 1\noom_kill 8\n");
        let kills = |it: &mut Counters<'_>| it.kills().read();
        assert_eq!(counted(&[own, above, LIMIT_ABOVE], kills), Some(3));
        assert_eq!(counted(&[above, LIMIT_ABOVE], kills), None);
    }

    proptest! {
        #[test]
        fn no_input_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = number(&text, b"oom_kill");
        }
    }
}
