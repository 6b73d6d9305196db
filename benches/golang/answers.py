"""The largest JSON answer that the founding service gives four times in a row in its container: bare,
with the whole limit as GOMEMLIMIT, under loadline, and with the best GOMEMLIMIT that a search by hand
finds."""

import statistics

import lab as labs

from . import box, founding
from .founding import MEMORY_MIB

VERSIONS = ["1.19", "1.24", "1.27"]
# The values of GOMEMLIMIT in MiB that are tried by hand, and then those beside the best of them.
HAND_MIB = range(280, 381, 20)
FINE_MIB = 10
# Sizes are rows of the answer, and STEP of them 2.6 MB of JSON.
STEP = 12_500
LEAST, START, MOST = 8 * STEP, 20 * STEP, 40 * STEP
# The size at which times are compared.
COMMON = 24 * STEP
# Whether a service survives is chance at the edge. Runs of each size in the search, and for what is
# compared in the end: that is measured anew, as the best of many is the luckiest too.
RUNS, RUNS_AGAIN = 4, 8
BAR = 0.95
PICTURE = "answers.svg"


def at_size(lab, setting, service, rows, runs):
    """Runs of one size, no more once one has died."""
    done = []
    while len(done) < runs and all(ran["survived"] for ran in done):
        jobs = [lambda: founding.ask(lab, setting, service, rows)] * min(box.SIDE_BY_SIDE, runs - len(done))
        done += box.side_by_side(jobs)
    return done


def climb(lab, setting, service, start, stride, runs):
    """Goes up in strides until a run dies, and then down again in steps until none does."""
    tried = {}

    def survives(rows):
        if rows not in tried:
            tried[rows] = at_size(lab, setting, service, rows, runs)
        return all(ran["survived"] for ran in tried[rows])

    size = start
    while survives(size) and size + stride <= MOST:
        size += stride
    # What lies between.
    while not survives(size) and size > LEAST:
        size -= STEP
    # A death anywhere below counts.
    return {"setting": setting.name, "runs": [
        {"rows": rows, **{key: ran[key] for key in ("survived", "answers", "peak", "seconds", "bytes", "variables")}}
        for rows in sorted(tried) for ran in tried[rows]]}


def largest(climbed):
    """In rows: the largest size at which all survived, and at all smaller ones too; or 0."""
    best = 0
    for rows in sorted({ran["rows"] for ran in climbed["runs"]}):
        if not all(ran["survived"] for ran in climbed["runs"] if ran["rows"] == rows):
            break
        best = rows
    return best


def first_death(climbed):
    """In rows: the smallest size at which one died, or None."""
    return min((ran["rows"] for ran in climbed["runs"] if not ran["survived"]), default=None)


def measure(lab):
    return dict(measure_version(lab, version) for version in (VERSIONS[1:2] if lab.quick else VERSIONS))


def measure_version(lab, version):
    service, full = box.build(lab, version, "examples/service")
    stride, runs, runs_again = (MOST, 1, 1) if lab.quick else (2 * STEP, RUNS, RUNS_AGAIN)
    under = box.Setting("loadline", loadline=[])
    # What loadline sets; for a fair comparison it is set by hand as well.
    chosen = founding.ask(lab, under, service, LEAST)["variables"]
    threads, own = chosen["GOMAXPROCS"], int(chosen["GOMEMLIMIT"]) >> 20
    same = {} if threads == "unset" else {"GOMAXPROCS": threads}

    def by_hand(mib):
        return box.Setting(f"{mib} MiB", {"GOMEMLIMIT": f"{mib}MiB", **same})

    climbs = []

    def search(setting, start):
        climbs.append(climb(lab, setting, service, start, stride, runs))
        tell(lab, full, climbs[-1])
        return largest(climbs[-1])

    search(box.Setting("bare"), START if lab.quick else LEAST)
    found = search(under, START)
    if not lab.quick:
        search(box.Setting("100%", {"GOMEMLIMIT": str(MEMORY_MIB << 20)}), LEAST)
        if threads != "1":
            search(box.Setting("loadline, GOMAXPROCS=1 by hand", {"GOMAXPROCS": "1"}, loadline=[]), START)
    hand = {mib: search(by_hand(mib), START) for mib in ([320] if lab.quick else HAND_MIB)}
    # Of those that do equally well what loadline sets, or else the one that leaves Go the most.
    def rank(mib):
        return hand[mib], mib == own, mib

    best = max(hand, key=rank)
    if not lab.quick:
        for mib in (best - FINE_MIB, best + FINE_MIB):
            if HAND_MIB[0] < mib < HAND_MIB[-1]:
                hand[mib] = search(by_hand(mib), START)
        best = max(hand, key=rank)

    again = []
    compared = [(under, found), (by_hand(best), hand[best])]
    if same and not lab.quick:
        unset = box.Setting(f"{best} MiB, GOMAXPROCS unset", {"GOMEMLIMIT": f"{best}MiB"})
        compared.append((unset, hand[best]))
    for setting, reached in compared:
        start = max(LEAST, reached - 2 * STEP)
        again.append(climb(lab, setting, service, start, MOST if lab.quick else STEP, runs_again))
        tell(lab, f"{full} again", again[-1])
    # Those by hand in the order of their values.
    climbs.sort(key=lambda it: it["setting"] if it["setting"].endswith(" MiB") else "")
    return full, {"threads": threads, "climbs": climbs, "best": f"{best} MiB", "again": again}


def tell(lab, full, climbed):
    most, died = size(largest(climbed)), size(first_death(climbed))
    lab.say(f"golang: answers, Go {full}, {climbed['setting']}: {most}, one died at {died}")


def size(rows):
    """Rows as what their JSON takes."""
    return f"{megabytes(rows):.0f} MB" if rows else "none"


def megabytes(rows):
    return rows * 66_012_856 / founding.ROWS / 1e6


def line(climbed):
    most = largest(climbed)
    times = [ran["seconds"] for ran in climbed["runs"] if ran["rows"] == COMMON and ran["survived"]]
    cell = f"at least {size(most)}" if most == MOST else size(most) if most else f"below {size(LEAST)}"
    return [cell, size(first_death(climbed)), f"{statistics.median(times):.1f}" if times else ""]


def compared(part):
    """What loadline and the best by hand came to, measured anew. Where both are the same setting, it is
    one measurement: of all its runs."""
    under, best = part["again"][:2]
    if is_same(part):
        together = {"runs": under["runs"] + best["runs"]}
        under = best = together
    return [largest(climbed) for climbed in (under, best)]


def is_same(part):
    """Whether the best limit by hand is what loadline sets, as GOMAXPROCS is anyway."""
    set_by_loadline = part["again"][0]["runs"][0]["variables"]["GOMEMLIMIT"]
    return int(set_by_loadline) == int(part["best"].split()[0]) << 20


def report(data):
    text = f"""### The largest answer

The founding case: a REST service that answers with all rows of a project as JSON, {founding.REQUESTS} requests
in a row, {MEMORY_MIB} MiB without swap and {founding.CPUS} CPU. The largest answer is the largest size at which, as at
all smaller ones that were tried, all of {RUNS} runs survived, in steps of {megabytes(STEP):.1f} MB up to {size(MOST)};
beside it the smallest at which one died. By hand GOMAXPROCS is what loadline sets, bare and at 100%
it is unset. The last lines of each table were measured anew, with {RUNS_AGAIN} runs of each size, as the
best of a search is also the luckiest. The edge is chance all the same: 320 MiB by hand and loadline are
one setting, and have come to 71 and to 97 MB.

![The largest answer against GOMEMLIMIT, for each version of Go]({PICTURE})
"""
    for full, part in data.items():
        threads = part["threads"]
        lines = []
        for climbed in part["climbs"]:
            name = climbed["setting"]
            if name.endswith("MiB"):
                name = f"GOMEMLIMIT={name.replace(' ', '')}"
            lines.append([name, *line(climbed)])
        lines += [[f"anew: {climbed['setting']}", *line(climbed)] for climbed in part["again"]]
        under, best = compared(part)
        verdict = f"loadline reaches {under / best if best else 0:.0%} of the best by hand ({part['best']})."
        if is_same(part):
            verdict = f"""The best by hand, {part['best']}, is what loadline sets: how far the two lines of it differ is
chance, and both together come to {size(best)}."""
        text += f"""
Go {full}, a go.mod of Go 1.19; GOMAXPROCS under loadline is {threads}:

{labs.table(["", "largest answer", "one died at", f"seconds at {size(COMMON)}"], *lines)}

{verdict}
"""
    return text


def bars(data):
    for full, part in data.items():
        under, best = compared(part)
        share = under / best if best else 0
        yield (f"Go {full}: the largest answer is at least {BAR:.0%} of the best by hand", share >= BAR,
               f"{share:.0%}: {size(under)} and {size(best)} with {part['best']}", True)


def draw(data, folder):
    plot = labs.pyplot()
    figure, axes = plot.subplots(figsize=(8.6, 3.6))
    styles = [("#b07d12", "o"), ("#1f5fa8", "s"), ("#2e7d4f", "^")]
    for (full, part), (color, mark) in zip(data.items(), styles):
        points = [(int(it["setting"].split()[0]), megabytes(largest(it)))
                  for it in part["climbs"] if it["setting"].endswith(" MiB")]
        axes.plot(*zip(*points), color=color, marker=mark, markersize=5, linewidth=1.6, label=f"Go {full}")
    default = MEMORY_MIB * 8 // 10
    axes.axvline(default, color="#444444", linewidth=1.0, linestyle=(0, (5, 4)))
    top = megabytes(MOST)
    axes.text(default + 1, top * 1.06, "80%", color="#444444", va="bottom")
    axes.axhline(top, color="#999999", linewidth=0.8)
    axes.text(270, top * 1.01, "nothing larger was tried", color="#777777", va="bottom", fontsize=9)
    axes.set_ylim(0, top * 1.15)
    axes.set_xlim(268, 392)
    axes.set_xlabel(f"GOMEMLIMIT, MiB, of a limit of {MEMORY_MIB} MiB")
    axes.set_ylabel("largest answer that survives, MB")
    axes.legend(loc="lower left", frameon=False)
    labs.save(figure, folder / PICTURE)
    plot.close(figure)
