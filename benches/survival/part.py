"""The part of the benchmark: its data, what the document says, and the pictures."""

import math
import re
import statistics

import lab as labs

from . import cells, driver, real, regret
from . import runs as raw
from .cells import BARE, UNLIMITED
from .curve import DIFFERENCE, STEPS

TITLE = "Which part of the limit"

FILE = "survival.csv"
PICTURE, OTHERS_PICTURE = "survival.svg", "survival-others.svg"
# Hours after which a measurement stops, unless --hours tells others. The stages that decide fit.
HOURS = 3
# Bands of curves are drawn where between so many and so many runs survive, with so many points at most.
DRAWN_SHARES, DRAWN_POINTS = (0.03, 0.97), 24


def measure(lab):
    driver.check(lab)
    file = lab.top / ("target/bench/quick" if lab.quick else "docs") / FILE
    if lab.quick:
        file.unlink(missing_ok=True)
    stages = list(cells.plan(lab.quick, lab.limit))
    measured = driver.Driver(lab, file, stages, lab.hours or HOURS)
    measured.measure()
    return summary(measured.runs, cells.plan(lab.quick))


def summary(runs, stages):
    """What the document needs, from the raw figures. With --quick no cell has what regrets take."""
    wanted = list(dict.fromkeys(cell for stage in stages for cell in stage.cells))
    figures = regret.figures(runs, wanted)
    return {
        "runs": len(runs.all),
        "outcomes": {outcome: sum(run.outcome == outcome for run in runs.all if run.kind != raw.REFERENCE)
                     for outcome in (raw.OK, raw.OOM, raw.SLOW, raw.FAILED)},
        "seconds": round(sum(run.seconds / driver.Driver.at_a_time(run.cell()) for run in runs.all)),
        "cells": [cell_summary(runs, cell) for cell in wanted if runs.curve(cell, cells.named(80)).runs],
        "named": [judged(name, regret.judge(rule, figures, bounds=True)) for name, rule in regret.NAMED.items()],
        "best": [judged(f"{name}, by {criterion}", found) for name, criterion, found in regret.best(figures)],
        "limits": lost_by(figures, lambda cell: cells.in_words(cell.limit), lambda cell: cell.limit),
        "loads": lost_by(figures, lambda cell: cells.LOADS[cell.load].title,
                         lambda cell: list(cells.LOADS).index(cell.load)),
        "versions": lost_by(figures, version_and_quota, version_and_quota),
    }


def cell_summary(runs, cell):
    curves = {}
    for setting, curve in runs.curves(cell).items():
        sizes = range(1, STEPS + 1)
        band = [[size, *(round(share, 3) for share in shares)] for size, shares in zip(sizes, curve.band(sizes))]
        drawn = [point for point in band if point[3] > DRAWN_SHARES[0] and point[2] < DRAWN_SHARES[1]]
        curves[setting] = {"half": round(curve.half(), 2), "bounds": [round(bound, 2) for bound in curve.bounds()],
                           "band": drawn[::math.ceil(len(drawn) / DRAWN_POINTS) or 1]}
    timed = runs.of(cell, raw.TIME)
    return {"cell": list(cell), "curves": curves, "interval": statistics.mean(runs.intervals(cell).values()),
            "timed": timed[0].size if timed else None}


def judged(name, found):
    """A row of the table of regrets; without a regret if nothing is known."""
    return {"name": name, "regret": found and {
        "rule": str(found.rule), "mean": found.mean, "bounds": list(found.bounds), "worst": found.worst,
        "worst_cell": str(found.worst_cell), "mean_time": found.mean_time, "worst_time": found.worst_time,
        "worst_time_cell": str(found.worst_time_cell)}}


def version_and_quota(cell):
    quota = "no CPU limit" if cell.cpus == UNLIMITED else "with a CPU limit"
    return f"Go {cell.go}, {quota}"


def lost_by(figures, name, order):
    """By a property of the cells: for each percentage, the mean regret and the worst."""
    table = []
    for group in dict.fromkeys(map(name, sorted(figures, key=order))):
        own = {cell: known for cell, known in figures.items() if name(cell) == group}
        percents = sorted({percent for cell in own for percent in cells.percents(cell)})
        row = [[percent, found.mean, found.worst] for percent in percents
               if (found := regret.judge(regret.Rule(percent), own))]
        table.append([group, len(own), row])
    return table


# The document.

def seconds(data):
    """How long all runs took, also those of earlier calls."""
    return data["seconds"]


def part_of_limit(cell, step):
    """A size in percent of the limit; in units for each MiB of it if it is no memory."""
    share = step * scale(cell)
    return f"{share:.1f}" if cell.load in (cells.HUGO, cells.ETCD) else f"{share:.0f}"


def scale(cell):
    return cells.LOADS[cell.load].top / STEPS * (1 if cell.load in cells.REAL else 100)


def half_cell(cell, curve, bold):
    if not curve:
        return ""
    low, high = curve["bounds"]
    text = part_of_limit(cell, curve["half"])
    return f"{f'**{text}**' if bold else text} ±{part_of_limit(cell, (high - low) / 2)}"


def regret_row(name, found):
    low, high = (max(0, bound) for bound in found["bounds"])
    time = ["", ""] if found["mean_time"] is None else [
        f"{found['mean_time']:.0%}", f"{found['worst_time']:.0%}: {found['worst_time_cell']}"]
    return [name, found["rule"], f"{found['mean']:.1%} ({low:.1%} to {high:.1%})",
            f"{found['worst']:.0%}: {found['worst_cell']}", *time]


def lost_table(title, rows):
    found = [{percent: f"{mean:.0%} / {worst:.0%}" for percent, mean, worst in row} for _, _, row in rows]
    percents = sorted({percent for row in found for percent in row})
    return labs.table([title, "cells", *map(cells.named, percents)], *(
        [group, count, *(row.get(percent, "") for percent in percents)]
        for (group, count, _), row in zip(rows, found)))


def report(data):
    outcomes = data["outcomes"]
    numbers = (f"{outcomes[raw.OK]:,} survived, {outcomes[raw.OOM]:,} were OOM-killed, {outcomes[raw.SLOW]:,} were too "
               f"slow and {outcomes[raw.FAILED]:,} failed")
    references = data["runs"] - sum(outcomes.values())
    names = [BARE, *map(cells.named, sorted({*cells.PERCENTS, *cells.SMALL_PERCENTS}, reverse=True))]
    rows = []
    for known in data["cells"]:
        cell = cells.Cell(*known["cell"])
        curves = known["curves"]
        best = max((name for name in names if name in curves and name != BARE), key=lambda name: curves[name]["half"])
        rows.append([cells.in_words(cell.limit), cell.cpus, cell.go, cells.LOADS[cell.load].title,
                     *(half_cell(cell, curves.get(name), name == best) for name in names)])
    halves = labs.table(["limit", "CPU", "Go", "load", *names], *rows)
    named, best = (labs.table(
        ["", "GOMEMLIMIT", "mean of lost answers (95% bounds)", "worst", "mean of lost time", "worst"],
        *(regret_row(row["name"], row["regret"]) for row in data[which] if row["regret"]), right=False)
        for which in ("named", "best"))
    mean_interval = statistics.mean(known["interval"] for known in data["cells"])
    others = (f"![The same curves for other versions of Go and without a CPU limit]({OTHERS_PICTURE})\n\n"
              if panels_of(data)[OTHERS_PICTURE] else "")
    families = ", ".join(f'"{name}"' for name in regret.families())
    lost = "\n\n".join(lost_table(title, data[which]) for title, which in (
        ("limit", "limits"), ("load", "loads"), ("version of Go", "versions")))
    return f"""
Which value of `GOMEMLIMIT` loses least, for containers of all sizes and for programs of all kinds? In a cell, which
is a limit, a number of CPUs, a version of Go and a load, programs run at many sizes around those at which they begin
to be killed: without `GOMEMLIMIT` (bare) and with it at several parts of the limit. Afterwards one of these is the
best by hand, which nobody knows before. The regret of a rule is what it loses against that. In answers: the part of
the size that half of the runs survive. In time: how much longer a size takes that all values survive.
Over {len(data["cells"])} cells:

{named}

For the curves, the share of runs that survive falls with the size of the load:

![The share of runs that survive, by load and limit]({PICTURE})

Of other rules, these lose least, by answers alone or by answers and time, where the mean and the worst cell count
alike. Families of rules were searched in this order: {families}.
Of each, the table has the best if it loses less than those before. Regrets between the measured parts are interpolated.

{best}

Lost answers by limit, by load, and by version of Go, as mean / worst. If your programs differ from these,
weigh the loads for yourself:

{lost}

What half of the runs survive, in percent of the limit (hugo, Prometheus and etcd: pages, series and writes for
each MiB), with half of the distance of its 95% bounds. The best is bold:

{halves}

{others}The loads ([source](../benches/survival/load/main.go)) and their sizes, in MiB:

- JSON answers: the service of the demo, three answers in a row, beside other rows of 15% of the limit. The size
  is that of one answer.
- live heap, replaced: blocks of mixed sizes, replaced at full speed. The size is what is live.
- deep stacks: waves of goroutines with 64 KiB of stack and as much garbage each. The size is that of all stacks.
- file read whole: four times in a row, with its size known or as a stream. The size is that of the file.
- 15% outside the heap: a live heap that is replaced, beside memory from mmap(2) that the runtime does not know, 15%
  of the limit. It stands for cgo and other libraries in C.
- cache: a map of entries that fills to a target, which is the size, and then replaces the oldest.
- beside page cache, beside a mapped file: a live heap that is replaced, while a file of twice the limit is read
  from end to end, or a mapped one of a quarter of the limit at random.
- hugo, Prometheus and etcd: Debian's, programs that nobody here wrote. hugo builds a site, whose size is its pages.
  promtool writes {real.SCRAPES} samples for each of many series, as Prometheus does when it scrapes. The size is the
  number of series. etcd stores values of {real.VALUE >> 10} KiB for {real.CLIENTS} clients outside of its cgroup. It keeps its log in memory,
  and maps its database. The size is the number of values.

A run survives if all its work is done, its results are right, and it took at most {raw.TOO_SLOW} times as long as without a
limit, or {raw.START} s more; if not, it counts as lost. Each has a cgroup of its own without swap. CPU is the quota; with
one, GOMAXPROCS is 1 for all settings, as loadline sets it, so that only GOMEMLIMIT differs.

The curves are logistic, fitted to all runs of a setting by Bayes' rule, with a flat prior for the half point. The
curves of a cell share what is known of their steepness (empirical Bayes). 2% of the runs may die or survive
whatever their size. The bands hold 95%. The sizes of the runs are chosen where they tell most, and settings take
turns, so that other work on the machine affects all alike.
Where the shares of a cell's settings differ by {DIFFERENCE:.0%} and more, the intervals are
{100 * mean_interval:.0f} percentage points wide on average. The shortest time is partly luck, so that the regrets in time
are upper estimates.

[{FILE}]({FILE}) has a line for each run: {data["runs"]:,} runs, which take {data["seconds"] / 3600:.1f} hours together. {references:,} of them have
no limit, for comparison; of the others, {numbers}.
The measurement can be stopped at any time, and stops by itself after {HOURS} hours (`--hours`). Started again, it goes on
from there. Finish a cell on the machine that began it: its runs without a limit tell which runs are too slow.
`--limit 64MiB` measures one size of container. To measure anew, remove the file.
"""


def targets(data):
    found = {row["name"]: row["regret"] for row in data["named"]}
    own, other = found.get("loadline"), found.get("automemlimit; Go's documentation, most")
    if own and other:
        yield ("the default for GOMEMLIMIT loses fewer answers than 90% of the limit, on average and in the worst cell",
               own["mean"] <= other["mean"] and own["worst"] <= other["worst"],
               f"{own['mean']:.0%} and {own['worst']:.0%}, at 90% {other['mean']:.0%} and {other['worst']:.0%}", True)


# The pictures.

# The points of a path in a picture, and numbers with more decimals than one.
PATH, DECIMALS = re.compile(r' d="[^"]*"'), re.compile(r"(\d\.\d)\d+")
COLORS = {BARE: "#b42318", "100%": "#8a5a00", "90%": "#6b3fa0", "80%": "#0b57b0", "70%": "#1a7f37"}


def panels_of(data):
    """The cells of each of the two pictures, by load and column."""
    known = {cells.Cell(*found["cell"]): found["curves"] for found in data["cells"]}
    own = {(cell.load, cells.in_words(cell.limit)): (cell, curves) for cell, curves in sorted(known.items())
           if cell.go == cells.MAIN[0] and cell.cpus != UNLIMITED or cell.load in cells.REAL}
    others = {(cell.load, f"Go {cell.go}, {cells.in_words(cell.limit)}{', no quota' * (cell.cpus == UNLIMITED)}"):
              (cell, curves) for cell, curves in sorted(known.items()) if (cell, curves) not in own.values()}
    return {PICTURE: own, OTHERS_PICTURE: others}


def draw(data, folder):
    for file, panels in panels_of(data).items():
        if panels or file == PICTURE:
            draw_panels(panels, [load for load in cells.LOADS if any(load == row for row, _ in panels)], folder / file)


def draw_panels(panels, rows, file):
    """Small multiples: a row for each load, a column for each container."""
    plot = labs.pyplot()
    columns = list(dict.fromkeys(column for _, column in panels)) or [""]
    rows = rows or [""]
    figure, grid = plot.subplots(len(rows), len(columns), squeeze=False, sharey=True,
                                 figsize=(1 + 2.1 * len(columns), 1 + 1.35 * len(rows)))
    for load, line in zip(rows, grid):
        for column, axes in zip(columns, line):
            if (load, column) not in panels:
                axes.set_axis_off()
                continue
            draw_cell(axes, *panels[load, column])
            if load == rows[0]:
                axes.set_title(column, loc="left", fontsize=9, fontweight="bold", y=1.25)
            axes.text(0, 1.06, cells.LOADS[load].title, transform=axes.transAxes, fontsize=8, color=labs.MUTED)
        line[0].set_yticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=8)
    handles = [plot.Line2D([], [], color=color, label=name if name == BARE else f"GOMEMLIMIT={name}")
               for name, color in COLORS.items()]
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(COLORS), frameon=False,
                  fontsize=8)
    figure.supxlabel("size in percent of the limit (hugo, Prometheus, etcd: pages, series, writes for each MiB)", fontsize=9)
    figure.supylabel("runs that survive", fontsize=9, x=-0.01)
    figure.tight_layout(h_pad=0.6, w_pad=0.6)
    labs.save(figure, file)
    plot.close(figure)
    # Hundreds of curves: a tenth of a point is exact enough, and half as long.
    text = file.read_text(encoding="utf-8")
    file.write_text(PATH.sub(lambda path: DECIMALS.sub(r"\1", path[0]), text), encoding="utf-8")


def draw_cell(axes, cell, curves):
    unit = scale(cell)
    axes.set_ylim(0, 1)
    axes.tick_params(labelsize=8)
    ends = [point[0] for curve in curves.values() for point in curve["band"]]
    axes.set_xlim(max(0, min(ends) - 10) * unit, min(STEPS, max(ends) + 10) * unit)
    for name, color in COLORS.items():
        band = curves.get(name, {}).get("band")
        if band:
            sizes = [point[0] * unit for point in band]
            axes.fill_between(sizes, [point[2] for point in band], [point[3] for point in band], color=color, alpha=0.2,
                              linewidth=0)
            axes.plot(sizes, [point[1] for point in band], color=color, linewidth=1.4)
