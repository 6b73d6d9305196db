//! CRI-O: a file of our own in `/etc/crio/crio.conf.d`.
//!
//! CRI-O reads that directory after `crio.conf`, in the order of the names, and a later runtime of the
//! same name replaces an earlier one. Nothing is needed for annotations: a container gets all those of its
//! pod, but for a few that CRI-O itself understands. Any other name in `allowed_annotations` is an error.

use super::files::{Files, error_in};
use super::{Command, Edit, HEADER, NAME, Plan, Runtime, runc_note, split_header, tables};
use std::path::Path;
use toml_edit::{DocumentMut, Item, Table};

const MAIN: &str = "/etc/crio/crio.conf";
const DIRECTORY: &str = "/etc/crio/crio.conf.d";
const FILE: &str = "/etc/crio/crio.conf.d/10-loadline.conf";

const RUNTIMES: [&str; 3] = ["crio", "runtime", "runtimes"];
const RUNTIME: [&str; 2] = ["crio", "runtime"];
const DEFAULT: &str = "default_runtime";
const PATH: &str = "runtime_path";
const ROOT: &str = "runtime_root";

/// What would make CRI-O execute another program.
const OTHER_PROGRAMS: [&str; 3] = [PATH, "platform_runtime_paths", "inherit_default_runtime"];

pub fn plan(command: Command, files: &Files, runtime: &Runtime) -> Result<Plan, String> {
    let mut documents = files.read_all([Path::new(FILE)])?;
    if command == Command::Install {
        documents.extend(files.read_all([Path::new(MAIN)])?);
        // CRI-O reads every file of the directory, whatever its name.
        documents.extend(files.read_directory(Path::new(DIRECTORY), |_| true)?);
    }
    let mut others = Vec::new();
    for document in &documents {
        tables::check(document, &RUNTIMES, program)?;
        if document.path != Path::new(FILE) {
            others.push(tables::parse_file(document)?);
        }
    }
    let old = files.read(Path::new(FILE))?;
    let (model, runc) = model(&others);
    let in_file = |error: String| error_in(Path::new(FILE), &error);
    let (header, body) = old.as_deref().map_or((HEADER, ""), split_header);
    let new = match command {
        Command::Install => Some(install(body, &model, runtime).map_err(in_file)?),
        Command::Uninstall => uninstall(body).map_err(in_file)?,
    };
    let new = new.map(|body| format!("{header}{body}"));
    let lines = install("", &model, runtime)?;
    let notes = runc.and_then(runc_note).into_iter().collect();
    Ok(Plan { edits: vec![Edit { path: FILE.into(), old, new, lines }], notes })
}

/// The text of our file with the runtime added, which is like `model` in all that is not said here.
pub fn install(text: &str, model: &Table, runtime: &Runtime) -> Result<String, String> {
    tables::edit(text, |document| {
        if runtime.make_default {
            tables::set(tables::make(&mut **document, &RUNTIME)?, DEFAULT, NAME);
        }
        let runtimes = tables::make(&mut **document, &RUNTIMES)?;
        if !runtimes.contains_key(NAME) {
            runtimes.insert(NAME, Item::Table(Table::new()));
        }
        let entry = tables::make(runtimes, &[NAME])?;
        tables::set(entry, PATH, &runtime.path);
        tables::copy_missing(model, entry);
        Ok(())
    })
}

/// The text of our file without the runtime, if anything is left.
pub fn uninstall(text: &str) -> Result<Option<String>, String> {
    let text = tables::edit(text, |document| {
        tables::remove(&mut **document, &RUNTIMES, NAME);
        tables::remove_name(&mut **document, &RUNTIME, DEFAULT);
        Ok(())
    })?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// What our runtime has in common with the one that it executes, and the program of that. CRI-O's packages
/// have a monitor of their own (`monitor_path`), which no runtime works without, and which determines
/// `runtime_type`. They say it for runc and for crun, which is the default since CRI-O 1.31.
fn model(others: &[DocumentMut]) -> (Table, Option<&str>) {
    let last = |path: &[&str], key| {
        others.iter().rev().find_map(|other| tables::get(other.as_table(), path, key))
    };
    let find = |name| last(&RUNTIMES, name).and_then(Item::as_table_like);
    let mut model = Table::new();
    let runc = find("runc");
    let default = last(&RUNTIME, DEFAULT).and_then(Item::as_str).and_then(find);
    if let Some(other) = runc.or(default) {
        tables::copy_missing(other, &mut model);
    }
    for key in OTHER_PROGRAMS {
        model.remove(key);
    }
    if runc.is_none() {
        model.remove(ROOT);
    }
    for (key, value) in [("runtime_type", "oci"), (ROOT, "/run/runc")] {
        if !model.contains_key(key) {
            tables::set(&mut model, key, value);
        }
    }
    (model, runc.and_then(|runc| runc.get(PATH)).and_then(Item::as_str))
}

fn program(runtime: &Item) -> Option<&str> {
    runtime.as_table_like()?.get(PATH)?.as_str()
}
