//! The command line and the environment: strings separated by NUL, of which those after an empty
//! one are the environment.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loadline::cli;
use std::ffi::CStr;

fuzz_target!(|bytes: &[u8]| {
    let mut text = bytes.to_vec();
    text.push(0);
    let text: *mut [u8] = Box::into_raw(text.into_boxed_slice());
    // SAFETY: this is the only reference until the box is taken back below, and what is made of it
    // is gone by then.
    let strings: &'static [u8] = unsafe { &*text };
    parse(strings);
    // SAFETY: the pointer is that of the box above, and nothing refers to it any more.
    drop(unsafe { Box::from_raw(text) });
});

fn parse(strings: &'static [u8]) {
    let strings: Vec<&'static CStr> = strings
        .split_inclusive(|byte| *byte == 0)
        .map(|string| CStr::from_bytes_with_nul(string).unwrap())
        .collect();
    let mut halves = strings.splitn(2, |string| string.is_empty());
    let arguments = halves.next().unwrap_or_default();
    let environment = halves.next().unwrap_or_default();
    let request = cli::parse(arguments, environment);
    assert!(request.program.len() <= arguments.len());
    for warning in &request.warnings {
        check_line(&warning.to_string());
    }
    if let Err(error) = request.action {
        check_line(&error.to_string());
    }
}

fn check_line(message: &str) {
    assert!(!message.chars().any(char::is_control), "{message:?}");
}
