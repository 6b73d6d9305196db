//! The build information in the file of a program.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loadline::golang;
use std::cell::RefCell;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

thread_local! {
    static PROGRAM: RefCell<(File, Vec<u8>)> =
        RefCell::new((tempfile::tempfile().unwrap(), Vec::new()));
}

fuzz_target!(|bytes: &[u8]| {
    // A script names an interpreter, and that is a file of this machine.
    if bytes.starts_with(b"#!") {
        return;
    }
    PROGRAM.with_borrow_mut(|(file, buffer)| {
        file.set_len(0).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        if let Some(program) = golang::read(file.as_fd(), buffer) {
            assert!(program.version.len() <= bytes.len());
        }
    });
});
