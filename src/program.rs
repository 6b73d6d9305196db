//! Where the program may be, in the order in which exec is tried. Pure.

use crate::text::{Fields, Out, Put, put};
use core::ffi::CStr;

/// Where programs are where `PATH` is not set.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// The files that a name stands for, as C strings: itself if it has a slash, else one in each
/// directory of `PATH`, an empty one of which is the working directory (exec(3), POSIX XBD 8.3).
#[must_use]
pub fn candidates(name: &CStr, path: Option<&[u8]>) -> Vec<u8> {
    let mut files = Out::default();
    let is_name = !name.is_empty() && name.to_bytes().iter().all(|byte| *byte != b'/');
    let directories = if is_name { path.unwrap_or(DEFAULT_PATH) } else { b"" };
    for directory in Fields::new(directories, b':') {
        files.bytes(directory);
        if !directory.is_empty() {
            put!(&mut files, "/");
        }
        files.bytes(name.to_bytes_with_nul());
    }
    files.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Strings;

    #[test]
    fn a_name_without_a_slash_is_looked_for_in_every_directory() {
        for (name, path, files) in [
            (c"ls", Some("/bin:/usr/bin"), &["/bin/ls", "/usr/bin/ls"][..]),
            (c"ls", Some(":/bin:"), &["ls", "/bin/ls", "ls"]),
            (c"ls", Some(""), &["ls"]),
            (c"ls", None, &["/usr/local/bin/ls", "/usr/bin/ls", "/bin/ls"]),
            (c"./ls", Some("/bin"), &["./ls"]),
            (c"/x/ls", Some("/bin"), &["/x/ls"]),
            (c"", Some("/bin"), &[""]),
        ] {
            let found = candidates(name, path.map(str::as_bytes));
            let found: Vec<_> = Strings(&found).map(|file| file.to_str().unwrap()).collect();
            assert_eq!(found, files, "{name:?} {path:?}");
        }
    }
}
