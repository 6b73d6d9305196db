//! `--install`: the init copies itself into a directory.

use crate::support::{Init, user_namespaces};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::tempdir;

fn install(directory: &Path) -> Output {
    Command::new(Init::under_test().path).arg("--install").arg(directory).output().unwrap()
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn copy_is_complete_and_executable_and_replaces_a_file_in_use() {
    Init::must_be_loadline();
    let directory = tempdir().unwrap();
    let copy = directory.path().join("loadline");
    let own = fs::read(Init::under_test().path).unwrap();
    let command = format!("umask 077; exec {} --install \"$1\"", Init::under_test().path.display());
    let output =
        Command::new("sh").args(["-c", &command, "sh"]).arg(directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.is_empty());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("loadline: installed \"{}\" ({} bytes)\n", copy.display(), own.len())
    );
    assert!(fs::read(&copy).unwrap() == own);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o7777, 0o755);

    // A file that is executed cannot be opened for writing (ETXTBSY).
    let mut user = Command::new(&copy);
    user.args(["-s", "--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut user = user.spawn().unwrap();
    assert_eq!(install(directory.path()).status.code(), Some(0));
    assert_eq!(names(directory.path()), ["loadline"]);
    drop(user.stdin.take());
    assert_eq!(user.wait().unwrap().code(), Some(0));
}

/// As init containers do that share a volume: each is PID 1. What a killed one has left does no harm.
#[test]
fn many_may_install_into_a_directory_at_a_time() {
    Init::must_be_loadline();
    if !user_namespaces() {
        return;
    }
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("loadline.1"), "a part").unwrap();
    assert_eq!(install(directory.path()).status.code(), Some(0));
    let whole = fs::read(directory.path().join("loadline")).unwrap();
    for _ in 0..4 {
        let start = |_| {
            let mut command = Command::new("unshare");
            command.args(["-rpf", "--kill-child"]).arg(Init::under_test().path).arg("--install");
            command.arg(directory.path()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let copies: Vec<_> = (0..16).map(start).collect();
        for copy in copies {
            let output = copy.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            // Others may still be copying.
            assert!(fs::read(directory.path().join("loadline")).unwrap() == whole);
        }
        let mut names = names(directory.path());
        names.sort();
        assert_eq!(names, ["loadline", "loadline.1"]);
    }
}

#[test]
fn directory_that_does_not_exist_is_an_error() {
    Init::must_be_loadline();
    let directory = tempdir().unwrap();
    let output = install(&directory.path().join("missing"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!(
            "loadline: cannot install \"{}/missing/loadline\": No such file or directory\n",
            directory.path().display()
        )
    );
}

#[test]
fn older_file_stays_if_the_disk_is_full_or_read_only() {
    Init::must_be_loadline();
    if !user_namespaces() {
        return;
    }
    for (prepare, error) in [
        (
            "mount -t tmpfs -o size=16k tmpfs \"$2\"; echo old > \"$2/loadline\"",
            "No space left on device",
        ),
        (
            "mount -t tmpfs tmpfs \"$2\"; echo old > \"$2/loadline\"; mount -o remount,ro \"$2\"",
            "Read-only file system",
        ),
    ] {
        let directory = tempdir().unwrap();
        let script = format!(
            "set -e; {prepare}; \"$1\" --install \"$2\" || echo $?; cd \"$2\"; ls -A; cat *"
        );
        let output = Command::new("unshare")
            .args(["-rm", "sh", "-c", &script, "sh"])
            .arg(Init::under_test().path)
            .arg(directory.path())
            .output()
            .unwrap();
        let path = directory.path().display();
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!("loadline: cannot install \"{path}/loadline\": {error}\n")
        );
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "1\nloadline\nold\n");
    }
}
