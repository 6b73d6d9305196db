//! Reads /proc about the processes of a test.

use std::fs;

fn read(pid: i32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

/// The value of a line of /proc/PID/status; empty if there is none.
pub fn field(pid: i32, name: &str) -> String {
    let status = read(pid, "status");
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().trim().to_owned()
}

/// A set of signals in /proc/PID/status, such as `SigBlk`; 0 if there is none.
pub fn signal_set(pid: i32, name: &str) -> u64 {
    u64::from_str_radix(&field(pid, name), 16).unwrap_or(0)
}

/// The resident memory of a process in kB. That of `status` is not exact (proc_pid_status(5)).
pub fn resident(pid: i32) -> u64 {
    let rollup = read(pid, "smaps_rollup");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The system call in which the process waits: the number and the arguments. Empty if it runs.
pub fn system_call(pid: i32) -> Vec<u64> {
    let line = read(pid, "syscall");
    let words = line.split_ascii_whitespace();
    words
        .map_while(|word| {
            u64::from_str_radix(
                word.trim_start_matches("0x"),
                if word.starts_with("0x") { 16 } else { 10 },
            )
            .ok()
        })
        .collect()
}

/// Whether the process exists; it may be a zombie.
pub fn exists(pid: i32) -> bool {
    !read(pid, "status").is_empty()
}

/// The children of the first thread of a process, with zombies. Inits have only one thread.
pub fn children(pid: i32) -> Vec<i32> {
    let pids = read(pid, &format!("task/{pid}/children"));
    pids.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A process and all its descendants.
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// What a process is doing, for messages about failures.
pub fn describe(pid: i32) -> String {
    let fields = ["Name", "State", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"];
    let mut line = format!("  {pid}:");
    for name in fields {
        line += &format!(" {name}={}", field(pid, name));
    }
    line + " wchan=" + &read(pid, "wchan")
}
