//! The integration tests: one binary, so that they link once and share their support.
//!
//! `LOADLINE_ARTIFACT` names the file to test; without it that is the binary Cargo just built.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

// Starts processes as PID 1 and otherwise, and watches them.
mod support;

// Which module of src may use which, and where `unsafe` and kernel paths may stand.
mod architecture;

// What an init does: signals, zombies, terminals, exit codes.
mod init;

// Which limits are found in captured trees, and what is decided from them.
mod limits;

// The documents: their examples, options, variables and links.
mod docs;
