//! Copies our own file into a directory (`--install`), for an init container from scratch, which has
//! no `cp`.

use crate::cgroup::sysroot::SELF_EXE;
use crate::error::Error;
use crate::stderr::Stderr;
use crate::sys;
use crate::text::Quoted;
use core::fmt::{self, Display, Formatter};
use std::ffi::CString;

/// Installs our own file as `loadline` in a directory. A file that is there already is replaced as a
/// whole, or stays as it is: the copy has another name until it is complete.
///
/// # Errors
/// If the file cannot be read, or the copy cannot be written.
pub fn install(directory: &'static [u8], stderr: &mut Stderr) -> Result<(), Error<'static>> {
    let path = [directory, b"/loadline"].concat();
    // A name of its own: another container may be installing into the same volume, as process 1 too.
    let nanoseconds = sys::since_epoch().unwrap_or_default().subsec_nanos();
    let suffix = format!(".{}.{nanoseconds}", sys::process_id());
    let copy = [&path[..], suffix.as_bytes()].concat();
    // The directory is an argument, so it contains no NUL.
    let [target, copy] = [path.clone(), copy].map(|path| CString::new(path).unwrap_or_default());
    match sys::copy_program(SELF_EXE, &copy, &target) {
        Ok(length) => {
            stderr.write_line(&Installed { path: &path, length });
            Ok(())
        }
        Err(cause) => Err(Error::Install { path: path.leak(), cause }),
    }
}

struct Installed<'a> {
    path: &'a [u8],
    length: usize,
}

impl Display for Installed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "installed {} ({} bytes)", Quoted(self.path), self.length)
    }
}
