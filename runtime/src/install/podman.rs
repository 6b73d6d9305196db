//! Podman: a file of our own in `/etc/containers/containers.conf.d`.
//!
//! Podman merges the tables of all its files, and reads that directory after `containers.conf` (since
//! containers/common 0.40). So no file of the user's has to be edited, and Podman 6, which reads only one
//! of the main files, still reads ours.

use super::files::{Files, error_in};
use super::{Command, Edit, HEADER, NAME, Plan, Runtime, split_header, tables};
use std::path::Path;
use toml_edit::{Array, Item};

const MAIN: &str = "/etc/containers/containers.conf";
const DIRECTORY: &str = "/etc/containers/containers.conf.d";
const FILE: &str = "/etc/containers/containers.conf.d/loadline.conf";

const RUNTIMES: [&str; 2] = ["engine", "runtimes"];
const ENGINE: [&str; 1] = ["engine"];
const DEFAULT: &str = "runtime";

pub fn plan(command: Command, files: &Files, runtime: &Runtime) -> Result<Plan, String> {
    let mut documents = files.read_all([Path::new(FILE)])?;
    if command == Command::Install {
        documents.extend(files.read_all([Path::new(MAIN)])?);
        let directory = Path::new(DIRECTORY);
        documents.extend(files.read_directory(directory, |name| name.ends_with(b".conf"))?);
    }
    for document in &documents {
        tables::check(document, &RUNTIMES, program)?;
    }
    let old = files.read(Path::new(FILE))?;
    let in_file = |error: String| error_in(Path::new(FILE), &error);
    let (header, body) = old.as_deref().map_or((HEADER, ""), split_header);
    let new = match command {
        Command::Install => Some(install(body, runtime).map_err(in_file)?),
        Command::Uninstall => uninstall(body).map_err(in_file)?,
    };
    let new = new.map(|body| format!("{header}{body}"));
    let lines = install("", runtime)?;
    Ok(Plan { edits: vec![Edit { path: FILE.into(), old, new, lines }], notes: Vec::new() })
}

/// The text of our file with the runtime added.
pub fn install(text: &str, runtime: &Runtime) -> Result<String, String> {
    tables::edit(text, |document| {
        if runtime.make_default {
            tables::set(tables::make(&mut **document, &ENGINE)?, DEFAULT, NAME);
        }
        let paths = Array::from_iter([&*runtime.path]);
        tables::set(tables::make(&mut **document, &RUNTIMES)?, NAME, paths);
        Ok(())
    })
}

/// The text of our file without the runtime, if anything is left.
pub fn uninstall(text: &str) -> Result<Option<String>, String> {
    let text = tables::edit(text, |document| {
        tables::remove(&mut **document, &RUNTIMES, NAME);
        tables::remove_name(&mut **document, &ENGINE, DEFAULT);
        Ok(())
    })?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The program of a runtime. Podman takes the first path that exists.
fn program(runtime: &Item) -> Option<&str> {
    runtime.as_array()?.get(0)?.as_str()
}
