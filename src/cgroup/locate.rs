//! From the path of a cgroup and the list of mounts to directories: that of the process's own
//! cgroup, and those of all visible ancestors.

use super::procfs::{CgroupPath, Mount, mounts, unescape};

/// The directories of a cgroup and of its visible ancestors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupDirs {
    leaf: Vec<u8>,
    /// How many bytes of `leaf` are the mount point.
    mount_point_length: usize,
    /// Whether the cgroup is below no mount, so that the root of a mount stands in for it.
    pub is_guess: bool,
}

impl CgroupDirs {
    /// Only this directory, without ancestors.
    #[must_use]
    pub const fn only(leaf: Vec<u8>) -> Self {
        Self { mount_point_length: leaf.len(), leaf, is_guess: false }
    }

    /// Keeps only the mount root, as a guess.
    pub fn fall_back_to_mount_root(&mut self) {
        self.leaf.truncate(self.mount_point_length);
        self.is_guess = true;
    }

    /// Leaves out the cgroup itself, so that its parent is the first. Returns false at the mount root,
    /// which stays.
    pub fn leave_out_leaf(&mut self) -> bool {
        let parent = self.upwards().nth(1).map(<[u8]>::len);
        self.leaf.truncate(parent.unwrap_or(self.leaf.len()));
        parent.is_some()
    }

    /// The directory of the cgroup itself.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// Whether the cgroup itself is at the mount point.
    #[must_use]
    pub const fn is_mount_root(&self) -> bool {
        self.leaf.len() == self.mount_point_length
    }

    /// Whether one of these directories is that of an ancestor.
    #[must_use]
    pub const fn is_ancestor(&self, directory: &[u8]) -> bool {
        directory.len() < self.leaf.len()
    }

    /// All directories, from the cgroup itself up to the mount point.
    pub fn upwards(&self) -> impl Iterator<Item = &[u8]> {
        core::iter::successors(Some(self.leaf()), |directory| {
            let slash = directory.iter().rposition(|byte| *byte == b'/')?;
            directory.get(..slash).filter(|parent| self.mount_point_length <= parent.len())
        })
    }
}

/// Finds the directories of a cgroup by `mountinfo`, which lists the oldest mount first.
///
/// Of the mounts that show the cgroup it takes the one whose root is nearest to it. There may be
/// none, as in a container that sees the path of its cgroup on the host, but a mount that was made
/// in its own cgroup namespace. Then the root of the first mount of the controller is the cgroup or
/// an ancestor of it. Without a mount of the controller there is nothing to read.
#[must_use]
pub fn find(cgroup: &CgroupPath<'_>, mountinfo: &[u8]) -> Option<CgroupDirs> {
    let mut nearest: Option<(usize, Option<&[u8]>, Mount<'_>)> = None;
    let mut later_mounts = mounts(mountinfo);
    while let Some(mount) = later_mounts.next() {
        if !mount.serves(cgroup) {
            continue;
        }
        let path = path_below(cgroup.path, &unescape(mount.root));
        let distance = path.map_or(usize::MAX, <[u8]>::len);
        // A later mount at the same mount point hides this one.
        if nearest.is_none_or(|(least, ..)| distance < least)
            && !later_mounts.clone().any(|later| later.mount_point == mount.mount_point)
        {
            nearest = Some((distance, path, mount));
        }
    }
    let (_, path, Mount { mount_point, .. }) = nearest?;
    let mut leaf = unescape(mount_point);
    leaf.truncate(trim_slashes(&leaf).len());
    let mount_point_length = leaf.len();
    leaf.extend_from_slice(path.unwrap_or_default());
    Some(CgroupDirs { leaf, mount_point_length, is_guess: path.is_none() })
}

/// The path from a mount's root down to a cgroup below it.
///
/// A process outside of its own cgroup namespace is shown at a path such as `/../x`
/// (cgroup_namespaces(7)). If the paths of the cgroup and of the root both begin with `..`, both
/// mean the same ancestor. More `..` after that would lead out of the mount, and the names of the
/// directories there are unknown.
pub fn path_below<'a>(cgroup: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    let path = trim_slashes(cgroup).strip_prefix(trim_slashes(root))?;
    let is_whole_component = path.is_empty() || path.starts_with(b"/");
    (is_whole_component && !has_dot_dot(path)).then_some(path)
}

fn has_dot_dot(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|component| component == b"..")
}

/// A path without the slashes at its end; nothing is left of `/`.
fn trim_slashes(mut path: &[u8]) -> &[u8] {
    while let [rest @ .., b'/'] = path {
        path = rest;
    }
    path
}

#[cfg(test)]
mod tests;
