//! Limits that are found in captured trees: `fixtures/<case>/{proc,sys}`. Each case has an
//! `expected.json` for the output of `--explain=json`.

use super::support::Init;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
