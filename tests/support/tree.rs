//! Files that look like /proc and /sys in a container with limits. An init gets them as --root, and the
//! test changes them as the kernel and a container runtime would.

use super::{Init, Launch, Place, Running};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use tempfile::{TempDir, tempdir};

/// A directory with the files of a container that has 400 MiB and half a CPU.
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
        tree.oom_kills(1, 0);
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

    /// Writes a file without truncating it first, so that a reader never finds it empty. The text must not
    /// be shorter than the old one.
    pub fn overwrite(&self, file: &str, text: &str) {
        let file = fs::OpenOptions::new().write(true).open(self.path(file)).unwrap();
        file.write_all_at(text.as_bytes(), 0).unwrap();
    }

    /// Sets the counts of OOM kills.
    pub fn oom_kills(&self, processes: u32, groups: u32) {
        let text = format!("max 9\noom 1\noom_kill {processes}\noom_group_kill {groups}\n");
        self.write("sys/fs/cgroup/memory.events", &text);
    }

    pub fn throttled(&self, text: &str) {
        self.write("sys/fs/cgroup/cpu.stat", text);
    }

    /// An init with this tree as its --root.
    pub fn launch(&self, place: Place, program: &[&str], options: &[&str]) -> Launch {
        Init::must_be_loadline();
        Launch::new(place, program).arguments(&["--root", self.root()]).arguments(options)
    }

    /// Starts such an init with a program that waits, and waits until the init is idle.
    #[track_caller]
    pub fn start(&self, place: Place, options: &[&str]) -> Running {
        self.launch(place, &["pause"], options).start_idle()
    }
}
