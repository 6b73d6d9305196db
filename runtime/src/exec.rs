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
    let given = call.given_runtime.or(settings.runtime.as_deref());
    let name = given.unwrap_or(OsStr::new(&call.named_runtime));
    let Some(file) = find(name) else {
        return format!("cannot find the runtime {}", Quoted(name.as_bytes()));
    };
    let Ok(file) = CString::new(file.into_os_string().into_vec()) else {
        return "the name of the runtime contains a NUL".to_owned();
    };
    let mut arguments = vec![file.clone()];
    arguments.extend(call.arguments.iter().cloned());
    let Err(cause) = execv(&file, &arguments);
    format!("cannot execute the runtime {}: {}", Quoted(file.as_bytes()), cause.desc())
}

/// The file of a runtime: the name itself if it contains a slash, or else the first executable file in
/// `PATH` that is not our own.
fn find(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name));
    }
    let own = std::env::current_exe().ok().and_then(|file| identity(&file));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(std::env::split_paths(DIRECTORIES));
    let mut files = directories.map(|directory| directory.join(name));
    files.find(|file| access(file, AccessFlags::X_OK).is_ok() && identity(file) != own)
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
    fn our_own_file_is_not_the_runtime() {
        let own = std::env::current_exe().unwrap();
        let directory = tempfile::tempdir().unwrap();
        symlink(&own, directory.path().join("link")).unwrap();
        assert_eq!(identity(&own), identity(&directory.path().join("link")));
        assert_ne!(identity(&own), identity(Path::new("/bin/sh")));
    }
}
