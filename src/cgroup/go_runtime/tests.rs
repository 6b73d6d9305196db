use super::*;
use MountRule::{AnyRoot, MatchingRoot};
use RuntimeError::{Malformed, NotFound, RootIsNoPath};
use proptest::prelude::*;

const V2: CgroupPath<'_> =
    CgroupPath { controller: CPU, version: CgroupVersion::V2, path: b"/a/b" };
const V1: CgroupPath<'_> = CgroupPath { version: CgroupVersion::V1, ..V2 };

/// Finds the cgroup's directory in a list of mounts.
fn directory(
    rule: MountRule,
    cgroup: CgroupPath<'_>,
    mountinfo: &[u8],
) -> Result<Vec<u8>, RuntimeError> {
    let mut search = MountSearch::new(rule, cgroup);
    for line in lines(mountinfo) {
        if let Some(directory) = search.visit(line)? {
            return Ok(directory);
        }
    }
    search.finish()
}

/// What Go 1.25 and Go 1.26 find.
fn search(cgroup: CgroupPath<'_>, mountinfo: &[u8]) -> [Result<Vec<u8>, RuntimeError>; 2] {
    [AnyRoot, MatchingRoot].map(|rule| directory(rule, cgroup, mountinfo))
}

#[track_caller]
fn assert_found(
    cgroup: CgroupPath<'_>,
    mountinfo: &str,
    expected: [Result<&str, RuntimeError>; 2],
) {
    let found = search(cgroup, mountinfo.as_bytes());
    let expected = expected.map(|it| it.map(|directory| directory.as_bytes().to_vec()));
    assert_eq!(found, expected, "{mountinfo}");
}

#[test]
fn the_directory_is_the_mount_point_and_the_path_below_the_root() {
    let found = |directory| [Ok(directory), Ok(directory)];
    let v2 = "23 1 0:2 / / rw - overlay overlay rw\n\
              30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
    assert_found(V2, v2, found("/sys/fs/cgroup/a/b"));
    let root = CgroupPath { path: b"/", ..V2 };
    // The two slashes of Go 1.25 and the one of Go 1.26 lead to the same directory.
    assert_found(root, v2, [Ok("/sys/fs/cgroup/"), Ok("/sys/fs/cgroup")]);
    let v1 = "40 23 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
              41 23 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
              42 23 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    assert_found(V1, v1, found("/sys/fs/cgroup/cpu,cpuacct/a/b"));
    assert_found(V1, "41 23 0:31 / /\\040m\\134 rw - cgroup \\040 cpu\n", found("/ m\\/a/b"));
    // Without an options field, a source or a line feed.
    assert_found(V1, "41 23 0:31 / /m rw - cgroup  cpu", found("/m/a/b"));
    assert_found(V2, "30 23 0:26 / /m rw - cgroup2 ", found("/m/a/b"));
}

#[test]
fn go_1_25_ignores_the_root_and_go_1_26_takes_the_first_mount_that_shows_the_cgroup() {
    let part = |root| format!("30 23 0:26 {root} /m rw - cgroup cgroup rw,cpu\n");
    for (root, directory) in [
        ("/", Ok("/m/a/b")),
        ("/a", Ok("/m/b")),
        ("/a/b", Ok("/m")),
        ("/a/b/c", Err(NotFound)),
        ("/x", Err(NotFound)),
        ("/a\\057b", Ok("/m")),
        ("/..", Err(NotFound)),
    ] {
        assert_found(V1, &part(root), [Ok("/m/a/b"), directory]);
    }
    let outside = CgroupPath { path: b"/../c", ..V1 };
    assert_found(outside, &part("/"), [Ok("/m/../c"), Err(NotFound)]);
    assert_found(outside, &part("/.."), [Ok("/m/../c"), Ok("/m/c")]);
    let both = format!("{}30 23 0:26 / /n rw - cgroup cgroup rw,cpu\n", part("/x"));
    assert_found(V1, &both, [Ok("/m/a/b"), Ok("/n/a/b")]);
}

#[test]
fn go_1_25_takes_the_last_v2_mount_unless_v1_has_the_controller() {
    let two = "30 23 0:26 / /first rw - cgroup2 cgroup2 rw\n\
               31 23 0:26 / /second rw - cgroup2 cgroup2 rw\n";
    assert_found(V2, two, [Ok("/second/a/b"), Ok("/first/a/b")]);
    let and_v1 = format!("{two}32 23 0:27 / /v1 rw - cgroup cgroup rw,cpu\n");
    assert_found(V2, &and_v1, [Ok("/v1/a/b"), Ok("/first/a/b")]);
    assert_found(V1, two, [Ok("/second/a/b"), Err(NotFound)]);
}

#[test]
fn the_first_line_that_cannot_be_parsed_ends_the_search() {
    const MOUNT: &str = "30 23 0:26 / /m rw - cgroup2 cgroup2 rw\n";
    let ok = || Ok("/m/a/b");
    for (line, expected) in [
        // A network namespace that is bound to a file: golang/go#81864.
        ("29 23 0:4 net:[4026531840] /run/netns/x rw - nsfs nsfs rw", [ok(), Err(RootIsNoPath)]),
        ("29 23 0:4  /x rw - nsfs nsfs rw", [ok(), Err(RootIsNoPath)]),
        ("", [Err(Malformed), Err(Malformed)]),
        ("29 23 0:4 / /x rw nsfs nsfs rw", [Err(Malformed), Err(Malformed)]),
        ("29 23 0:4 / /x rw - nsfs", [Err(Malformed), Err(Malformed)]),
        ("29 23 0:4 / /x - nsfs nsfs rw", [Err(Malformed), Err(Malformed)]),
        ("the rest of options with a line feed in them", [Err(Malformed), Err(Malformed)]),
        // What follows the type matters only for v1.
        ("29 23 0:4 / /x rw - nsfs ", [ok(), ok()]),
        ("29 23 0:4 / /x rw - 9p C:\\134 rw,path=C:\\Program Files;x - y", [ok(), ok()]),
        ("29 23 0:4 / /x rw - cgroup cgroup", [Err(Malformed), ok()]),
    ] {
        assert_found(V2, &format!("{line}\n{MOUNT}"), expected);
        // Behind the mount it does not matter, unless a later one may be taken.
        let [any, _] = expected;
        let any = if any == Err(Malformed) { any } else { ok() };
        assert_found(V2, &format!("{MOUNT}{line}\n"), [any, ok()]);
    }
    assert_found(V2, "", [Err(NotFound), Err(NotFound)]);
}

#[test]
fn of_a_long_line_the_beginning_is_enough() {
    let long = "x".repeat(100_000);
    let mount = "30 23 0:26 / /m rw - cgroup2 cgroup2 rw\n";
    let overlay = format!("29 23 0:4 / / rw - overlay overlay rw,lowerdir={long}\n{mount}");
    assert_found(V2, &overlay, [Ok("/m/a/b"), Ok("/m/a/b")]);
    let path = format!("29 23 0:4 / /{long} rw - overlay overlay rw\n{mount}");
    assert_found(V2, &path, [Err(Malformed), Err(Malformed)]);
}

#[test]
fn the_list_of_cgroups_must_be_whole_up_to_the_controller() {
    let unified = |path| Ok((CgroupVersion::V2, path));
    let own = |path| Ok((CgroupVersion::V1, path));
    for (list, expected) in [
        ("0::/a\n", unified("/a")),
        ("0::/a", unified("/a")),
        ("0::/a:b\n", unified("/a:b")),
        ("4:cpu,cpuacct:/x\n0::/a\n", own("/x")),
        ("0::/a\n4:cpuacct,cpu:/x\n", own("/x")),
        ("4:cpuset:/x\n3:name=cpu:/y\n0::/a\n", unified("/a")),
        ("0:cpu:/a\n", unified("/a")),
        ("4:cpu:/x\nbad\n", own("/x")),
        ("bad\n4:cpu:/x\n", Err(Malformed)),
        ("\n4:cpu:/x\n", Err(Malformed)),
        ("3:memory\n4:cpu:/x\n", Err(Malformed)),
        ("3:memory:\n4:cpu:/x\n", Err(Malformed)),
        ("4:cpu:x\n", Err(Malformed)),
        ("4:memory:/x\n", Err(NotFound)),
        ("", Err(NotFound)),
    ] {
        let found = cpu_cgroup(list.as_bytes()).map(|cgroup| (cgroup.version, cgroup.path));
        let expected = expected.map(|(version, path): (_, &str)| (version, path.as_bytes()));
        assert_eq!(found, expected, "{list:?}");
    }
}

proptest! {
    #[test]
    fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (cpu_cgroup(&text), search(V1, &text), search(V2, &text));
    }

    #[test]
    fn no_line_panics(fields in proptest::collection::vec("[-/ .a:\\\\0-9]{0,4}|cgroup2?|cpu", 0..14)) {
        let line = fields.join(" ");
        let _ = (search(V1, line.as_bytes()), search(V2, line.as_bytes()));
    }
}
