"""GOMAXPROCS under a CPU quota: how much the kernel throttles a service, how many requests it answers at full
load, and its latency at partial load; and how the number of threads affects the memory of the demo."""

import json
import os
import statistics
import subprocess

import lab as labs

from . import container, demo_case

TITLE = "How many threads"

# A Go version that ignores the quota, and one that reads it, with the version in go.mod.
VERSIONS = [("1.24", None), ("1.27", "1.27")]
QUOTAS = [0.02, 0.2, 0.5, 1.5]
ROUNDS = 3
CLIENTS = 8
# The request rate at partial load, as a part of the rate that uses up the quota.
PARTIAL = 0.6
FULL_SECONDS, PARTIAL_SECONDS = 2, 4
# With a smaller quota a run is longer, because a request takes longer. Two runs at a time fit.
SMALL_QUOTA, SMALL_FULL_SECONDS, SMALL_PARTIAL_SECONDS = 0.1, 10, 20
# GOMAXPROCS if unset on a large node, for a Go version that ignores the quota.
LARGE = 64

# The case of the demo, with an old go.mod, which switches off the rule of Go 1.25 and later.
DEMO_VERSION = "1.27"
DEMO_RUNS = 20
DEMO_THREADS = [1, 2]


def load(lab, generator, address, seconds, *options):
    output = subprocess.run([generator, "-address", f"http://{address}/", "-seconds", str(seconds), *options],
                          check=True, stdout=subprocess.PIPE, text=True, timeout=60 + seconds).stdout
    return json.loads(output)


def threads_of(lab, program, setting, quota):
    """The GOMAXPROCS that the Go runtime uses."""
    with container.serve(lab, setting, [program], None, quota) as running:
        return int(container.fetch(running.address, "/threads"))


def settings(version, unset):
    """The values of GOMAXPROCS that differ on this machine."""
    yield "unset", None
    for threads in [1, 2]:
        if threads != unset:
            yield str(threads), threads
    if version == "1.24":
        yield str(LARGE), LARGE


def variables(threads):
    return {} if threads is None else {"GOMAXPROCS": str(threads)}


def durations(lab, quota):
    """The seconds of full load and of partial load."""
    if lab.quick:
        return 1, 1
    return (FULL_SECONDS, PARTIAL_SECONDS) if quota >= SMALL_QUOTA else (SMALL_FULL_SECONDS, SMALL_PARTIAL_SECONDS)


def once(lab, program, generator, quota, rate, threads):
    """The service at full load, and then anew at partial load."""
    run = {}
    full, partial = durations(lab, quota)
    for name, seconds, options in (("full", full, ["-clients", str(CLIENTS)]), ("partial", partial, ["-rate", f"{rate:.2f}"])):
        setting = container.Setting("by hand", variables(threads))
        with container.serve(lab, setting, [program], None, quota) as running:
            run[name] = load(lab, generator, running.address, seconds, *options)
        run[f"{name}_cpu"] = running.report["cpu"]
    return run


def measure_quotas(lab):
    generator, _ = container.build(lab, "1.24", "benches/golang/load")
    result = []
    for version, language in VERSIONS[-1:] if lab.quick else VERSIONS:
        program, full = container.build(lab, version, "benches/golang/handler", language)
        with container.serve(lab, container.Setting("calibrated", variables(1)), [program], None, None) as running:
            # Warm up.
            load(lab, generator, running.address, 0.5)
            of_one_cpu = load(lab, generator, running.address, FULL_SECONDS, "-clients", "1")["per_second"]
        for quota in QUOTAS[2:3] if lab.quick else QUOTAS:
            unset = threads_of(lab, program, container.Setting("unset"), quota)
            chosen = threads_of(lab, program, container.Setting("loadline", loadline=[]), quota)
            rate = PARTIAL * quota * of_one_cpu
            turns = [setting for _ in range(1 if lab.quick else ROUNDS) for setting in settings(version, unset)]
            ran = container.side_by_side(
                [lambda threads=threads: once(lab, program, generator, quota, rate, threads) for _, threads in turns],
                1 if quota >= SMALL_QUOTA else container.SIDE_BY_SIDE)
            cells = {}
            for (name, _), run in zip(turns, ran):
                cells.setdefault(name, []).append(run)
            result.append({"go": full, "language": language, "quota": quota, "rate": rate, "unset": unset,
                           "chosen": chosen, "cells": cells})
            lab.say(f"threads: Go {full}, {quota} CPU: " + ", ".join(
                f"{name} p99 {statistics.median(run['partial']['p99_ms'] for run in runs):.0f} ms"
                for name, runs in cells.items()))
    return result


def measure_demo(lab):
    service, full = container.build(lab, DEMO_VERSION, "examples/service")
    limit = str((demo_case.MEMORY_MIB << 20) * 8 // 10)
    jobs = []
    for _ in range(1 if lab.quick else DEMO_RUNS):
        for threads in DEMO_THREADS:
            setting = container.Setting(str(threads), {"GOMEMLIMIT": limit, **variables(threads)})
            jobs.append(lambda setting=setting: (setting.name, demo_case.ask(lab, setting, service)))
    chosen = demo_case.ask(lab, container.Setting("loadline", loadline=[]), service)["variables"]["GOMAXPROCS"]
    cells = {}
    for name, ran in container.side_by_side(jobs):
        cells.setdefault(name, []).append(ran)
    lab.say(f"threads: the demo with Go {full}: " + ", ".join(
        f"{sum(ran['survived'] for ran in runs)} of {len(runs)} survive with GOMAXPROCS={name}"
        for name, runs in cells.items()))
    return {"go": full, "chosen": chosen, "cells": cells}


def measure(lab):
    container.check(lab)
    return {"quotas": measure_quotas(lab), "demo": measure_demo(lab)}


def spread(values, digits=0):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def throttled(runs, load):
    """The percentage of periods in which the kernel throttled the service."""
    shares = [100 * run[f"{load}_cpu"]["throttled_periods"] / max(1, run[f"{load}_cpu"]["periods"]) for run in runs]
    return statistics.median(shares)


def report(data):
    rows = []
    for part in data["quotas"]:
        for name, runs in part["cells"].items():
            threads = part["unset"] if name == "unset" else int(name)
            label = f"{threads}, unset" if name == "unset" else name
            if threads == part["chosen"]:
                label = f"**{label}**"
            rows.append((
                part["go"], part["quota"], label,
                spread([run["full"]["per_second"] for run in runs]),
                f"{throttled(runs, 'full'):.0f}%",
                f"{statistics.median(run['full_cpu']['throttled_seconds'] for run in runs):.1f} s",
                spread([run["partial"]["p50_ms"] for run in runs]),
                spread([run["partial"]["p99_ms"] for run in runs]),
                f"{throttled(runs, 'partial'):.0f}%",
                f"{statistics.median(run['partial_cpu']['throttled_seconds'] for run in runs):.1f} s",
            ))
    cases = data["demo"]
    lines = []
    for name, runs in cases["cells"].items():
        peaks = [run["peak"] / container.MIB for run in runs]
        times = [run["seconds"] for run in runs if run["survived"]] or [0]
        lines.append((name, f"{sum(run['survived'] for run in runs)} of {len(runs)}", spread(peaks), spread(times, 1)))
    chosen = cases["chosen"]
    return f"""
A service decodes, sorts and encodes JSON for each request, which takes some milliseconds of CPU and makes a
megabyte of garbage, under a CPU quota. At full load, {CLIENTS} clients send requests without a pause for {FULL_SECONDS}
seconds. At partial load, for {PARTIAL_SECONDS} seconds, requests come at random times and do not wait for earlier answers, at
{PARTIAL:.0%} of the rate that would use up the quota. With 20 millicores, these are {SMALL_FULL_SECONDS} and {SMALL_PARTIAL_SECONDS} seconds. The figures
are medians of {ROUNDS} runs, which take turns, with the smallest and the largest. Bold is the value under loadline.
Throttled are the periods of 0.1 s in which the quota was used up, and the time that threads waited because of
that, summed over the CPUs.

Go 1.24 ignores the quota: unset means the number of CPUs, {os.cpu_count()} on this machine. {LARGE} stands for a large node;
there, {LARGE} threads could run at a time and use up the quota of a period at once, but here no more than the
CPUs. Go 1.27, with a go.mod of the same version, uses at least 2 by its own rule.

{labs.table(["Go", "quota", "GOMAXPROCS", "full load: answers a second", "periods throttled", "time throttled",
             "partial load: p50 ms", "p99 ms", "periods throttled", "time throttled"], *rows)}

The service of the demo: answers of {demo_case.BYTES / 1e6:.0f} MB in {demo_case.MEMORY_MIB} MiB with {demo_case.CPUS} CPU and `GOMEMLIMIT` at 80%, with Go
{cases["go"]} and a go.mod of Go 1.19, which switches off the runtime's own rule. Under loadline GOMAXPROCS is {chosen}.

{labs.table(["GOMAXPROCS", "survive four requests", "peak MiB", "seconds"], *lines)}
"""
