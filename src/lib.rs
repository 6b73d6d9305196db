//! trimmed
#![deny(unsafe_code)]
pub mod sys;
pub mod text;
pub mod units;
pub mod signal;
pub mod exit;
pub mod options;
pub mod error;
pub mod stderr;
