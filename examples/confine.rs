//! Runs a command in a fresh cgroup.

fn main() {}
