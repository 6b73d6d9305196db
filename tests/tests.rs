//! The integration tests.

// Limits in captured trees.
mod limits;
