//! All that `--explain` does: the files of the kernel are read, and the decisions are printed.
//!
//! The input is the contents of these files, separated by NUL.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loadline::cgroup::{self, SysRoot};
use loadline::options::Tuning;
use loadline::policy::{self, GoEnv};
use loadline::report::{ExplainedProgram, Explanation, JsonReport, TextReport};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tempfile::TempDir;

const FILES: [&str; 12] = [
    "proc/self/cgroup",
    "proc/self/mountinfo",
    "proc/self/status",
    "proc/meminfo",
    "sys/fs/cgroup/memory.max",
    "sys/fs/cgroup/a/memory.max",
    "sys/fs/cgroup/a/memory.high",
    "sys/fs/cgroup/a/cpu.max",
    "sys/fs/cgroup/memory/memory.limit_in_bytes",
    "sys/fs/cgroup/memory/memory.stat",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us",
];

thread_local! {
    static TREE: TempDir = {
        let tree = tempfile::tempdir_in("/dev/shm").unwrap();
        for file in FILES {
            fs::create_dir_all(tree.path().join(file).parent().unwrap()).unwrap();
        }
        tree
    };
}

fuzz_target!(|bytes: &[u8]| {
    TREE.with(|tree| explain(tree.path(), bytes));
});

fn explain(tree: &Path, bytes: &[u8]) {
    let mut contents = bytes.split(|byte| *byte == 0);
    for file in FILES {
        let path = tree.join(file);
        match contents.next() {
            Some(content) => fs::write(path, content).unwrap(),
            None => drop(fs::remove_file(path)),
        }
    }
    let limits = cgroup::read(&SysRoot::new(Some(tree.as_os_str().as_bytes())));
    let plan = policy::decide(&Tuning::DEFAULT, &limits, GoEnv::default(), None, Vec::new());
    if let (Some(limit), Some(value)) = (plan.memory.limit, plan.memory.value) {
        assert!(value > 0 && value <= limit.0.max(1), "{value} of {limit}");
    }
    assert_ne!(plan.cpu.value, Some(0));
    let program = ExplainedProgram { name: None, path: None, starts: None, hint: "", go: None };
    let explanation = Explanation { plan: &plan, program, oom_group: None };
    let text = TextReport(explanation).to_string();
    assert!(text.lines().all(|line| !line.chars().any(char::is_control)), "{text:?}");
    let json = JsonReport(explanation).to_string();
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
}
