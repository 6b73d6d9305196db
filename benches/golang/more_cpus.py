"""GOMAXPROCS under quotas that this machine is too small for: in a virtual machine with more CPUs, each of which gets the
same small part of a real one.

The machine is that of tests/lab/vm, whose processor is emulated. SCHED_DEADLINE (sched(7)) gives each of its CPUs so
much time in every period, whatever the others do, so that inside they look like slow real ones.
"""

import json
import pathlib
import re
import statistics
import subprocess
import sys

import lab as labs

from . import container

sys.path.append(str(labs.TOP / "tests/lab/vm"))
import machine  # noqa: E402

TITLE = "With more CPUs"
# It takes minutes to set up.
QUICK = False

VERSION = "1.24"
# CPUs of the service and of what sends the requests, the time of each in every period in microseconds, and the period.
CPUS, CLIENT_CPUS = 6, 1
BUDGET, PERIOD = 1250, 5000
# The emulated processor is some ten times slower: less work for a request, and a smaller cache.
WORK = "-entries 50 -cached 2500"
# The quotas, and the values of GOMAXPROCS that are compared, of which the last is Go's own.
QUOTAS = {2.5: (2, 3, CPUS), 4.5: (4, 5, CPUS)}
ROUNDS = 2
CLIENTS = 16
WARM_SECONDS, FULL_SECONDS, PARTIAL_SECONDS = 2, 15, 20
PARTIAL = 0.6
# Seconds for one run, including its start.
PATIENCE = 300


def slow_down(qemu):
    """Gives each of the CPUs its budget."""
    threads = [task for task in pathlib.Path(f"/proc/{qemu.pid}/task").iterdir()
               if (task / "comm").read_text().startswith("CPU ")]
    if len(threads) != CPUS + CLIENT_CPUS:
        raise RuntimeError(f"qemu has {len(threads)} threads for CPUs")
    for task in threads:
        labs.run(["chrt", "--deadline", "--sched-runtime", f"{BUDGET}000", "--sched-deadline", f"{PERIOD}000",
                  "--sched-period", f"{PERIOD}000", "--pid", "0", task.name], stdout=subprocess.DEVNULL)


def once(guest, quota, threads, load):
    """One run in the machine: what the load says, and in how many periods the service was throttled."""
    code, output = guest.sh(f"""
group $C/service cpu.max="{int(quota * 100_000)} 100000"
mkfifo /tmp/said
(enter $C/service; GOMAXPROCS={threads} exec taskset -c 0-{CPUS - 1} handler {WORK} -listen 127.0.0.1:8080) 2>/tmp/said &
service=$!
exec 3</tmp/said
read -r listening <&3 || exit
ask() {{ taskset -c {CPUS}-{CPUS + CLIENT_CPUS - 1} load -address http://127.0.0.1:8080/ "$@"; }}
ask -seconds {WARM_SECONDS} >/tmp/warm || exit
before=$(grep -E "nr_(periods|throttled)" $C/service/cpu.stat)
ask {load} || exit
echo "$before"
grep -E "nr_(periods|throttled)" $C/service/cpu.stat
kill $service
wait $service
rm /tmp/said
clear_groups $C
""", PATIENCE)
    if code:
        raise RuntimeError(output)
    counts = {}
    for name, count in re.findall(r"^(nr_\w+) (\d+)$", output, re.MULTILINE):
        counts.setdefault(name, []).append(int(count))
    return {**json.loads(output.splitlines()[0]), **{name: after - before for name, (before, after) in counts.items()}}


def measure(lab):
    lab.install("util-linux")
    handler, full = container.build(lab, VERSION, "benches/golang/handler")
    generator, _ = container.build(lab, VERSION, "benches/golang/load")
    try:
        machine.set_up({"tools/handler": handler, "tools/load": generator})
    except machine.CannotRun as reason:
        raise labs.Unavailable(str(reason)) from reason
    guest = machine.Machine("-name", "loadline,debug-threads=on", cpus=CPUS + CLIENT_CPUS)
    try:
        guest.sh("mount -t cgroup2 cgroup2 $C; enable $C cpu")
        slow_down(guest.qemu)
        # The emulator translates the programs the first time they run.
        once(guest, CPUS, CPUS, f"-clients {CLIENTS} -seconds {FULL_SECONDS}")
        # The rate that uses up one CPU.
        one = once(guest, 1, 1, f"-clients 1 -seconds {FULL_SECONDS}")["per_second"]
        result = []
        for quota, settings in QUOTAS.items():
            rate, cells = PARTIAL * quota * one, {}
            for _ in range(ROUNDS):
                for threads in settings:
                    cells.setdefault(threads, []).append({
                        "full": once(guest, quota, threads, f"-clients {CLIENTS} -seconds {FULL_SECONDS}"),
                        "partial": once(guest, quota, threads, f"-rate {rate:.2f} -seconds {PARTIAL_SECONDS}")})
            result.append({"quota": quota, "rate": rate, "cells": [[*cell] for cell in cells.items()]})
            lab.say(f"more CPUs: {quota} CPU: " + ", ".join(
                f"{threads} p99 {statistics.median(run['partial']['p99_ms'] for run in runs):.0f} ms"
                for threads, runs in cells.items()))
    finally:
        guest.close()
    return {"go": full, "quotas": result}


def report(data):
    rows = []
    for part in data["quotas"]:
        for threads, runs in part["cells"]:
            full, partial = ([run[load] for run in runs] for load in ("full", "partial"))
            # What loadline sets: the quota, rounded up.
            chosen = threads == -(-part["quota"] // 1)
            rows.append([
                part["quota"], f"**{threads}**" if chosen else f"{threads}, unset" if threads == CPUS else threads,
                middle(full, "per_second", 1), throttled(full), middle(partial, "p50_ms"), middle(partial, "p99_ms"),
                throttled(partial)])
    return f"""
The same service in a virtual machine with {CPUS} CPUs for it and {CLIENT_CPUS} for the client, Go {data["go"]}. An emulator runs
the CPUs, and each gets {BUDGET / PERIOD:.0%} of a real one, so a smaller request takes {1000 / speed(data):.0f} ms of CPU; but the kernel inside
divides quotas and periods as on any machine with {CPUS + CLIENT_CPUS} CPUs. Full load is {CLIENTS} clients for {FULL_SECONDS} s, partial load {PARTIAL:.0%} of the quota
for {PARTIAL_SECONDS} s; medians of {ROUNDS} runs. With an emulator and so few runs, only large differences mean something.

{labs.table(["quota", "GOMAXPROCS", "full load: answers a second", "periods throttled", "partial load: p50 ms", "p99 ms",
             "periods throttled"], *rows)}
"""


def speed(data):
    """Requests a second of one CPU."""
    first = data["quotas"][0]
    return first["rate"] / PARTIAL / first["quota"]


def middle(runs, name, digits=0):
    return f"{statistics.median(run[name] for run in runs):.{digits}f}"


def throttled(runs):
    return f"{statistics.median(run['nr_throttled'] / max(1, run['nr_periods']) for run in runs):.0%}"
