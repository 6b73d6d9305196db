//! A want of memory before the kernel kills: how much is used by what cannot be taken away. Pure.

use super::Circumstances;
use crate::text::{Out, Put, put};
use crate::units::Bytes;

/// A want of memory.
pub(super) struct Shortage<'a> {
    /// The bytes that are there to stay.
    pub lasting: u64,
    /// All else.
    pub circumstances: Circumstances<'a>,
}

impl Shortage<'_> {
    /// Whether it is one: from nine tenths of the limit on.
    pub(super) fn is_one(&self) -> bool {
        self.circumstances.limit.is_some_and(|(limit, _)| self.lasting >= limit - limit / 10)
    }
}

impl Put for Shortage<'_> {
    fn put(&self, out: &mut Out<'_>) {
        put!(out, "memory runs out, and the kernel may kill all of the container: ");
        put!(out, Bytes(self.lasting), " cannot be taken back, ", self.circumstances);
    }
}
