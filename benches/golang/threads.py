"""GOMAXPROCS under a CPU quota: how long the kernel holds a service back, what it answers at full
load, and how long its users wait at a part of that; and what the number of threads means for the
memory of the founding case."""

import json
import os
import statistics
import subprocess

import lab as labs

from . import box, founding

# What is asked in the table of quotas: a Go that knows nothing of the quota, and one that does.
VERSIONS = [("1.24", None), ("1.27", "1.27")]
QUOTAS = [0.2, 0.5, 1.5]
ROUNDS = 3
CLIENTS = 8
# Part of what a whole CPU can answer that is asked for by independent users.
PARTIAL = 0.6
FULL_SECONDS, PARTIAL_SECONDS = 2, 4
# What unset means on a large node, for a Go that does not read the quota.
LARGE = 64

# The founding case with an old go.mod, which switches the rule of Go 1.25 and later off.
FOUNDING_VERSION = "1.27"
FOUNDING_RUNS = 20
FOUNDING_THREADS = [1, 2]


def load(lab, generator, address, seconds, *options):
    told = subprocess.run([generator, "-address", f"http://{address}/", "-seconds", str(seconds), *options],
                          check=True, stdout=subprocess.PIPE, text=True, timeout=60 + seconds).stdout
    return json.loads(told)


def threads_of(lab, program, setting, quota):
    """The GOMAXPROCS that the runtime ends up with."""
    with box.serve(lab, setting, [program], None, quota) as running:
        return int(box.fetch(running.address, "/threads"))


def settings(version, unset):
    """Those that differ on this machine."""
    yield "unset", None
    for threads in [1, 2]:
        if threads != unset:
            yield str(threads), threads
    if version == "1.24":
        yield str(LARGE), LARGE


def variables(threads):
    return {} if threads is None else {"GOMAXPROCS": str(threads)}


def measure_quotas(lab):
    rounds = 1 if lab.quick else ROUNDS
    full_seconds, partial_seconds = (1, 1) if lab.quick else (FULL_SECONDS, PARTIAL_SECONDS)
    generator, _ = box.build(lab, "1.24", "benches/golang/load")
    result = []
    for version, language in VERSIONS[-1:] if lab.quick else VERSIONS:
        program, full = box.build(lab, version, "benches/golang/handler", language)
        with box.serve(lab, box.Setting("calibrated", variables(1)), [program], None, None) as running:
            # Warm first.
            load(lab, generator, running.address, 0.5)
            of_one_cpu = load(lab, generator, running.address, full_seconds, "-clients", "1")["per_second"]
        for quota in QUOTAS[1:2] if lab.quick else QUOTAS:
            unset = threads_of(lab, program, box.Setting("unset"), quota)
            chosen = threads_of(lab, program, box.Setting("loadline", loadline=[]), quota)
            rate = PARTIAL * quota * of_one_cpu
            cells = {}
            for _ in range(rounds):
                for name, threads in settings(version, unset):
                    setting = box.Setting(name, variables(threads))
                    with box.serve(lab, setting, [program], None, quota) as running:
                        whole = load(lab, generator, running.address, full_seconds, "-clients", str(CLIENTS))
                    held = running.report["cpu"]
                    with box.serve(lab, setting, [program], None, quota) as running:
                        part = load(lab, generator, running.address, partial_seconds, "-rate", f"{rate:.1f}")
                    cells.setdefault(name, []).append({
                        "full": whole, "full_cpu": held,
                        "partial": part, "partial_cpu": running.report["cpu"],
                    })
            result.append({"go": full, "language": language, "quota": quota, "rate": rate, "unset": unset,
                           "chosen": chosen, "cells": cells})
            lab.say(f"golang: threads, Go {full}, {quota} CPU: " + ", ".join(
                f"{name} p99 {statistics.median(run['partial']['p99_ms'] for run in runs):.0f} ms"
                for name, runs in cells.items()))
    return result


def measure_founding(lab):
    service, full = box.build(lab, FOUNDING_VERSION, "examples/service")
    limit = str((founding.MEMORY_MIB << 20) * 8 // 10)
    jobs = []
    for _ in range(1 if lab.quick else FOUNDING_RUNS):
        for threads in FOUNDING_THREADS:
            setting = box.Setting(str(threads), {"GOMEMLIMIT": limit, **variables(threads)})
            jobs.append(lambda setting=setting: (setting.name, founding.ask(lab, setting, service)))
    with_default = founding.ask(lab, box.Setting("loadline", loadline=[]), service)["variables"]["GOMAXPROCS"]
    cells = {}
    for name, ran in box.side_by_side(jobs):
        cells.setdefault(name, []).append(ran)
    lab.say(f"golang: the founding case with Go {full}: " + ", ".join(
        f"{sum(ran['survived'] for ran in runs)} of {len(runs)} survive with GOMAXPROCS={name}"
        for name, runs in cells.items()))
    return {"go": full, "chosen": with_default, "cells": cells}


def measure(lab):
    return {"quotas": measure_quotas(lab), "founding": measure_founding(lab)}


def spread(values, digits=0):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def held_back(runs, load):
    """Part of the periods in which the quota was used up, in percent."""
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
                f"{held_back(runs, 'full'):.0f}%",
                f"{statistics.median(run['full_cpu']['throttled_seconds'] for run in runs):.1f} s",
                spread([run["partial"]["p50_ms"] for run in runs]),
                spread([run["partial"]["p99_ms"] for run in runs]),
                f"{held_back(runs, 'partial'):.0f}%",
                f"{statistics.median(run['partial_cpu']['throttled_seconds'] for run in runs):.1f} s",
            ))
    cases = data["founding"]
    lines = []
    for name, runs in cases["cells"].items():
        peaks = [run["peak"] / box.MIB for run in runs]
        times = [run["seconds"] for run in runs if run["survived"]] or [0]
        lines.append((name, f"{sum(run['survived'] for run in runs)} of {len(runs)}", spread(peaks), spread(times, 1)))
    chosen = cases["chosen"]
    return f"""### How many threads

A service that decodes, sorts and encodes JSON for each request (some milliseconds of CPU, a megabyte
of garbage), under a CPU quota. At full load {CLIENTS} clients ask without a pause for {FULL_SECONDS} seconds. At partial
load requests come at random at {PARTIAL:.0%} of the rate that would use the quota up, whether the ones
before are answered or not, for {PARTIAL_SECONDS} seconds. Medians of {ROUNDS} runs in turn, with the least and the
most; in bold what there is under loadline. Throttled are the periods of 0.1 s in which the quota was
used up, and the time for which that held threads back, the sum over the CPUs.

Go 1.24 knows nothing of the quota: unset is the number of CPUs, {os.cpu_count()} on this machine. {LARGE} stands for a
large node, but no more of its threads can run at a time than there are CPUs here; on such a node all
{LARGE} could, and use up the quota of a whole period at once. Go 1.27, with a go.mod of its time, takes at
least 2 by its own rule.

{labs.table(["Go", "quota", "GOMAXPROCS", "full load: answers a second", "periods throttled", "for",
             "partial load: p50 ms", "p99 ms", "periods throttled", "for"], *rows)}

The founding case, answers of 66 MB in {founding.MEMORY_MIB} MiB with {founding.CPUS} CPU and `GOMEMLIMIT` at 80%, with
Go {cases["go"]} and a go.mod of Go 1.19, which switches the runtime's own rule off. Under loadline GOMAXPROCS is {chosen} there.

{labs.table(["GOMAXPROCS", "survive four requests", "peak MiB", "seconds"], *lines)}
"""


def bars(_data):
    return []
