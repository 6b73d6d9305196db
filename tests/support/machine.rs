//! What the tests need from the machine: a C compiler and a place for files. And what is recorded about
//! cases that the machine cannot run.

use super::spawn::at_exit;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

const SOURCE: &str = include_str!("../probe.c");

/// The program that the tests run under the init, built on first use. The file name contains a hash of
/// the source, and a rename puts the file in place, so several test processes can build it at the same
/// time.
pub fn probe_path() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        SOURCE.hash(&mut hasher);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = directory.join(format!("probe-{:016x}", hasher.finish()));
        if !path.exists() {
            let draft = directory.join(format!("probe-draft-{}", id()));
            compile(&draft);
            fs::rename(draft, &path).unwrap();
        }
        path
    })
}

fn compile(output: &Path) {
    let built = Command::new("cc")
        .args(["-static", "-pthread", "-O1", "-Wall", "-Werror", "-o"])
        .arg(output)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/probe.c"))
        .output()
        .expect("the tests need a C compiler: no `cc` could be run");
    assert!(
        built.status.success(),
        "tests/probe.c does not build with a static C library:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
}

/// A command that runs the probe.
pub fn probe(arguments: &[&str]) -> Vec<OsString> {
    let mut command = vec![probe_path().into()];
    command.extend(arguments.iter().map(OsString::from));
    command
}

/// Creates an executable file. Another process writes it: a child that some other test forks would
/// inherit a descriptor that is open for writing here, and then exec fails with ETXTBSY.
pub fn executable(path: &Path, content: &[u8]) {
    let draft = path.with_extension("draft");
    fs::write(&draft, content).unwrap();
    let installed = Command::new("install").arg("-m755").arg(&draft).arg(path).status();
    assert!(installed.unwrap().success(), "install {}", path.display());
}

/// The cases that were not run, or only in part, by the reason.
static NOT_RUN: Mutex<BTreeMap<String, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

/// Records that this machine cannot run the test, or a part of it, and why. The test passes; all that
/// was not run is listed when the tests end.
pub fn not_run(reason: &str) {
    note("LOADLINE_NOT_RUN", reason);
    let mut not_run = NOT_RUN.lock().unwrap_or_else(PoisonError::into_inner);
    if not_run.is_empty() {
        at_exit(list_not_run);
    }
    not_run.entry(reason.to_owned()).or_default().insert(running_test().1);
}

/// libtest captures what `eprint!` prints in a test that passes, but not this.
extern "C" fn list_not_run() {
    let not_run = NOT_RUN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = "not run on this machine, in whole or in part:\n".to_owned();
    for (reason, cases) in &*not_run {
        let first = cases.first().map_or("", String::as_str);
        let more = cases.len().saturating_sub(1);
        text += &match more {
            0 => format!("  {first}: {reason}\n"),
            _ => format!("  {first} and {more} more: {reason}\n"),
        };
    }
    // If nobody reads stderr, there is nobody to tell.
    let _ = stderr().write_all(text.as_bytes());
}

/// Ends a test that needs something that the init under test does not have. This is recorded: the test
/// neither passes nor fails.
pub fn not_applicable(lacking: &str) -> ! {
    panic!("not applicable: {}", note("LOADLINE_NOT_APPLICABLE", lacking));
}

/// Adds a line about the running test to the file that a variable names, if it is set.
fn note(variable: &str, what: &str) -> String {
    let (suite, case) = running_test();
    let line = format!("{suite}: {case}: {what}\n");
    if let Some(file) = std::env::var_os(variable) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
    line
}

/// The first module of the running test, and the rest of its name. libtest names the thread after the
/// test.
fn running_test() -> (String, String) {
    let thread = thread::current();
    let (suite, case) = thread.name().and_then(|name| name.split_once("::")).unwrap();
    (suite.to_owned(), case.to_owned())
}
