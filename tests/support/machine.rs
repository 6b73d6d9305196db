//! What the tests need of the machine they run on: a C compiler, a place for files, and somewhere
//! to note what cannot run here.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::OnceLock;
use std::thread;

const SOURCE: &str = include_str!("../probe.c");

/// The program that the tests run under the init, built when first asked for. Its name holds the
/// hash of its source, and it appears at once and whole, so processes need not agree on who
/// builds it.
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
        .args(["-static", "-O1", "-Wall", "-Werror", "-o"])
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

/// Makes an executable file. Another process writes it: were it open for writing here, a child
/// that some other test forks meanwhile would hold it open too, and exec fails with ETXTBSY.
pub fn executable(path: &Path, content: &[u8]) {
    let draft = path.with_extension("draft");
    fs::write(&draft, content).unwrap();
    let installed = Command::new("install").arg("-m755").arg(&draft).arg(path).status();
    assert!(installed.unwrap().success(), "install {}", path.display());
}

/// Notes that something cannot run on this machine, and why.
pub fn not_run(reason: &str) {
    eprint!("not run: {}", note("LOADLINE_NOT_RUN", reason));
}

/// Ends a case that asks for what the init under test does not have, which is noted: it has neither
/// passed nor failed.
pub fn not_applicable(lacking: &str) -> ! {
    panic!("not applicable: {}", note("LOADLINE_NOT_APPLICABLE", lacking));
}

/// Adds a line on the running test to the file that a variable names, if there is one.
fn note(variable: &str, what: &str) -> String {
    // libtest names the thread after the test.
    let thread = thread::current();
    let (suite, case) = thread.name().and_then(|name| name.split_once("::")).unwrap();
    let line = format!("{suite}: {case}: {what}\n");
    if let Some(file) = std::env::var_os(variable) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
    line
}
