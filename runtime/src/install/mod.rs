//! `install` and `uninstall`: add the runtime `loadline` to the configuration of container engines, and
//! remove it.
//!
//! An engine's module makes a plan: which text each file is to have. All plans are made before the first
//! file is written, so an error leaves all files as they were.

mod containerd;
mod crio;
mod docker;
mod files;
mod podman;
mod tables;
#[cfg(test)]
mod tests;

use files::Files;
use loadline::text::{Escaped, Quoted};
use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What the runtime is called in every engine.
const NAME: &str = "loadline";
/// The name by which our file stands for runc.
const PROGRAM: &str = "loadline-runc";
/// What files of our own begin with.
const HEADER: &str =
    "# Written by `loadline-runtime install`; `loadline-runtime uninstall` removes it.\n";

/// Where our file is copied to on a host.
const PLACE_ON_HOST: &str = "/usr/local/bin/loadline-runtime";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Add the runtime.
    Install,
    /// Remove it.
    Uninstall,
}

impl Command {
    const fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Uninstall => "uninstall",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Engine {
    Docker,
    Containerd,
    Podman,
    Crio,
}

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Containerd => "containerd",
            Self::Podman => "Podman",
            Self::Crio => "CRI-O",
        }
    }

    /// What makes the engine apply its new configuration.
    const fn next_step(self, command: Command) -> &'static str {
        match (self, command) {
            (Self::Docker, Command::Install) => "apply it with `systemctl reload docker`",
            // A reload keeps the runtimes and the default of before if the file mentions none.
            (Self::Docker, Command::Uninstall) => {
                "apply it with `systemctl restart docker`, which stops containers unless \
                 live-restore is on"
            }
            (Self::Containerd, _) => {
                "apply it with `systemctl restart containerd`; containers keep running"
            }
            // A reload does not look for the monitor of a new runtime.
            (Self::Crio, _) => "apply it with `systemctl restart crio`; containers keep running",
            (Self::Podman, _) => "it applies from the next command on",
        }
    }

    fn plan(self, command: Command, files: &Files, runtime: &Runtime) -> Result<Plan, String> {
        match self {
            Self::Docker => docker::plan(command, files, runtime),
            Self::Containerd => containerd::plan(command, files, runtime),
            Self::Podman => podman::plan(command, files, runtime),
            Self::Crio => crio::plan(command, files, runtime),
        }
    }
}

/// The runtime that is added.
#[derive(Clone, Debug)]
struct Runtime {
    /// Its file on the host.
    path: String,
    make_default: bool,
}

/// What is to be done for an engine.
#[derive(Debug)]
struct Plan {
    edits: Vec<Edit>,
    /// What the user has to know besides.
    notes: Vec<String>,
}

/// A file before and after.
#[derive(Debug)]
struct Edit {
    path: PathBuf,
    old: Option<String>,
    /// None if it is to be deleted.
    new: Option<String>,
    /// The lines to add, for somebody who edits by hand.
    lines: String,
}

/// Adds the runtime to engines, or removes it. Returns what to print.
///
/// # Errors
/// If an argument is invalid, or if a file cannot be read, understood or written: a line that says so.
pub fn run(command: Command, arguments: &[OsString], own_file: &Path) -> Result<String, String> {
    let options = Options::parse(command, arguments)?;
    let root = canonical(&options.root)?;
    let files = Files::new(root.clone());
    // In a container that sees the host's files in a directory, our file has to be copied there.
    let is_on_host = own_file.starts_with(&root);
    let path = if is_on_host { own_file } else { Path::new(PLACE_ON_HOST) };
    let path = path_on_host(&path.with_file_name(PROGRAM), &root)?;
    let runtime = Runtime { path, make_default: options.make_default };
    let mut plans = Vec::new();
    for engine in options.engines {
        plans.push((engine, engine.plan(command, &files, &runtime)?));
    }
    let mut output = String::new();
    if options.write && command == Command::Install {
        let mut own_on_host = own_file.to_owned();
        if !is_on_host {
            own_on_host = files.copy_program(own_file, Path::new(PLACE_ON_HOST))?;
            output += &format!("copied to {}\n", escaped(&own_on_host));
        }
        output += &link_program(&own_on_host, &own_on_host.with_file_name(PROGRAM))?;
    }
    for (engine, plan) in &plans {
        output += &if options.write {
            carry_out(plan, *engine, command, &files)?
        } else {
            describe(plan, *engine, command)
        };
    }
    if !options.write {
        output += "Nothing was changed: --write does it.\n";
    }
    Ok(output)
}

struct Options {
    engines: Vec<Engine>,
    make_default: bool,
    write: bool,
    root: PathBuf,
}

impl Options {
    fn parse(command: Command, arguments: &[OsString]) -> Result<Self, String> {
        let mut options =
            Self { engines: Vec::new(), make_default: false, write: false, root: "/".into() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_bytes() {
                b"--docker" => options.engines.push(Engine::Docker),
                b"--containerd" => options.engines.push(Engine::Containerd),
                b"--podman" => options.engines.push(Engine::Podman),
                b"--crio" => options.engines.push(Engine::Crio),
                b"--default" if command == Command::Install => options.make_default = true,
                b"--write" => options.write = true,
                b"--root" => {
                    let root = arguments.next().ok_or("--root requires a directory")?;
                    options.root = root.into();
                }
                other => match other.strip_prefix(b"--root=") {
                    Some(root) => options.root = OsStr::from_bytes(root).into(),
                    None => return Err(unknown(command, other)),
                },
            }
        }
        if options.engines.is_empty() {
            return Err(format!("no engine given; {}", usage(command)));
        }
        options.engines.sort();
        options.engines.dedup();
        Ok(options)
    }
}

fn unknown(command: Command, argument: &[u8]) -> String {
    let name = command.name();
    format!("{name}: unknown option {}; {}", Quoted(argument), usage(command))
}

fn usage(command: Command) -> String {
    let default = if command == Command::Install { " [--default]" } else { "" };
    format!(
        "usage: loadline-runtime {} (--docker | --containerd | --podman | --crio)...{default} \
         [--write] [--root DIR]",
        command.name()
    )
}

/// The path that a file has where the root directory is `root`.
fn path_on_host(file: &Path, root: &Path) -> Result<String, String> {
    let root = canonical(root)?;
    let path = Path::new("/").join(file.strip_prefix(&root).unwrap_or(file));
    let path = path.to_str().filter(|_| file.is_absolute());
    // Neither JSON nor TOML has other strings.
    Ok(path.ok_or_else(|| format!("not an absolute path in UTF-8: {}", quoted(file)))?.to_owned())
}

/// The root directory without symbolic links: the kernel tells our own path without them.
fn canonical(root: &Path) -> Result<PathBuf, String> {
    fs::canonicalize(root).map_err(|error| format!("--root {}: {error}", quoted(root)))
}

/// Makes the link by which our file stands for runc.
fn link_program(own_file: &Path, program: &Path) -> Result<String, String> {
    let Ok(existing) = fs::symlink_metadata(program) else {
        let name = own_file.file_name().unwrap_or_default();
        symlink(name, program)
            .map_err(|error| format!("cannot link {}: {error}", quoted(program)))?;
        return Ok(format!("linked {} to {}\n", escaped(program), escaped(name.as_ref())));
    };
    if existing.is_symlink() && fs::canonicalize(program).is_ok_and(|file| file == own_file) {
        return Ok(String::new());
    }
    match fs::metadata(program) {
        _ if program == own_file => Ok(String::new()),
        Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => {
            Ok(format!("left {} as it is: it is not a link to this file\n", escaped(program)))
        }
        _ => Err(format!("{} is in the way: it is not executable", quoted(program))),
    }
}

/// What would be done.
fn describe(plan: &Plan, engine: Engine, command: Command) -> String {
    let mut output = String::new();
    let engine_name = engine.name();
    for Edit { path, old, new, lines } in &plan.edits {
        let path = escaped(path);
        let _ = match (command, old, new) {
            _ if old == new => writeln!(output, "{engine_name}: {path} needs no change"),
            (Command::Install, None, _) => {
                writeln!(output, "{engine_name}: write to {path}:\n\n{lines}")
            }
            (Command::Install, ..) => {
                writeln!(output, "{engine_name}: merge into {path}:\n\n{lines}")
            }
            (Command::Uninstall, _, None) => writeln!(output, "{engine_name}: delete {path}"),
            (Command::Uninstall, ..) => {
                writeln!(output, "{engine_name}: remove the runtime {NAME} from {path}")
            }
        };
    }
    output + &closing_lines(plan, engine, command)
}

/// Does it, and tells what was done.
fn carry_out(
    plan: &Plan,
    engine: Engine,
    command: Command,
    files: &Files,
) -> Result<String, String> {
    let mut output = String::new();
    for Edit { path, old, new, .. } in &plan.edits {
        let done = match new {
            _ if old == new => "no change to",
            Some(text) => {
                files.write(path, text)?;
                "wrote"
            }
            None => {
                files.delete(path)?;
                "deleted"
            }
        };
        let _ = writeln!(output, "{}: {done} {}", engine.name(), escaped(path));
    }
    Ok(output + &closing_lines(plan, engine, command))
}

fn closing_lines(plan: &Plan, engine: Engine, command: Command) -> String {
    let name = engine.name();
    let mut output = String::new();
    for note in &plan.notes {
        let _ = writeln!(output, "{name}: note: {note}");
    }
    if plan.edits.iter().any(|edit| edit.old != edit.new) {
        let _ = writeln!(output, "{name}: {}", engine.next_step(command));
    } else if plan.edits.is_empty() {
        let _ = writeln!(output, "{name}: nothing to do");
    }
    output
}

/// Whether a path is the one of our runtime, wherever it was installed.
fn is_own_program(path: &str) -> bool {
    Path::new(path).file_name() == Some(OsStr::new(PROGRAM))
}

/// Takes the header off a file of our own, so that it stays at the beginning whatever is added.
fn split_header(text: &str) -> (&str, &str) {
    text.strip_prefix(HEADER).map_or(("", text), |body| (HEADER, body))
}

/// The error about a runtime of our name.
fn not_ours(program: Option<&str>) -> String {
    let program =
        program.map_or("another program".to_owned(), |it| Quoted(it.as_bytes()).to_string());
    format!("there is a runtime {NAME} already, which executes {program} and not {PROGRAM}")
}

/// What the user has to know if the engine's runc is one that we would not find.
fn runc_note(path: &str) -> Option<String> {
    let directories =
        ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let is_found = directories.iter().any(|it| Path::new(it).join("runc") == Path::new(path));
    (!is_found && path.contains('/')).then(|| {
        let path = Quoted(path.as_bytes());
        format!(
            "its runc is {path}, and {PROGRAM} looks for runc in PATH: to use that one, write \
             `runtime = {path}` to /etc/loadline/runtime.toml"
        )
    })
}

fn quoted(path: &Path) -> Quoted<'_> {
    Quoted(path.as_os_str().as_bytes())
}

fn escaped(path: &Path) -> Escaped<'_> {
    Escaped(path.as_os_str().as_bytes())
}
