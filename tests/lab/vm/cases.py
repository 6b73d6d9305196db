#!/usr/bin/env python3
"""Runs loadline on a kernel with cgroup v2, in a virtual machine, and compares what it decides with
what the kernel enforces. Exits 2 where the machine cannot be set up.
"""

import argparse
import json
import os
import re
import signal
import sys

import live
import machine
from environments import SLACK, v1_environments, v2_environments
from machine import Broken, CannotRun, Machine
from runc import MIB, container, memory


class Report:
    """Prints what has been checked."""

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
                 "first process: it is loadline, and reaps orphans", output)


def last_process(guest, report):
    said = guest.ends("kill -TERM 1; while :; do :; done")
    # The wait status of a process that exits with 128 + 15.
    report.check("Attempted to kill init! exitcode=0x00008f00" in said,
                 "first process: it forwards SIGTERM to the program and ends as it did", said[-400:])


def container_init(guest, report):
    """loadline as PID 1 of a container: orphans, signals, exit code."""
    program = """
trap "echo told to stop; exit 7" TERM
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
    report.check(output == "/tools/loadline\nreaped\nready\ntold to stop\n7\n",
                 "container: loadline is PID 1, reaps, forwards SIGTERM, exits as the program",
                 output)


def oom_group(guest, report):
    """Whether the OOM killer takes PID 1 with the program is the cgroup's to say."""
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
        # A loadline that has survived makes 0 of 137, as it was asked to.
        report.check(f"code {code}\n" in output and f"\noom_group_kill {group}\n" in output
                     and "\nlocal oom 1\n" in output
                     # What is killed itself says nothing.
                     and output.count("OOM-killed") == 1 - group,
                     f"memory.oom.group={group}: loadline {'is killed too' if group else 'survives'}",
                     output)


def deaths(guest, report):
    """What is said when the kernel kills below a limit of an ancestor, and when it does not."""
    guest.sh("""
group $C/pod memory.max=64M memory.oom.group=0
hand_down $C/pod memory
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
        # Through a terminal.
        output = output.replace("\r\n", "\n")
        return re.findall(r"^loadline: .*$", output, re.MULTILINE), output

    def check(what, program, code, *parts, options=()):
        """`parts` are those of the one line that is expected, if one is."""
        lines, output = said(program, *options)
        report.check(f"code {code}\n" in output and len(lines) == bool(parts)
                     and all(part in line for line in lines for part in parts),
                     f"deaths: {what}", output)
        return output

    limit = 'limit 64 MiB in "/sys/fs/cgroup/pod/memory.max"'
    other = "the program was killed by SIGKILL, but not by the OOM killer"
    check("by somebody's SIGKILL, before the kernel killed any", "sh -c 'kill -KILL $$'", 137, other)
    check("the program, by the limit of an ancestor", too_much, 137,
          "the kernel OOM-killed the program: ", limit, "--memory-ratio")
    output = check("a child, and the program goes on", f"sh -c '{too_much}; exit 3'", 3,
                   "the kernel OOM-killed 1 process of the container: ", limit,
                   options=["--report=json"])
    account = json.loads(re.search(r"^{.*}", output, re.MULTILINE)[0])
    report.check(account["exit_code"] == 3 and account["memory"]["oom_kills"] == 1
                 and account["memory"]["limit_bytes"] == 64 * MIB and account["seconds"] > 0,
                 "deaths: the account counts the child", account)
    elsewhere = f"echo 0 >/sys/fs/cgroup/pod/other/cgroup.procs; exec {too_much}"
    check("another container's is none of ours", f"sh -c '(sh -c \"{elsewhere}\"); exit 3'", 3)
    # In the first second after the count began a kill may have been counted already, whose death took
    # so long.
    for pause, line in [("", "killed by SIGKILL, possibly by the OOM killer"), ("sleep 1.5;", other)]:
        check(f"by somebody's SIGKILL, after it did{' and a while' * bool(pause)}",
              f"sh -c '. /tools/inside.sh; rests $PPID; {pause} kill -KILL $$'", 137, line)
    check("a limit that has been changed",
          f"sh -c 'echo 48M >/sys/fs/cgroup/pod/memory.max; exec {too_much}'", 137,
          "the kernel OOM-killed the program: ", "limit 48 MiB in", "(64 MiB at start)")
    guest.sh("clear_groups $C")


def confine(guest, report):
    """examples/confine.rs, where v2 is all there is."""
    run = "confine --memory 64MiB --cpus 0.5 --report /tmp/report --"
    _, output = guest.sh(f"{run} loadline -s -- sh -c 'echo $GOMEMLIMIT $GOMAXPROCS'; echo $?")
    report.check(output == f"{64 * MIB * 8 // 10} 1\n0\n", "confine: its limits are found", output)
    code, output = guest.sh(f"""
{run} dd if=/dev/zero of=/dev/null bs=64M count=1
code=$?
cat /tmp/report
find $C -name 'loadline-*'
exit $code
""")
    told, left = json.JSONDecoder().raw_decode(output)
    report.check(code == 128 + signal.SIGKILL and told["memory"]["oom_kills"] == 1
                 and 64 * MIB - SLACK < told["memory"]["peak_bytes"] <= 64 * MIB,
                 "confine: what is too much is killed, and told", (code, told))
    report.check(not output[left:].strip(), "confine: the cgroup is removed", output[left:])


def founding_case(guest, report):
    """The demo's service with a quarter of its rows in a quarter of its memory, in a container."""
    limits = memory(100) | {"cpu": {"quota": 100_000, "period": 100_000}}
    serve = ["/tools/service", "-listen", "127.0.0.1:8080", "-part", "4"]
    requests = 5

    def answers(args):
        """The bytes of each answer, the exit code, and how many were killed."""
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
                 "service: bare it is killed", (sizes, code, kills))
    sizes, code, kills = answers(["/tools/loadline", "--", *serve])
    report.check(sizes == [whole] * requests and (code, kills) == (143, 0),
                 f"service: under loadline it answers all {requests} requests",
                 (sizes, code, kills))


def not_run(case, reason):
    """As run.py has it, the case counts as passed unless it is noted."""
    print(f"ok: {case} (not run: {reason})")
    with open(os.environ.get("LOADLINE_NOT_RUN", os.devnull), "a", encoding="utf-8") as notes:
        print(f"vm: {case}: {reason}", file=notes)


def attempt(report, name, case, *arguments):
    """A case that comes to nothing else has failed, and the next one may still run."""
    try:
        case(*arguments)
    except Broken as reason:
        raise Broken(f"{name}: {reason}") from reason
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        report.check(False, name, f"made no sense of what came: {error!r}")


def run(guest, report, replace):
    attempt(report, "first_process", first_process, guest, report)
    code, output = guest.sh("mount -t cgroup -o memory cgroup /sys/fs/cgroup && umount $C")
    for environment in v1_environments():
        if code:
            not_run(environment.name, f"the kernel has no cgroup v1 for memory: {output.strip()}")
        else:
            attempt(report, environment.name, environment.check, guest, report, replace)
    guest.sh("mount -t cgroup2 cgroup2 $C; hand_down $C memory cpu")
    for environment in v2_environments():
        attempt(report, environment.name, environment.check, guest, report, replace)
    for case in [container_init, oom_group, deaths, confine, founding_case, live.idle_begins,
                 live.memory_warn, live.changed, live.told, live.ended, live.idle_ends, last_process]:
        attempt(report, case.__name__, case, guest, report)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixtures", action="store_true", help="replace the captured trees")
    options = parser.parse_args()
    # As an exception, so that the machine is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    try:
        machine.set_up()
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
