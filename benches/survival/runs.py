"""The raw figures: a file with a line for each run, written as soon as the run has ended. It is all that a
measurement leaves behind, so one that was stopped goes on with what is missing."""

import csv
import dataclasses
import statistics

from . import cells
from .curve import STEPS, Curve, intervals, pool

# What a run was for: to find the edge of survival, to compare times, or to know the time without a limit.
EDGE, TIME, REFERENCE = "edge", "time", "free"
OK, OOM, SLOW, FAILED = "ok", "oom", "slow", "failed"
# A run that takes so many times as long as without a limit is stopped as too slow; but the start takes time too.
TOO_SLOW, START = 3, 0.5
# Seconds, if the time without a limit is not known.
PATIENCE = 300
# The sizes at which the intervals of a cell's curves are compared.
BAND_SIZES = range(1, STEPS + 1, 4)


@dataclasses.dataclass
class Run:
    limit_mib: int
    cpus: str
    go: str
    load: str
    setting: str
    gomemlimit: int | None
    kind: str
    size: float
    outcome: str
    seconds: float
    peak_bytes: int

    def cell(self):
        """The cell, in which only the minor version counts."""
        return cells.Cell(self.limit_mib, self.cpus, ".".join(self.go.split(".")[:2]), self.load)


COLUMNS = [field.name for field in dataclasses.fields(Run)]


class Runs:
    """All runs, and the curves that follow from them."""

    def __init__(self, file):
        self.file = file
        self.all = []
        self.by_cell = {}
        # By cell, its curves by setting. Those of the cells that had new runs do not expect each other's widths yet.
        self.cell_curves = {}
        self.changed = set()
        # By cell, the intervals of its settings, until it has a new run.
        self.known_intervals = {}
        if file.exists():
            with open(file, encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    self.keep(Run(int(row["limit_mib"]), row["cpus"], row["go"], row["load"], row["setting"],
                                  int(row["gomemlimit"]) if row["gomemlimit"] else None, row["kind"],
                                  float(row["size"]), row["outcome"], float(row["seconds"]), int(row["peak_bytes"])))

    def keep(self, run):
        self.all.append(run)
        cell = run.cell()
        self.by_cell.setdefault(cell, []).append(run)
        if run.kind != REFERENCE:
            self.cell_curves.setdefault(cell, {}).setdefault(run.setting, Curve()).add(
                cell.step(run.size), run.outcome == OK)
            self.changed.add(cell)
            self.known_intervals.pop(cell, None)

    def add(self, run):
        """Keeps a run and writes its line."""
        new = not self.file.exists()
        with open(self.file, "a", encoding="utf-8", newline="") as lines:
            writer = csv.writer(lines, lineterminator="\n")
            if new:
                writer.writerow(COLUMNS)
            writer.writerow(dataclasses.astuple(run))
        self.keep(run)

    def curves(self, cell):
        """The curves of a cell by setting, those that have runs."""
        curves = self.cell_curves.get(cell, {})
        if cell in self.changed:
            pool(curves.values())
            self.changed.remove(cell)
        return curves

    def curve(self, cell, setting):
        return self.curves(cell).get(setting) or Curve()

    def intervals(self, cell):
        """By setting: how wide the 95% intervals of its shares are, on average over the sizes at which the shares of
        the cell's settings differ."""
        if cell not in self.known_intervals:
            curves = self.curves(cell)
            found = intervals([list(curve.band(BAND_SIZES)) for curve in curves.values()])
            self.known_intervals[cell] = dict(zip(curves, found))
        return self.known_intervals[cell]

    def of(self, cell, kind):
        return [run for run in self.by_cell.get(cell, []) if run.kind == kind]

    def patience(self, cell, size):
        """Seconds after which a run of this size is too slow: a multiple of the time without a limit, on a line
        through the medians of two sizes."""
        times = {}
        for run in self.of(cell, REFERENCE):
            times.setdefault(run.size, []).append(run.seconds)
        if len(times) < 2:
            return PATIENCE
        (small, low), (large, high) = ((size, statistics.median(times[size])) for size in (min(times), max(times)))
        free = max(0, low + (high - low) * (size - small) / (large - small))
        return max(TOO_SLOW * free, free + START)

    def seconds(self, cell):
        """How long a run of this cell takes, or None before the first."""
        found = [run.seconds for run in self.by_cell.get(cell, [])]
        return statistics.mean(found) if found else None
