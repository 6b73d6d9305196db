"""How large a JSON answer the example service survives in its container: the share of runs that survive
at each size, without GOMEMLIMIT, with it set by hand to several parts of the limit, and under loadline."""

import math
import random
import statistics

import lab as labs

from . import container, demo_case
from .demo_case import MEMORY_MIB

TITLE = "The largest answer"

VERSIONS = ["1.19", "1.24", "1.27"]
BARE, LOADLINE, DEFAULT = "bare", "loadline", 80
# The sizes of the answers, in MB of JSON.
SIZES_MB = range(30, 121, 5)
# GOMEMLIMIT by hand as in the picture: the whole limit, as the downward API of Kubernetes gives it, and a
# part of it that is often recommended. GOMAXPROCS is what loadline sets.
DRAWN_BY_HAND = ["100%", "90%"]
# The same without GOMAXPROCS.
UNSET = ", GOMAXPROCS unset"
UNSET_SIZES_MB = range(30, 121, 10)
# Other parts of the limit, to find the best value by hand. At smaller sizes all of them survive.
OTHERS = ["85%", "75%", "70%"]
OTHER_SIZES_MB = range(60, 121, 10)
# Runs of each setting at each size.
RUNS = 5
# After so many sizes in a row at which no run survives, larger ones are not measured.
LOST_SIZES = 2
# The size at which the times are compared.
TIMED_MB = 60
SHARE = 0.95
PICTURE = "answers.svg"
# The bootstrap draws for the bounds of a size.
DRAWS = 1000


def rows_for(megabytes):
    return round(megabytes * 1e6 * demo_case.ROWS / demo_case.BYTES)


def percent(setting):
    """The part of the limit that a setting by hand is named after."""
    return int(setting.partition("%")[0])


def measure(lab):
    container.check(lab)
    return dict(measure_version(lab, version) for version in (VERSIONS[1:2] if lab.quick else VERSIONS))


def measure_version(lab, version):
    service, full = container.build(lab, version, "examples/service")
    under = container.Setting(LOADLINE, loadline=[])
    # GOMAXPROCS by hand is what loadline sets, so that only GOMEMLIMIT differs.
    threads = demo_case.ask(lab, under, service, rows_for(SIZES_MB[0]))["variables"]["GOMAXPROCS"]
    same = {} if threads == "unset" else {"GOMAXPROCS": threads}

    def by_hand(name):
        limit = {"GOMEMLIMIT": str((MEMORY_MIB << 20) * percent(name) // 100)}
        return container.Setting(name, limit if name.endswith(UNSET) else {**limit, **same})

    plan = [(container.Setting(BARE), SIZES_MB), *((by_hand(name), SIZES_MB) for name in DRAWN_BY_HAND),
            (under, SIZES_MB), *((by_hand(name), OTHER_SIZES_MB) for name in OTHERS)]
    unset = [(by_hand(name + UNSET), UNSET_SIZES_MB) for name in DRAWN_BY_HAND] if same else []
    part = {"threads": threads, "runs": RUNS, "counts": {}, "seconds": {}}
    for settings in (plan, unset):
        if lab.quick:
            part["runs"], settings = 1, [(setting, [30, 60]) for setting, _ in settings[:4]]
        measure_sizes(lab, service, full, settings, part)
    return full, part


def measure_sizes(lab, service, full, settings, part):
    """Measures pairs of a setting and its sizes, from the smallest size up, and adds them to the part."""
    counts, seconds = {}, {}
    for setting, _ in settings:
        counts[setting.name], seconds[setting.name] = [], []
    for size in sorted({size for _, sizes in settings for size in sizes}):
        due = [setting for setting, sizes in settings if size in sizes and not is_lost(counts[setting.name])]
        # The settings take turns, so that other work on the machine affects all of them alike.
        jobs = [lambda setting=setting: (setting.name, demo_case.ask(lab, setting, service, rows_for(size)))
                for _ in range(part["runs"]) for setting in due]
        results = container.side_by_side(jobs)
        for setting in due:
            own = [ran for name, ran in results if name == setting.name]
            counts[setting.name].append([size, sum(ran["survived"] for ran in own), len(own)])
            if size == TIMED_MB:
                seconds[setting.name] = [ran["seconds"] for ran in own if ran["survived"]]
        if due:
            lab.say(f"answers: Go {full}, {size} MB, of {part['runs']} runs survive: " + ", ".join(
                f"{setting.name} {counts[setting.name][-1][1]}" for setting in due))
    part["counts"].update(counts)
    part["seconds"].update(seconds)


def is_lost(points):
    """Whether no run has survived at the last sizes."""
    last = points[-LOST_SIZES:]
    return len(last) == LOST_SIZES and not any(survived for _, survived, _ in last)


# Estimates. A point is a size, the runs that survived, and all runs.

def falling(points):
    """The shares that survive, as the most likely curve that never rises: neighbours that rise are
    averaged (isotonic regression by pooling adjacent violators)."""
    blocks = []
    for _, survived, runs in points:
        blocks.append([survived, runs, 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] < blocks[-1][0] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = [sum(pair) for pair in zip(blocks[-1], last)]
    return [survived / runs for survived, runs, length in blocks for _ in range(length)]


def half_size(points):
    """The size in MB that half of the runs survive, by straight lines between the points. It is infinite
    if more than half survive everywhere, and 0 if fewer do."""
    shares = falling(points)
    if shares[0] < 0.5:
        return 0
    for (size, share), (next_size, next_share) in zip(
            zip((point[0] for point in points), shares), zip((point[0] for point in points[1:]), shares[1:])):
        if next_share < 0.5:
            return size + (next_size - size) * (share - 0.5) / (share - next_share)
    return math.inf


def half_bounds(points):
    """The bounds of 95 of 100 bootstrap draws of that size: each draws as many runs at each point, which
    survive with the share of the curve."""
    source = random.Random(1)
    shares = falling(points)
    halves = sorted(half_size([
        (size, sum(source.random() < share for _ in range(runs)), runs)
        for (size, _, runs), share in zip(points, shares)]) for _ in range(DRAWS))
    return halves[int(DRAWS * 0.025)], halves[int(DRAWS * 0.975)]


def wilson(survived, runs, z=1.96):
    """The bounds of the share that survives, with a confidence of 95%."""
    share, spread = survived / runs, z * z / runs
    middle = (share + spread / 2) / (1 + spread)
    reach = z * math.sqrt(share * (1 - share) / runs + spread / (4 * runs)) / (1 + spread)
    return max(0, middle - reach), min(1, middle + reach)


# The document.

def in_mb(size, points):
    """A size, which may be outside of the points."""
    return f"below {points[0][0]}" if size == 0 else f"over {points[-1][0]}" if size == math.inf else f"{size:.0f}"


def title(name):
    """A setting's name in the document."""
    names = {BARE: "bare", LOADLINE: f"**loadline** ({DEFAULT}%)"}
    return names.get(name, f"GOMEMLIMIT={name}")


def order(name):
    """Bare first, then from the largest part of the limit to the smallest, without GOMAXPROCS before with it."""
    return (-1000 if name == BARE else -DEFAULT if name == LOADLINE else -percent(name)), not name.endswith(UNSET)


def best_by_hand(part):
    """The setting by hand with the largest size that half of the runs survive."""
    names = [name for name in part["counts"] if name not in (BARE, LOADLINE)]
    return max(names, key=lambda name: half_size(part["counts"][name]))


def report(data):
    runs = max(part["runs"] for part in data.values())
    text = f"""
How large an answer does the service of the demo survive? The cgroup is the same, with {MEMORY_MIB} MiB, no swap and {demo_case.CPUS}
CPU, and so are the {demo_case.REQUESTS} requests in a row; the number of rows differs. A run survives if all {demo_case.REQUESTS} answers are
complete and the kernel kills nothing. Near the edge that is chance: it depends on when the collector runs.
So this shows the share of runs that survive at each size, and not one largest size.

![The share of runs that survive at each answer size, for three versions of Go]({PICTURE})

Each mark is {runs} runs at one size. The thin lines are 95% Wilson intervals of the marks between 0% and 100%;
{runs} of {runs} means at least {wilson(runs, runs)[0]:.0%}, and 0 of {runs} at most {wilson(0, runs)[1]:.0%}. The curve is the most likely one that never rises:
marks that rise are averaged with their neighbours. "Half survive" is the size at which it crosses 50%; the
bounds hold 95 of 100 bootstrap draws of the runs at each size, and ignore that other sizes may differ. If all
runs survive at one size and none at the next, half survive somewhere in between.

GOMAXPROCS by hand is what loadline sets, so that only GOMEMLIMIT differs; bare, both are unset. 100% is the
value that the downward API of Kubernetes gives (`resourceFieldRef: limits.memory`). The tables add GOMEMLIMIT
alone, in steps of {UNSET_SIZES_MB.step} MB, and other parts of the limit, from {OTHER_SIZES_MB[0]} MB in steps of {OTHER_SIZES_MB.step} MB.

The sizes are {SIZES_MB[0]} to {SIZES_MB[-1]} MB. After {LOST_SIZES} sizes in a row at which no run survives, larger ones are not measured,
and the cells stay empty. This is a shortcut: survival does not fall with every step, so a larger size might
survive now and then. The settings take turns at each size, those with GOMAXPROCS unset after all others.
The CPU quota and the memory limit are those of the cgroup, so other work on the machine should change
little about who survives; it does change the seconds.
"""
    for full, part in data.items():
        names = sorted(part["counts"], key=order)
        sizes = sorted({size for points in part["counts"].values() for size, _, _ in points})
        halves, lines = [], []
        for name in names:
            points, times = part["counts"][name], part["seconds"][name]
            low, high = half_bounds(points)
            halves.append([title(name), in_mb(half_size(points), points),
                           f"{in_mb(low, points)} to {in_mb(high, points)}",
                           f"{statistics.median(times):.1f}" if times else ""])
            survived = {size: survived for size, survived, _ in points}
            lines.append([title(name), *(survived.get(size, "") for size in sizes)])
        text += f"""
Go {full}, with a go.mod of Go 1.19. GOMAXPROCS is {part["threads"]}, except where it is unset:

{labs.table(["", "half survive, MB", "95% bounds", f"seconds at {TIMED_MB} MB"], *halves)}

{labs.table([f"survived, of {part['runs']}, at MB", *sizes], *lines)}
"""
    return text


def targets(data):
    for full, part in data.items():
        best = best_by_hand(part)
        own, hand = part["counts"][LOADLINE], part["counts"][best]
        ok = half_size(own) >= SHARE * half_size(hand)
        yield (f"Go {full}: the size that half of the runs survive is at least {SHARE:.0%} of the best by hand", ok,
               f"{in_mb(half_size(own), own)} MB, and {in_mb(half_size(hand), hand)} MB with GOMEMLIMIT={best}", True)


COLORS = {BARE: "#b42318", "100%": "#8a5a00", "90%": "#6b3fa0", LOADLINE: "#0b57b0"}
# The labels of the curves are so many MB apart.
LABEL_MB = 4
MARKS = {BARE: "X", "100%": "D", "90%": "s", LOADLINE: "o"}


def draw(data, folder):
    plot = labs.pyplot()
    figure, panels = plot.subplots(len(data), 1, sharex=True, squeeze=False, figsize=(8.6, 1.2 + 1.85 * len(data)))
    for axes, (full, part) in zip(panels[:, 0], data.items()):
        axes.axhline(50, color=labs.LINES, linewidth=1)
        for name, color in COLORS.items():
            draw_setting(axes, name, color, part["counts"][name])
        draw_halves(axes, part["counts"])
        axes.set_xlim(SIZES_MB[0] - 2, SIZES_MB[-1] + 2)
        axes.set_ylim(0, 100)
        axes.set_yticks([0, 50, 100], ["0%", "50%", "100%"])
        axes.set_title(f"Go {full}", loc="left", fontsize=10, fontweight="bold", y=1.02)
    panels[0, 0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.2), ncols=len(COLORS), frameon=False)
    panels[len(data) // 2, 0].set_ylabel("runs that survive")
    runs = max(part["runs"] for part in data.values())
    panels[-1, 0].set_xlabel(
        f"size of the JSON answer, MB (each mark: {runs} runs; number: the size that half of the runs survive)")
    figure.subplots_adjust(hspace=0.45)
    labs.save(figure, folder / PICTURE)
    plot.close(figure)


def draw_setting(axes, name, color, points):
    """The share of each point, with its interval if only some runs survive, and the curve that never rises."""
    sizes = [size for size, _, _ in points]
    axes.plot(sizes, [100 * share for share in falling(points)], color=color, linewidth=1.8,
              clip_on=False, zorder=3)
    axes.plot(sizes, [100 * survived / runs for _, survived, runs in points], color=color, marker=MARKS[name],
              markersize=5, linewidth=0, clip_on=False, zorder=4)
    for size, survived, runs in points:
        if 0 < survived < runs:
            axes.plot([size, size], [100 * bound for bound in wilson(survived, runs)], color=color, alpha=0.4,
                      linewidth=1.2)
    axes.plot([], [], color=color, marker=MARKS[name], markersize=5, linewidth=1.8, label=title(name).replace("*", ""))


def draw_halves(axes, counts):
    """Labels where the curves cross 50%, moved apart if they are too close."""
    at = 0
    for half, name in sorted((half_size(counts[name]), name) for name in COLORS):
        if 0 < half < math.inf:
            at = max(half, at + LABEL_MB)
            axes.text(at, 50, f"{half:.0f}", color=COLORS[name], fontsize=9, fontweight="bold", zorder=5,
                      ha="center", va="center",
                      bbox={"facecolor": labs.CARD, "edgecolor": COLORS[name], "boxstyle": "round,pad=0.2"})
