"""What loadline watches while a program runs: memory pressure, and limits that change."""

import re

from runc import HALF_A_CPU, MIB, container, memory

# The limit of the programs that grow, in MiB.
LIMIT = 64
GROW = "exec awk -v STAT=/sys/fs/cgroup/pod/memory.stat -f /tools/grow.awk"
# Takes more than 95% of the limit, makes the kernel reclaim page cache until the warning comes, and exits.
ALMOST = GROW.replace("-f", f"-v MEBIBYTES={LIMIT - 4} -v THEN='sh /tmp/then' -f")
UNTIL_WARNED = """
timeout 20 sh -c 'until [ -s /tmp/log ]; do head -c 8m /dev/nvme0n1 >/dev/null; done'"""
# Reads the disk three times, which is twice as large as the limit, and prints how often loadline woke up.
FLOOD = """
. /tools/inside.sh
wait_until_idle 1
before=$(sleeps 1)
for _ in 1 2 3; do cat /dev/nvme0n1 >/dev/null; done
echo "slept $(($(sleeps 1) - before)) times"
"""
WARNING = "memory is running out, and the kernel may kill the whole container: "
STORM = 10_000
# Does not remove the cgroup of the idle case.
CLEAR = "clear_groups $C/pod; until rmdir $C/pod; do :; done"
# Ends a container whose output is descriptor 3, and prints the rest of the output.
END = f"""runc kill app TERM
cat <&3
wait $!
echo "code $?"
rm /tmp/output
{CLEAR}"""


def said(output):
    """The messages of loadline, which come through a terminal."""
    return re.findall(r"^loadline: (.*?)\r?$", output, re.MULTILINE)


def number(pattern, output):
    return float(re.search(rf"^{pattern}\r?$", output, re.MULTILINE)[1])


class Run:
    """A program under loadline --memory-warn, which is PID 1. The limit is on the cgroup pod."""

    def __init__(self, guest, program, then="", cgroup="pod", cache="2m", group=0, log=""):
        _, output = guest.sh(f"""
cat >/tmp/program <<'END'
{program}
END
cat >/tmp/then <<'END'
{then}
END
printf '%s' '{log}' >/tmp/log
group $C/pod memory.max={LIMIT}M memory.oom.group={group}
group $C/{cgroup}
{{
    unshare --pid --fork --mount-proc sh -c '
        . /tools/inside.sh
        enter /sys/fs/cgroup/{cgroup}
        with_cache {cache}
        exec loadline --memory-warn --termination-log=/tmp/log -- sh /tmp/program'
    echo "code $?"
}} 2>&1 | cat >/tmp/screen
cat /tmp/screen
counts $C/pod
record log
cat /tmp/log
{CLEAR}
""")
        self.output = output
        on_screen, self.log = output.split("\x1dlog\r\n" if "\x1dlog\r\n" in output else "\x1dlog\n")
        self.said = said(on_screen)
        self.code = number(r"code (\d+)", on_screen)

    def __str__(self):
        return self.output

    def has_said(self, *beginnings):
        return len(self.said) == len(beginnings) and all(map(str.startswith, self.said, beginnings))

    def has_logged(self, line):
        return self.log.replace("\r\n", "\n") == f"loadline: {line}\n"


def memory_warn(guest, report):
    def check(run, passed, what):
        report.check(passed, f"--memory-warn: {what}", run)

    limit = f"limit {LIMIT} MiB"
    killed = "the kernel OOM-killed the program (out of memory): "

    run = Run(guest, ALMOST, UNTIL_WARNED)
    check(run, run.has_said(WARNING) and run.log == "" and run.code == 0,
          "the warning is removed from the log when the program exits")
    run = Run(guest, GROW, group=1)
    check(run, run.has_said(WARNING) and limit in run.said[0] and run.has_logged(run.said[0])
          and run.code == 137 and number(r"oom_group_kill (\d+)", run.output) == 1,
          "the warning is left if the container is killed as a whole")
    amounts = [float(amount) for amount in
               re.findall(r"container: ([\d.]+) MiB cannot be reclaimed", run.output)]
    # Once on the screen and once in the log.
    check(run, len(amounts) == 2 and all(LIMIT * 0.95 <= amount <= LIMIT for amount in amounts),
          "it says how much cannot be reclaimed")

    run = Run(guest, GROW)
    check(run, run.has_said(WARNING, killed) and run.has_logged(run.said[1]) and run.code == 137,
          "if the init survives, the OOM report replaces the warning")

    run = Run(guest, ALMOST, f"{UNTIL_WARNED}; echo mine >>/tmp/log")
    check(run, run.has_said(WARNING) and run.log.split()[-1:] == ["mine"] and WARNING in run.log
          and run.code == 0, "text that the program has written to the log stays")
    run = Run(guest, GROW, log="theirs")
    check(run, run.has_said(WARNING, killed) and run.log == "theirs",
          "a log that is not empty is not changed")

    run = Run(guest, GROW, cgroup="pod/app")
    check(run, run.has_said(WARNING, killed) and all(limit in line for line in run.said)
          and run.has_logged(run.said[1]), "with the limit of an ancestor")

    run = Run(guest, GROW, cache="24m")
    check(run, run.has_said(WARNING, killed), "it comes even if page cache was reclaimed before")

    run = Run(guest, FLOOD)
    check(run, run.has_said() and run.log == "" and run.code == 0
          and number(r"max (\d+)", run.output) > 100, "page cache causes no warning")
    check(run, number(r"slept (-?\d+) times", run.output) == 1,
          "page cache wakes the init at most once a minute")


def resize_log(guest, report):
    """The limits of a container are changed from outside."""
    program = 'trap "exit 5" TERM; echo ready; sleep 1000 & wait'
    _, output = guest.sh(f"""
mkfifo /tmp/output
({container(["loadline", "--on-resize=log", "--", "sh", "-c", program],
            memory(LIMIT) | HALF_A_CPU)}) >/tmp/output 2>&1 &
exec 3</tmp/output
show_until ready
init=$(head -n 1 $C/pod/app/cgroup.procs)
wait_until_idle $init
group $C/pod/app memory.max=96M "cpu.max=150000 100000"
show_until '*limits changed*'
group $C/pod/app "cpu.max=max 100000"
show_until '*limits changed*'
record storm
before=$(sleeps $init)
begin=$(seconds)
for write in $(seq {STORM}); do echo $((64 + write % 8))M; done | while read -r limit; do
    echo $limit >$C/pod/app/memory.max
done
echo "$begin $(seconds)" | awk '{{ print "took", $2 - $1 }}'
echo 80M >$C/pod/app/memory.max
show_until '*memory 80 MiB*'
wait_until_idle $init
echo "slept $(($(sleeps $init) - before)) times"
record end
{END}
""")
    before, storm, end = re.split(r"\x1d\w+\r?\n", output)
    expected = [
        f"limits changed: memory 96 MiB, CPU 1.5; a restart would give "
        f"GOMEMLIMIT={96 * MIB * 8 // 10} ",
        "limits changed: CPU none; a restart would give "]
    lines = said(before)
    report.check(len(lines) == 2 and all(map(str.startswith, lines, expected))
                 and lines[0].endswith("; the program keeps its values")
                 and lines[1].endswith("; the program is not affected"),
                 "--on-resize=log: reports the new limits, and whether they affect the program", before)
    lines, took, slept = said(storm), number(r"took ([\d.]+)", storm), number(r"slept (\d+) times", storm)
    # One decision in a quarter of a second. The first write and the timer each wake the init once.
    most = took * 4 + 2
    report.check("memory 80 MiB" in lines[-1] and len(lines) <= most and slept <= 2 * most,
                 f"--on-resize=log: {STORM} writes within {took:.1f} s are at most {most:.0f} decisions",
                 storm)
    report.check(end.split() == ["code", "5"], "--on-resize=log: the program exits as usual", end)


def resize_signal(guest, report):
    """examples/resize, a Go program, gets the signal."""
    loadline = ["loadline", "--on-resize=signal:USR1", "--", "/tools/resize", "/tools/loadline"]
    _, output = guest.sh(f"""
mkfifo /tmp/output
({container(loadline, memory(LIMIT))}) >/tmp/output 2>&1 &
exec 3</tmp/output
show_until '*memory limit*'
echo 96M >$C/pod/app/memory.max
show_until '*MiB, was*'
echo max >$C/pod/app/memory.max
show_until '*none, was*'
{END}
""")
    limits = re.findall(r"memory limit (\w+)[ \w]*(?:, was (\w+) MiB)?\r?$", output, re.MULTILINE)
    lines = said(output)
    report.check(limits == [("51", ""), ("76", "51"), ("none", "76")] and len(lines) == 2
                 and all(line.endswith("; sending SIGUSR1 to the program") for line in lines)
                 and number(r"code (\d+)", output) == 143,
                 "--on-resize=signal: a Go program follows its memory limit", output)


def resize_exit(guest, report):
    """The limit of an ancestor, which is visible without a cgroup namespace."""
    _, output = guest.sh(f"""
group $C/pod memory.max={LIMIT}M
group $C/pod/app
mkfifo /tmp/output
unshare --pid --fork --mount-proc sh -c '
    echo 0 >/sys/fs/cgroup/pod/app/cgroup.procs
    exec loadline --on-resize=exit -- sh -c "trap \\"exit 5\\" TERM; echo ready; sleep 20 & wait"
    ' >/tmp/output 2>&1 &
exec 3</tmp/output
show_until ready
echo 32M >$C/pod/memory.max
show_until '*limits changed*'
cat <&3
wait $!
echo "code $?"
rm /tmp/output
{CLEAR}
""")
    lines = said(output)
    report.check(len(lines) == 1 and "limits changed: memory 32 MiB; a restart would" in lines[0]
                 and lines[0].endswith("; asking the program to exit")
                 and number(r"code (\d+)", output) == 5,
                 "--on-resize=exit: the limit of an ancestor ends the program", output)


def idle_begins(guest, _report):
    """An init with all options, in the background of the other cases."""
    guest.sh(f"""
group $C/idle memory.max={LIMIT}M cpu.max=50000
(enter $C/idle; exec loadline -s --memory-warn --on-resize=log --report -- sleep 1000) >/tmp/idle 2>&1 &
echo $! >/tmp/idle.pid
wait_until_idle $!
sleeps $! >/tmp/idle.sleeps
seconds >/tmp/idle.since
""")


def idle_ends(guest, report):
    _, output = guest.sh("""
idle=$(cat /tmp/idle.pid)
sleep $(echo "$(cat /tmp/idle.since) $(seconds)" | awk '{ printf "%d", $2 - $1 < 10 ? 11 - ($2 - $1) : 0 }')
echo "slept $(($(sleeps $idle) - $(cat /tmp/idle.sleeps))) times"
kill $idle
reaped $idle
cat /tmp/idle
clear_groups $C
""")
    report.check("slept 0 times" in output and "reaped" in output and len(said(output)) == 1,
                 "an idle init with all options: no wake-up in ten seconds", output)
