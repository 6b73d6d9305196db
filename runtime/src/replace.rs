//! Replaces a file as a whole: a reader sees the old content or the new.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// Whether a file has to survive a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk before it takes the place of the old one (fsync(2)), which takes milliseconds.
    Synced,
    /// It is made anew after a crash.
    Temporary,
}

/// Writes a temporary file beside the file, and renames it. Mode and owner stay, or the file gets this mode
/// if it is new. If that fails, the file is as it was.
pub fn replace(
    file: &Path,
    content: &[u8],
    new_mode: u32,
    durability: Durability,
) -> io::Result<()> {
    // Engines read files called *.toml and *.conf, which this is not. CRI-O reads every file, but it would
    // have to start in the instant before the renaming.
    let mut name = OsString::from(".");
    name.push(file.file_name().ok_or(ErrorKind::InvalidInput)?);
    name.push(format!(".{}", std::process::id()));
    let temporary = file.with_file_name(name);
    let write = || {
        let mut new =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        new.write_all(content)?;
        take_over(&new, file, new_mode)?;
        if durability == Durability::Synced {
            new.sync_all()?;
        }
        fs::rename(&temporary, file)
    };
    write().inspect_err(|_| {
        // What is reported is why it cannot be written.
        let _ = fs::remove_file(&temporary);
    })
}

/// Gives a new file the mode and the owner of the old one.
fn take_over(new: &File, old: &Path, new_mode: u32) -> io::Result<()> {
    let mode = match fs::metadata(old) {
        Ok(old) => {
            let own = new.metadata()?;
            if (old.uid(), old.gid()) != (own.uid(), own.gid()) {
                fchown(new, Some(old.uid()), Some(old.gid()))?;
            }
            old.mode() & 0o7777
        }
        Err(error) if error.kind() == ErrorKind::NotFound => new_mode,
        Err(error) => return Err(error),
    };
    new.set_permissions(fs::Permissions::from_mode(mode))
}
