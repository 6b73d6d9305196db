#!/usr/bin/env python3
"""Measures, on a kernel with cgroup v2, how much of a memory limit cannot be reclaimed when
memory.events reports that the limit was met. It compares healthy programs, at GOMEMLIMIT and with page
cache in the rest, with programs that are about to be killed. The threshold of a warning lies between
them. Prints tables, and keeps all lines in target/lab/vm/pressure.

--only PATTERN runs the programs whose names match, --tables prints the tables of the last run again, and
--polls prints how poll(2) behaves with memory.events.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys

import machine
from machine import LAB, TOP, CannotRun, Machine, demo

MIB = 1 << 20
SOURCE = machine.HERE / "pressure"
KEPT = LAB / "pressure"
DISK = LAB / "disk.img"
VERSIONS = ["1.19", "1.24", "1.27"]
# loadline's default, in percent of the limit.
GOMEMLIMIT = 80
LIMITS = [64, 128, 256, 400]
# How many seconds a healthy program runs, and how many milliseconds there are between two measurements.
SECONDS, EVERY = 8, 50
# The seconds within which a program must be killed.
DOOMED = 60
# Percent of the limit.
THRESHOLDS = [80, 85, 88, 90, 92, 94, 95, 96, 97, 98, 99]
# Milliseconds without polling after a wake-up without a warning, by the distance to the threshold in
# percent of the limit.
PAUSES = {
    "60 s": lambda missing: 60000, "1 s": lambda missing: 1000, "200 ms": lambda missing: 200,
    "50 ms": lambda missing: 50, "10 ms a percent": lambda missing: max(10, 10 * missing),
    "none": lambda missing: 0,
}
# The fields of the sums. `kernel` exists since Linux 5.18; it is the sum of these and of reclaimable slab.
PARTS = ["kernel_stack", "pagetables", "sec_pagetables", "percpu", "vmalloc", "sock"]


def least(line):
    return line["anon"] + line["shmem"] + line["slab_unreclaimable"]


def fields(line):
    return least(line) + sum(max(0, line[part]) for part in PARTS)


def whole(line):
    return line["anon"] + line["shmem"] + line["kernel"] - line["slab_reclaimable"] + line["sock"]


def rest(line):
    """The charged memory, without the memory that is known to be reclaimable."""
    return line["current"] - (line["file"] - line["shmem"]) - line["slab_reclaimable"]


SUMS = {"least": least, "fields": fields, "whole": whole, "rest": rest}


class Run:
    """A program in a cgroup."""

    def __init__(self, name, limit, command, dies=False, gomemlimit=True, group=0, before="", swap=0,
                 cpus=None, afresh=False):
        self.name = f"{name}, {limit} MiB"
        self.limit = limit
        self.command = command
        self.dies = dies
        self.gomemlimit = gomemlimit
        self.group = group
        # A command that runs in the cgroup before, to fill the page cache.
        self.before = before
        self.swap = swap
        self.cpus = cpus
        # Whether the gauge inside opens memory.stat only after a wake-up.
        self.afresh = afresh

    def script(self):
        variable = f"GOMEMLIMIT={self.limit * MIB * GOMEMLIMIT // 100} " if self.gomemlimit else ""
        seconds = 2 * DOOMED
        return f"""
echo 3 >/proc/sys/vm/drop_caches
group $C/app memory.max={self.limit}M memory.swap.max={self.swap}M memory.oom.group={self.group}
{f"echo '{self.cpus} 100000' >$C/app/cpu.max" if self.cpus else ""}
gauge $C/app {EVERY} {seconds} >/tmp/outside &
outside=$!
mkfifo /tmp/fifo
cat </tmp/fifo >/tmp/inside &
cat=$!
(enter $C/app; exec gauge $C/app 0 {seconds}{" afresh" * self.afresh}) >/tmp/fifo 2>/dev/null &
inside=$!
sleep 0.3
{self.before and f"(enter $C/app; {self.before}) >/dev/null 2>&1; record before; tail -n 1 /tmp/outside"}
record code
(enter $C/app; export GOTRACEBACK=none; {variable}exec {self.command}) >/tmp/said 2>&1
echo $?
sleep 0.2
echo 1 >$C/app/cgroup.kill
wait $inside $cat
kill $outside; wait $outside
record said; tail -n 3 /tmp/said
record outside; cat /tmp/outside
record inside; cat /tmp/inside
rm -f /tmp/fifo /tmp/said /tmp/tmpfs /disk/written
clear_groups $C
"""


def load(version, **flags):
    # `for` is a word of Python.
    words = [f"-{flag.rstrip('_')}={value}" for flag, value in flags.items()]
    return " ".join([f"load-{version}", *words])


def part(limit, percent):
    """MiB: so many percent of GOMEMLIMIT."""
    return limit * GOMEMLIMIT * percent // 10000


def service(version, limit, requests, of, beside=""):
    """The JSON service and who asks it, who is not in the cgroup."""
    return f"""sh -c '
{beside}
service-{version} -listen 127.0.0.1:8080 -part {of} &
exec 3>/tmp/said
(echo 0 >/sys/fs/cgroup/cgroup.procs
for request in $(seq 100); do
    wget -q -O- http://127.0.0.1:8080/healthz >/dev/null 2>&1 && break; sleep 0.1
done
for request in $(seq {requests}); do
    wget -q -O- http://127.0.0.1:8080/projects/harbour/rows | wc -c
done)
kill $!'"""


def well():
    """Programs that are well."""
    run = f"{SECONDS}s"
    for version in VERSIONS:
        for limit in LIMITS:
            if version == VERSIONS[-1] or limit == LIMITS[1]:
                for percent in [75, 85, 95]:
                    yield Run(f"Go {version}, {percent}% live, reads a file", limit, load(
                        version, live=part(limit, percent), read="/disk/big", for_=run))
            elif limit != LIMITS[2]:
                yield Run(f"Go {version}, 85% live, reads a file", limit, load(
                    version, live=part(limit, 85), read="/disk/big", for_=run))
    new = VERSIONS[-1]
    for limit in LIMITS:
        yield Run(f"Go {new}, 85% live, no file", limit, load(new, live=part(limit, 85), for_=run))
        yield Run(f"Go {new}, 30% live and stacks, reads a file", limit, load(
            new, live=part(limit, 30), stacks=limit * 8, read="/disk/big", for_=run))
        yield Run(f"Go {new}, 85% live, writes a file", limit, load(
            new, live=part(limit, 85), write="/disk/written", size=limit, for_=run))
        yield Run(f"Go {new}, 80% live, 5% in tmpfs, reads a file", limit, load(
            new, live=part(limit, 80), tmpfs="/tmp/tmpfs", held=limit // 20, read="/disk/big", for_=run))
        yield Run(f"Go {new}, 80% live, 10% in tmpfs, reads a file", limit, load(
            new, live=part(limit, 80), tmpfs="/tmp/tmpfs", held=limit // 10, read="/disk/big", for_=run))
    for version in VERSIONS:
        for limit, of in [(128, 4), (400, 1)]:
            beside = "cat /disk/big /disk/big /disk/big /disk/big >/dev/null &"
            yield Run(f"Go {version}, JSON service, a file is read", limit,
                      service(version, limit, 4, of, beside))
    for limit in LIMITS:
        yield Run("dd reads a file", limit, "dd if=/disk/big of=/dev/null bs=64k", gomemlimit=False)
        yield Run("dd writes a file", limit, f"dd if=/dev/zero of=/disk/written bs=64k count={limit * 32}",
                  gomemlimit=False)


def doomed():
    """Programs that are killed."""
    new = VERSIONS[-1]
    cache = "cat /disk/big"
    for group in [0, 1]:
        for limit in LIMITS:
            for rate in [0, limit // 8]:
                how = f"leaks {rate or 'as fast as it can'}{' MiB/s' if rate else ''}"
                for gomemlimit in [True, False]:
                    if gomemlimit and group:
                        continue
                    for before in ["", cache]:
                        name = (f"Go {new}, {how}, {f'{GOMEMLIMIT}%' if gomemlimit else 'no GOMEMLIMIT'}, "
                                f"{'cache full' if before else 'no cache'}, group {group}")
                        yield Run(name, limit, load(new, leak=rate, for_=f"{DOOMED}s"), dies=True,
                                  gomemlimit=gomemlimit, group=group, before=before)
    for limit in LIMITS:
        yield Run(f"Go {new}, leaks and reads a file", limit, load(
            new, leak=limit // 8, read="/disk/big", for_=f"{DOOMED}s"), dies=True)
        yield Run(f"Go {new}, half a CPU, leaks as fast as it can, group 1", limit, load(
            new, leak=0, for_=f"{DOOMED}s"), dies=True, gomemlimit=False, group=1, cpus=50000)
        yield Run(f"Go {new}, 110% live", limit, load(
            new, live=limit * 110 // 100, for_=f"{DOOMED}s"), dies=True, group=1)
        yield Run("dd takes it all at once, group 1", limit,
                  f"dd if=/dev/zero of=/dev/null bs={limit * 2}M count=1", dies=True, gomemlimit=False,
                  group=1)
    for version in VERSIONS:
        yield Run(f"Go {version}, JSON service, no GOMEMLIMIT", 100, service(version, 100, 5, 4),
                  dies=True, gomemlimit=False)


def paced():
    """Programs that are well and replace as much of their heap as a collector keeps up with."""
    for version in VERSIONS:
        for limit in LIMITS:
            for percent in [75, 85, 95]:
                if percent == 85 or version == VERSIONS[-1]:
                    yield Run(f"Go {version}, {percent}% live, {limit // 8} MiB/s, reads a file", limit, load(
                        version, live=part(limit, percent), rate=limit // 8, read="/disk/big",
                        for_=f"{SECONDS}s"))
    new = VERSIONS[-1]
    for limit in LIMITS:
        for held in [5, 10]:
            yield Run(f"Go {new}, 75% live, {limit // 8} MiB/s, {held}% in tmpfs, reads a file", limit, load(
                new, live=part(limit, 75), rate=limit // 8, tmpfs="/tmp/tmpfs", held=limit * held // 100,
                read="/disk/big", for_=f"{SECONDS}s"))


def late():
    """Leaks once more: does it matter whether memory.stat is opened only when the limit is met?"""
    new = VERSIONS[-1]
    for afresh in [True, False]:
        for limit in LIMITS[:2]:
            for rate in [0, limit // 8]:
                for again in range(3):
                    how = f"leaks {rate or 'as fast as it can'}, {'opened late' if afresh else 'kept open'}"
                    yield Run(f"Go {new}, {how}, group 1, {again}", limit,
                              load(new, leak=rate, for_=f"{DOOMED}s"), dies=True, gomemlimit=False,
                              group=1, afresh=afresh)


def swapping():
    """With swap, what a leak shows: anonymous memory can be reclaimed then."""
    new = VERSIONS[-1]
    for limit in [64, 128]:
        yield Run(f"Go {new}, leaks {limit // 8} MiB/s, swap", limit, load(
            new, leak=limit // 8, for_=f"{DOOMED}s"), dies=True, group=1, swap=limit)
        yield Run(f"Go {new}, 110% live, swap", limit, load(
            new, live=limit * 110 // 100, for_=f"{SECONDS}s"), swap=limit)


def table_of(text):
    """The lines of a gauge, as dictionaries. A kill may cut the last one."""
    lines = [line.split() for line in text.strip().splitlines()]
    heads = lines[0] if lines else []
    return [dict(zip(heads, [line[0], *map(int, line[1:2]), line[2], *map(int, line[3:])]))
            for line in lines[1:] if len(line) == len(heads)]


class Seen:
    """The results of a run."""

    def __init__(self, kept):
        self.name, self.dies, self.limit = kept["name"], kept["dies"], kept["limit"] * MIB
        # The shell prints signals on separate lines.
        self.code = next((line for line in kept["code"].split("\n") if line.isdigit()), "?")
        self.outside, self.inside = table_of(kept["outside"]), table_of(kept["inside"])
        self.begin = self.outside[0]["ms"]
        self.killed = next((line["ms"] for line in self.outside if line["oom_kill"] > 0), None)
        self.before = table_of(kept["outside"].split("\n")[0] + "\n" + kept["before"])
        after = self.before[0]["ms"] if self.before else 0
        # Only events of the program, not of the command that filled the cache.
        self.events = self._events(self.outside, after)
        self.own = self._events(self.inside, after)
        self.max = self.outside[-1]["max"] - (self.before[0]["max"] if self.before else 0)

    def _events(self, lines, after):
        """The lines with a higher `max` than before, until the first kill."""
        events, seen = [], None
        for line in lines:
            if line["kind"] == "e" and line["ms"] >= after and line["max"] != seen and line["max"] > 0 \
                    and line["oom_kill"] <= 0:
                events.append(line)
            seen = line["max"]
        return events

    def share(self, line, sum_=whole):
        return 100 * sum_(line) / self.limit

    def highest(self, lines, sum_=whole):
        return max((self.share(line, sum_) for line in lines), default=0)

    def alive(self):
        return [line for line in self.outside if line["oom_kill"] <= 0]

    def warned(self, threshold, pause, sum_=whole):
        """When loadline would warn, inside the cgroup, if it stops polling for a while after a wake-up."""
        deaf = 0
        for line in self.own:
            if line["ms"] < deaf:
                continue
            if self.share(line, sum_) >= threshold:
                return line["ms"]
            deaf = line["ms"] + pause(threshold - self.share(line, sum_))
        return None


def tell_well(runs):
    print("\n## Programs that are well\n")
    print("| run | exit | `max` events | wake-ups | of them a second | at an event: " + " | ".join(SUMS)
          + " | at any time: whole |\n|" + "---|" * (6 + len(SUMS)))
    for run in runs:
        seconds = (run.outside[-1]["ms"] - run.begin) / 1000
        killed = ", OOM" if run.killed else ""
        print(f"| {run.name} | {run.code}{killed} | {run.max} | {len(run.events)} | "
              f"{len(run.events) / seconds:.0f} | "
              + " | ".join(f"{run.highest(run.events, sum_):.1f}" for sum_ in SUMS.values())
              + f" | {run.highest(run.alive()):.1f} |")


def tell_doomed(runs):
    print("\n## Programs that are killed\n")
    print("| run | exit | `max` events | wake-ups | first event: " + " | ".join(SUMS)
          + " | file MiB | ms before the kill | wake-ups inside | the last of them: whole | "
          "highest inside | written before the kill, ms |\n|" + "---|" * (10 + len(SUMS)))
    for run in runs:
        first = run.events[0] if run.events else None
        lead = f"{run.killed - first['ms']}" if first and run.killed else "-"
        print(f"| {run.name} | {run.code} | {run.max} | {len(run.events)} | "
              + (" | ".join(f"{run.share(first, sum_):.1f}" for sum_ in SUMS.values()) if first
                 else " | ".join("-" for _ in SUMS))
              + (f" | {(first['file'] - first['shmem']) / MIB:.1f}" if first else " | -")
              + f" | {lead} | {len(run.own)} | "
              + (f"{run.share(run.own[-1]):.1f} | {run.highest(run.own):.1f} | "
                 f"{(run.killed or 0) - run.own[-1]['ms']} |" if run.own else "- | - | - |"))


def tell_thresholds(well_runs, doomed_runs):
    """How many runs would warn, by threshold and by the pause after a wake-up."""
    survived = [run for run in well_runs if not run.killed]
    for name, sum_ in SUMS.items():
        print(f"\n## Warnings with the sum `{name}`, by the pause after a wake-up that gives none\n")
        print("| threshold | well, none | well, 10 ms a percent | "
              + " | ".join(f"killed, {pause}" for pause in PAUSES)
              + " | killed, none: median ms before |\n|" + "---|" * (4 + len(PAUSES)))
        for threshold in THRESHOLDS:
            false = sum(run.highest(run.events, sum_) >= threshold for run in survived)
            sampled = sum(run.warned(threshold, PAUSES["10 ms a percent"], sum_) is not None
                          for run in survived)
            cells = [sum(run.warned(threshold, pause, sum_) is not None for run in doomed_runs)
                     for pause in PAUSES.values()]
            leads = [run.killed - at for run in doomed_runs
                     if (at := run.warned(threshold, PAUSES["none"], sum_)) is not None]
            print(f"| {threshold}% | {false} of {len(survived)} | {sampled} of {len(survived)} | "
                  + " | ".join(f"{cell} of {len(doomed_runs)}" for cell in cells)
                  + f" | {statistics.median(leads) if leads else '-'} |")


def tables():
    runs = [Seen(json.loads(file.read_text())) for file in sorted(KEPT.glob("*.json"))]
    well_runs = [run for run in runs if not run.dies]
    # Healthy programs that were killed need a warning too.
    doomed_runs = [run for run in runs if run.killed]
    tell_well(well_runs)
    tell_doomed([run for run in runs if run.dies])
    tell_thresholds([run for run in well_runs if "swap" not in run.name],
                    [run for run in doomed_runs if "swap" not in run.name])


def build():
    """Builds the programs. Returns them by their path inside the machine."""
    KEPT.mkdir(parents=True, exist_ok=True)
    gauge = KEPT / "gauge"
    subprocess.run(["gcc", "-static", "-O2", "-s", "-Wall", "-Wextra", "-Werror", "-o", gauge,
                    SOURCE / "gauge.c"], check=True)
    files = {"tools/gauge": gauge}
    for version in VERSIONS:
        files[f"tools/service-{version}"], _ = demo.build_service(version)
        go = subprocess.run([TOP / "tests/lab/go", version], check=True, stdout=subprocess.PIPE, text=True)
        file = KEPT / f"load-{version}"
        subprocess.run([go.stdout.strip(), "build", "-o", file, "."], cwd=SOURCE / "load", check=True,
                       env={**os.environ, "GOCACHE": str(TOP / "target/lab/go-cache"), "GOENV": "off",
                            "GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "0"})
        files[f"tools/{file.name}"] = file
    return files


def start():
    with open(DISK, "wb") as disk:
        disk.truncate(3 << 30)
    guest = Machine("-drive", f"file={DISK},format=raw,if=none,id=disk,cache=unsafe",
                    "-device", "nvme,drive=disk,serial=disk")
    try:
        # A sparse file, which is read as fast as possible.
        code, said = guest.sh("""
mount -t cgroup2 cgroup2 $C; enable $C memory cpu
mke2fs -F -m 0 /dev/nvme0n1 2000000 >/dev/null && mkdir /disk && mount -t ext4 /dev/nvme0n1 /disk &&
truncate -s 1G /disk/big && dd if=/dev/zero of=/disk/swap bs=1M count=300 2>/dev/null && mkswap /disk/swap
echo 0 >/sys/kernel/mm/transparent_hugepage/khugepaged/defrag; uname -r
""", patience=120)
        print(said, file=sys.stderr)
        if code:
            raise machine.Broken(f"no disk: {said}")
    except BaseException:
        guest.close()
        raise
    return guest


def polls(guest):
    print(guest.sh("""
group $C/outer memory.swap.max=0
enable $C/outer memory
group $C/outer/in memory.max=8M
truncate -s 64M /disk/small
gauge polls $C/outer /disk/small
rmdir $C/outer
""", patience=120)[1])


def measure(guest, only):
    swapped = False
    for number, run in enumerate([*well(), *doomed(), *paced(), *late(), *swapping()]):
        if only and not re.search(only, run.name):
            continue
        if run.swap and not swapped:
            swapped = True
            guest.sh("swapon /disk/swap")
        _, output = guest.sh(run.script(), patience=4 * DOOMED)
        kept = dict(part.split("\n", 1) for part in output.split("\x1d")[1:])
        kept = {"name": run.name, "dies": run.dies, "limit": run.limit, "before": "", **kept}
        (KEPT / f"{number:03}.json").write_text(json.dumps(kept))
        seen = Seen(kept)
        killed = "killed" if seen.killed else "not killed"
        # The output of a program that did not end as expected.
        said = kept["said"].strip() if seen.dies != bool(seen.killed) else ""
        print(f"{run.name}: exit {seen.code}, {killed}, max {seen.max}, {len(seen.events)} and "
              f"{len(seen.own)} wake-ups, at them up to {seen.highest(seen.events):.1f}%, "
              f"{(seen.outside[-1]['ms'] - seen.begin) / 1000:.1f} s {said}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PATTERN")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--polls", action="store_true")
    options = parser.parse_args()
    # SIGTERM becomes an exception, so that the machine is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    if not options.tables:
        try:
            machine.set_up(build())
        except CannotRun as reason:
            print(f"threshold: not run: {reason}")
            sys.exit(2)
        guest = start()
        try:
            if options.polls:
                polls(guest)
                return
            measure(guest, options.only)
        finally:
            guest.close()
    tables()


if __name__ == "__main__":
    main()
