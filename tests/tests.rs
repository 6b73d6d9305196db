//! The integration tests. They are one binary, which links once and shares its support code.
//!
//! `LOADLINE_ARTIFACT` names the file to test. The default is the binary that Cargo has just built.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

// Starts processes, as PID 1 or as ordinary processes, and watches them.
mod support;

// Which module of src may use which, and where `unsafe` and kernel paths may stand.
mod architecture;

// The behaviour of an init: signals, zombies, terminals, exit codes.
mod init;

// The limits that are found in captured trees, and the values that follow from them.
mod limits;

// The documents: their examples, options, variables and links.
mod docs;
