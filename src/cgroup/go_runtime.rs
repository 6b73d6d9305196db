//! Where the Go runtime looks for its CPU quota, by the rules of its own reader (internal/runtime/cgroup
//! of Go 1.25 to 1.27). Bytes in, a directory out.
//!
//! That reader gives up where this program goes on: at the first line that it cannot parse, whatever is
//! mounted there. Then the runtime uses all CPUs. It also takes the first mount that fits, even if
//! another one hides it.

use super::limits::{CgroupVersion, RuntimeError};
use super::locate::path_below;
use super::procfs::{CgroupPath, Hierarchy, MountLine, fields, unescape};
use crate::text::split_once;

/// How a release of the runtime chooses the mount of its cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountRule {
    /// Go 1.25 takes the first v1 mount of the controller, or else the last v2 mount, and ignores which
    /// part of the hierarchy it shows (golang/go#76390).
    AnyRoot,
    /// Go 1.26 and later take the first mount that shows the cgroup.
    MatchingRoot,
}

/// The length up to which the runtime reads a line (`ParseSize`).
const MAX_LINE: usize = 64 << 10;

/// The name of the controller.
const CPU: &[u8] = b"cpu";

/// The lines of a text. Only a line feed at the very end begins none.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// Finds the cgroup of the CPU controller in `/proc/self/cgroup` (`parseCPUCgroup`).
pub fn cpu_cgroup(list: &[u8]) -> Result<CgroupPath<'_>, RuntimeError> {
    let mut unified = None;
    for line in lines(list) {
        let Hierarchy { id, controllers, path } =
            Hierarchy::parse(line).ok_or(RuntimeError::Malformed)?;
        let cgroup = |version| CgroupPath { controller: CPU, version, path };
        if id == b"0" {
            unified = Some(cgroup(CgroupVersion::V2));
        } else if has_cpu(controllers) {
            return Ok(cgroup(CgroupVersion::V1));
        }
    }
    unified.ok_or(RuntimeError::NotFound)
}

fn has_cpu(controllers: &[u8]) -> bool {
    fields(controllers, b',').any(|name| name == CPU)
}

/// The search for the cgroup's directory in the list of mounts (`parseCPUMount`), line by line.
pub struct MountSearch<'a> {
    rule: MountRule,
    cgroup: CgroupPath<'a>,
    /// The directory below the last v2 mount so far, for [`MountRule::AnyRoot`].
    below_v2: Option<Vec<u8>>,
}

impl<'a> MountSearch<'a> {
    /// A search that has seen no line yet.
    pub const fn new(rule: MountRule, cgroup: CgroupPath<'a>) -> Self {
        Self { rule, cgroup, below_v2: None }
    }

    /// Looks at the next line. Returns the directory if the runtime reads no further.
    pub fn visit(&mut self, line: &[u8]) -> Result<Option<Vec<u8>>, RuntimeError> {
        let line = line.get(..MAX_LINE).unwrap_or(line);
        let mount = MountLine::parse(line).ok_or(RuntimeError::Malformed)?;
        let takes_any = self.rule == MountRule::AnyRoot;
        if !takes_any && !mount.root.starts_with(b"/") {
            return Err(RuntimeError::RootIsNoPath);
        }
        let Some(version) = mount.version() else {
            return Ok(None);
        };
        if !takes_any && version != self.cgroup.version {
            return Ok(None);
        }
        if version == CgroupVersion::V1 {
            let (_source, options) =
                split_once(mount.source_and_options, b' ').ok_or(RuntimeError::Malformed)?;
            if !has_cpu(options) {
                return Ok(None);
            }
        }
        // The runtime rejects escapes that the kernel does not print.
        let path = if takes_any {
            self.cgroup.path
        } else if let Some(path) = path_below(self.cgroup.path, &unescape(mount.root)) {
            path
        } else {
            return Ok(None);
        };
        let directory = [&unescape(mount.mount_point), path].concat();
        if takes_any && version == CgroupVersion::V2 {
            self.below_v2 = Some(directory);
            return Ok(None);
        }
        Ok(Some(directory))
    }

    /// The directory after all lines.
    pub fn finish(self) -> Result<Vec<u8>, RuntimeError> {
        self.below_v2.ok_or(RuntimeError::NotFound)
    }
}

#[cfg(test)]
mod tests;
