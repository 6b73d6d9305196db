use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const V1: CgroupVersion = CgroupVersion::V1;
const V2: CgroupVersion = CgroupVersion::V2;

#[test]
fn a_controller_is_in_its_own_v1_hierarchy_or_in_v2() {
    for (text, controller, expected) in [
        // 4:<memory>:</docker/65fa>
        ("4:memory:/docker/65fa\n0::/x\n", "memory", Some((V1, "/docker/65fa"))),
        // the v2 line may come first
        ("0::/x\n4:memory:/m\n", "memory", Some((V1, "/m"))),
        // <0>:<>:</>
        ("0::/\n", "memory", Some((V2, "/"))),
        // co-mounts in both orders
        ("2:cpu,cpuacct:/a\n", "cpu", Some((V1, "/a"))),
        ("2:cpuacct,cpu:/a\n", "cpu", Some((V1, "/a"))),
        // whole names only
        ("3:cpuset:/s\n2:cpuacct:/a\n1:name=cpu:/n\n0::/u\n", "cpu", Some((V2, "/u"))),
        // the path is everything after the second colon
        ("0::/a:b,cpu:c\n", "cpu", Some((V2, "/a:b,cpu:c"))),
        ("7:memory:/a:b::\n", "memory", Some((V1, "/a:b::"))),
        ("7:memory:/with space\n", "memory", Some((V1, "/with space"))),
        ("0::/../../x\n", "memory", Some((V2, "/../../x"))),
        // no newline at the end
        ("0::/x", "memory", Some((V2, "/x"))),
        // bad lines are skipped
        ("memory\n:\n4:memory\n4:memory:\n4:memory:x\n0::/x", "memory", Some((V2, "/x"))),
        ("1:name=systemd:/\n", "memory", None),
        ("", "memory", None),
    ] {
        let found = cgroup_path(text.as_bytes(), controller.as_bytes());
        let controller = controller.as_bytes();
        let expected = expected.map(|(version, path)| {
            let path = str::as_bytes(path);
            CgroupPath { controller, version, path }
        });
        assert_eq!(found, expected, "{controller:?} in {text:?}");
    }
}

#[test]
fn a_list_of_cgroups_names_none_if_it_has_no_valid_line() {
    for (text, names_none) in [
        ("", true),
        ("\n", true),
        ("x\n", true),
        ("\0", true),
        ("0::/\n", false),
        ("x\n1:name=systemd:/\n", false),
    ] {
        assert_eq!(names_no_cgroup(text.as_bytes()), names_none, "{text:?}");
    }
    let long = [b"0::/".as_slice(), &[b'a'; 5000]].concat();
    assert!(names_no_cgroup(&long));
}

#[test]
fn mounts_are_found_between_optional_fields_and_options() {
    for (line, expected) in [
        // 7 5 0:6 </> </sys/fs/cgroup> rw,relatime shared:9 - <cgroup2> cgroup2 <rw>
        (
            "7 5 0:6 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate",
            Some((V2, "/", "/sys/fs/cgroup", "rw,nsdelegate")),
        ),
        // no optional field, and the root of a Docker container on v1
        (
            "81 77 0:32 /docker/65fa /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
            Some((V1, "/docker/65fa", "/sys/fs/cgroup/memory", "rw,memory")),
        ),
        // many optional fields
        (
            "1 2 0:3 / /m rw shared:1 master:2 propagate_from:3 unbindable - cgroup c rw",
            Some((V1, "/", "/m", "rw")),
        ),
        // <\040> is a space, <\134> a backslash; anything but three octal digits stays
        (
            r"1 2 0:3 /a\040b\134c /m\011\012\9\04 rw - cgroup c rw,cpu",
            Some((V1, "/a b\\c", "/m\t\n\\9\\04", "rw,cpu")),
        ),
        // an empty source
        ("1 2 0:3 / /m rw - cgroup2  rw", Some((V2, "/", "/m", "rw"))),
        // a hyphen in the place of the mount point is not the separator
        ("1 2 0:3 / - rw - cgroup2 c rw", None),
        // other file systems, one of them with spaces in its options
        ("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755", None),
        (r"9 2 0:4 / /mnt/c rw - 9p drvfs rw,path=C:\Program Files - cgroup2 x rw", None),
        ("", None),
        ("1 2 0:3 / /m rw", None),
        ("1 2 0:3 / /m rw - cgroup2", None),
        ("1 2 0:3 / /m rw - cgroup2 c", None),
    ] {
        let expected = expected.map(|(version, root, point, options)| Mount {
            version,
            root: root.as_bytes(),
            mount_point: point.as_bytes(),
            options: str::as_bytes(options),
        });
        let found = mount(line.as_bytes());
        let found = found.map(|it| (it, unescape(it.root), unescape(it.mount_point)));
        let found =
            found.as_ref().map(|(it, root, mount_point)| Mount { root, mount_point, ..*it });
        assert_eq!(found, expected, "{line:?}");
    }
    let text = "bad\n1 2 0:3 / /a rw - cgroup2 c rw\n\n9 9\n1 2 0:3 / /b rw - cgroup c rw,cpu\n";
    let points: Vec<_> = mounts(text.as_bytes()).map(|mount| mount.mount_point).collect();
    assert_eq!(points, [b"/a".as_slice(), b"/b"]);
}

#[test]
fn a_v1_mount_serves_the_controllers_among_its_options() {
    let serves = |version, options: &str, controller: &str| {
        let options = options.as_bytes();
        let mount = Mount { version, root: b"/", mount_point: b"/m", options };
        let (controller, path) = (controller.as_bytes(), &b"/"[..]);
        mount.serves(&CgroupPath { controller, version: V1, path })
    };
    assert!(serves(V1, "rw,cpu,cpuacct", "cpu"));
    assert!(serves(V1, "rw,cpuacct,cpu", "cpu"));
    assert!(!serves(V1, "rw,cpuset", "cpu"));
    assert!(!serves(V1, "rw,xattr,name=cpu", "cpu"));
    assert!(!serves(V2, "rw,cpu", "cpu"));
}

#[test]
fn a_value_is_found_by_its_whole_name() {
    let stat = b"cache 1\nhierarchical_memory_limit 314572800\nhierarchical_memsw_limit 5\n";
    assert_eq!(field(stat, b"hierarchical_memory_limit"), Some(&b"314572800"[..]));
    assert_eq!(field(stat, b"hierarchical_memory"), None);
    assert_eq!(field(b"Pid:\t12\nPPid:\t3", b"Pid:"), Some(&b"12"[..]));
    assert_eq!(field(b"PPid:\t3", b"Pid:"), None);
    assert_eq!(parse_kilobytes(b"16384 kB"), Some(Bytes(16 << 20)));
    for bad in [&b"16384"[..], b"kB", b" kB", b"99999999999999999999 kB", b""] {
        assert_eq!(parse_kilobytes(bad), None);
    }
    assert!(contains_pid(b"1\n12\n", 12));
    assert!(!contains_pid(b"1\n12\n0", 2));
}

#[test]
fn a_number_is_found_by_its_whole_name() {
    let v1 = b"oom_kill_disable 0\nunder_oom 0\noom_kill 2";
    assert_eq!(number_field(v1, b"oom_kill"), Some(2));
    assert_eq!(number_field(v1, b"oom_group_kill"), None);
    let v2 = b"low 0\nhigh 0\nmax 7\noom 1\noom_kill 3\noom_group_kill 1";
    assert_eq!(number_field(v2, b"oom_kill"), Some(3));
    assert_eq!(number_field(v2, b"oom_group_kill"), Some(1));
    // Linux 4.12, v1
    assert_eq!(number_field(b"oom_kill_disable 0\nunder_oom 0", b"oom_kill"), None);
    assert_eq!(number_field(b"oom_kill x", b"oom_kill"), None);
    assert_eq!((parse_number(b"12\n"), parse_number(b"max")), (Some(12), None));
}

#[test]
fn the_cpus_of_a_list_are_counted() {
    for (list, count) in [
        ("0", Some(1)),
        ("0-3,8", Some(5)),
        ("0-8191", Some(8192)),
        ("1,3,5-7", Some(5)),
        ("0-8192", None),
        ("0-18446744073709551615", None),
        ("3-1", None),
        ("0-8191,0-8191", None),
        ("", None),
        ("0-", None),
        ("-3", None),
        ("0-1-2", None),
        ("0,", None),
        ("x", None),
    ] {
        assert_eq!(count_cpus(list.as_bytes()), count, "{list:?}");
    }
}

/// Escapes as the kernel's seq_escape() does for mountinfo.
fn escape(path: &[u8]) -> Vec<u8> {
    let escape_byte = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        byte => vec![*byte],
    };
    path.iter().flat_map(escape_byte).collect()
}

/// Bytes, many of which mean something to these parsers.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [&b"\n"[..], b" ", b":", b"0::/", b"/..", b"memory", b" - cgroup2 ", b"\\04"];
    let piece = prop_oneof![
        proptest::sample::select(pieces.to_vec()).prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..30).prop_map(|bytes| [b"/", &bytes[..]].concat())
}

proptest! {
    #[test]
    fn no_input_panics(text in texts()) {
        let _ = (cgroup_path(&text, b"memory"), names_no_cgroup(&text), unescape(&text));
        let _ = (number_field(&text, b"oom_kill"), parse_number(&text));
        let _ = (field(&text, b"memory"), parse_kilobytes(&text), count_cpus(&text));
        let cgroup = CgroupPath { controller: b"memory", version: V1, path: b"/" };
        for mount in mounts(&text) {
            let _ = mount.serves(&cgroup);
        }
    }

    #[test]
    fn every_line_of_mountinfo_is_parsed(
        root in path(),
        point in path(),
        optional in vec("(shared|master):[0-9]{1,3}", 0..3),
        v2: bool,
    ) {
        let (version, name) = if v2 { (V2, "cgroup2") } else { (V1, "cgroup") };
        let optional: String = optional.iter().map(|field| format!("{field} ")).collect();
        let rest = format!(" rw,relatime {optional}- {name} none rw,memory");
        let line = [
            b"36 31 0:33 ",
            &escape(&root)[..],
            b" ",
            &escape(&point),
            rest.as_bytes(),
        ]
        .concat();
        let found = mount(&line).unwrap();
        prop_assert_eq!((unescape(found.root), unescape(found.mount_point)), (root, point));
        prop_assert_eq!((found.version, found.options), (version, &b"rw,memory"[..]));
    }

    #[test]
    fn every_line_of_the_cgroup_list_is_parsed(
        path in path().prop_filter("the kernel refuses such names", |it| !it.contains(&b'\n')),
        others in vec("[a-z]{1,8}", 0..3),
    ) {
        let mut controllers = others;
        controllers.push("memory".into());
        controllers.sort();
        let first = format!("4:{}:", controllers.join(","));
        let text = [first.as_bytes(), &path, b"\n0::/other\n"].concat();
        let expected = CgroupPath { controller: b"memory", version: V1, path: &path };
        prop_assert_eq!(cgroup_path(&text, b"memory"), Some(expected));
    }

    #[test]
    fn every_list_of_cpus_is_counted(ranges in vec((0u32..500, 0u32..3), 1..8)) {
        let mut list = Vec::new();
        let mut count = 0;
        for (start, more) in ranges {
            count += more + 1;
            list.push(match more {
                0 => start.to_string(),
                _ => format!("{start}-{}", start + more),
            });
        }
        prop_assert_eq!(count_cpus(list.join(",").as_bytes()), Some(count));
    }
}
