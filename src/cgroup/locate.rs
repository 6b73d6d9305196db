//! From a membership and the mounts to the directories: the process's own cgroup, and all of its
//! ancestors that can be seen.

use super::proc::{Membership, Mount, mounts, unescaped};
use crate::text::Fields;

/// The directories of a cgroup and its visible ancestors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    leaf: Vec<u8>,
    /// How much of the leaf's path is the mount point.
    mount_point: usize,
    /// The process's own cgroup was not found below a mount: this stands in for it.
    pub guessed: bool,
    /// The mount shows only a part of the hierarchy.
    pub partial: bool,
}

impl Directories {
    /// Leaves the root of the mount alone, as a guess.
    pub fn cut_to_top(&mut self) {
        self.leaf.truncate(self.mount_point);
        self.guessed = true;
    }

    /// The directory of the cgroup itself.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// The directory above one of them, up to the mount point.
    #[must_use]
    pub fn above<'a>(&self, directory: &'a [u8]) -> Option<&'a [u8]> {
        let slash = directory.iter().rposition(|byte| *byte == b'/')?;
        directory.get(..slash).filter(|above| self.mount_point <= above.len())
    }
}

/// Finds the directories of a process's cgroup among all mounts in `mountinfo`, oldest first: below
/// the mount that shows the cgroup from nearest by. If there is none, as in a container that sees
/// its path on the host but a mount made for its own namespace, the root of a mount of the
/// controller is its cgroup or an ancestor of it. Without a mount of the controller there is nothing
/// to read.
#[must_use]
pub fn directories(cgroup: &Membership<'_>, mountinfo: &[u8]) -> Option<Directories> {
    let mut best: Option<(usize, Option<&[u8]>, Mount<'_>)> = None;
    let mut later = mounts(mountinfo);
    while let Some(mount) = later.next() {
        if !mount.holds(cgroup) {
            continue;
        }
        let rest = below(cgroup.path, &unescaped(mount.root));
        let distance = rest.map_or(usize::MAX, <[u8]>::len);
        if best.is_none_or(|(least, ..)| distance < least)
            && !later.clone().any(|over| over.point == mount.point)
        {
            best = Some((distance, rest, mount));
        }
    }
    let (_, rest, Mount { root, point, .. }) = best?;
    let mut leaf = unescaped(point);
    leaf.truncate(trimmed(&leaf).len());
    let mount_point = leaf.len();
    leaf.extend_from_slice(rest.unwrap_or_default());
    let (guessed, partial) = (rest.is_none(), rest.is_some() && root != b"/");
    Some(Directories { leaf, mount_point, guessed, partial })
}

/// The way from a mount's root down to a cgroup in it. A process moved out of its cgroup namespace
/// is shown at `/../x` (cgroup_namespaces(7)); the name that `..` climbs from is not known, so it
/// cannot be taken back. Where both begin with `..` these are the same ancestor; further ones would
/// lead out of the mount.
fn below<'a>(cgroup: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    let rest = trimmed(cgroup).strip_prefix(trimmed(root))?;
    let is_whole = rest.is_empty() || rest.starts_with(b"/");
    (is_whole && !climbs(rest)).then_some(rest)
}

fn climbs(path: &[u8]) -> bool {
    Fields::new(path, b'/').any(|component| component == b"..")
}

/// A path without slashes at its end, which the root's is all of.
fn trimmed(mut path: &[u8]) -> &[u8] {
    while let [directory @ .., b'/'] = path {
        path = directory;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Version;
    use proptest::prelude::*;

    fn all(directories: &Directories) -> Vec<&[u8]> {
        std::iter::successors(Some(directories.leaf()), |it| directories.above(it)).collect()
    }

    fn text(bytes: &[u8]) -> &str {
        core::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_walk_ends_at_the_mount_point() {
        for (mount_point, cgroup, expected) in [
            (
                "/sys/fs/cgroup",
                "/a/b",
                &["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"][..],
            ),
            ("/sys/fs/cgroup/", "/a/", &["/sys/fs/cgroup/a", "/sys/fs/cgroup"]),
            ("/sys/fs/cgroup", "/", &["/sys/fs/cgroup"]),
            ("/", "/a", &["/a", ""]),
        ] {
            let mountinfo = format!("1 2 0:3 / {mount_point} rw - cgroup2 cgroup2 rw\n");
            let (version, path) = (Version::V2, cgroup.as_bytes());
            let membership = Membership { controller: b"memory", version, path };
            let directories = directories(&membership, mountinfo.as_bytes()).unwrap();
            let found: Vec<_> = all(&directories).into_iter().map(text).collect();
            assert_eq!(found, expected, "{cgroup} at {mount_point}");
        }
    }

    #[test]
    fn a_cgroup_is_below_the_mount_whose_root_leads_to_it() {
        /// A guess is marked by a question mark.
        fn found(membership: &str, mountinfo: &str) -> Option<String> {
            let path = membership.as_bytes();
            let cgroup = Membership { controller: b"memory", version: Version::V1, path };
            let found = directories(&cgroup, mountinfo.as_bytes())?;
            Some(format!("{}{}", text(found.leaf()), if found.guessed { "?" } else { "" }))
        }
        for (membership, roots_and_points, expected) in [
            // the host, or a namespace with a mount of its own: </> at </sys/fs/cgroup/memory>
            ("/", &["/ /m"][..], Some("/m")),
            ("/a/b", &["/ /m"], Some("/m/a/b")),
            // Docker without a namespace: </docker/65fa> at </m>
            ("/docker/65fa", &["/docker/65fa /m"], Some("/m")),
            ("/docker/65fa/init", &["/docker/65fa /m"], Some("/m/init")),
            // component by component: </docker/65> is no part of </docker/65fa>
            ("/docker/65fa", &["/docker/65 /m"], Some("/m?")),
            // a path of the host under a mount made for the namespace, or the other way round
            ("/", &["/docker/65fa /m"], Some("/m?")),
            ("/kubepods/x", &["/docker/65fa /m"], Some("/m?")),
            // a mount made outside: our own cgroup is in it, but its name is not known
            ("/", &["/.. /m"], Some("/m?")),
            ("/x", &["/.. /m"], Some("/m?")),
            ("/../x", &["/.. /m"], Some("/m/x")),
            ("/../../x", &["/.. /m"], Some("/m?")),
            ("/../x", &["/../.. /m"], Some("/m?")),
            // outside of the mount
            ("/../x", &["/ /m"], Some("/m?")),
            ("/a/../x", &["/ /m"], Some("/m?")),
            ("/a/../x", &["/a /m"], Some("/m?")),
            // the nearest of several; of equals the first
            ("/a/b/c", &["/ /m", "/a/b /n", "/a /o"], Some("/n/c")),
            ("/a/b", &["/a /m", "/a /n"], Some("/m/b")),
            ("/a/b", &["/x /m", "/ /n"], Some("/n/a/b")),
            ("/q", &["/x /m", "/y /n"], Some("/m?")),
            // the last mounted at a point hides the others
            ("/a/b", &["/a /m", "/ /m"], Some("/m/a/b")),
            ("/a/b", &["/a /m", "/x /m", "/ /n"], Some("/n/a/b")),
            ("/a/b", &["/a /m", "/x /m"], Some("/m?")),
            ("/q", &["/x /m", "/y /m"], Some("/m?")),
            // octal escapes
            ("/a b", &["/ /m\\040m"], Some("/m m/a b")),
            ("/a b/c", &["/a\\040b /m"], Some("/m/c")),
            ("/a", &[], None),
        ] {
            let mountinfo: String = roots_and_points
                .iter()
                .map(|mount| format!("1 2 0:3 {mount} rw - cgroup cgroup rw,memory\n"))
                .collect();
            let found = found(membership, &mountinfo);
            assert_eq!(found.as_deref(), expected, "{membership} in {roots_and_points:?}");
        }

        // Mounts of others are none of ours, but they hide what they cover.
        let ours = "1 2 0:3 / /m rw - cgroup cgroup rw,memory\n";
        let cpu = "1 2 0:4 / /m rw - cgroup cgroup rw,cpu\n";
        let v2 = "1 2 0:5 / /m rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found("/a", cpu), None);
        assert_eq!(found("/a", v2), None);
        assert_eq!(found("/a", &[cpu, v2, ours].concat()).as_deref(), Some("/m/a"));
        assert_eq!(found("/a", &[ours, v2].concat()), None);
    }

    proptest! {
        #[test]
        fn no_directory_is_outside_of_the_mount(
            membership in "(/(a|b|\\.\\.|\\.)){0,4}",
            root in "(/(a|b|\\.\\.)){0,3}",
        ) {
            let root = if root.is_empty() { "/" } else { &root };
            let mountinfo = format!("1 2 0:3 {root} /m rw - cgroup2 cgroup2 rw\n");
            let path = membership.as_bytes();
            let cgroup = Membership { controller: b"memory", version: Version::V2, path };
            let found = directories(&cgroup, mountinfo.as_bytes()).unwrap();
            let walk = all(&found);
            prop_assert_eq!(walk.last(), Some(&&b"/m"[..]));
            for directory in walk {
                let rest = directory.strip_prefix(b"/m").unwrap();
                prop_assert!(!climbs(rest));
                prop_assert!(!found.guessed || rest.is_empty());
            }
            if !found.guessed {
                let rest = found.leaf().strip_prefix(b"/m").unwrap();
                prop_assert_eq!(root.trim_end_matches('/').to_owned() + text(rest), membership);
            }
        }
    }
}
