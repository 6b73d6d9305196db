use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn typical() -> OomReport<'static> {
    OomReport {
        victim: OomVictim::ProgramAnd(0),
        is_exact: true,
        context: OomContext {
            limit: Some(Bytes(400 * MIB)),
            limit_file: Some(b"/sys/fs/cgroup/memory.max"),
            limit_at_start: Some(Bytes(400 * MIB)),
            peak: Some(Bytes(400 * MIB)),
            gomemlimit: GoMemLimit::SetByUs(320 * MIB),
        },
    }
}

fn with(change: impl Fn(&mut OomContext<'_>)) -> String {
    let mut report = typical();
    change(&mut report.context);
    report.to_string()
}

#[test]
fn the_common_case_is_reported_in_full() {
    assert_eq!(
        typical().to_string(),
        "the kernel OOM-killed the program (out of memory): limit 400 MiB in \
         \"/sys/fs/cgroup/memory.max\", peak 400 MiB, GOMEMLIMIT=335544320; raise the limit, or leave more of it to memory \
         outside the Go heap (--memory-ratio, --memory-reserve)"
    );
}

#[test]
fn the_report_says_what_was_killed() {
    use ExitStatus::{Exited, Signaled};
    const KILLED: ExitStatus = Signaled(libc::SIGKILL);
    const TERMINATED: ExitStatus = Signaled(libc::SIGTERM);
    for (status, killed_by_us, oom_kills, is_exact, expected) in [
        (KILLED, false, Some(1), true, "the kernel OOM-killed the program (out of memory): "),
        (
            KILLED,
            false,
            Some(2),
            true,
            "the kernel OOM-killed the program and 1 other process of the container (out of \
             memory): ",
        ),
        (
            KILLED,
            false,
            Some(4),
            true,
            "the kernel OOM-killed the program and 3 other processes of the container (out of \
             memory): ",
        ),
        (
            Exited(0),
            false,
            Some(1),
            true,
            "the kernel OOM-killed 1 process of the container (out of memory): ",
        ),
        (
            Exited(1),
            false,
            Some(3),
            true,
            "the kernel OOM-killed 3 processes of the container (out of memory): ",
        ),
        (TERMINATED, false, Some(1), true, "the kernel OOM-killed 1 process of the container"),
        (
            Exited(0),
            false,
            Some(3),
            false,
            "the kernel OOM-killed other processes of the container (out of memory): ",
        ),
        (
            KILLED,
            false,
            Some(3),
            false,
            "the kernel OOM-killed the program and other processes of the container (out of \
             memory): ",
        ),
        (
            KILLED,
            false,
            Some(0),
            true,
            "the program was killed by SIGKILL, but not by the OOM killer",
        ),
        (
            KILLED,
            false,
            None,
            true,
            "the program was killed by SIGKILL, possibly by the OOM killer (out of memory): ",
        ),
        (
            KILLED,
            true,
            Some(1),
            true,
            "the kernel OOM-killed 1 process of the container (out of memory): ",
        ),
    ] {
        let victim = OomVictim::of(status, killed_by_us, oom_kills).unwrap();
        let text = OomReport { victim, is_exact, ..typical() }.to_string();
        assert!(text.starts_with(expected), "{text}: {expected}");
    }
}

#[test]
fn there_is_no_report_if_nothing_was_killed_or_only_by_us() {
    use ExitStatus::{Exited, Signaled};
    for (status, killed_by_us, oom_kills) in [
        (Signaled(libc::SIGKILL), true, Some(0)),
        (Signaled(libc::SIGKILL), true, None),
        (Exited(137), false, Some(0)),
        (Signaled(libc::SIGTERM), false, None),
    ] {
        assert_eq!(OomVictim::of(status, killed_by_us, oom_kills), None, "{status:?}");
    }
}

#[test]
fn the_report_says_what_to_try() {
    let reached = Some(Bytes(400 * MIB - 4096));
    let (ours, inherited) = (GoMemLimit::SetByUs(1), GoMemLimit::Inherited(b"390MiB"));
    for (peak, gomemlimit, part) in [
        (reached, ours, "--memory-ratio"),
        (None, ours, "--memory-ratio"),
        (reached, inherited, ", GOMEMLIMIT=390MiB; raise the limit, or lower GOMEMLIMIT"),
        (reached, GoMemLimit::Unset, ", GOMEMLIMIT unset; raise the limit, or set GOMEMLIMIT"),
        (Some(Bytes(300 * MIB)), ours, "; not this limit, but the machine, or a limit above"),
        (Some(Bytes(395 * MIB)), inherited, "; not this limit, but the machine, or a limit"),
    ] {
        let text = with(|it| (it.peak, it.gomemlimit) = (peak, gomemlimit));
        assert!(text.contains(part), "{text}");
        assert_eq!(text.contains(", peak "), peak.is_some(), "{text}");
    }
    let text = with(|it| (it.limit, it.limit_file, it.limit_at_start) = (None, None, None));
    assert!(text.contains(": no visible limit, peak"), "{text}");
    assert!(text.contains("; the machine, or a limit that is not visible, ran"), "{text}");
}

#[test]
fn a_limit_that_has_changed_is_reported_with_the_one_at_the_start() {
    let text = with(|it| it.limit_at_start = Some(Bytes(500 * MIB)));
    assert!(text.contains("memory.max\" (500 MiB at start), peak"), "{text}");
    let text = with(|it| it.limit_at_start = None);
    assert!(text.contains("memory.max\" (none at start), peak"), "{text}");
}

proptest! {
    #[test]
    fn the_report_is_always_one_line(
        kills in 1u64..,
        is_exact: bool,
        limit: Option<u64>,
        limit_at_start: Option<u64>,
        peak: Option<u64>,
        file in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let report = OomReport {
            victim: OomVictim::Others(kills),
            is_exact,
            context: OomContext {
                limit: limit.map(Bytes),
                limit_file: limit.map(|_| &file[..]),
                limit_at_start: limit_at_start.map(Bytes),
                peak: peak.map(Bytes),
                gomemlimit: GoMemLimit::Inherited(b"a\nb"),
            },
        };
        prop_assert_eq!(report.to_string().lines().count(), 1);
    }
}
