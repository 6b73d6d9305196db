//! What the Go toolchain recorded in a program about its build: the Go version and the GODEBUG
//! defaults. Also which values the Go runtime accepts.
//!
//! The program is an untrusted file: only a bounded part of it is read, and whatever does not look
//! like Go's build information counts as "not a Go program", which is not an error.

mod buildinfo;
mod elf;
pub mod values;

use crate::sys;
use crate::units::parse_integer;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use values::{CONTAINERMAXPROCS, GodebugSetting, UPDATEMAXPROCS};

/// The build information of a Go program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoBinary<'a> {
    /// The version as the toolchain wrote it: `go1.25.3`, or `devel go1.27-abc Mon ...`.
    pub version: &'a [u8],
    /// The release in `version`. None if the version does not name one.
    pub release: Option<Release>,
    /// `DefaultGODEBUG`: the settings that differ from the toolchain's defaults. Empty if the
    /// program has none, None if it has no module information.
    pub default_godebug: Option<&'a [u8]>,
    /// Whether the program was built with cgo. None if that is not recorded.
    pub cgo: Option<bool>,
}

impl GoBinary<'_> {
    /// What the build decides about the program's Go runtime.
    #[must_use]
    pub fn runtime(&self) -> GoRuntime {
        let default = |name| GodebugSetting::find(self.default_godebug, name, self.release).is_on;
        GoRuntime {
            release: self.release,
            containermaxprocs: default(CONTAINERMAXPROCS),
            updatemaxprocs: default(UPDATEMAXPROCS),
        }
    }
}

/// What the build of a program decides about its Go runtime. It outlives what was read of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoRuntime {
    /// The release, as in [`GoBinary`].
    pub release: Option<Release>,
    /// The default of [`CONTAINERMAXPROCS`]. None if it is that of the toolchain.
    pub containermaxprocs: Option<bool>,
    /// The default of [`UPDATEMAXPROCS`]. None if it is that of the toolchain.
    pub updatemaxprocs: Option<bool>,
}

/// A release of Go. Release candidates and development versions count as the
/// release that they precede.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// 1 in every release of Go so far.
    pub major: u16,
    /// The number with which the behaviour of the Go runtime changes.
    pub minor: u16,
    /// 0 if the version has no third number.
    pub patch: u16,
}

impl Release {
    /// Parses the numbers at the beginning of a version, such as `1.25rc1`, and ignores what
    /// follows them. A missing number is 0.
    #[must_use]
    pub fn parse(version: &[u8]) -> Self {
        let mut release = Self { major: 0, minor: 0, patch: 0 };
        let mut rest = version;
        for number in [&mut release.major, &mut release.minor, &mut release.patch] {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let Some((digits, suffix)) = rest.split_at_checked(digits) else { break };
            let Some(value) = parse_integer(digits).and_then(|value| value.try_into().ok()) else {
                break;
            };
            *number = value;
            let Some(next) = suffix.strip_prefix(b".") else { break };
            rest = next;
        }
        release
    }
}

/// Where the bytes of a program come from: an open file, or a slice in the tests.
trait Source {
    /// Appends up to `length` bytes at `offset` to the buffer, fewer at the end of the file.
    fn append(&self, offset: u64, length: usize, buffer: &mut Vec<u8>);
}

impl Source for BorrowedFd<'_> {
    fn append(&self, offset: u64, length: usize, buffer: &mut Vec<u8>) {
        sys::append_at(*self, offset, length, buffer);
    }
}

/// How much is read at first. As much as the kernel reads to find the interpreter of a script
/// (`BINPRM_BUF_SIZE`), and more than an ELF header.
const HEAD: usize = 256;

/// Reads the build information of a program, or of its interpreter if the program is a script. The
/// result borrows from `buffer`, whose content is replaced. None if the file is not recognised as
/// a Go program.
// Not inlined: it keeps the frame of the caller small.
#[inline(never)]
pub fn read<'a>(program: BorrowedFd<'_>, buffer: &'a mut Vec<u8>) -> Option<GoBinary<'a>> {
    let mut storage = [0; HEAD];
    let head = sys::read_prefix(program, &mut storage);
    let Some(path) = interpreter(head) else {
        return parse_program(head, &program, buffer);
    };
    let file = sys::open(&CString::new(path.to_vec()).ok()?).ok()?;
    let head = sys::read_prefix(file.as_fd(), &mut storage);
    parse_program(head, &file.as_fd(), buffer)
}

/// Reads the build information of a program that others control. The interpreter of a script is not looked
/// at: it would be opened here, and may be a device.
pub fn read_elf<'a>(program: BorrowedFd<'_>, buffer: &'a mut Vec<u8>) -> Option<GoBinary<'a>> {
    parse_program(sys::read_prefix(program, &mut [0; HEAD]), &program, buffer)
}

/// The path of the interpreter if the file is a script (execve(2), `load_script` in the kernel).
fn interpreter(head: &[u8]) -> Option<&[u8]> {
    let line = head.strip_prefix(b"#!")?;
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    line.get(blanks..)?.split(|byte| matches!(byte, b' ' | b'\t' | b'\n' | 0)).next()
}

/// Finds and parses the build information of a file that begins with `head`.
fn parse_program<'a>(
    head: &[u8],
    source: &impl Source,
    buffer: &'a mut Vec<u8>,
) -> Option<GoBinary<'a>> {
    let (version, modules) = elf::build_info(head, source, buffer)?;
    buildinfo::parse(version, modules)
}

#[cfg(test)]
mod tests;
