#!/usr/bin/env python3
"""Runs loadline on a kernel with cgroup v2, in a virtual machine, and compares its decisions with what
the kernel enforces. Exits with 2 if the machine cannot be set up.
"""

import argparse
import json
import os
import re
import signal
import sys

import live
import machine
import runtimes
from environments import SLACK, v1_environments, v2_environments
from machine import Broken, CannotRun, Machine
from runc import MIB, container, memory


class Report:
    """Prints and counts the checks."""

    failed = 0

    def check(self, passed, what, detail=""):
        print(f"ok: {what}" if passed else f"FAILED: {what}: {detail}", flush=True)
        self.failed += not passed


def first_process(guest, report):
    """loadline is PID 1 of the whole machine, started by the kernel before /proc is mounted."""
    _, output = guest.sh("""
readlink /proc/1/exe
orphan=$(sh -c 'sh -c "exec true" >/dev/null & echo $!')
reaped $orphan
""")
    report.check(output == "/tools/loadline\nreaped\n",
                 "first process: PID 1 is loadline, and it reaps orphans", output)


def last_process(guest, report):
    said = guest.ends("kill -TERM 1; while :; do :; done")
    # The wait status of a process that exits with 128 + 15.
    report.check("Attempted to kill init! exitcode=0x00008f00" in said,
                 "first process: it forwards SIGTERM, and exits with the code of the program", said[-400:])


def container_init(guest, report):
    """loadline as PID 1 of a container: orphans, signals, exit code."""
    program = """
trap "echo stopping; exit 7" TERM
orphan=$(sh -c "sh -c \\"exec true\\" >/dev/null & echo \\$!")
. /tools/inside.sh
readlink /proc/1/exe
reaped $orphan
echo ready
while :; do :; done
"""
    run = container(["loadline", "--", "sh", "-c", program], memory(64))
    _, output = guest.sh(f"""
mkfifo /tmp/output
({run}) >/tmp/output 2>&1 &
exec 3</tmp/output
while read -r line <&3 && echo "$line" && [ "$line" != ready ]; do :; done
runc kill app TERM
cat <&3
wait $!
echo $?
rm /tmp/output
clear_groups $C
""")
    report.check(output == "/tools/loadline\nreaped\nready\nstopping\n7\n",
                 "container: loadline is PID 1, reaps, forwards SIGTERM, and exits with the code of the program",
                 output)


def oom_group(guest, report):
    """memory.oom.group decides whether the OOM killer kills PID 1 together with the program."""
    for group, code in [(0, 0), (1, 128 + signal.SIGKILL)]:
        _, output = guest.sh(f"""
group $C/app memory.max=64M memory.oom.group={group}
unshare --pid --fork --mount-proc sh -c '
    echo 0 >/sys/fs/cgroup/app/cgroup.procs
    exec loadline -e 137 -- dd if=/dev/zero of=/dev/null bs=80M count=1'
echo "code $?"
counts $C/app
clear_groups $C
""")
        # If loadline survives, -e 137 makes the code 0.
        report.check(f"code {code}\n" in output and f"\noom_group_kill {group}\n" in output
                     and "\nlocal oom 1\n" in output
                     # An init that was killed reports nothing.
                     and output.count("OOM-killed") == 1 - group,
                     f"memory.oom.group={group}: loadline {'is killed too' if group else 'survives'}",
                     output)


def oom_reports(guest, report):
    """The reports of OOM kills below the limit of an ancestor, and of other kills."""
    guest.sh("""
group $C/pod memory.max=64M memory.oom.group=0
enable $C/pod memory
group $C/pod/app
group $C/pod/other
""")
    too_much = "dd if=/dev/zero of=/dev/null bs=80M count=1"

    def said(program, *options):
        _, output = guest.sh(f"""
enter $C/pod/app
loadline -s {" ".join(options)} -- {program}
echo "code $?"
""")
        # The output comes through a terminal.
        output = output.replace("\r\n", "\n")
        return re.findall(r"^loadline: .*$", output, re.MULTILINE), output

    def check(what, program, code, *parts, options=()):
        """`parts` must be in the only line that is expected. Without parts, no line is."""
        lines, output = said(program, *options)
        report.check(f"code {code}\n" in output and len(lines) == bool(parts)
                     and all(part in line for line in lines for part in parts),
                     f"OOM report: {what}", output)
        return output

    limit = 'limit 64 MiB in "/sys/fs/cgroup/pod/memory.max"'
    other = "the program was killed by SIGKILL, but not by the OOM killer"
    check("SIGKILL by a process, before any OOM kill", "sh -c 'kill -KILL $$'", 137, other)
    check("OOM kill of the program, by the limit of an ancestor", too_much, 137,
          "the kernel OOM-killed the program (out of memory): ", limit, "--memory-ratio")
    output = check("OOM kill of a child, while the program goes on", f"sh -c '{too_much}; exit 3'", 3,
                   "the kernel OOM-killed 1 process of the container (out of memory): ", limit,
                   options=["--report=json"])
    start, summary = map(json.loads, re.findall(r"^{.*}", output, re.MULTILINE))
    report.check(start["event"] == "start" and start["memory"]["GOMEMLIMIT"] == str(64 * MIB * 8 // 10),
                 "OOM report: the line at the start has what is set", start)
    report.check(summary["exit_code"] == 3 and summary["memory"]["oom_kills"] == 1
                 and summary["memory"]["limit_bytes"] == 64 * MIB and summary["seconds"] > 0,
                 "OOM report: the summary counts the child", summary)
    elsewhere = f"echo 0 >/sys/fs/cgroup/pod/other/cgroup.procs; exec {too_much}"
    check("an OOM kill in another container is not reported", f"sh -c '(sh -c \"{elsewhere}\"); exit 3'", 3)
    # In the first second, the count at the start may already include the kill, because a killed process
    # takes a while to end.
    for pause, line in [("", "killed by SIGKILL, possibly by the OOM killer"), ("sleep 1.5;", other)]:
        check(f"SIGKILL by a process, after OOM kills{' and a while' * bool(pause)}",
              f"sh -c '. /tools/inside.sh; wait_until_idle $PPID; {pause} kill -KILL $$'", 137, line)
    check("a limit that was changed",
          f"sh -c 'echo 48M >/sys/fs/cgroup/pod/memory.max; exec {too_much}'", 137,
          "the kernel OOM-killed the program (out of memory): ", "limit 48 MiB in", "(64 MiB at start)")
    guest.sh("clear_groups $C")


def inspected(guest, report):
    """What `--inspect` reads of the real files."""
    guest.sh("""
group $C/pod memory.max=64M cpu.max='50000 100000'
enable $C/pod memory cpu
group $C/pod/app
""")
    _, output = guest.sh("""
enter $C/pod/app
loadline -s --memory-ratio 0.5 -- sh -c 'loadline --inspect=json $PPID; :'
""")
    seen = json.loads(output)
    report.check([seen["given"]["GOMEMLIMIT"], seen["now"]["memory"]["source"], seen["restart_would_change"]]
                 == [str(32 * MIB), "/sys/fs/cgroup/pod/memory.max", False], "--inspect: the values and the limit",
                 seen)
    usage = seen["usage"]
    report.check(0 < usage["unreclaimable_bytes"] <= usage["memory_bytes"] <= usage["peak_bytes"] < 64 * MIB,
                 "--inspect: the memory in use", usage)
    report.check(usage["oom_kills"] == 0 and usage["periods"] is not None and usage["throttled_seconds"] is not None,
                 "--inspect: OOM kills and throttling", usage)
    guest.sh("clear_groups $C")


def oci_runtime(guest, report):
    """The limits of a pod, which its containers cannot see behind a cgroup namespace."""
    guest.sh("""
group $C/pod memory.max=96M cpu.max='50000 100000'
enable $C/pod memory cpu
""")
    program = "echo $GOMEMLIMIT $GOMAXPROCS; exec loadline --explain=json"
    _, output = guest.sh(f"({container(['sh', '-c', program], {}, runtime='loadline-runc')})")
    variables, _, explained = output.replace("\r\n", "\n").partition("\n")
    report.check(variables == f"{96 * MIB * 8 // 10} 1", "OCI runtime: the limits of the pod count", output)
    inside = json.loads(explained)
    report.check([inside["memory"]["limit_bytes"], inside["cpu"]["limit_cpus"]] == [None, None],
                 "OCI runtime: inside the container they cannot be seen", inside)
    resources = {"unified": {"memory.max": str(64 * MIB), "memory.high": str(48 * MIB)}}
    _, output = guest.sh(f"({container(['sh', '-c', program], resources, runtime='loadline-runc')})")
    report.check(output.startswith(f"{48 * MIB * 8 // 10} 1"),
                 "OCI runtime: files of cgroup v2 in the configuration count", output)
    guest.sh("clear_groups $C")


def out_of_sight(guest, report):
    """Limits that no visible cgroup shows, and a process whose cgroup nothing tells."""
    def explained(into, prepare):
        code, output = guest.sh(f"""
({into}exec /tools/unshare --cgroup --mount sh -c 'C=$0; {prepare}; exec loadline --explain=json' $C)
""")
        if code:
            raise Broken(output)
        return json.loads(output)

    unknown = "limits are out of sight: no mount shows the process's cgroup"
    for what, prepare in [("not mounted", "umount $C"), ("masked", "mount -t tmpfs none $C")]:
        found = explained("", prepare)
        report.check([found[half]["reason"] for half in ("memory", "cpu")] == [unknown] * 2
                     and not found["warnings"],
                     f"the hierarchy is {what}: --explain says that the limits are out of sight", found)

    inside = "umount $C; mount -t cgroup2 cgroup $C; "
    guest.sh("group $C/app memory.max=64M cpu.max=50000")
    found = explained("enter $C/app; ", inside + "mount --bind /dev/null /proc/$$/cgroup")
    report.check([found["memory"]["limit_bytes"], found["memory"]["guessed"], found["cpu"]["limit_cpus"],
                  found["cpu"]["guessed"], found["warnings"]] == [64 << 20, True, 0.5, True, []],
                 "the list of cgroups is hidden: the root of the mount is read, as a guess", found)

    # As in an LXC container: the limit is above the cgroup namespace, and lxcfs shows it.
    guest.sh("""
clear_groups $C
group $C/lxc memory.max=64M memory.oom.group=0
enable $C/lxc memory cpu
group $C/lxc/ns
echo 'MemTotal: 65536 kB' >/tmp/meminfo
""")
    lxcfs = inside + "mount --bind /tmp/meminfo /proc/meminfo"
    found = explained("enter $C/lxc/ns; ", lxcfs)
    report.check([found["memory"][key] for key in ("limit_bytes", "source", "GOMEMLIMIT")]
                 == [64 << 20, "/proc/meminfo", str((64 << 20) * 4 // 5)],
                 "lxcfs: MemTotal is the limit", found)
    _, output = guest.sh(f"""
(enter $C/lxc/ns; exec /tools/unshare --cgroup --mount sh -c 'C=$0; {lxcfs}
exec loadline -s -- dd if=/dev/zero of=/dev/null bs=80M count=1' $C)
clear_groups $C
rm /tmp/meminfo
""")
    report.check('the kernel OOM-killed the program (out of memory): limit 64 MiB in "/proc/meminfo", '
                 "GOMEMLIMIT=53687091; raise the limit" in output,
                 "lxcfs: the OOM report names the limit, and no peak of the process's own cgroup", output)


def confine(guest, report):
    """examples/confine.rs on a machine with only v2."""
    run = "confine --memory 64MiB --cpus 0.5 --report /tmp/report --"
    _, output = guest.sh(f"{run} loadline -s -- sh -c 'echo $GOMEMLIMIT $GOMAXPROCS'; echo $?")
    report.check(output == f"{64 * MIB * 8 // 10} 1\n0\n", "confine: loadline finds its limits", output)
    code, output = guest.sh(f"""
{run} dd if=/dev/zero of=/dev/null bs=64M count=1
code=$?
cat /tmp/report
find $C -name 'loadline-*'
exit $code
""")
    report_of_confine, left = json.JSONDecoder().raw_decode(output)
    report.check(code == 128 + signal.SIGKILL and report_of_confine["memory"]["oom_kills"] == 1
                 and 64 * MIB - SLACK < report_of_confine["memory"]["peak_bytes"] <= 64 * MIB,
                 "confine: a command that takes too much is killed, and the report says so", (code, report_of_confine))
    report.check(not output[left:].strip(), "confine: the cgroup is removed", output[left:])


def founding_case(guest, report):
    """The service of the demo with a quarter of its rows and of its memory, in a container."""
    limits = memory(100) | {"cpu": {"quota": 100_000, "period": 100_000}}
    serve = ["/tools/service", "-listen", "127.0.0.1:8080", "-part", "4"]
    requests = 5

    def answers(args):
        """The bytes of each answer, the exit code, and the number of OOM kills."""
        _, output = guest.sh(f"""
group $C/pod
mkfifo /tmp/output
({container(args, limits)}) >/tmp/output 2>&1 &
exec 3</tmp/output
read -r line <&3
for request in $(seq {requests}); do
    wget -q -O- http://127.0.0.1:8080/projects/harbour/rows 2>/dev/null | wc -c
done
runc kill app TERM 2>/dev/null
wait $!
echo "code $?"
rm /tmp/output
counts $C/pod
clear_groups $C
""", patience=100)
        sizes = [int(size) for size in re.findall(r"^\d+$", output, re.MULTILINE)]
        code, kills = (int(re.search(rf"^{what} (\d+)$", output, re.MULTILINE)[1])
                       for what in ["code", "oom_kill"])
        return sizes, code, kills

    sizes, code, kills = answers(serve)
    whole = sizes[0]
    report.check(whole > 16_000_000 and sizes[-1] == 0 and (code, kills) == (137, 1),
                 "service: without loadline it is killed", (sizes, code, kills))
    sizes, code, kills = answers(["/tools/loadline", "--", *serve])
    report.check(sizes == [whole] * requests and (code, kills) == (143, 0),
                 f"service: under loadline it answers all {requests} requests",
                 (sizes, code, kills))


def not_run(case, reason):
    """Records the case. run.py counts it as passed otherwise."""
    print(f"ok: {case} (not run: {reason})")
    with open(os.environ.get("LOADLINE_NOT_RUN", os.devnull), "a", encoding="utf-8") as notes:
        print(f"vm: {case}: {reason}", file=notes)


def attempt(report, name, case, *arguments):
    """Runs a case. If its output cannot be parsed, it has failed, and the next case runs."""
    try:
        case(*arguments)
    except Broken as reason:
        raise Broken(f"{name}: {reason}") from reason
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        report.check(False, name, f"cannot parse the output: {error!r}")


def run(guest, report, replace):
    attempt(report, "first_process", first_process, guest, report)
    code, output = guest.sh("mount -t cgroup -o memory cgroup /sys/fs/cgroup && umount $C")
    for environment in v1_environments():
        if code:
            not_run(environment.name, f"the kernel has no cgroup v1 for memory: {output.strip()}")
        else:
            attempt(report, environment.name, environment.check, guest, report, replace)
    guest.sh("mount -t cgroup2 cgroup2 $C; enable $C memory cpu")
    for environment in v2_environments():
        attempt(report, environment.name, environment.check, guest, report, replace)
    for case in [container_init, oom_group, oom_reports, inspected, oci_runtime, out_of_sight, confine, founding_case,
                 runtimes.find_their_quota, live.idle_begins, live.memory_warn, live.resize_log,
                 live.resize_signal, live.resize_exit, live.idle_ends, last_process]:
        attempt(report, case.__name__, case, guest, report)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixtures", action="store_true", help="replace the captured trees")
    options = parser.parse_args()
    # SIGTERM becomes an exception, so that the machine is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    try:
        machine.set_up(runtimes.files())
    except CannotRun as reason:
        print(f"vm: not run: {reason}")
        sys.exit(2)
    report = Report()
    try:
        guest = Machine()
        try:
            run(guest, report, options.fixtures)
        finally:
            guest.close()
    except Broken as reason:
        report.check(False, "the machine", reason)
    if report.failed:
        for log in [machine.CONSOLE, machine.TRANSCRIPT]:
            print(f"\nThe end of {log}:")
            for line in log.read_text(errors="replace").splitlines()[-40:]:
                print(f"    {line}")
        sys.exit(1)


if __name__ == "__main__":
    main()
