//! What /proc and /sys show in a container with limits: files that an init is given as its --root,
//! and that the test writes to as the kernel and a runtime would.

use super::{Init, Launch, Place, Running};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use tempfile::{TempDir, tempdir};

/// What /proc and /sys show in a container with limits.
pub struct Tree(TempDir);

impl Tree {
    pub fn new() -> Self {
        let tree = Self(tempdir().unwrap());
        for directory in ["proc/self", "sys/fs/cgroup/cpu", "sys/fs/cgroup/memory"] {
            fs::create_dir_all(tree.path(directory)).unwrap();
        }
        tree.write("proc/meminfo", "MemTotal: 4194304 kB\n");
        tree.write("proc/self/status", "Pid:\t1\nCpus_allowed_list:\t0-7\n");
        tree
    }

    pub fn v2() -> Self {
        let tree = Self::new();
        tree.write("proc/self/cgroup", "0::/\n");
        tree.write("sys/fs/cgroup/memory.max", "419430400\n");
        tree.write("sys/fs/cgroup/memory.peak", "419430400\n");
        tree.write("sys/fs/cgroup/cpu.max", "50000 100000\n");
        tree.kills(1, 0);
        tree.throttled("nr_periods 2\nnr_throttled 1\nthrottled_usec 5000\n");
        tree
    }

    pub fn v1() -> Self {
        let tree = Self::new();
        tree.write("proc/self/cgroup", "2:memory:/\n1:cpu:/\n");
        tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "419430400\n");
        tree.write("sys/fs/cgroup/memory/memory.max_usage_in_bytes", "419430400\n");
        tree.write("sys/fs/cgroup/memory/memory.oom_control", "under_oom 0\noom_kill 1\n");
        tree.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
        tree.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
        tree
    }

    pub fn root(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    /// The same at once, as the kernel's files are written: at no time there is nothing in the file.
    /// The text is no shorter than what it takes the place of.
    pub fn overwrite(&self, file: &str, text: &str) {
        let file = fs::OpenOptions::new().write(true).open(self.path(file)).unwrap();
        file.write_all_at(text.as_bytes(), 0).unwrap();
    }

    /// What the kernel has killed so far.
    pub fn kills(&self, processes: u32, groups: u32) {
        let text = format!("max 9\noom 1\noom_kill {processes}\noom_group_kill {groups}\n");
        self.write("sys/fs/cgroup/memory.events", &text);
    }

    pub fn throttled(&self, text: &str) {
        self.write("sys/fs/cgroup/cpu.stat", text);
    }

    /// An init that takes this for the system.
    pub fn launch(&self, place: Place, program: &[&str], options: &[&str]) -> Launch {
        Init::must_be_loadline();
        Launch::new(place, program).arguments(&["--root", self.root()]).arguments(options)
    }

    /// One that has nothing left to do, with a program that waits to be killed.
    #[track_caller]
    pub fn start(&self, place: Place, options: &[&str]) -> Running {
        self.launch(place, &["pause"], options).settled()
    }
}
