//! Where the program may be, in the order in which exec is tried. Pure.

use crate::text::Fields;
use core::ffi::CStr;
use std::ffi::CString;

/// Where programs are where `PATH` is not set.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// The files that a name stands for: itself if it has a slash, else one in each directory of
/// `PATH`, an empty one of which is the working directory (exec(3), POSIX XBD 8.3).
#[must_use]
pub fn candidates(name: &CStr, path: Option<&[u8]>) -> Vec<CString> {
    let name = name.to_bytes();
    let is_path = name.contains(&b'/') || name.is_empty();
    let directories = if is_path { b"" } else { path.unwrap_or(DEFAULT_PATH) };
    let mut files = Vec::new();
    for directory in Fields::new(directories, b':') {
        let mut file = directory.to_vec();
        if !directory.is_empty() {
            file.push(b'/');
        }
        file.extend_from_slice(name);
        // Neither part holds a NUL, as both are parts of C strings.
        if let Ok(file) = CString::new(file) {
            files.push(file);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let found: Vec<_> = found.iter().map(|file| file.to_str().unwrap()).collect();
            assert_eq!(found, files, "{name:?} {path:?}");
        }
    }
}
