"""Whether it can be told from outside that a program spends its CPU time on garbage collection, because its live heap is
near GOMEMLIMIT: programs of several kinds, with live heaps of several sizes, and what can be seen of each from outside
beside what its runtime says."""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import threading
import time

import lab as labs

from . import container

TITLE = "A collector that never rests"

VERSIONS = ["1.24", "1.27"]
MEMORY_MIB, CPUS = 200, 0.5
GOMEMLIMIT_MIB = MEMORY_MIB * 8 // 10
# Live heaps, in percent of GOMEMLIMIT.
LIVE = [40, 55, 70, 80, 85, 90, 95]
# What a paced program allocates in a second, about 60% of what one with a small live heap can; and memory outside the
# heap, in MiB.
PACED_MIB, OUTSIDE_MIB = 45, 24
# The kinds of programs, and their options.
SMALL = {"-kind": "small"}
KINDS = {
    "small blocks": SMALL,
    "large blocks": {"-kind": "large"},
    "small blocks, paced": {**SMALL, "-rate": str(PACED_MIB)},
    f"small blocks, {OUTSIDE_MIB} MiB outside the heap": {**SMALL, "-outside": str(OUTSIDE_MIB)},
    "small blocks, only read": {**SMALL, "-compute": None},
}
SECONDS = {"-warm": "2s", "-measured": "10s"}
QUICK_SECONDS = {"-warm": "0.2s", "-measured": "1s"}
# Seconds for a run, which takes a quarter of a minute.
PATIENCE = 120
# Seconds between two reads of the memory.
INTERVAL = 0.05
# The collector rests if it takes less of the CPU time than the first, and does not from the second on.
RESTS, NEVER_RESTS = 0.25, 0.4

TICKS = os.sysconf("SC_CLK_TCK")

# What can be seen from outside: its name in the table, and how it is shown.
SIGNS = {
    "cpu": ("CPU, of its quota", "{:.0%}"),
    "memory": ("memory, of GOMEMLIMIT", "{:.0%}"),
    "growth": ("highest less lowest", "{:.1%}"),
    "system": ("system time", "{:.1%}"),
    "faults": ("faults a second", "{:.0f}"),
    "switches": ("waits a second", "{:.0f}"),
}


class Seen:
    """What the kernel counts of a process, all its threads together."""

    def __init__(self, pid):
        # proc_pid_stat(5): after the name, which may contain anything but ends with the last parenthesis.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.faults, self.user, self.system = int(fields[7]), int(fields[11]) / TICKS, int(fields[12]) / TICKS
        self.switches = 0
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    self.switches += int(line.split()[1])


def once(lab, program, kind, live):
    """One run: what its runtime says, and what was seen. Only `kind` and `live` if it was killed."""
    options = {"-live": str(GOMEMLIMIT_MIB * live / 100), **KINDS[kind], **(QUICK_SECONDS if lab.quick else SECONDS)}
    variables = {"GOMEMLIMIT": f"{GOMEMLIMIT_MIB}MiB", "GOMAXPROCS": "1"}
    run = {"kind": kind, "live": live}
    with subprocess.Popen(
            [lab.confine, "--memory", f"{MEMORY_MIB}MiB", "--cpus", str(CPUS), "--", program,
             *(part for option in options.items() for part in option if part is not None)],
            env=container.environment(variables), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started, \
            stopped_after(PATIENCE, started):
        if not started.stdout.readline():
            return run
        pid = container.demo.last_descendant(started.pid)
        usage = container.usage_file(container.demo.cgroup_of(pid))
        used, ended = [], threading.Event()
        sampler = threading.Thread(target=sample, args=[usage, used, ended])
        begin, before = time.monotonic(), Seen(pid)
        sampler.start()
        said = started.stdout.readline()
        ended.set()
        sampler.join()
        if not said:
            return run
        # It waits for us.
        seconds, after = time.monotonic() - begin, Seen(pid)
        own = [getattr(after, name) - getattr(before, name) for name in ("user", "system", "faults", "switches")]
    user, system, faults, switches = own
    part = GOMEMLIMIT_MIB * container.MIB
    return {**run, **json.loads(said),
            "cpu": (user + system) / seconds / CPUS, "memory": statistics.median(used) / part,
            "growth": (max(used) - min(used)) / part, "system": system / (user + system),
            "faults": faults / seconds, "switches": switches / seconds}


@contextlib.contextmanager
def stopped_after(seconds, started):
    """Ends a program that hangs, so that its output ends."""
    timer = threading.Timer(seconds, started.terminate)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def sample(file, used, ended):
    while not ended.wait(INTERVAL):
        try:
            used.append(int(file.read_text()))
        except OSError:
            return  # The cgroup is removed with the program.


def measure(lab):
    container.check(lab)
    result = {}
    for version in VERSIONS[-1:] if lab.quick else VERSIONS:
        program, full = container.build(lab, version, "benches/golang/churn")
        jobs = [lambda kind=kind, live=live: once(lab, program, kind, live)
                for kind in KINDS for live in (LIVE[::3] if lab.quick else LIVE)]
        result[full] = container.side_by_side(jobs)
        lab.say(f"collector: Go {full}: " + ", ".join(
            f"{run['kind']} {run['live']}% {run['collector']:.0%}" if "collector" in run else
            f"{run['kind']} {run['live']}% killed" for run in result[full]))
    return result


def alive(data):
    return [run for runs in data.values() for run in runs if "collector" in run]


def separated(runs, sign):
    """How many runs the best threshold of a sign tells right, of those whose collector rests and those whose collector
    never rests; and how many there are."""
    never = [run[sign] for run in runs if run["collector"] >= NEVER_RESTS]
    rests = [run[sign] for run in runs if run["collector"] < RESTS]
    def right(threshold):
        above = sum(value >= threshold for value in never) + sum(value < threshold for value in rests)
        return max(above, len(never) + len(rests) - above)
    return max(map(right, never + rests), default=0), len(never) + len(rests)


def report(data):
    heads = ["Go", "program", "live", "collector", "MiB a second", *(name for name, _ in SIGNS.values())]
    rows = []
    for version, runs in data.items():
        for run in runs:
            row = [version, run["kind"], f"{run['live']}%"]
            if "collector" in run:
                row += [f"{run['collector']:.0%}", f"{run['mib_per_second']:.0f}",
                        *(shown.format(run[sign]) for sign, (_, shown) in SIGNS.items())]
            else:
                row += ["killed", *[""] * (1 + len(SIGNS))]
            rows.append(row)
    runs = alive(data)
    told = []
    for sign, (name, shown) in SIGNS.items():
        groups = [[run[sign] for run in runs if in_group(run["collector"])] for in_group in (
            lambda share: share < RESTS, lambda share: share >= NEVER_RESTS)]
        right, count = separated(runs, sign)
        told.append([name, *(f"{shown.format(min(group))} to {shown.format(max(group))}" if group else ""
                             for group in groups), f"{right} of {count}"])
    return f"""
If the live heap is near `GOMEMLIMIT`, Go collects garbage without pause
([golang/go#58106](https://github.com/golang/go/issues/58106)). The program lives, but does a part of its work: here the
collector takes up to {max(run["collector"] for run in alive(data)):.0%} of the CPU time. Can an init see that?
Programs replace a live heap, whose size is in percent of `GOMEMLIMIT`, in {MEMORY_MIB} MiB with `GOMEMLIMIT` at 80% and {CPUS} CPU:
with small blocks and many pointers, or with blocks of 16 KiB and more, as fast as they can; with no more than
{PACED_MIB} MiB a second; or beside memory that the runtime does not know. Another only reads its heap. What their
runtime says of the collector's part of the CPU time, in {SECONDS["-measured"]}, is what should be known; right of it is what the
kernel shows.

{labs.table(heads, *rows)}

Here, a collector rests if it takes less than {RESTS:.0%}, and never rests if it takes {NEVER_RESTS:.0%} or more. For both groups, the
table has the range of each sign; and how many runs the best threshold tells right, which nobody knows before:

{labs.table(["", "rests", "never rests", "right"], *told)}

A program that is busy with its work looks the same as one that is busy with collecting: its CPU time is at the quota,
and its memory stays at `GOMEMLIMIT`. The signs that come closest depend on what a program does. System time and faults
come from fresh memory, which a program that only computes does not touch; a program that serves requests has system
time of its own. Memory clearly above `GOMEMLIMIT` may be outside the heap. Nor does a busy collector mean that the
limit is too low: with 40% live, Go collects as often without a limit. And no event tells any of this, because the
kernel takes no notice of 80% of a limit. So loadline says nothing rather than something wrong, and does not wake up to
look. The program itself knows: watch `/cpu/classes/gc/total:cpu-seconds` of
[runtime/metrics](https://pkg.go.dev/runtime/metrics) against `/cpu/classes/total:cpu-seconds`, or start it with
`GODEBUG=gctrace=1`.
"""
