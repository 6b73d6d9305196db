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
    let mut program =
        GoBinary { version, release: release(version), default_godebug: None, cgo: None };
    if let Some(lines) = module_lines(modules) {
        let default_godebug = find_field(lines, b"build\tDefaultGODEBUG=").unwrap_or_default();
        program.default_godebug = Some(unquote(default_godebug));
        program.cgo = find_field(lines, b"build\tCGO_ENABLED=").map(|value| value == b"1");
    }
    Some(program)
}

/// The lines between the sentinels. A program that was built without modules has none.
fn module_lines(modules: &[u8]) -> Option<&[u8]> {
    let end = modules.len().checked_sub(SENTINEL)?;
    modules.get(SENTINEL..end).filter(|lines| lines.ends_with(b"\n"))
}

/// The field that follows `prefix` in the line that begins with it.
fn find_field<'a>(mut lines: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    while let Some((line, rest)) = split_once(lines, b'\n') {
        if let Some(fields) = line.strip_prefix(prefix) {
            return Some(split_once(fields, b'\t').map_or(fields, |(first, _)| first));
        }
        lines = rest;
    }
    None
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
