"""Rules for GOMEMLIMIT, and what each of them loses against the best value by hand of each cell.

The best value by hand is the one of the measured percentages with the largest half point, the size that half of
the runs survive. A rule's half point is interpolated between those of the percentages below and above its value.
The regret of a rule in a cell is the part of the best half point that it loses; and in time, the part of the
shortest time that it takes longer.
"""

import statistics
import typing

from . import cells

# The bootstrap draws of each curve, for the bounds.
DRAWS = 200
# Where Go's collector behaves differently, as far as the measured versions show.
NEWER_GO = (1, 27)


class Rule(typing.NamedTuple):
    """The limit less a headroom: a part of the limit, but between a floor and a ceiling, in MiB. Newer versions of
    Go may have a part of their own."""

    percent: float
    floor: int = 0
    ceiling: int | None = None
    newer: float | None = None

    def value(self, cell):
        """GOMEMLIMIT, in percent of the limit."""
        own = self.percent
        if self.newer is not None and tuple(map(int, cell.go.split(".")[:2])) >= NEWER_GO:
            own = self.newer
        headroom = max(self.floor, cell.limit * (100 - own) / 100)
        if self.ceiling is not None:
            headroom = min(self.ceiling, headroom)
        return 100 * (cell.limit - headroom) / cell.limit

    def __str__(self):
        text = f"{self.percent:g}% of the limit"
        if self.newer is not None:
            text += f", from Go {'.'.join(map(str, NEWER_GO))} on {self.newer:g}%"
        bounds = [f"at least {self.floor} MiB"] * bool(self.floor)
        if self.ceiling is not None:
            bounds.append(f"at most {self.ceiling} MiB")
        return text + (f", headroom {' and '.join(bounds)}" if bounds else "")


class Unset(typing.NamedTuple):
    """No GOMEMLIMIT."""

    def value(self, _cell):
        return None

    def __str__(self):
        return "not set"


# What is recommended or common, by name.
PRESENT = Rule(80)
NAMED = {
    "bare": Unset(),
    "downward API": Rule(100),
    "Go's documentation, least headroom": Rule(95),
    "automemlimit; Go's documentation, most": Rule(90),
    "loadline": PRESENT,
}
FLOORS, CEILINGS = (8, 16, 24, 32), (64, 100, 128, 200, 256, 400, 512)


def families():
    """The rules that are searched, by family: from the simplest to those that take more words."""
    parts, coarse = range(70, 101), range(70, 96, 5)
    return {
        "one part": [Rule(part) for part in parts],
        "a part, and a least headroom": [Rule(part, floor) for part in coarse for floor in FLOORS],
        "a part, and a largest headroom": [Rule(part, 0, ceiling) for part in coarse for ceiling in CEILINGS],
        "a part, a least and a largest headroom": [
            Rule(part, floor, ceiling) for part in coarse for floor in FLOORS for ceiling in CEILINGS],
        "a part by version of Go": [Rule(part, newer=newer) for part in coarse for newer in coarse if newer != part],
    }


def interpolate(known, at):
    """A value between those of the next percentages below and above; None outside of them. That of None is its own."""
    if at is None:
        return known.get(None)
    known = {percent: value for percent, value in known.items() if percent is not None}
    below = max((percent for percent in known if percent <= at), default=None)
    above = min((percent for percent in known if percent >= at), default=None)
    if below is None or above is None:
        return None
    if below == above:
        return known[below]
    return known[below] + (known[above] - known[below]) * (at - below) / (above - below)


class Figures(typing.NamedTuple):
    """What was measured in a cell, by percentage, or None without GOMEMLIMIT: half points, draws of them, and times."""

    halves: dict
    draws: dict
    seconds: dict

    def best(self):
        return max(filter(None, self.halves), key=self.halves.get)

    def lost(self, percent):
        """The regret of a percentage."""
        best = self.halves[self.best()]
        own = interpolate(self.halves, percent)
        return None if own is None or best <= 0 else 1 - own / best

    def lost_draws(self, percent):
        """Draws of the regret, against what is the best by the half points. A draw of a percentage that only
        seems worse may be above it, so that these are not all positive."""
        best = self.draws[self.best()]
        return [1 - interpolate({at: drawn[n] for at, drawn in self.draws.items()}, percent) / max(best[n], 0.5)
                for n in range(len(best))]

    def slower(self, percent):
        """How much longer than the shortest time it takes, as a part of that. For a percentage outside of those
        that were timed, the nearest counts."""
        if not self.seconds or percent is None:
            return None
        at = min(max(percent, min(self.seconds)), max(self.seconds))
        return interpolate(self.seconds, at) / min(self.seconds.values()) - 1


class Regret(typing.NamedTuple):
    """A rule's regrets over all cells."""

    rule: Rule
    mean: float
    bounds: tuple | None
    worst: float
    worst_cell: cells.Cell
    mean_time: float | None
    worst_time: float | None
    worst_time_cell: cells.Cell | None


def judge(rule, figures, bounds=False):
    """The regrets of a rule; None if it asks for a value outside of the measured ones."""
    lost = {cell: known.lost(rule.value(cell)) for cell, known in figures.items()}
    if not lost or None in lost.values():
        return None
    slower = {cell: value for cell, known in figures.items()
              if (value := known.slower(rule.value(cell))) is not None}
    found = None
    if bounds:
        means = sorted(map(statistics.mean, zip(*(
            known.lost_draws(rule.value(cell)) for cell, known in figures.items()))))
        found = means[int(len(means) * 0.025)], means[int(len(means) * 0.975)]
    worst, worst_time = max(lost, key=lost.get), max(slower, key=slower.get, default=None)
    return Regret(rule, statistics.mean(lost.values()), found, lost[worst], worst,
                  statistics.mean(slower.values()) if slower else None, slower.get(worst_time), worst_time)


# By what the best rule of a family is chosen; mean and worst cell count alike.
CRITERIA = {
    "answers": lambda regret: regret.mean + regret.worst,
    "answers and time": lambda regret: regret.mean + regret.worst + (regret.mean_time or 0) + (regret.worst_time or 0),
}


# A rule that takes more words has to lose so much less.
NOTICED = 0.002


def best_of(family, figures, criterion):
    judged = [regret for rule in family if (regret := judge(rule, figures))]
    return min(judged, key=CRITERIA[criterion], default=None)


def best(figures):
    """By criterion, the best rule of each family: only those that lose less than the best of the families before."""
    for criterion, cost in CRITERIA.items():
        least = None
        for name, family in families().items():
            found = best_of(family, figures, criterion)
            if found and (least is None or cost(found) < least - NOTICED):
                least = cost(found)
                yield name, criterion, judge(found.rule, figures, bounds=True)


def figures(runs, wanted):
    """The figures of the cells whose percentages have all been measured."""
    found = {}
    for cell in wanted:
        curves = {percent: runs.curve(cell, cells.named(percent)) for percent in cells.percents(cell)}
        curves[None] = runs.curve(cell, cells.BARE)
        if not all(curve.runs for curve in curves.values()):
            continue
        times = {}
        for run in runs.of(cell, "time"):
            if run.outcome == "ok":
                times.setdefault(cells.percent(run.setting), []).append(run.seconds)
        draws = {percent: curve.draws(DRAWS, seed=f"{cell}, {percent}") for percent, curve in curves.items()}
        found[cell] = Figures(
            {percent: curve.half() for percent, curve in curves.items()},
            {percent: [half for half, _ in drawn] for percent, drawn in draws.items()},
            {percent: statistics.median(seconds) for percent, seconds in times.items()})
    return found
