//! Where the program may be, in the order in which exec is tried. Pure.

use core::ffi::CStr;
use std::ffi::CString;

/// The directories that are searched if `PATH` is not set.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// The files that a program's name stands for: the name itself if it contains a slash, or a file in
/// each directory of `PATH`. An empty directory is the working directory (exec(3), POSIX XBD 8.3). A name
/// that no file can have stands for itself: as one in each directory it could fill the memory.
#[must_use]
pub fn candidates(name: &CStr, path: Option<&[u8]>) -> Vec<CString> {
    /// The longest name of a file (limits.h).
    const NAME_MAX: usize = 255;
    let name_bytes = name.to_bytes();
    if name_bytes.is_empty() || name_bytes.len() > NAME_MAX || name_bytes.contains(&b'/') {
        return vec![name.to_owned()];
    }
    let mut candidates = Vec::new();
    for directory in path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':') {
        let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        // No file contains a NUL byte: a `PATH` with one can never come from the environment.
        if let Ok(file) = CString::new([directory, separator, name_bytes].concat()) {
            candidates.push(file);
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_slash_is_searched_for_in_every_directory() {
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

    #[test]
    fn a_name_that_no_file_can_have_is_not_searched_for() {
        let name = |length| CString::new(vec![b'x'; length]).unwrap();
        assert_eq!(candidates(&name(255), Some(b"/a:/b")).len(), 2);
        assert_eq!(candidates(&name(256), Some(b"/a:/b")), [name(256)]);
    }
}
