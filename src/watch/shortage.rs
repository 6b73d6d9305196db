//! A want of memory before the kernel kills: how much is used by what cannot be taken away. Pure.

use super::Circumstances;
use crate::text::{Out, Put, put};
use crate::units::Bytes;

/// A want of memory.
pub(super) struct Shortage<'a> {
    /// The bytes that are there to stay: of processes, of the kernel, and of tmpfs.
    pub parts: [u64; 3],
    /// All else.
    pub circumstances: Circumstances<'a>,
}

impl Shortage<'_> {
    fn sum(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    /// Whether it is one under this limit: from nine tenths of it on.
    pub(super) fn is_one(&self, limit: u64) -> bool {
        self.sum() >= limit - limit / 10
    }
}

impl Put for Shortage<'_> {
    fn put(&self, out: &mut Out<'_>) {
        put!(out, "memory runs out, and the kernel may kill all of the container: ");
        put!(out, Bytes(self.sum()), " are there to stay");
        for (name, part) in [" (anonymous ", ", slab ", ", tmpfs "].into_iter().zip(self.parts) {
            put!(out, name, Bytes(part));
        }
        put!(out, "), ", self.circumstances);
    }
}
