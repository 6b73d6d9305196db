"""What is measured: the loads, the cells, the settings of each, and the order in which runs are spent."""

import typing

from .curve import STEPS

MIB = 1 << 20


class Load(typing.NamedTuple):
    """A load, whose size is given in steps. The last step is `top` for each MiB of the limit."""

    title: str
    top: float
    # What a share of the limit means; the others are MiB.
    unit: str = "MiB"


LOADS = {
    "json": Load("JSON answers", 0.5),
    "steady": Load("live heap, replaced", 1.0),
    "stacks": Load("deep stacks", 1.2),
    "whole": Load("file read whole", 0.8),
    "outside": Load("15% outside the heap", 0.9),
    "cache": Load("cache", 0.9),
    "pages": Load("beside page cache", 1.0),
    "mapped": Load("beside a mapped file", 1.0),
    "hugo": Load("hugo, a site", 12, "pages"),
    "prometheus": Load("Prometheus, ingesting", 600, "series"),
    "etcd": Load("etcd, writing", 10, "writes"),
}
CORE = ("json", "steady", "stacks", "whole", "outside", "cache")
BESIDE = ("pages", "mapped")
# Programs that nobody here wrote, of the Go version that Debian built them with.
REAL = (HUGO, PROMETHEUS, ETCD) = ("hugo", "prometheus", "etcd")
REAL_GO = ("1.19",)

BARE, FREE = "bare", "free"
PERCENTS = (70, 75, 80, 85, 90, 95, 100)
# In small containers, rules that leave a fixed reserve ask for less.
SMALL_MIB, SMALL_PERCENTS = 128, (60,)
# In large containers and with etcd, where a run takes long, and where only the version of Go or the CPUs differ, some
# are left out, and so regrets between the others are interpolated.
LARGE_MIB, COARSE_PERCENTS = 1024, (70, 80, 90, 95, 100)

UNLIMITED = "unlimited"
# The versions of Go: one for all that is measured, and others to compare.
MAIN, OTHERS = ("1.24",), ("1.19", "1.27")


class Cell(typing.NamedTuple):
    """What a rule cannot choose: the container and the program."""

    limit: int
    cpus: str
    go: str
    load: str

    def __str__(self):
        return f"{LOADS[self.load].title} in {in_words(self.limit)}, {self.cpus} CPU, Go {self.go}"

    def size(self, step):
        """A size in the unit of the load."""
        size = step * LOADS[self.load].top * self.limit / STEPS
        return round(size) if self.load in REAL else round(size, 3)

    def step(self, size):
        return max(1, min(STEPS, round(size / (LOADS[self.load].top * self.limit) * STEPS)))

    def settings(self):
        return (BARE, *map(named, percents(self)))

    def gomemlimit(self, setting):
        """In bytes; None if it is not set."""
        return None if setting in (BARE, FREE) else self.limit * MIB * percent(setting) // 100


def in_words(limit):
    return f"{limit >> 10} GiB" if limit >= 1024 and not limit % 1024 else f"{limit} MiB"


def named(number):
    return f"{number}%"


def percent(setting):
    return int(setting.removesuffix("%"))


def is_coarse(cell):
    is_other = cell.cpus == UNLIMITED or cell.go not in MAIN and cell.load not in REAL
    return is_other or cell.limit >= LARGE_MIB or cell.load == ETCD


def percents(cell):
    if is_coarse(cell):
        return COARSE_PERCENTS
    return (SMALL_PERCENTS if cell.limit <= SMALL_MIB else ()) + PERCENTS


def timed_percents(cell):
    """Those whose times are compared: without headroom too few runs survive."""
    return tuple(number for number in percents(cell) if number < 100)


def cpus(limit):
    """Half a CPU; large containers have more, and take too long with half a CPU. GOMAXPROCS is 1 in both."""
    return "0.5" if limit < LARGE_MIB else "1"


def cells(limits, versions, loads, quota=None):
    return [Cell(limit, quota or cpus(limit), go, load) for limit in limits for go in versions for load in loads]


class Stage(typing.NamedTuple):
    """Cells, and the most runs for each of their curves. A curve that is exact before has fewer."""

    title: str
    cells: list
    runs: int
    # Until the shares are exact enough, not only the half points.
    shares: bool = False
    # Those of --quick; None for all.
    settings: tuple | None = None

    def settings_of(self, cell):
        return self.settings or cell.settings()


# The most runs of a curve whose shares shall be exact.
EXACT = 128
# The first stages decide; with each later one the figures are more exact or cover more.
STAGES = [
    Stage("small containers", cells((400, 128, 64), MAIN, CORE), 12),
    Stage("beside page cache", cells((400, 128, 64), MAIN, BESIDE), 12),
    Stage("2 GiB", cells((2048,), MAIN, ("json", "outside", "steady", "whole")), 8),
    Stage("Prometheus", cells((400, 128, 64), REAL_GO, (PROMETHEUS,)), 12),
    Stage("other versions of Go in 400 MiB", cells((400,), OTHERS, CORE), 12),
    Stage("etcd", cells((400, 128), REAL_GO, (ETCD,)), 8),
    Stage("without a CPU limit", cells((400,), MAIN, CORE, UNLIMITED), 8),
    Stage("other versions of Go in 128 and 64 MiB", cells((128, 64), OTHERS, CORE), 8),
    Stage("exact, up to 400 MiB", cells((400, 128, 64), MAIN, CORE + BESIDE), EXACT, True),
    Stage("exact, other versions of Go", cells((400, 128, 64), OTHERS, CORE), EXACT, True),
    Stage("8 GiB", cells((8192,), MAIN, ("json", "outside", "steady")), 6),
    Stage("2 GiB, other loads", cells((2048,), MAIN, CORE), 8),
    Stage("exact, without a CPU limit", cells((400,), MAIN, CORE, UNLIMITED), EXACT, True),
    Stage("exact, 2 GiB", cells((2048,), MAIN, CORE), EXACT, True),
    Stage("exact, Prometheus", cells((400, 128, 64), REAL_GO, (PROMETHEUS,)), EXACT, True),
    Stage("hugo", cells((400,), REAL_GO, (HUGO,)), 12),
    Stage("exact, hugo and etcd", cells((400,), REAL_GO, (HUGO,)) + cells((400, 128), REAL_GO, (ETCD,)), EXACT, True),
    Stage("exact, 8 GiB", cells((8192,), MAIN, ("json", "outside", "steady")), EXACT, True),
    Stage("other versions of Go in 2 GiB", cells((2048,), OTHERS, CORE), 12),
    Stage("8 GiB, other loads", cells((8192,), MAIN, CORE), 8),
    Stage("real programs in more", cells((1200,), REAL_GO, (HUGO,)) + cells((2048,), REAL_GO, (PROMETHEUS,)), 12),
]
QUICK = [Stage("quick", cells((64,), MAIN, CORE + BESIDE), 1, settings=(BARE, "100%", "80%"))]


def plan(quick=False, limit=None):
    """The stages, of all limits or one."""
    for stage in QUICK if quick else STAGES:
        chosen = [cell for cell in stage.cells if limit in (None, cell.limit)]
        if chosen:
            yield stage._replace(cells=chosen)
