use super::*;
use crate::cgroup::read;
use crate::cgroup::tests::tree;
use std::os::unix::ffi::OsStrExt;

#[test]
fn a_delta_is_known_if_both_values_are() {
    assert_eq!(delta(Some(2), Some(5)), Some(3));
    assert_eq!(delta(Some(5), Some(2)), Some(0), "another cgroup");
    assert_eq!((delta(None, Some(5)), delta(Some(5), None)), (None, None));
}

const LIMIT_ABOVE: (&str, &str) = ("sys/fs/cgroup/pod/memory.max", "4096000\n");

/// Asks for counters of the v2 cgroup `/pod/app`, which has these files.
pub(in crate::cgroup) fn counted<T>(
    files: &[(&str, &str)],
    ask: impl FnOnce(&mut Counters<'_>) -> T,
) -> T {
    let cgroup = [
        ("proc/self/mountinfo", "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("proc/self/cgroup", "0::/pod/app\n"),
        ("sys/fs/cgroup/pod/app/memory.max", "max\n"),
    ];
    let tree = tree(&[&cgroup, files].concat());
    let root = SysRoot::at(tree.path().as_os_str().as_bytes());
    let limits = read(&root);
    ask(&mut Counters::new(&root, &limits))
}

#[test]
fn the_limiting_file_is_in_the_cgroup_that_sets_the_limit() {
    let file = |files: &[(&str, &str)]| {
        let place = |it: &CStr| {
            let (_, file) = it.to_str().unwrap().split_once("/sys/fs/cgroup/").unwrap();
            file.to_owned()
        };
        counted(files, |it| it.limiting_file(b"memory.events").map(place))
    };
    assert_eq!(file(&[LIMIT_ABOVE]).as_deref(), Some("pod/memory.events"));
    assert_eq!(file(&[]).as_deref(), Some("pod/app/memory.events"), "no visible limit");
    // The kernel does not kill at memory.high.
    let high = ("sys/fs/cgroup/pod/app/memory.high", "4096\n");
    assert_eq!(file(&[LIMIT_ABOVE, high]).as_deref(), Some("pod/memory.events"));
    let v1 = [
        ("proc/self/mountinfo", "1 2 0:3 / /sys/fs/cgroup/memory rw - cgroup c rw,memory\n"),
        ("proc/self/cgroup", "1:memory:/\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "4096000\n"),
    ];
    assert_eq!(file(&v1), None);
    assert_eq!(file(&[("proc/self/cgroup", "")]), None);
}

#[test]
fn oom_kills_are_those_of_the_own_cgroup() {
    let own = ("sys/fs/cgroup/pod/app/memory.events", "oom 1\noom_kill 3\n");
    let above = ("sys/fs/cgroup/pod/memory.events", "oom 1\noom_kill 8\n");
    let kills = |it: &mut Counters<'_>| it.oom_kill_counter().read();
    assert_eq!(counted(&[own, above, LIMIT_ABOVE], kills), Some(3));
    assert_eq!(counted(&[above, LIMIT_ABOVE], kills), None);
}

/// systemd's names of a pod, below the cgroup of a node that is a container itself.
#[test]
fn oom_kills_are_counted_whatever_the_length_of_the_path() {
    for levels in [1, 4, 12] {
        let pod = "kubelet-kubepods-burstable-pod1a2b3c4d_5e6f_7a8b_9c0d_1e2f3a4b5c6d.slice/";
        let cgroup = pod.repeat(levels);
        let list = format!("0::/pod/app/{}\n", cgroup.trim_end_matches('/'));
        let max = format!("sys/fs/cgroup/pod/app/{cgroup}memory.max");
        let events = format!("sys/fs/cgroup/pod/app/{cgroup}memory.events");
        let files = [("proc/self/cgroup", &list[..]), (&max, "max\n"), (&events, "oom_kill 3\n")];
        assert_eq!(counted(&files, |it| it.oom_kill_counter().read()), Some(3), "{levels} levels");
    }
}

#[test]
fn the_kernel_kills_the_whole_cgroup_if_its_oom_group_is_1() {
    let oom_group = |files: &[(&str, &str)]| counted(files, |it| it.oom_group());
    assert_eq!(oom_group(&[("sys/fs/cgroup/pod/app/memory.oom.group", "1\n")]), Some(true));
    assert_eq!(oom_group(&[("sys/fs/cgroup/pod/app/memory.oom.group", "0\n")]), Some(false));
    assert_eq!(oom_group(&[("sys/fs/cgroup/pod/memory.oom.group", "1\n")]), None);
    assert_eq!(oom_group(&[]), None);
}

#[test]
fn the_throttled_time_is_in_microseconds_in_v2_and_in_nanoseconds_in_v1() {
    let throttling = |stat: &str| {
        let files = [
            ("sys/fs/cgroup/pod/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/pod/app/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/pod/cpu.stat", stat),
        ];
        counted(&files, |it| it.throttling())
    };
    let expected = Throttling {
        periods: 40,
        throttled_periods: 5,
        throttled_time: Duration::from_millis(800),
    };
    let v2 = "usage_usec 9\nnr_periods 40\nnr_throttled 5\nthrottled_usec 800000\n";
    assert_eq!(throttling(v2), Some(expected));
    let v1 = "nr_periods 40\nnr_throttled 5\nthrottled_time 800000000\n";
    assert_eq!(throttling(v1), Some(expected));
    assert_eq!(throttling("usage_usec 9\n"), None);
}
