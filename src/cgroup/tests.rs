use super::files::MAX_CGROUP_FILE;
use super::limits::LimitValue;
use super::*;
use crate::sys::Errno;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

const MOUNTINFO: &str = "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

pub(super) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let file = tree.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    tree
}

fn read_at(tree: &Path) -> Limits {
    read(&SysRoot::at(tree.as_os_str().as_bytes()))
}

fn paths<T>(limits: &ControllerLimits<T>) -> Vec<&str> {
    limits.files.iter().map(|file| core::str::from_utf8(&file.path).unwrap()).collect()
}

#[test]
fn the_running_system_has_memory_and_cpus() {
    let limits = read(&SysRoot::system());
    assert!(limits.memory_total > Some(Bytes(0)) && limits.cpus > Some(0));
    assert_eq!(limits.problems, []);
}

#[test]
fn an_empty_tree_has_no_limits_and_no_problems() {
    let nothing = Limits {
        memory: ControllerLimits::none(),
        cpu: ControllerLimits::none(),
        memory_total: None,
        cpus: None,
        problems: Vec::new(),
        cgroups: Vec::new(),
        runtime_quota: None,
    };
    assert_eq!(read_at(tree(&[]).path()), nothing);
    assert_eq!(read_at(Path::new("/nonexistent")), nothing);
    assert_eq!(read_at(tree(&[("proc", "")]).path()), nothing, "ENOTDIR");
}

#[test]
fn what_another_process_sees_is_read_in_its_root_directory() {
    let tree = tree(&[
        ("7/cgroup", "0::/\n"),
        ("7/mountinfo", MOUNTINFO),
        ("root/sys/fs/cgroup/memory.max", "1000\n"),
        ("secret", "of the host"),
    ]);
    let at = |name: &str| tree.path().join(name).into_os_string().into_vec();
    let high = Path::new("root/sys/fs/cgroup/memory.high");
    std::os::unix::fs::symlink(tree.path().join("secret"), tree.path().join(high)).unwrap();
    let (directory, root) = (at("7"), std::ffi::CString::new(at("root")).unwrap());
    let limits = read(&SysRoot::of_process(&directory, &root));
    let values: Vec<_> = limits.memory.files.into_iter().map(|it| it.value).collect();
    assert_eq!(values, [LimitValue::Limit(Bytes(1000)), LimitValue::Absent]);
}

#[test]
fn every_file_that_matters_is_listed_with_the_path_that_the_process_sees() {
    let tree = tree(&[
        ("proc/self/cgroup", "0::/a\n"),
        ("proc/self/mountinfo", MOUNTINFO),
        ("proc/self/status", "Name:\tx\nPid:\t7\nCpus_allowed_list:\t0-3,8\n"),
        ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n"),
        ("sys/fs/cgroup/a/memory.max", "max\n"),
        ("sys/fs/cgroup/a/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/memory.high", "1000\n"),
        ("sys/fs/cgroup/cpu.max", "50000 100000\n"),
    ]);
    let limits = read_at(tree.path());
    assert_eq!((limits.memory_total, limits.cpus), (Some(Bytes(16 << 20)), Some(5)));
    assert_eq!(
        paths(&limits.memory),
        [
            "/sys/fs/cgroup/a/memory.max",
            "/sys/fs/cgroup/a/memory.high",
            "/sys/fs/cgroup/memory.high",
        ]
    );
    let values: Vec<_> = limits.memory.files.into_iter().map(|it| it.value).collect();
    let limit = LimitValue::Limit(Bytes(1000));
    assert_eq!(values, [LimitValue::Unlimited, LimitValue::Absent, limit]);
    assert_eq!(paths(&limits.cpu), ["/sys/fs/cgroup/a/cpu.max", "/sys/fs/cgroup/cpu.max"]);
    let lowest = limits.cpu.lowest().unwrap();
    assert_eq!(Some(lowest.0), CpuQuota::new(50_000, 100_000));
}

#[test]
fn the_conventional_directory_is_used_only_if_it_is_our_cgroup() {
    let found = |procs: &str, status: &str, mountinfo: Option<&str>| {
        let tree = tree(&[
            ("proc/self/cgroup", "0::/a\n"),
            ("proc/self/status", status),
            ("sys/fs/cgroup/a/memory.max", "1\n"),
            ("sys/fs/cgroup/a/cgroup.procs", procs),
            ("mnt/memory.max", "2\n"),
        ]);
        if let Some(text) = mountinfo {
            fs::write(tree.path().join("proc/self/mountinfo"), text).unwrap();
        }
        let limits = read_at(tree.path());
        (limits.memory.lowest().unwrap().0.0, limits.memory.is_guess)
    };
    // A mount of the parent of our namespace's root, and a mount of our cgroup elsewhere.
    let mountinfo = "1 2 0:3 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
                     3 2 0:3 /a /mnt rw - cgroup2 cgroup2 rw\n";
    assert_eq!(found("6\n7\n", "Pid:\t7\n", Some(mountinfo)), (1, false));
    assert_eq!(found("6\n77\n", "Pid:\t7\n", Some(mountinfo)), (2, false));
    assert_eq!(found("7\n", "", Some(mountinfo)), (2, false));
    // Without a list of mounts.
    assert_eq!(found("7\n", "", None), (1, true));
    assert_eq!(found("7\n", "", Some("")), (1, true));
}

#[test]
fn the_source_of_a_hierarchical_limit_is_the_ancestor_that_has_it() {
    let found = |ancestor: &str, stat: Option<&str>| {
        let tree = tree(&[
            ("proc/self/cgroup", "4:memory:/a/b/c\n"),
            ("sys/fs/cgroup/memory/a/b/c/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "200\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", ancestor),
        ]);
        if let Some(text) = stat {
            let stat = tree.path().join("sys/fs/cgroup/memory/a/b/c/memory.stat");
            fs::write(stat, text).unwrap();
        }
        let limits = read_at(tree.path());
        let lowest = limits.memory.lowest();
        lowest.map(|(limit, file)| (limit.0, core::str::from_utf8(file).unwrap().to_owned()))
    };
    let at = |limit, file: &str| Some((limit, format!("/sys/fs/cgroup/memory/a/{file}")));
    let stat = Some("cache 0\nhierarchical_memory_limit 300\n");
    assert_eq!(found("300\n", stat), at(300, "memory.limit_in_bytes"));
    // The lower limit of /a/b does not apply (use_hierarchy=0), and no ancestor has one of 300.
    assert_eq!(found("400\n", stat), at(300, "b/c/memory.stat"));
    assert_eq!(found("max\n", stat), at(300, "b/c/memory.stat"));
    // Without that line every visible ancestor applies.
    assert_eq!(found("300\n", None), at(200, "b/memory.limit_in_bytes"));
    assert_eq!(found("100\n", Some("cache 0\n")), at(100, "memory.limit_in_bytes"));
    let unlimited = Some("hierarchical_memory_limit 9223372036854771712\n");
    assert_eq!(found("300\n", unlimited), None);
}

#[test]
fn a_fifo_or_a_directory_in_place_of_a_file_does_not_block() {
    let tree = tree(&[
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", MOUNTINFO),
        ("sys/fs/cgroup/cpu.max", "\x001\n"),
        ("sys/fs/cgroup/memory.high/x", ""),
    ]);
    let fifo = tree.path().join("sys/fs/cgroup/memory.max");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let limits = read_at(tree.path());
    let values: Vec<_> = limits.memory.files.iter().map(|it| &it.value).collect();
    // A FIFO without a writer reads as an empty file.
    let expected = [
        &LimitValue::Problem(FileProblem::Invalid(Vec::new())),
        &LimitValue::Problem(FileProblem::Unreadable(Errno(libc::EISDIR))),
    ];
    assert_eq!(values, expected);
    let expected = LimitValue::Problem(FileProblem::Invalid(b"\x001".to_vec()));
    assert!(limits.cpu.files.iter().all(|it| it.value == expected));

    let cgroup = tree.path().join("proc/self/cgroup");
    fs::remove_file(&cgroup).unwrap();
    std::os::unix::fs::symlink("cgroup", &cgroup).unwrap();
    let limits = read_at(tree.path());
    let problem = FileProblem::Unreadable(Errno(libc::ELOOP));
    let problem = (b"/proc/self/cgroup".to_vec(), problem);
    assert_eq!(limits.problems, [problem]);
    assert!(limits.memory.is_guess);
}

/// Thousands of ancestors with files of all kinds.
#[test]
fn of_the_ancestors_only_those_count_that_the_limits_depend_on() {
    use LimitValue::{Absent, Limit, Problem, Unlimited};
    let limit = |bytes| Limit(Bytes(bytes));
    let kept = |values: &[LimitValue<Bytes>]| {
        let path = "/a".repeat(values.len() - 1);
        let cgroup =
            CgroupPath { controller: b"memory", version: CgroupVersion::V2, path: path.as_bytes() };
        let directories = locate::find(&cgroup, MOUNTINFO.as_bytes()).unwrap();
        let mut files = Vec::new();
        for (directory, value) in directories.upwards().zip(values) {
            files::add(&mut files, &directories, directory, b"x", value.clone());
        }
        files.into_iter().map(|file| file.value).collect::<Vec<_>>()
    };
    // The own file stays, whatever it says; the limit is the lowest, the first of equal ones.
    assert_eq!(kept(&[Absent, Absent, Absent]), [Absent]);
    assert_eq!(kept(&[Unlimited, Absent, Unlimited]), [Unlimited]);
    assert_eq!(kept(&[limit(3), limit(4), limit(3), Unlimited]), [limit(3)]);
    assert_eq!(kept(&[limit(3), limit(2), limit(1), limit(2)]), [limit(3), limit(2), limit(1)]);
    // The nearest cgroup that has the controller stays too.
    assert_eq!(kept(&[Absent, Absent, Unlimited, Unlimited]), [Absent, Unlimited]);
    assert_eq!(kept(&[Absent, Unlimited, limit(2), limit(1)]), [Absent, Unlimited, limit(1)]);
    assert_eq!(kept(&[Absent, limit(9), limit(2), limit(1)]), [Absent, limit(9), limit(1)]);
    // Each problem is one warning.
    let problem = || Problem(FileProblem::Unreadable(Errno(libc::EACCES)));
    assert_eq!(kept(&[limit(1), problem(), problem()]), [limit(1), problem(), problem()]);
    assert!(kept(&vec![problem(); 1000]).len() < 30);
    let falling: Vec<_> = (1..1000).rev().map(limit).collect();
    assert_eq!(kept(&falling), [limit(999), limit(998), limit(1)]);
}

#[test]
fn a_file_that_is_larger_than_the_kernel_prints_is_refused() {
    let tree = tree(&[
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", MOUNTINFO),
        ("sys/fs/cgroup/memory.max", &" ".repeat(MAX_CGROUP_FILE + 1)),
        ("sys/fs/cgroup/memory.high", &format!("{}1\n", "0".repeat(MAX_CGROUP_FILE - 2))),
        ("sys/fs/cgroup/cpu.max", &"x".repeat(100)),
    ]);
    let limits = read_at(tree.path());
    let values: Vec<_> = limits.memory.files.into_iter().map(|it| it.value).collect();
    assert_eq!(
        values,
        [
            LimitValue::Problem(FileProblem::Unreadable(Errno(libc::EFBIG))),
            LimitValue::Limit(Bytes(1))
        ]
    );
    let shown = LimitValue::Problem(FileProblem::Invalid(b"x".repeat(32)));
    assert!(limits.cpu.files.iter().all(|it| it.value == shown));
}

fn watched(tree: &Path) -> Vec<String> {
    let root = SysRoot::at(tree.as_os_str().as_bytes());
    let mut names = Vec::new();
    for_each_limit_file(&root, &read_at(tree), &mut |file| {
        names.push(file.to_str().unwrap().to_owned())
    });
    let below = |name: &String| name.strip_prefix(tree.to_str().unwrap()).unwrap().to_owned();
    names.iter().map(below).collect()
}

/// A limit may be set later in a directory that has none yet.
#[test]
fn the_files_to_watch_are_in_the_own_cgroup_and_all_its_ancestors() {
    let tree = tree(&[
        ("proc/self/mountinfo", MOUNTINFO),
        ("proc/self/cgroup", "0::/pod/app\n"),
        ("sys/fs/cgroup/pod/app/cgroup.controllers", "cpu memory\n"),
        ("sys/fs/cgroup/pod/app/memory.max", "max\n"),
        ("sys/fs/cgroup/pod/memory.max", "max\n"),
    ]);
    let names = watched(tree.path());
    for directory in ["/pod/app", "/pod", ""] {
        for file in ["memory.max", "memory.high", "cpu.max"] {
            let name = format!("/sys/fs/cgroup{directory}/{file}");
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
    }
    assert!(!names.iter().any(|name| name.contains("/other/")));
}

#[test]
fn the_files_to_watch_are_in_both_hierarchies_of_v1() {
    let tree = tree(&[
        ("proc/self/cgroup", "2:memory:/a/b\n1:cpu,cpuacct:/c\n"),
        (
            "proc/self/mountinfo",
            "1 2 0:3 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             2 2 0:4 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
        ),
        ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "-1\n"),
    ]);
    let names = watched(tree.path());
    for name in [
        "memory/a/b/memory.limit_in_bytes",
        "memory/a/memory.limit_in_bytes",
        "memory/memory.limit_in_bytes",
        "cpu,cpuacct/c/cpu.cfs_quota_us",
        "cpu,cpuacct/c/cpu.cfs_period_us",
        "cpu,cpuacct/cpu.cfs_quota_us",
    ] {
        let name = format!("/sys/fs/cgroup/{name}");
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
}

/// What lxcfs does to MemTotal, and that of a captured tree is not known.
#[test]
fn memtotal_of_a_captured_tree_is_no_limit() {
    let tree = tree(&[("proc/meminfo", "MemTotal: 1024 kB\n")]);
    let limits = read_at(tree.path());
    assert_eq!((limits.memory.lowest(), limits.memory_total), (None, Some(Bytes(1 << 20))));
}

#[test]
fn memtotal_is_a_limit_if_it_is_below_that_of_the_kernel_and_no_lower_one_is_found() {
    let total = sys::memory_total().map(Bytes).unwrap();
    let found = |meminfo: Option<&str>, total: Bytes, limit: Option<u64>| {
        let tree = tree(&[("proc/self/cgroup", "0::/\n"), ("proc/self/mountinfo", MOUNTINFO)]);
        if let Some(meminfo) = meminfo {
            fs::write(tree.path().join("proc/meminfo"), meminfo).unwrap();
        }
        let mut memory = ControllerLimits::none();
        memory.files.extend(limit.map(|bytes| LimitFile {
            path: b"/x/memory.max".to_vec(),
            value: LimitValue::Limit(Bytes(bytes)),
            in_ancestor: false,
        }));
        let mut search = Search::new(SysRoot::at(tree.path().as_os_str().as_bytes()));
        search.meminfo_limit(&memory, total).map(|file| file.value)
    };
    const SHOWN: Option<&str> = Some("MemTotal:  1024 kB\nMemFree: 1 kB\n");
    let limit = Some(LimitValue::Limit(Bytes(1 << 20)));
    assert_eq!(found(SHOWN, total, None), limit);
    assert_eq!(found(SHOWN, total, Some(total.0 + 1)), limit, "no machine reaches that one");
    assert_eq!(found(SHOWN, total, Some(2 << 20)), None, "not read at all");
    // It is rounded down to whole kilobytes.
    assert_eq!(found(SHOWN, Bytes((1 << 20) + 1023), None), None);
    assert_eq!(found(SHOWN, Bytes((1 << 20) + 1024), None), limit);
    for meminfo in [None, Some(""), Some("MemTotal: x\n")] {
        assert_eq!(found(meminfo, total, None), None, "{meminfo:?}");
    }
}

#[test]
fn a_limit_in_meminfo_is_in_no_cgroup() {
    let file = |path: &[u8]| LimitFile {
        path: path.to_vec(),
        value: LimitValue::Limit(Bytes(5)),
        in_ancestor: true,
    };
    let mut memory = ControllerLimits { files: vec![file(MEMINFO)], ..ControllerLimits::none() };
    assert_eq!(memory.lowest(), Some((Bytes(5), MEMINFO)));
    assert_eq!((memory.leaf_dir(), memory.controller_dir()), (None, None));
    memory.files.insert(0, file(b"/a/memory.max"));
    assert_eq!((memory.leaf_dir(), memory.controller_dir()), (Some(&b"/a"[..]), Some(&b"/a"[..])));
}

#[test]
fn a_process_in_no_cgroup_has_no_files_to_watch() {
    assert_eq!(watched(tree(&[("proc/self/cgroup", "")]).path()), [""; 0]);
}

#[test]
fn the_go_runtime_finds_its_quota_by_its_own_rules() {
    let half = Ok(CpuQuota::new(50_000, 100_000));
    let nsfs = "9 2 0:4 net:[4026531840] /run/netns/x rw - nsfs nsfs rw\n";
    let other = "9 2 0:3 / /other rw - cgroup2 cgroup2 rw\n";
    for (mountinfo, any_root, matching_root) in [
        (MOUNTINFO.to_owned(), half, half),
        (format!("{nsfs}{MOUNTINFO}"), half, Err(RuntimeError::RootIsNoPath)),
        (format!("{MOUNTINFO}{nsfs}"), half, half),
        // Another mount point that shows no such cgroup, one with a quota, and one without.
        (
            MOUNTINFO.replace("/sys/fs", "/no"),
            Err(RuntimeError::NotFound),
            Err(RuntimeError::NotFound),
        ),
        (format!("{other}{MOUNTINFO}"), half, Ok(None)),
        (format!("{MOUNTINFO}{other}"), Ok(None), half),
        (MOUNTINFO.replace("/sys/fs/cgroup", "/again"), half, half),
        ("bad\n".to_owned(), Err(RuntimeError::Malformed), Err(RuntimeError::Malformed)),
    ] {
        let tree = tree(&[
            ("proc/self/cgroup", "0::/a\n"),
            ("proc/self/mountinfo", &mountinfo),
            ("proc/self/status", "Pid:\t7\n"),
            ("sys/fs/cgroup/a/cgroup.procs", "7\n"),
            ("sys/fs/cgroup/a/cpu.max", "50000 100000\n"),
            ("again/a/cpu.max", "50000 100000\n"),
            ("other/a/cpu.max", "max 100000\n"),
        ]);
        let limits = read_at(tree.path());
        let root = SysRoot::at(tree.path().as_os_str().as_bytes());
        let found = [MountRule::AnyRoot, MountRule::MatchingRoot]
            .map(|rule| runtime_quota(&root, &limits, rule));
        assert_eq!(found, [any_root, matching_root], "{mountinfo}");
        fs::remove_file(tree.path().join("proc/self/mountinfo")).unwrap();
        let found = runtime_quota(&root, &limits, MountRule::MatchingRoot);
        assert_eq!(found, Err(RuntimeError::Unreadable));
    }
}
