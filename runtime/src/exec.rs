//! Finds the runtime, and becomes it.

use crate::command_line::Call;
use crate::settings::Settings;
use loadline::text::Quoted;
use nix::sys::stat::{FileStat, stat};
use nix::unistd::{AccessFlags, access, execv};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Where runtimes are if `PATH` does not say it. Engines may be started with a short one.
const DIRECTORIES: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Executes the runtime in place of this process. Returns only if that fails: why.
pub fn become_runtime(call: &Call, settings: &Settings) -> String {
    let file = match runtime(call, settings) {
        Ok(file) => file,
        Err(error) => return error,
    };
    let Ok(file) = CString::new(file.into_os_string().into_vec()) else {
        return "the name of the runtime contains a NUL".to_owned();
    };
    let mut arguments = vec![file.clone()];
    arguments.extend(call.arguments.iter().cloned());
    let Err(cause) = execv(&file, &arguments);
    format!("cannot execute the runtime {}: {}", Quoted(file.as_bytes()), cause.desc())
}

/// The file of the runtime that a call is for.
fn runtime(call: &Call, settings: &Settings) -> Result<PathBuf, String> {
    let given = call.given_runtime.or(settings.runtime.as_deref());
    let name = given.unwrap_or(OsStr::new(&call.named_runtime));
    match find(name) {
        // It would execute itself again and again.
        Some(file) if call.given_runtime.is_none() && is_own(&file) => {
            Err(format!("the runtime {} is loadline-runtime itself", Quoted(name.as_bytes())))
        }
        Some(file) => Ok(file),
        None => Err(format!("cannot find the runtime {}", Quoted(name.as_bytes()))),
    }
}

/// The file of a runtime: the name itself if it contains a slash, or else the first executable file in
/// `PATH` that is not our own. The working directory is never searched: as for Go's `exec.LookPath`.
fn find(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_in(name, &path)
}

fn find_in(name: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name));
    }
    let directories = std::env::split_paths(path).chain(std::env::split_paths(DIRECTORIES));
    let mut files = directories.map(|directory| directory.join(name));
    files.find(|file| {
        file.is_absolute()
            && file.is_file()
            && access(file, AccessFlags::X_OK).is_ok()
            && !is_own(file)
    })
}

/// Whether a file is the one that this process executes.
fn is_own(file: &Path) -> bool {
    let own = std::env::current_exe().ok().and_then(|own| identity(&own));
    own.is_some() && identity(file) == own
}

/// What tells a file from all others.
fn identity(file: &Path) -> Option<(u64, u64)> {
    let FileStat { st_dev, st_ino, .. } = stat(file).ok()?;
    Some((st_dev, st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_name_with_a_slash_is_the_file_and_another_is_searched_for() {
        assert_eq!(find(OsStr::new("/opt/none")), Some("/opt/none".into()));
        assert!(find(OsStr::new("sh")).unwrap().ends_with("sh"));
        assert_eq!(find(OsStr::new("no-such-runtime")), None);
    }

    #[test]
    fn what_cannot_be_executed_and_the_working_directory_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("sh")).unwrap();
        // Where /bin is from the working directory.
        let relative = format!("{}bin", "../".repeat(64));
        assert!(Path::new(&relative).join("sh").exists());
        for search_path in [directory.path().as_os_str(), OsStr::new(&relative), OsStr::new("")] {
            let found = find_in(OsStr::new("sh"), search_path).unwrap();
            assert!(found.is_absolute() && found.is_file(), "{found:?}");
        }
    }

    #[test]
    fn our_own_file_is_not_the_runtime() {
        let own = std::env::current_exe().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("loadline-link");
        symlink(&own, &link).unwrap();
        assert!(is_own(&link) && !is_own(Path::new("/bin/sh")));
        assert_eq!(find_in(OsStr::new("loadline-link"), directory.path().as_os_str()), None);
        let settings = Settings { runtime: Some(link.into()), ..Settings::default() };
        let call = Call {
            given_runtime: None,
            named_runtime: String::new(),
            arguments: Vec::new(),
            create: None,
        };
        assert!(runtime(&call, &settings).unwrap_err().ends_with("is loadline-runtime itself"));
    }
}
