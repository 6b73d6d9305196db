use super::*;
use nix::unistd::mkfifo;
use std::fs::{Permissions, create_dir_all, set_permissions, write};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::{TempDir, tempdir};

/// A root filesystem, in a directory beside which there is a secret of the host.
fn root() -> (TempDir, std::path::PathBuf) {
    let host = tempdir().unwrap();
    let root = host.path().join("rootfs");
    for directory in ["bin", "app", "data", "etc"] {
        create_dir_all(root.join(directory)).unwrap();
    }
    write(host.path().join("secret"), "secret").unwrap();
    set_permissions(host.path().join("secret"), Permissions::from_mode(0o755)).unwrap();
    (host, root)
}

fn program(root: &Path, path: &str, content: &str) {
    write(root.join(path), content).unwrap();
    set_permissions(root.join(path), Permissions::from_mode(0o755)).unwrap();
}

fn mounts(destinations: &[&str]) -> Vec<Mount> {
    let mount = |it: &&str| Mount { destination: (*it).to_owned(), file_system: None };
    destinations.iter().map(mount).collect()
}

/// The path and the content of what is found.
fn found(root: &Path, name: &CStr, mounts: &[Mount]) -> Option<(String, String)> {
    let mut program = find(root, mounts, name, Some(b"/sbin:/bin"), "/app")?;
    let mut content = String::new();
    program.file.read_to_string(&mut content).unwrap();
    Some((String::from_utf8(program.path).unwrap(), content))
}

#[test]
fn the_program_is_found_as_in_the_container() {
    let (_host, root) = root();
    program(&root, "bin/a", "A");
    program(&root, "app/b", "B");
    for (name, path, content) in [
        (c"/bin/a", "/bin/a", "A"),
        (c"a", "/bin/a", "A"),
        (c"./b", "/app/./b", "B"),
        (c"../bin/a", "/app/../bin/a", "A"),
    ] {
        assert_eq!(found(&root, name, &[]), Some((path.to_owned(), content.to_owned())));
    }
    for name in [c"b", c"none", c"/bin", c"", c"/etc/none/x"] {
        assert_eq!(found(&root, name, &[]), None, "{name:?}");
    }
    write(root.join("bin/text"), "not executable").unwrap();
    assert_eq!(found(&root, c"text", &[]), None);
    assert_eq!(found(&root.join("none"), c"a", &[]), None);
}

#[test]
fn names_that_no_file_can_have_are_not_searched_for() {
    let (_host, root) = root();
    program(&root, "bin/a", "A");
    let found = |name: &str, path: &str| {
        let name = std::ffi::CString::new(name).unwrap();
        find(&root, &[], &name, Some(path.as_bytes()), "/").is_some()
    };
    let long = ":".repeat(MAX_SEARCH_PATH - 4);
    assert!(found("a", &format!("{long}/bin")));
    assert!(!found("a", &format!("{long}:/bin")));
    assert!(!found(&"x".repeat(256), &long));
}

#[test]
fn links_stay_in_the_root() {
    let (host, root) = root();
    program(&root, "secret", "inside");
    let outside = host.path().join("secret");
    for (link, target) in [
        ("bin/up", "../../../../../../../secret"),
        ("bin/absolute", "/secret"),
        ("bin/chain", "/bin/up"),
    ] {
        symlink(target, root.join(link)).unwrap();
        let name = format!("/{link}\0");
        let name = CStr::from_bytes_with_nul(name.as_bytes()).unwrap();
        assert_eq!(found(&root, name, &[]).unwrap().1, "inside", "{link}");
    }
    symlink(&outside, root.join("bin/host")).unwrap();
    symlink("loop", root.join("bin/loop")).unwrap();
    symlink("/proc/self/exe", root.join("bin/exe")).unwrap();
    for name in [c"/bin/host", c"/bin/loop", c"/bin/exe", c"/../secret/../../secret"] {
        assert!(found(&root, name, &[]).is_none_or(|(_, content)| content == "inside"));
    }
    assert_eq!(found(&root, c"/bin/host", &[]), None);
}

#[test]
fn what_is_no_regular_file_is_never_opened() {
    let (_host, root) = root();
    // Nobody writes: to open it would wait for ever, or end without data.
    mkfifo(&root.join("bin/fifo"), Mode::from_bits_truncate(0o777)).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(root.join("bin/socket")).unwrap();
    for name in [c"fifo", c"socket", c"/app"] {
        assert_eq!(found(&root, name, &[]), None, "{name:?}");
    }
    drop(listener);
}

#[test]
fn a_program_that_a_mount_hides_is_unknown() {
    let (_host, root) = root();
    program(&root, "data/a", "A");
    program(&root, "bin/b", "B");
    symlink("/data/a", root.join("bin/a")).unwrap();
    symlink("data", root.join("link")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
    for (name, destinations, is_found) in [
        (c"/data/a", &["/proc", "/dev"][..], true),
        (c"/data/a", &["/data"], false),
        (c"/data/a", &["/data/"], false),
        (c"/data/a", &["/data/a"], false),
        (c"/data/a", &["/data/a/"], false),
        (c"/bin/a", &["/data"], false),
        (c"/bin/b", &["/data", "/bi"], true),
        (c"/bin/b", &["/"], false),
        (c"b", &["/sbin"], false),
        (c"b", &["/usr/sbin"], true),
        (c"/data/a", &["/link"], false),
        (c"/data/a", &["/link/a"], false),
        (c"/data/a", &["/bin/../data", "/bin"], false),
        (c"/link/a", &["/link"], false),
        (c"/bin/b", &["/link", "/dangling", "/new/place", "relative"], true),
    ] {
        let found = found(&root, name, &mounts(destinations));
        assert_eq!(found.is_some(), is_found, "{name:?} {destinations:?}");
    }
}
