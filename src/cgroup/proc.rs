//! What the kernel says about this process in proc(5): bytes in, values out.

use crate::limits::Version;
use crate::text::Fields;
use crate::units::integer;

/// The cgroup of this process in the hierarchy of one controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership<'a> {
    /// The controller.
    pub controller: &'a [u8],
    /// The kind of that hierarchy.
    pub version: Version,
    /// The path in it, as the process's cgroup namespace shows it.
    pub path: &'a [u8],
}

/// Finds a controller's cgroup in `proc/self/cgroup`: in its own v1 hierarchy, else in v2, which
/// is all that a controller without one can be under.
#[must_use]
pub fn membership<'a>(text: &'a [u8], controller: &'a [u8]) -> Option<Membership<'a>> {
    let mut unified = None;
    for line in lines(text) {
        let Some([hierarchy, controllers, path]) = parts(line) else { continue };
        if Fields::new(controllers, b',').any(|name| name == controller) {
            return Some(Membership { controller, version: Version::V1, path });
        }
        if hierarchy == b"0" && controllers.is_empty() && unified.is_none() {
            unified = Some(Membership { controller, version: Version::V2, path });
        }
    }
    unified
}

/// Whether it holds text, but no line of the form that cgroups(7) describes. An empty one is a
/// kernel on which no hierarchy is mounted.
#[must_use]
pub fn is_garbage(text: &[u8]) -> bool {
    !text.trim_ascii().is_empty() && lines(text).all(|line| parts(line).is_none())
}

/// The parts of a line `hierarchy-ID:controller-list:cgroup-path`. Only the path may hold more
/// colons.
fn parts(line: &[u8]) -> Option<[&[u8]; 3]> {
    /// The kernel prints the path from a buffer of this size; it also bounds our walk up.
    const PATH_MAX: usize = 4096;
    let mut fields = Fields::new(line, b':');
    let (hierarchy, controllers) = (fields.next()?, fields.next()?);
    let path = fields.rest().filter(|path| path.starts_with(b"/"))?;
    (path.len() < PATH_MAX).then_some([hierarchy, controllers, path])
}

const fn lines(text: &[u8]) -> Fields<'_> {
    Fields::new(text, b'\n')
}

/// A mounted cgroup hierarchy, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// The kind of hierarchy.
    pub version: Version,
    /// The cgroup that is seen at the mount point, escaped.
    pub root: &'a [u8],
    /// Where it is mounted, escaped.
    pub point: &'a [u8],
    /// Options of the file system; in v1 its controllers are among them.
    pub options: &'a [u8],
}

impl Mount<'_> {
    /// Whether this is where the cgroup's hierarchy would be.
    #[must_use]
    pub fn holds(&self, cgroup: &Membership<'_>) -> bool {
        let mut options = Fields::new(self.options, b',');
        self.version == cgroup.version
            && (self.version == Version::V2 || options.any(|it| it == cgroup.controller))
    }
}

/// The cgroup mounts in `proc/self/mountinfo`, oldest first. What is no cgroup mount, or is none
/// that can be understood, is passed over.
pub fn mounts(text: &[u8]) -> impl Iterator<Item = Mount<'_>> + Clone {
    lines(text).filter_map(mount)
}

/// Reads `id parent device root point options [optional ...] - type source super-options`. Other
/// file systems' super options may hold spaces (WSL mounts `path=C:\Program Files\...`).
fn mount(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = Fields::new(line, b' ');
    let (root, point, _) = (fields.nth(3)?, fields.next()?, fields.next()?);
    fields.find(|field| field == b"-")?;
    let version = match fields.next()?.strip_prefix(b"cgroup".as_slice())? {
        b"" => Version::V1,
        b"2" => Version::V2,
        _ => return None,
    };
    let _source = fields.next()?;
    let options = fields.rest()?;
    let is_path = root.starts_with(b"/") && point.starts_with(b"/");
    is_path.then_some(Mount { version, root, point, options })
}

/// Undoes what the kernel does to spaces, tabs, newlines and backslashes: `\040`.
#[must_use]
pub fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        let (byte, tail) = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                ((a & 3) << 6 | (b & 7) << 3 | (c & 7), tail)
            }
            [byte, tail @ ..] => (*byte, tail),
            [] => return bytes,
        };
        bytes.push(byte);
        rest = tail;
    }
}

/// The value of a line `name value`, as in `memory.stat`, or `Name: value`, where the name is
/// given with its colon.
#[must_use]
pub fn value<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines(text).find_map(|line| match line.strip_prefix(name)? {
        value @ [b' ' | b'\t', ..] => Some(value.trim_ascii()),
        _ => None,
    })
}

/// The bytes in a `proc/meminfo` value: `16384 kB`.
#[must_use]
pub fn kilobytes(value: &[u8]) -> Option<u64> {
    integer(value.strip_suffix(b" kB")?)?.checked_mul(1024)
}

/// The number of CPUs in a list such as `0-3,8`.
#[must_use]
pub fn count_cpus(list: &[u8]) -> Option<u32> {
    /// No Linux can be built for more (NR_CPUS).
    const MAX: u64 = 8192;
    let mut count = 0u64;
    for range in Fields::new(list, b',') {
        let mut ends = Fields::new(range, b'-');
        let first = integer(ends.next()?)?;
        let last = ends.rest().map_or(Some(first), integer)?;
        let further = last.checked_sub(first).filter(|_| last < MAX)?;
        count = count.checked_add(further)?.checked_add(1).filter(|count| *count <= MAX)?;
    }
    u32::try_from(count).ok()
}

/// Whether a list of process IDs, one a line, holds this one.
#[must_use]
pub fn lists(text: &[u8], pid: u64) -> bool {
    lines(text).any(|line| integer(line) == Some(pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const V1: Version = Version::V1;
    const V2: Version = Version::V2;

    #[test]
    fn a_controller_is_under_its_own_hierarchy_or_else_in_v2() {
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
            // the path is all that follows the second colon
            ("0::/a:b,cpu:c\n", "cpu", Some((V2, "/a:b,cpu:c"))),
            ("7:memory:/a:b::\n", "memory", Some((V1, "/a:b::"))),
            ("7:memory:/with space\n", "memory", Some((V1, "/with space"))),
            ("0::/../../x\n", "memory", Some((V2, "/../../x"))),
            // no newline at the end
            ("0::/x", "memory", Some((V2, "/x"))),
            // bad lines are passed over
            ("memory\n:\n4:memory\n4:memory:\n4:memory:x\n0::/x", "memory", Some((V2, "/x"))),
            ("1:name=systemd:/\n", "memory", None),
            ("", "memory", None),
        ] {
            let found = membership(text.as_bytes(), controller.as_bytes());
            let controller = controller.as_bytes();
            let expected = expected.map(|(version, path)| {
                let path = str::as_bytes(path);
                Membership { controller, version, path }
            });
            assert_eq!(found, expected, "{controller:?} in {text:?}");
        }
    }

    #[test]
    fn an_empty_list_of_cgroups_is_no_garbage() {
        for (text, garbage) in
            [("", false), ("\n", false), ("0::/\n", false), ("x\n", true), ("\0", true)]
        {
            assert_eq!(is_garbage(text.as_bytes()), garbage, "{text:?}");
        }
        let long = [b"0::/".as_slice(), &[b'a'; 5000]].concat();
        assert!(is_garbage(&long));
    }

    #[test]
    fn mounts_are_found_between_optional_fields_and_options() {
        for (line, expected) in [
            // 7 5 0:6 </> </sys/fs/cgroup> rw,relatime shared:9 - <cgroup2> cgroup2 <rw>
            (
                "7 5 0:6 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate",
                Some((V2, "/", "/sys/fs/cgroup", "rw,nsdelegate")),
            ),
            // no optional field, and the root of a container of Docker on v1
            (
                "81 77 0:32 /docker/65fa /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
                Some((V1, "/docker/65fa", "/sys/fs/cgroup/memory", "rw,memory")),
            ),
            // many optional fields
            (
                "1 2 0:3 / /m rw shared:1 master:2 propagate_from:3 unbindable - cgroup c rw",
                Some((V1, "/", "/m", "rw")),
            ),
            // <\040> is a space, <\134> a backslash; what is no octal number stays
            (
                r"1 2 0:3 /a\040b\134c /m\011\012\9\04 rw - cgroup c rw,cpu",
                Some((V1, "/a b\\c", "/m\t\n\\9\\04", "rw,cpu")),
            ),
            // an empty source
            ("1 2 0:3 / /m rw - cgroup2  rw", Some((V2, "/", "/m", "rw"))),
            // a hyphen in the place of the mount point is no separator
            ("1 2 0:3 / - rw - cgroup2 c rw", None),
            // other file systems, with spaces in their options too
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
                point: point.as_bytes(),
                options: str::as_bytes(options),
            });
            let found = mount(line.as_bytes());
            let found = found.map(|it| (it, unescaped(it.root), unescaped(it.point)));
            let found = found.as_ref().map(|(it, root, point)| Mount { root, point, ..*it });
            assert_eq!(found, expected, "{line:?}");
        }
        let text =
            "bad\n1 2 0:3 / /a rw - cgroup2 c rw\n\n9 9\n1 2 0:3 / /b rw - cgroup c rw,cpu\n";
        let points: Vec<_> = mounts(text.as_bytes()).map(|mount| mount.point).collect();
        assert_eq!(points, [b"/a".as_slice(), b"/b"]);
    }

    #[test]
    fn a_v1_mount_holds_the_controllers_among_its_options() {
        let held = |version, options: &str, controller: &str| {
            let options = options.as_bytes();
            let mount = Mount { version, root: b"/", point: b"/m", options };
            let (controller, path) = (controller.as_bytes(), &b"/"[..]);
            mount.holds(&Membership { controller, version: V1, path })
        };
        assert!(held(V1, "rw,cpu,cpuacct", "cpu"));
        assert!(held(V1, "rw,cpuacct,cpu", "cpu"));
        assert!(!held(V1, "rw,cpuset", "cpu"));
        assert!(!held(V1, "rw,xattr,name=cpu", "cpu"));
        assert!(!held(V2, "rw,cpu", "cpu"));
    }

    #[test]
    fn values_are_found_by_their_whole_name() {
        let stat = b"cache 1\nhierarchical_memory_limit 314572800\nhierarchical_memsw_limit 5\n";
        assert_eq!(value(stat, b"hierarchical_memory_limit"), Some(&b"314572800"[..]));
        assert_eq!(value(stat, b"hierarchical_memory"), None);
        assert_eq!(value(b"Pid:\t12\nPPid:\t3", b"Pid:"), Some(&b"12"[..]));
        assert_eq!(value(b"PPid:\t3", b"Pid:"), None);
        assert_eq!(kilobytes(b"16384 kB"), Some(16 << 20));
        for bad in [&b"16384"[..], b"kB", b" kB", b"99999999999999999999 kB", b""] {
            assert_eq!(kilobytes(bad), None);
        }
        assert!(lists(b"1\n12\n", 12));
        assert!(!lists(b"1\n12\n0", 2));
    }

    #[test]
    fn lists_of_cpus_are_counted() {
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

    /// The escapes of the kernel's seq_escape(), for the characters that mountinfo has escaped.
    fn escaped(path: &[u8]) -> Vec<u8> {
        let escape = |byte: &u8| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
            byte => vec![*byte],
        };
        path.iter().flat_map(escape).collect()
    }

    /// Bytes of which many mean something to these parsers.
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
        fn no_input_is_too_strange(text in texts()) {
            let _ = (membership(&text, b"memory"), is_garbage(&text), unescaped(&text));
            let _ = (value(&text, b"memory"), kilobytes(&text), count_cpus(&text));
            let cgroup = Membership { controller: b"memory", version: V1, path: b"/" };
            for mount in mounts(&text) {
                let _ = mount.holds(&cgroup);
            }
        }

        #[test]
        fn a_line_of_mountinfo_parses_back(
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
                &escaped(&root)[..],
                b" ",
                &escaped(&point),
                rest.as_bytes(),
            ]
            .concat();
            let found = mount(&line).unwrap();
            prop_assert_eq!((unescaped(found.root), unescaped(found.point)), (root, point));
            prop_assert_eq!((found.version, found.options), (version, &b"rw,memory"[..]));
        }

        #[test]
        fn a_line_of_cgroups_parses_back(
            path in path().prop_filter("the kernel refuses such names", |it| !it.contains(&b'\n')),
            others in vec("[a-z]{1,8}", 0..3),
        ) {
            let mut controllers = others;
            controllers.push("memory".into());
            controllers.sort();
            let first = format!("4:{}:", controllers.join(","));
            let text = [first.as_bytes(), &path, b"\n0::/other\n"].concat();
            let expected = Membership { controller: b"memory", version: V1, path: &path };
            prop_assert_eq!(membership(&text, b"memory"), Some(expected));
        }

        #[test]
        fn lists_of_cpus_parse_back(ranges in vec((0u32..500, 0u32..3), 1..8)) {
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
}
