//! Parses the two strings of Go's build information: the version of Go and the modules. Go's own
//! readers are `debug/buildinfo`, and `ParseBuildInfo` in `runtime/debug`.

use super::{GoBinary, Release};
use crate::text::split_once;

/// The length of the random bytes before and after the module information (`modinfo` in cmd/go).
const SENTINEL: usize = 16;

/// Parses the version and the module information. None if there is no version: every Go program
/// has one.
pub fn parse<'a>(version: &'a [u8], modules: &'a [u8]) -> Option<GoBinary<'a>> {
    if version.is_empty() {
        return None;
    }
    let mut program = GoBinary {
        version,
        release: release(version),
        default_godebug: None,
        cgo: None,
        automaxprocs: None,
        automemlimit: None,
    };
    let Some(lines) = module_lines(modules) else {
        return Some(program);
    };
    program.default_godebug = Some(b"");
    let mut lines = lines.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let mut fields = fields(line);
        match (fields.next(), fields.next()) {
            (Some(b"dep"), Some(b"go.uber.org/automaxprocs")) => {
                program.automaxprocs = module_version(line, lines.peek());
            }
            (Some(b"dep"), Some(b"github.com/KimMachineGun/automemlimit")) => {
                program.automemlimit = module_version(line, lines.peek());
            }
            (Some(b"build"), Some(setting)) => match split_once(setting, b'=') {
                Some((b"DefaultGODEBUG", value)) => program.default_godebug = Some(unquote(value)),
                Some((b"CGO_ENABLED", value)) => program.cgo = Some(value == b"1"),
                _ => {}
            },
            _ => {}
        }
    }
    Some(program)
}

/// The lines between the sentinels. A program that was built without modules has none.
fn module_lines(modules: &[u8]) -> Option<&[u8]> {
    let end = modules.len().checked_sub(SENTINEL)?;
    modules.get(SENTINEL..end).filter(|lines| lines.ends_with(b"\n"))
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b'\t')
}

/// The version in `dep <tab> path <tab> version <tab> sum`. If the module is replaced, the next
/// line is `=> <tab> path <tab> version <tab> sum`, and the version in that one counts.
fn module_version<'a>(dep: &'a [u8], next: Option<&&'a [u8]>) -> Option<&'a [u8]> {
    let replacement = next.filter(|line| line.starts_with(b"=>\t"));
    fields(replacement.unwrap_or(&dep)).nth(2)
}

/// Removes the quotes that cmd/go puts around a value with blanks or quotes in it. No GODEBUG
/// setting has any, so escapes inside are left as they are.
fn unquote(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

/// The release in `go1.25.3`, `go1.25rc1`, `devel go1.27-abc Mon ...`, `go1.25 X:experiment`, or
/// in a version to which a vendor added a suffix.
fn release(version: &[u8]) -> Option<Release> {
    let version = version.strip_prefix(b"devel ").unwrap_or(version);
    Some(Release::parse(version.strip_prefix(b"go")?)).filter(|release| release.minor > 0)
}
