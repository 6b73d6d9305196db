//! What the program's build information says.

use core::ffi::CStr;

/// What the program's build information says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoBinary<'a> {
    /// The version as the toolchain wrote it.
    pub version: &'a [u8],
    /// The release in it, if it can be told.
    pub release: Option<Release>,
    /// `DefaultGODEBUG`.
    pub debug_defaults: Option<&'a [u8]>,
    /// Whether it was built with cgo, if that is recorded.
    pub cgo: Option<bool>,
    /// The version of go.uber.org/automaxprocs.
    pub automaxprocs: Option<&'a [u8]>,
    /// The version of github.com/KimMachineGun/automemlimit.
    pub automemlimit: Option<&'a [u8]>,
}

/// A release of Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// 1
    pub major: u32,
    /// 25
    pub minor: u32,
    /// 3
    pub patch: u32,
}

/// Reads a file.
pub fn read<'a>(_path: &CStr, _buffer: &'a mut Vec<u8>) -> Option<GoBinary<'a>> {
    None
}
