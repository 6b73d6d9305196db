use super::*;
use crate::cgroup::limits::CgroupVersion;
use proptest::prelude::*;
use std::path::{Component, Path};

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_directories_end_at_the_mount_point() {
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
        let (version, path) = (CgroupVersion::V2, cgroup.as_bytes());
        let cgroup_path = CgroupPath { controller: b"memory", version, path };
        let directories = find(&cgroup_path, mountinfo.as_bytes()).unwrap();
        let found: Vec<_> = directories.upwards().map(text).collect();
        assert_eq!(found, expected, "{cgroup} at {mount_point}");
    }
}

#[test]
fn a_cgroup_is_below_the_mount_whose_root_is_nearest_to_it() {
    /// The directory of the cgroup, with a question mark if it is a guess.
    fn found(path: &str, mountinfo: &str) -> Option<String> {
        let path = path.as_bytes();
        let cgroup = CgroupPath { controller: b"memory", version: CgroupVersion::V1, path };
        let found = find(&cgroup, mountinfo.as_bytes())?;
        Some(format!("{}{}", text(found.leaf()), if found.is_guess { "?" } else { "" }))
    }
    for (cgroup_path, roots_and_points, expected) in [
        // the host, or a namespace with its own mount: </> at </sys/fs/cgroup/memory>
        ("/", &["/ /m"][..], Some("/m")),
        ("/a/b", &["/ /m"], Some("/m/a/b")),
        // Docker without a namespace: </docker/65fa> at </m>
        ("/docker/65fa", &["/docker/65fa /m"], Some("/m")),
        ("/docker/65fa/init", &["/docker/65fa /m"], Some("/m/init")),
        // whole components: </docker/65> is not an ancestor of </docker/65fa>
        ("/docker/65fa", &["/docker/65 /m"], Some("/m?")),
        // the path on the host with a mount made in the namespace, or the other way round
        ("/", &["/docker/65fa /m"], Some("/m?")),
        ("/kubepods/x", &["/docker/65fa /m"], Some("/m?")),
        // a mount made outside of the namespace shows our cgroup, under an unknown name
        ("/", &["/.. /m"], Some("/m?")),
        ("/x", &["/.. /m"], Some("/m?")),
        ("/../x", &["/.. /m"], Some("/m/x")),
        ("/../../x", &["/.. /m"], Some("/m?")),
        ("/../x", &["/../.. /m"], Some("/m?")),
        // outside of the mount
        ("/../x", &["/ /m"], Some("/m?")),
        ("/a/../x", &["/ /m"], Some("/m?")),
        ("/a/../x", &["/a /m"], Some("/m?")),
        // the nearest of several, and the first of two that are equally near
        ("/a/b/c", &["/ /m", "/a/b /n", "/a /o"], Some("/n/c")),
        ("/a/b", &["/a /m", "/a /n"], Some("/m/b")),
        ("/a/b", &["/x /m", "/ /n"], Some("/n/a/b")),
        ("/q", &["/x /m", "/y /n"], Some("/m?")),
        // the last mount at a mount point hides the others
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
        let found = found(cgroup_path, &mountinfo);
        assert_eq!(found.as_deref(), expected, "{cgroup_path} in {roots_and_points:?}");
    }

    // Mounts of other controllers do not count, but they hide what is below them.
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
    fn every_directory_is_inside_the_mount(
        cgroup_path in "(/(a|b|\\.\\.|\\.)){0,4}",
        root in "(/(a|b|\\.\\.)){0,3}",
    ) {
        let root = if root.is_empty() { "/" } else { &root };
        let mountinfo = format!("1 2 0:3 {root} /m rw - cgroup2 cgroup2 rw\n");
        let path = cgroup_path.as_bytes();
        let cgroup = CgroupPath { controller: b"memory", version: CgroupVersion::V2, path };
        let found = find(&cgroup, mountinfo.as_bytes()).unwrap();
        let walk: Vec<_> = found.upwards().collect();
        prop_assert_eq!(walk.last(), Some(&&b"/m"[..]));
        for directory in walk {
            let rest = directory.strip_prefix(b"/m").unwrap();
            prop_assert!(!has_dot_dot(rest));
            prop_assert!(!found.is_guess || rest.is_empty());
        }
        if !found.is_guess {
            let rest = found.leaf().strip_prefix(b"/m").unwrap();
            prop_assert_eq!(root.trim_end_matches('/').to_owned() + text(rest), cgroup_path);
        }
    }
}

/// Every text of up to `length` bytes that are slashes, dots and letters.
fn paths(length: u32) -> Vec<String> {
    let text = |length, number: usize| {
        (0..length).map(move |place| ['/', '.', 'a'][number / 3usize.pow(place) % 3]).collect()
    };
    (0..=length)
        .flat_map(|length| (0..3usize.pow(length)).map(move |it| text(length, it)))
        .collect()
}

#[test]
fn no_path_leads_out_of_a_mount() {
    let paths = paths(5);
    for cgroup in &paths {
        for root in &paths {
            let below = path_below(cgroup.as_bytes(), root.as_bytes());
            let Some(below) = below.map(|below| str::from_utf8(below).unwrap()) else {
                // std's answer is the same, but it takes `a//b` and `a/./b` for `a/b`.
                let is_plain = |path: &str| !path.contains("//") && !path.contains("/.");
                let is_below = Path::new(cgroup).strip_prefix(root).is_ok();
                assert!(!is_below || !is_plain(cgroup) || !is_plain(root) || root.is_empty());
                continue;
            };
            assert!(Path::new(below).components().all(|it| it != Component::ParentDir), "{below}");
            assert!(below.is_empty() || below.starts_with('/'), "{cgroup} {root}");
            let joined = format!("{}{below}", root.trim_end_matches('/'));
            assert_eq!(joined, cgroup.trim_end_matches('/'));
        }
    }
}
