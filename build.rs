//! Hands the commit of the sources to the compiler as the variable `LOADLINE_COMMIT`, which
//! `loadline --version` prints.
//!
//! A value in the environment wins: whoever builds from an archive, which has no Git history, can set
//! one. In a crate it is the commit that Cargo packed. Without any of them it is "unknown".

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=LOADLINE_COMMIT");
    // Without any other `rerun-if-changed`, Cargo would run this script after every edit.
    println!("cargo::rerun-if-changed=build.rs");

    let given = std::env::var("LOADLINE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit =
        given.or_else(packed_commit).or_else(commit).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=LOADLINE_COMMIT={commit}");
}

/// The commit that Cargo recorded in the crate when it packed it.
fn packed_commit() -> Option<String> {
    let record = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, commit) = record.split_once("\"sha1\": \"")?;
    commit.get(..12).map(str::to_owned)
}

/// The commit that is checked out, in twelve digits: always the same length, however many commits
/// the clone has.
fn commit() -> Option<String> {
    // A package that was unpacked inside some other repository must not name that one's commit.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let sources = std::env::var_os("CARGO_MANIFEST_DIR")?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&sources).canonicalize().ok()? {
        return None;
    }

    // The files that change with the commit: HEAD itself, the branch that it names, which is a file or
    // a line in packed-refs, and the log of HEAD, which also changes if the branch moves from
    // packed-refs to a file. `git rev-parse --git-path` finds them in a worktree too. With a path that
    // does not exist, Cargo would run this script every time.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs", "logs/HEAD"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// What a Git command prints, if it succeeds and prints anything.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim_end();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
