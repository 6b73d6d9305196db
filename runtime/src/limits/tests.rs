use super::*;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The limits of a container with this configuration on a captured host with these files.
fn found(files: &[(&str, &str)], linux: &str, systemd: bool) -> Limits {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let text = format!(r#"{{"linux":{linux}}}"#);
    let config = Config::parse(&text).unwrap();
    read(&SysRoot::at(directory.path().as_os_str().as_bytes()), &config, systemd, b"id")
}

fn memory(limits: &Limits) -> Option<(u64, String)> {
    let (Bytes(bytes), path) = limits.memory.lowest()?;
    Some((bytes, Path::new(std::ffi::OsStr::from_bytes(path)).display().to_string()))
}

const V2: [(&str, &str); 2] = [
    ("proc/self/cgroup", "0::/system.slice/containerd.service\n"),
    ("proc/self/mountinfo", "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
];
const V1: [(&str, &str); 2] = [
    ("proc/self/cgroup", "2:memory:/engine\n1:cpu,cpuacct:/engine\n"),
    (
        "proc/self/mountinfo",
        "1 0 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
         2 0 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
    ),
];

#[test]
fn the_container_has_limits_of_its_own() {
    let linux = r#"{"cgroupsPath":"/a/b","resources":{"memory":{"limit":1000},
        "cpu":{"quota":150000,"period":100000,"cpus":"0-2,7"}}}"#;
    for files in [V1, V2] {
        let limits = found(&files, linux, false);
        assert_eq!(memory(&limits), Some((1000, "linux.resources.memory.limit".to_owned())));
        let quota = limits.cpu.lowest().unwrap().0;
        assert_eq!(quota.to_string(), "1.5");
        assert!(!limits.cpu.files[0].in_ancestor);
        assert_eq!(limits.cpus, Some(4));
    }
}

#[test]
fn what_is_not_positive_is_no_limit() {
    for memory in ["-1", "0"] {
        let linux = format!(
            r#"{{"resources":{{"memory":{{"limit":{memory}}},"cpu":{{"quota":{memory},"period":0}}}}}}"#
        );
        let limits = found(&V2, &linux, false);
        assert_eq!((limits.memory.lowest(), limits.cpu.lowest().is_none()), (None, true));
    }
    for linux in ["{}", r#"{"resources":null}"#, r#"{"resources":{"memory":null,"cpu":{}}}"#] {
        assert_eq!(found(&V2, linux, false).memory.lowest(), None);
    }
}

#[test]
fn files_of_v2_win_where_there_is_v2() {
    let linux = r#"{"resources":{"memory":{"limit":1000},"cpu":{"quota":100000,"period":100000},
        "unified":{"memory.max":"2000\n","memory.high":"1500","cpu.max":"20000 100000"}}}"#;
    let limits = found(&V2, linux, false);
    assert_eq!(memory(&limits), Some((1500, "linux.resources.unified.memory.high".to_owned())));
    assert_eq!(limits.cpu.lowest().unwrap().0.to_string(), "0.2");
    let limits = found(&V1, linux, false);
    assert_eq!(memory(&limits), Some((1000, "linux.resources.memory.limit".to_owned())));
    let linux = r#"{"resources":{"memory":{"limit":1000},"unified":{"memory.max":"max"}}}"#;
    assert_eq!(found(&V2, linux, false).memory.lowest(), None);
}

#[test]
fn ancestors_on_the_host_count_as_far_as_they_exist() {
    let pod = "sys/fs/cgroup/kubepods/pod1";
    let files = |name: &str, value: &'static str| {
        let mut files: Vec<_> = V2.iter().map(|(path, text)| ((*path).to_owned(), *text)).collect();
        files.push((format!("{pod}/{name}"), value));
        files
    };
    let find = |files: Vec<(String, &str)>, path: &str| {
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let linux =
            format!(r#"{{"cgroupsPath":"{path}","resources":{{"memory":{{"limit":5000}}}}}}"#);
        found(&files, &linux, false)
    };
    let limits = find(files("memory.max", "3000\n"), "/kubepods/pod1/container");
    assert_eq!(memory(&limits), Some((3000, "/sys/fs/cgroup/kubepods/pod1/memory.max".to_owned())));
    assert!(limits.memory.files.iter().all(|file| file.in_ancestor == file.path.starts_with(b"/")));
    // Neither is that of the container's own cgroup, which is made anew.
    let limits = find(files("memory.max", "3000\n"), "/kubepods/pod1");
    assert_eq!(memory(&limits), Some((5000, "linux.resources.memory.limit".to_owned())));
    let limits = find(files("memory.max", "3000\n"), "/kubepods/pod1/new/container");
    assert_eq!(memory(&limits).unwrap().0, 3000, "the parent does not exist yet");
    let limits = find(files("memory.max", "3000\n"), "/other/../kubepods/./pod1/container");
    assert_eq!(memory(&limits).unwrap().0, 3000);
    let limits = find(files("memory.max", "9000\n"), "/kubepods/pod1/container");
    assert_eq!(memory(&limits).unwrap().0, 5000);
}

#[test]
fn a_relative_path_is_below_our_own_cgroup() {
    let own = ("sys/fs/cgroup/memory/engine/memory.limit_in_bytes", "3000\n");
    let files = [V1[0], V1[1], own];
    for linux in [r#"{"cgroupsPath":"x"}"#, r#"{"cgroupsPath":"../x"}"#, "{}"] {
        let limits = found(&files, linux, false);
        assert_eq!(memory(&limits).unwrap().0, 3000, "{linux}");
    }
    assert_eq!(memory(&found(&files, r#"{"cgroupsPath":"/x"}"#, false)), None);
}

#[test]
fn a_relative_path_is_beside_our_own_cgroup_in_v2() {
    let own = ("sys/fs/cgroup/system.slice/containerd.service/memory.max", "2000\n");
    let above = ("sys/fs/cgroup/system.slice/memory.max", "3000\n");
    for linux in [r#"{"cgroupsPath":"x"}"#, r#"{"cgroupsPath":"../../x"}"#, "{}"] {
        let limits = found(&[V2[0], V2[1], own, above], linux, false);
        assert_eq!(memory(&limits).unwrap().0, 3000, "{linux}");
    }
}

/// Only the nearest ancestor shows what is above the mount (v1).
#[test]
fn the_nearest_ancestor_that_exists_counts() {
    let engine = "sys/fs/cgroup/memory/engine";
    let stat = (&*format!("{engine}/memory.stat"), "hierarchical_memory_limit 3000\n");
    let own = (&*format!("{engine}/memory.limit_in_bytes"), "9223372036854771712\n");
    for path in ["/engine/x", "/engine/new/x", "/engine/a/b/c/x"] {
        let linux = format!(r#"{{"cgroupsPath":"{path}"}}"#);
        let limits = found(&[V1[0], V1[1], stat, own], &linux, false);
        assert_eq!(memory(&limits).map(|(limit, _)| limit), Some(3000), "{path}");
    }
}

#[test]
fn only_cpus_that_there_are_count() {
    let online = ("sys/devices/system/cpu/online", "0-1\n");
    for (cpus, expected) in [("0-7", 2), ("1", 1)] {
        let linux = format!(r#"{{"resources":{{"cpu":{{"cpus":"{cpus}"}}}}}}"#);
        assert_eq!(found(&[V2[0], V2[1], online], &linux, false).cpus, Some(expected));
    }
}

/// The engine may be bound to fewer CPUs than the containers.
#[test]
fn cpus_are_those_of_the_cgroups_above() {
    let linux = r#"{"cgroupsPath":"/a/b/c"}"#;
    let ours = ("proc/self/status", "Cpus_allowed_list:\t0\n");
    let online = ("sys/devices/system/cpu/online", "0-15\n");
    let v1 = [
        ("proc/self/cgroup", "1:cpuset:/engine\n0::/engine\n"),
        ("proc/self/mountinfo", "1 0 0:1 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"),
    ];
    for (cgroups, above, nearer) in [
        (V2, "sys/fs/cgroup/cpuset.cpus.effective", "sys/fs/cgroup/a/cpuset.cpus.effective"),
        (
            v1,
            "sys/fs/cgroup/cpuset/cpuset.effective_cpus",
            "sys/fs/cgroup/cpuset/a/cpuset.effective_cpus",
        ),
    ] {
        let mut files = cgroups.to_vec();
        files.push(ours);
        assert_eq!(found(&files, linux, false).cpus, None);
        files.push(online);
        assert_eq!(found(&files, linux, false).cpus, Some(16));
        files.push((above, "0-7,9\n"));
        assert_eq!(found(&files, linux, false).cpus, Some(9));
        // A new cpuset (v1) has none until the runtime gives it those of its parent.
        files.push((nearer, "\n"));
        assert_eq!(found(&files, linux, false).cpus, Some(9));
        files.push((nearer, "2-5\n"));
        assert_eq!(found(&files, linux, false).cpus, Some(4));
    }
}

#[test]
fn systemd_makes_a_scope_in_a_slice() {
    for (given, path) in [
        (
            "kubepods-burstable-pod1.slice:cri-containerd:abc",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/\
             cri-containerd-abc.scope",
        ),
        ("system.slice:docker:abc", "/system.slice/docker-abc.scope"),
        (":runc:abc", "/system.slice/runc-abc.scope"),
        ("", "/system.slice/runc-id.scope"),
        ("-.slice:libpod:abc", "/libpod-abc.scope"),
        ("a.slice::own.slice", "/a.slice/own.slice"),
    ] {
        let text = format!(r#"{{"linux":{{"cgroupsPath":"{given}"}}}}"#);
        let config = Config::parse(&text).unwrap();
        let found = cgroup_path(config.linux.as_ref(), true, None, b"id");
        assert_eq!(String::from_utf8(found).unwrap(), path, "{given}");
    }
    let slice = ("sys/fs/cgroup/a.slice/a-b.slice/memory.max", "3000\n");
    let files = [V2[0], V2[1], slice];
    let limits = found(&files, r#"{"cgroupsPath":"a-b.slice:x:y"}"#, true);
    assert_eq!(memory(&limits).unwrap().0, 3000);
}

/// As rootless Podman runs it. Root on the host may be below a user's systemd too, in a terminal.
#[test]
fn without_root_the_users_systemd_makes_the_scope() {
    let user = "user.slice/user-1000.slice/user@1000.service";
    let own = format!("0::/{user}/app.slice/podman.scope\n");
    let limit = format!("sys/fs/cgroup/{user}/memory.max");
    let user_slice = format!("sys/fs/cgroup/{user}/user.slice/memory.max");
    let of_system = ("sys/fs/cgroup/user.slice/memory.max", "9000\n");
    let all = "         0          0 4294967295\n";
    let some = "         0       1000          1\n         1     100000      65536\n";
    let cases =
        [(0, all, 9000), (0, "", 9000), (1000, all, 2000), (1000, "", 2000), (0, some, 2000)];
    for (uid, map, bytes) in cases {
        let status = format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n");
        let mut files = vec![("proc/self/cgroup", &*own), V2[1], of_system, (&*limit, "3000\n")];
        files.extend([("proc/self/status", &*status), ("proc/self/uid_map", map)]);
        files.push((&user_slice, "2000\n"));
        for path in ["user.slice:libpod:abc", if bytes == 2000 { "" } else { "user.slice:a:b" }] {
            let linux = format!(r#"{{"cgroupsPath":"{path}"}}"#);
            assert_eq!(memory(&found(&files, &linux, true)).unwrap().0, bytes, "{uid} {map}");
        }
    }
}

#[test]
fn what_is_written_to_files_of_v2_may_have_the_kernels_suffixes() {
    for (text, bytes) in [
        ("400M", Some(400 << 20)),
        ("1g", Some(1 << 30)),
        ("5", Some(5)),
        ("4X", None),
        ("99999E", None),
    ] {
        let linux = format!(
            r#"{{"cgroupsPath":"/a","resources":{{"memory":{{"limit":1}},"unified":{{"memory.max":"{text}"}}}}}}"#
        );
        let limits = found(&V2, &linux, false);
        assert_eq!(memory(&limits).map(|(bytes, _)| bytes), bytes, "{text}");
        let is_problem = |file: &LimitFile<_>| matches!(file.value, LimitValue::Problem(_));
        assert_eq!(limits.memory.files.iter().any(is_problem), bytes.is_none(), "{text}");
    }
    let linux =
        r#"{"cgroupsPath":"/a","resources":{"cpu":{"quota":1},"unified":{"cpu.max":"a b"}}}"#;
    assert!(matches!(found(&V2, linux, false).cpu.files[0].value, LimitValue::Problem(_)));
}

#[test]
fn without_cgroups_the_configuration_counts() {
    let linux = r#"{"cgroupsPath":"/a","resources":{"memory":{"limit":1000}}}"#;
    assert_eq!(memory(&found(&[("proc/self/cgroup", "")], linux, false)).unwrap().0, 1000);
    // A mount of another part of the hierarchy tells nothing.
    let part = ("proc/self/mountinfo", "1 0 0:1 /else /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    let other = ("sys/fs/cgroup/memory.max", "10\n");
    assert_eq!(memory(&found(&[V2[0], part, other], linux, false)).unwrap().0, 1000);
}
