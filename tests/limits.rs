//! Limits that are found in captured trees: `fixtures/<case>/{proc,sys}`. Each case has an
//! `expected.json` for the output of `--explain=json`.

use super::support::{Init, Tree, not_run};
use nix::unistd::getuid;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The keys that every `expected.json` must have.
const REQUIRED: [&str; 8] = [
    "/about",
    "/memory/limit_bytes",
    "/memory/source",
    "/memory/GOMEMLIMIT",
    "/cpu/limit_cpus",
    "/cpu/source",
    "/cpu/GOMAXPROCS",
    "/warnings",
];

#[test]
fn every_captured_tree_is_explained_as_expected() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(&fixtures).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases in {}", fixtures.display());

    let mut failures = String::new();
    for case in &cases {
        let mismatches = mismatches(case).unwrap_or_else(|error| vec![error]);
        if !mismatches.is_empty() {
            let name = case.file_name().unwrap_or_default().display();
            failures += &format!("\n{name}\n    {}", mismatches.join("\n    "));
        }
    }
    assert!(failures.is_empty(), "of {} cases these are wrong:{failures}", cases.len());
}

/// The explanation for a tree.
fn explained(tree: &Tree) -> Value {
    let arguments = ["--explain=json", "--root", tree.root()];
    let output = Command::new(Init::under_test().path).args(arguments).output().unwrap();
    json(&output.stdout).unwrap()
}

/// The node of an agent that has the host's root file system mounted.
#[test]
fn a_list_of_mounts_may_be_longer_than_a_mebibyte_and_so_may_its_lines() {
    Init::must_be_loadline();
    let tree = Tree::new();
    let pod = "/kubepods/burstable/pod0/abc";
    tree.write("proc/self/cgroup", &format!("4:memory:{pod}\n"));
    tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "419430400\n");
    let ours = format!("81 77 0:32 {pod} /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    let mut others = "99 77 0:9 / /long rw - overlay overlay rw,lowerdir=".to_owned();
    others += &"/layer:".repeat(200_000);
    for number in 0..2000 {
        let directory = format!("/host/run/containerd/{number:0500}/rootfs");
        writeln!(others, "\n{number} 77 0:9 / {directory} rw - overlay overlay rw").unwrap();
    }
    assert!(others.len() > 2 << 20);
    let found = |mounts: &[&str]| {
        tree.write("proc/self/mountinfo", &mounts.concat());
        let found = explained(&tree);
        assert_eq!(found["warnings"], json!([]));
        (found["memory"]["limit_bytes"].clone(), found["memory"]["guessed"].clone())
    };
    let expected = (json!(419_430_400), json!(false));
    assert_eq!(found(&[&ours, &others]), expected);
    assert_eq!(found(&[&others, &ours]), expected);
    // The last mount at a mount point hides the others.
    let hiding = ours.replace(pod, "/another");
    assert_eq!(found(&[&ours, &others, &hiding]), (json!(419_430_400), json!(true)));
}

/// Runs loadline with at most this much memory of its own.
fn with_memory(kilobytes: u32, arguments: &[&str]) -> Output {
    let script = format!("ulimit -d {kilobytes} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(Init::under_test().path).args(arguments);
    command.output().unwrap()
}

/// The longest path that the kernel tells has 4,095 bytes.
#[test]
fn a_deep_cgroup_takes_no_more_memory_than_a_flat_one() {
    Init::must_be_loadline();
    let tree = Tree::new();
    let levels = 1800;
    tree.write("proc/self/cgroup", &format!("0::{}\n", "/a".repeat(levels)));
    let mut directory = "sys/fs/cgroup".to_owned();
    for level in 0..=levels {
        tree.write(&format!("{directory}/memory.max"), &format!("{}\n", (level + 1) << 20));
        tree.write(&format!("{directory}/memory.high"), &format!("{}\n", (level + 2) << 20));
        tree.write(&format!("{directory}/cpu.max"), &format!("{} 100000\n", (level + 1) * 1000));
        directory += "/a";
        if level < levels {
            fs::create_dir(tree.path(&directory)).unwrap();
        }
    }
    let output = with_memory(1024, &["--explain=json", "--root", tree.root()]);
    assert!(output.status.success(), "{output:?}");
    let found = json(&output.stdout).unwrap();
    assert_eq!(found["memory"]["source"], json!("/sys/fs/cgroup/memory.max"));
    assert_eq!(found["memory"]["limit_bytes"], json!(1 << 20));
    assert_eq!(found["cpu"]["limit_cpus"], json!(0.01));
}

/// Runs a shell script in a mount namespace of its own; the script ends with `exec "$0" OPTIONS`.
/// None if that takes root, which we are not.
fn in_mount_namespace(script: &str) -> Option<Value> {
    Init::must_be_loadline();
    if !getuid().is_root() {
        not_run("only root may mount something");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", script]).arg(Init::under_test().path);
    let output = command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Some(json(&output.stdout).unwrap())
}

/// As in a container that is started without a mount of the hierarchies, or with one that is masked.
#[test]
fn limits_are_out_of_sight_if_nothing_shows_the_cgroup() {
    for script in [
        r#"mount -t tmpfs none /sys/fs/cgroup; exec "$0" --explain=json"#,
        r#"umount -R /sys/fs/cgroup; exec "$0" --explain=json"#,
    ] {
        let Some(found) = in_mount_namespace(script) else { return };
        for half in ["memory", "cpu"] {
            let reason = found[half]["reason"].as_str().unwrap();
            assert!(reason.starts_with("limits are out of sight: "), "{script}: {reason}");
            assert_eq!(found[half]["guessed"], json!(false));
        }
        assert_eq!(found["warnings"], json!([]));
    }
}

/// lxcfs mounts its own file there.
#[test]
fn memtotal_of_lxcfs_is_the_limit_if_no_cgroup_shows_one() {
    let explain = |setup: &str, options: &str| {
        in_mount_namespace(&format!("{setup}exec \"$0\" --explain=json {options}"))
    };
    let Some(found) = explain("", "") else { return };
    if !found["memory"]["limit_bytes"].is_null() {
        return not_run("this process has a memory limit");
    }
    let directory = tempfile::tempdir().unwrap();
    let meminfo = directory.path().join("meminfo");
    fs::write(&meminfo, "MemTotal:         524288 kB\nMemFree: 1 kB\n").unwrap();
    let lxcfs = format!("mount --bind '{}' /proc/meminfo; ", meminfo.display());
    for options in ["", "--root /"] {
        let memory = &explain(&lxcfs, options).unwrap()["memory"];
        assert_eq!(memory["limit_bytes"], json!(512 << 20));
        assert_eq!(memory["source"], json!("/proc/meminfo"));
        assert_eq!(memory["GOMEMLIMIT"], json!("429496729"));
        assert_eq!(memory["reason"], json!("80% of the limit"));
    }
    // lxcfs has crashed: the file is there, and cannot be read.
    let found = explain("mount --bind /proc/$$/mem /proc/meminfo; ", "").unwrap();
    assert_eq!(found["memory"]["reason"], json!("the limit could not be read"));
    assert!(are_about(&json!(["/proc/meminfo"]), &found["warnings"]), "{}", found["warnings"]);
}

/// The differences from `expected.json`, or why there is nothing to compare.
fn mismatches(case: &Path) -> Result<Vec<String>, String> {
    let expected = fs::read(case.join("expected.json")).map_err(|it| format!("expected: {it}"))?;
    let expected = json(&expected)?;
    let mut mismatches: Vec<_> = REQUIRED
        .iter()
        .filter(|key| expected.pointer(key).is_none())
        .map(|key| format!("expected.json lacks {key}"))
        .collect();

    let output = Command::new(Init::under_test().path)
        .args([OsStr::new("--root"), case.as_os_str()])
        .arg("--explain=json")
        .env_clear()
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}", output.status, stderr.trim_end()));
    }
    let found = json(&output.stdout)?;
    for part in ["memory", "cpu"] {
        for (key, expected) in expected[part].as_object().into_iter().flatten() {
            let found = &found[part][key];
            if expected != found {
                mismatches.push(format!("{part}.{key} is {found}, expected {expected}"));
            }
        }
    }
    if !are_about(&expected["warnings"], &found["warnings"]) {
        let (found, expected) = (&found["warnings"], &expected["warnings"]);
        mismatches.push(format!("warnings are {found}, expected about {expected}"));
    }
    Ok(mismatches)
}

fn json(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text)
        .map_err(|error| format!("{error} in {:?}", String::from_utf8_lossy(text)))
}

/// Whether there is exactly one warning for each of these files, in this order.
fn are_about(files: &Value, warnings: &Value) -> bool {
    let (Some(files), Some(warnings)) = (files.as_array(), warnings.as_array()) else {
        return false;
    };
    let is_about = |(file, warning): (&Value, &Value)| {
        let (file, warning) = (file.as_str()?, warning.as_str()?);
        Some(warning.contains(file) && !warning.contains('\n'))
    };
    files.len() == warnings.len()
        && files.iter().zip(warnings).all(|pair| is_about(pair) == Some(true))
}
