//! What Go's toolchain wrote into a program about how it was built: its version, the defaults of
//! GODEBUG, and the libraries in it that set limits of their own.
//!
//! The program is somebody else's file, so whatever is in it, little of it is read and nothing of
//! it is trusted: what does not look like Go's is not recognised, and that is no error.

mod buildinfo;
mod elf;

use crate::sys::{File, c_str};
use crate::units::integer;
use core::ops::Range;

/// What the program's build information says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoBinary<'a> {
    /// The version as the toolchain wrote it, such as `go1.25.3` or `devel go1.27-abc Mon ...`.
    pub version: &'a [u8],
    /// The release in it, if it can be told.
    pub release: Option<Release>,
    /// `DefaultGODEBUG`, the settings that differ from the toolchain's defaults: empty if none
    /// are recorded, none if there is no module information.
    pub debug_defaults: Option<&'a [u8]>,
    /// Whether it was built with cgo, if that is recorded.
    pub cgo: Option<bool>,
    /// The version of go.uber.org/automaxprocs in it, if it is among the recorded dependencies.
    pub automaxprocs: Option<&'a [u8]>,
    /// The version of github.com/KimMachineGun/automemlimit in it, likewise.
    pub automemlimit: Option<&'a [u8]>,
}

/// A release of Go or of a module; candidates and development versions count as the release that
/// they lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// The first number, of Go always 1 so far.
    pub major: u16,
    /// The second, with which the runtime's behaviour changes.
    pub minor: u16,
    /// The third, 0 where there is none.
    pub patch: u16,
}

impl Release {
    /// Whether another one is later. Not inlined: it is asked in many places.
    #[must_use]
    #[inline(never)]
    pub fn is_before(self, other: Self) -> bool {
        self < other
    }

    /// The numbers that a version begins with, whatever is behind them; 0 for those that are not
    /// there.
    #[must_use]
    pub fn parse(version: &[u8]) -> Self {
        let mut numbers = [0u16; 3];
        let mut rest = Some(version);
        for number in &mut numbers {
            let Some(text) = rest else { break };
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let Some((digits, behind)) = text.split_at_checked(digits) else { break };
            let Some(value) = integer(digits).and_then(|it| it.try_into().ok()) else { break };
            *number = value;
            rest = behind.strip_prefix(b".");
        }
        let [major, minor, patch] = numbers;
        Self { major, minor, patch }
    }
}

/// Where bytes are read from: a file, or what a test puts in its place.
trait Source {
    /// Appends up to `length` bytes from a place in it; fewer where it ends.
    fn append(&self, offset: u64, length: usize, buffer: &mut Vec<u8>);
}

impl Source for File {
    fn append(&self, offset: u64, length: usize, buffer: &mut Vec<u8>) {
        Self::append(self, offset, length, buffer);
    }
}

/// How much of a file's beginning is read at first: what the kernel looks at as well, to find the
/// interpreter of a script (BINPRM_BUF_SIZE), and more than an ELF header.
const HEAD: usize = 256;

/// Reads a program, or if it is a script its interpreter; `buffer` is replaced. None: this is not
/// recognised as Go.
// Its own frame keeps that of its caller small: half a kilobyte of code less.
#[inline(never)]
pub fn read<'a>(program: &File, buffer: &'a mut Vec<u8>) -> Option<GoBinary<'a>> {
    read_head(program, buffer);
    if let Some(name) = interpreter(buffer) {
        buffer.truncate(name.end);
        buffer.push(0);
        let program = File::open(c_str(buffer.get(name.start..)?)?)?;
        read_head(&program, buffer);
        return describe(&program, buffer);
    }
    describe(program, buffer)
}

fn read_head(file: &File, buffer: &mut Vec<u8>) {
    buffer.clear();
    file.append(0, HEAD, buffer);
}

/// Where the head of a script names its interpreter (execve(2)).
fn interpreter(head: &[u8]) -> Option<Range<usize>> {
    if !head.starts_with(b"#!") {
        return None;
    }
    let mut start = 2usize;
    while let Some(b' ' | b'\t') = head.get(start) {
        start = start.saturating_add(1);
    }
    let mut end = start;
    while !matches!(head.get(end), None | Some(b' ' | b'\t' | b'\n')) {
        end = end.saturating_add(1);
    }
    Some(start..end)
}

/// Finds and reads the build information of a program of which the head has been read.
fn describe<'a, S: Source>(source: &S, buffer: &'a mut Vec<u8>) -> Option<GoBinary<'a>> {
    let [version, modules] = elf::build_info(source, buffer)?;
    buildinfo::parse(buffer.get(version)?, buffer.get(modules)?)
}

#[cfg(test)]
mod tests;
