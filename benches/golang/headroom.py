"""How much headroom GOMEMLIMIT needs below the memory limit: a program keeps a live heap of a given size
and replaces it at full speed (benches/golang/churn), in a small cgroup, with GOMEMLIMIT at several parts of
the limit. With too little headroom it is OOM-killed, with too much the collector runs all the time."""

import json
import pathlib
import statistics
import subprocess
import tempfile

import lab as labs

from . import container

TITLE = "How much headroom"

VERSIONS = ["1.19", "1.24", "1.27"]
MEMORY_MIB = 200
LIVE_MIB = [70, 90, 110, 130, 150]
CHURN_MIB = 2048
RUNS = 3
# Percent of the limit; its default is set by loadline itself.
PERCENTS = [100, 95, 90, 85, 80]
DEFAULT = 80
# A program that takes so many times its median without a limit is too slow, and is stopped.
TOO_SLOW = 5
# Seconds for a run without a limit.
TIMEOUT = 120

FREE, UNSET = "no limit", "unset"


def settings(quick):
    yield container.Setting(UNSET)
    for part in [100, DEFAULT] if quick else PERCENTS:
        limit = (MEMORY_MIB << 20) * part // 100
        if part == DEFAULT:
            yield container.Setting(f"{part}%", loadline=["-v"])
        else:
            yield container.Setting(f"{part}%", {"GOMEMLIMIT": str(limit)})


def once(lab, program, setting, live, timeout):
    """One run: its outcome, and how long it took."""
    with tempfile.TemporaryDirectory(dir=lab.scratch) as scratch:
        report = pathlib.Path(scratch) / "report.json"
        memory = [] if setting.name == FREE else ["--memory", f"{MEMORY_MIB}MiB"]
        command = [program, "-live", str(live), "-total", str(CHURN_MIB)]
        started = subprocess.Popen(
            [lab.confine, *memory, "--report", report, "--", *setting.command(lab, command)],
            env=container.environment(setting.variables), stderr=subprocess.PIPE, text=True,
        )
        ended = None
        try:
            _, output = started.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            started.terminate()
            _, output = started.communicate(timeout=container.TIMEOUT)
            ended = "slow"
        result = json.loads(report.read_text())
    if setting.loadline is not None and f"GOMEMLIMIT={(MEMORY_MIB << 20) * DEFAULT // 100} " not in output:
        raise RuntimeError(f"loadline did not set {DEFAULT}% of the limit: {output}")
    if container.killed(result):
        ended = "oom"
    elif ended is None and result["exit_code"]:
        raise RuntimeError(f"{program} failed: {output}")
    return {"ended": ended or "ok", "seconds": result["seconds"], "peak": result["memory"]["peak_bytes"]}


def measure(lab):
    container.check(lab)
    versions = VERSIONS[-1:] if lab.quick else VERSIONS
    live_sizes = LIVE_MIB[:1] if lab.quick else LIVE_MIB
    runs = 1 if lab.quick else RUNS
    data = {}
    for version in versions:
        program, full = container.build(lab, version, "benches/golang/churn")
        rows = []
        for live in live_sizes:
            free = [once(lab, program, container.Setting(FREE), live, TIMEOUT) for _ in range(runs)]
            reference = statistics.median(run["seconds"] for run in free)
            cells = {FREE: free}
            # The settings take turns, so that other work on the machine affects all of them alike.
            for _ in range(runs):
                for setting in settings(lab.quick):
                    ran = once(lab, program, setting, live, TOO_SLOW * reference)
                    cells.setdefault(setting.name, []).append(ran)
            rows.append({"live": live, "cells": cells})
            lab.say(f"headroom: Go {full}, {live} MiB alive: " + ", ".join(
                f"{name} {cell(ran, reference)}" for name, ran in cells.items()))
        data[full] = rows
    return data


def cell(runs, reference):
    """As in `2 ok (1.2×), 1 OOM`."""
    good = [run["seconds"] / reference for run in runs if run["ended"] == "ok"]
    parts = []
    if good:
        parts.append(f"{len(good)} ok ({statistics.median(good):.1f}×)")
    for ended, text in [("oom", "OOM"), ("slow", "too slow")]:
        if count := sum(run["ended"] == ended for run in runs):
            parts.append(f"{count} {text}")
    return ", ".join(parts)


def report(data):
    first = next(iter(data.values()))
    names = [name for name in first[0]["cells"] if name != FREE]
    runs = len(first[0]["cells"][UNSET])
    heads = [f"{name} (loadline)" if name == f"{DEFAULT}%" else name for name in names]
    text = f"""
A program keeps a heap of pointers and blocks of mixed sizes alive and replaces it piece by piece, {CHURN_MIB >> 10} GiB
in all, as fast as it can, with two goroutines. It runs in a cgroup of {MEMORY_MIB} MiB without swap and without
a CPU quota. `GOMEMLIMIT` is a part of the limit; at {DEFAULT}%, the default of loadline, the program runs under
loadline. Each cell is {runs} runs: how many succeeded, and their median time as a multiple of the time without a
limit; how many were OOM-killed; and how many were stopped as too slow, after more than {TOO_SLOW} times that time.
"""
    for full, rows in data.items():
        lines, totals = [], dict.fromkeys(names, 0)
        for row in rows:
            reference = statistics.median(run["seconds"] for run in row["cells"][FREE])
            lines.append([f"{row['live']} MiB", *(cell(row["cells"][name], reference) for name in names)])
            for name in names:
                totals[name] += sum(run["ended"] == "ok" for run in row["cells"][name])
        count = sum(len(row["cells"][UNSET]) for row in rows)
        lines.append([f"succeeded, of {count}", *(totals[name] for name in names)])
        text += f"\nGo {full}:\n\n{labs.table(['live heap', *heads], *lines)}\n"
    return text
