//! The two strings of which build information consists: bytes in, values out. Go's own reader is
//! `debug/buildinfo`, and for the modules `ParseBuildInfo` in `runtime/debug`.

use super::{GoBinary, Release};
use crate::text::Fields;

/// The length of the random bytes on either side of the module information, by which tools find
/// it without knowing the file's format.
const SENTINEL: usize = 16;

/// Reads the version and the module information. A program always has the first.
pub fn parse<'a>(version: &'a [u8], modules: &'a [u8]) -> Option<GoBinary<'a>> {
    if version.is_empty() {
        return None;
    }
    let mut cgo = None;
    let mut program = GoBinary {
        version,
        release: release(version),
        debug_defaults: None,
        cgo: None,
        automaxprocs: None,
        automemlimit: None,
    };
    if let Some(lines) = unframed(modules) {
        program.debug_defaults = Some(b"");
        // What the lines that matter begin with, up to the value. They are
        // `dep <tab> path <tab> version <tab> sum` and `build <tab> key=value`.
        let mut values: [(&[u8], _); _] = [
            (b"build\tDefaultGODEBUG=", &mut program.debug_defaults),
            (b"build\tCGO_ENABLED=", &mut cgo),
            (b"dep\tgo.uber.org/automaxprocs\t", &mut program.automaxprocs),
            (b"dep\tgithub.com/KimMachineGun/automemlimit\t", &mut program.automemlimit),
        ];
        let mut previous: &[u8] = b"";
        for line in Fields::new(lines, b'\n') {
            // What the module in the line before is replaced by: path, version, sum.
            let replacement = line.strip_prefix(b"=>\t".as_slice());
            for (beginning, value) in &mut values {
                if let Some(module) = replacement {
                    if previous.starts_with(beginning) {
                        **value = Fields::new(module, b'\t').nth(1);
                    }
                } else if let Some(rest) = line.strip_prefix(*beginning) {
                    **value = Fields::new(rest, b'\t').next();
                }
            }
            previous = line;
        }
    }
    program.debug_defaults = program.debug_defaults.map(unquoted);
    program.cgo = cgo.map(|value| value == b"1");
    Some(program)
}

/// The lines between the sentinels. Without modules there is nothing or something else.
fn unframed(modules: &[u8]) -> Option<&[u8]> {
    let end = modules.len().checked_sub(SENTINEL)?;
    modules.get(SENTINEL..end).filter(|lines| lines.ends_with(b"\n"))
}

/// A value without the quotes that it has where there are blanks or quotes in it, which no setting
/// known to Go has. What is escaped stays so.
fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

/// The release in `go1.25.3`, `go1.25rc1`, `devel go1.27-abc Mon ...`, `go1.25 X:experiment`, or
/// with whatever else a vendor put behind it.
fn release(version: &[u8]) -> Option<Release> {
    let version = version.strip_prefix(b"devel ".as_slice()).unwrap_or(version);
    Some(Release::parse(version.strip_prefix(b"go")?)).filter(|release| release.minor > 0)
}
