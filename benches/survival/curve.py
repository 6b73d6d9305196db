"""The curve of survival of one setting in one cell: the share of runs that survive falls with the size.

It is a logistic curve, with a half point and a width, both unknown. `Curve` keeps how likely each pair of them
is after the runs so far (Bayes' rule, on a grid), which gives three things: the size at which the next run
tells most, the half point with its bounds, and draws for the bounds of what is computed from many curves.
Curves of one cell have similar widths, and `pool` lets them learn that from each other.
Sizes are steps from 1 to STEPS, the largest that can be asked for.
"""

import bisect
import itertools
import math
import random
import statistics

STEPS = 200
# Widths in steps: over twice the width to each side of the half point the share falls from 88% to 12%. All are
# equally likely at first, and so are all half points.
WIDTHS = (0.5, 1, 2, 3, 5, 8, 13, 20)
FLAT = [1 / len(WIDTHS)] * len(WIDTHS)
# What is known of the widths of a cell's curves settles within so many rounds.
POOLED_ROUNDS = 30
# So many runs die or survive whatever their size, so that one outlier does not move the curve.
LAPSE = 0.02
# The quantiles of the half point at which runs are placed after the first ones. Simulated curves were known best
# with these, of several ways that were tried.
ASKED, HALVINGS = (0.15, 0.5, 0.85), 5
# The bounds hold with 95%.
LOW, HIGH = 0.025, 0.975
# A curve is exact enough if its bounds are so many steps apart, or such a part of the half point, after so many
# runs at least.
EXACT_STEPS, EXACT_PART, LEAST_RUNS = 2, 0.05, 8
# Where the shares of a cell's curves are so far apart, they differ.
DIFFERENCE = 0.2


def share_at(distance, width):
    """The share that survives, so many steps below the half point."""
    return LAPSE / 2 + (1 - LAPSE) / (1 + math.exp(max(-700, min(700, -distance / width))))


# The logarithms of the shares that survive and that die, by width and distance plus STEPS.
LOGS = {
    survived: [[math.log(share if survived else 1 - share) for share in
                (share_at(distance, width) for distance in range(-STEPS, STEPS + 1))] for width in WIDTHS]
    for survived in (True, False)
}


class Curve:
    """What is known after the runs that were added."""

    def __init__(self):
        # By size: how many runs survived, and how many there were.
        self.points = {}
        self.runs = 0
        # By width and half point, 0 to STEPS.
        self.logs = [[0.0] * (STEPS + 1) for _ in WIDTHS]
        # How likely each width is before the first run.
        self.prior = FLAT
        self._likelihoods = self._weights = None

    def add(self, size, survived):
        for logs, known in zip(LOGS[survived], self.logs):
            begin = STEPS - size
            known[:] = map(float.__add__, known, logs[begin:begin + STEPS + 1])
        before = self.points.get(size, (0, 0))
        self.points[size] = before[0] + survived, before[1] + 1
        self.runs += 1
        self._likelihoods = self._weights = None

    def likelihoods(self):
        """How likely the runs are for each width and half point, up to a factor."""
        if self._likelihoods is None:
            top = max(map(max, self.logs))
            self._likelihoods = [[math.exp(log - top) for log in logs] for logs in self.logs]
        return self._likelihoods

    def weights(self):
        """The probabilities, by width and half point."""
        if self._weights is None:
            weights = [[before * likelihood for likelihood in row]
                       for before, row in zip(self.prior, self.likelihoods())]
            total = sum(map(sum, weights))
            self._weights = [[weight / total for weight in row] for row in weights]
        return self._weights

    def expect(self, prior):
        """Sets how likely each width is before the first run."""
        self.prior, self._weights = prior, None

    def quantile(self, part):
        """The half point that is larger with a probability of 1 - part."""
        seen = 0
        for half, weight in enumerate(map(sum, zip(*self.weights()))):
            if seen + weight >= part:
                # The grid's points stand for what is within half a step of them.
                return max(0, half - 0.5 + (part - seen) / weight)
            seen += weight
        return STEPS

    def half(self):
        return self.quantile(0.5)

    def bounds(self):
        return self.quantile(LOW), self.quantile(HIGH)

    def next(self):
        """The size of the next run: first the half point as far as it is known, which halves what is unknown;
        then in turn also where the half point may well be below or above, which tells how steep the curve is."""
        part = ASKED[self.runs % len(ASKED)] if self.runs >= HALVINGS else 0.5
        return max(1, min(STEPS, round(self.quantile(part))))

    def next_for_shares(self):
        """The size of the next run where shares shall be exact: in turn also where the interval is the widest, because
        close to the half point no run tells how steep the curve is."""
        if self.runs % 2:
            return self.next()
        sizes = range(1, STEPS + 1, 2)
        return max((high - low, size) for size, (_, low, high) in zip(sizes, self.band(sizes)))[1]

    def is_exact(self):
        if self.runs < LEAST_RUNS:
            return False
        low, high = self.bounds()
        return high - low <= max(EXACT_STEPS, EXACT_PART * self.half())

    def draws(self, count, seed=1):
        """Random pairs of a half point and a width, as likely as they are."""
        pairs = list(itertools.product(WIDTHS, range(STEPS + 1)))
        totals = list(itertools.accumulate(itertools.chain.from_iterable(self.weights())))
        source = random.Random(seed)
        return [(max(0, pairs[at][1] + source.random() - 0.5), pairs[at][0]) for at in (
            min(len(pairs) - 1, bisect.bisect(totals, source.random() * totals[-1])) for _ in range(count))]

    def band(self, sizes, count=200):
        """For each size: the share that survives, and its bounds."""
        draws = self.draws(count)
        for size in sizes:
            shares = sorted(share_at(half - size, width) for half, width in draws)
            yield sum(shares) / count, shares[int(count * LOW)], shares[int(count * HIGH)]


def pool(curves):
    """Lets the curves of a cell expect the widths that the others have (empirical Bayes): each curve counts as its
    width's probabilities, and one more as if all widths were equally likely."""
    likelihoods = [list(map(sum, curve.likelihoods())) for curve in curves]
    prior = FLAT
    for _ in range(POOLED_ROUNDS):
        found = [FLAT]
        for own in likelihoods:
            weights = list(map(float.__mul__, prior, own))
            found.append([weight / sum(weights) for weight in weights])
        prior = [statistics.fmean(column) for column in zip(*found)]
    for curve in curves:
        curve.expect(prior)


def intervals(bands):
    """How wide each curve's 95% intervals are, on average over the sizes at which the curves of a cell differ; 0 if
    there are none. `bands` has what `Curve.band` gives, of each curve for the same sizes."""
    widths = [[] for _ in bands]
    for points in zip(*bands):
        shares = [share for share, _, _ in points]
        if max(shares) - min(shares) >= DIFFERENCE:
            for own, (_, low, high) in zip(widths, points):
                own.append(high - low)
    return [statistics.fmean(own) if own else 0 for own in widths]
