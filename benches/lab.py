"""What the parts of the benchmark have in common: where things are, how they are built and
installed, how a figure and its spread are told, and how a picture is drawn.
"""

import contextlib
import ctypes
import datetime
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import typing

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(TOP / "examples"))
import demo

# What a script of ours says when the machine lacks something that it needs.
CANNOT = 2
PR_SET_PDEATHSIG = 1
# No processor is kept awake for longer, whatever goes wrong.
AWAKE_SECONDS = 300
# After that long what was told to stop hangs.
STOPPING_SECONDS = 10


class Cannot(Exception):
    """This machine cannot show it."""


class Bar(typing.NamedTuple):
    """What the project promises. One that is `timed` depends on how quiet the machine is, and on
    how much is measured: with --quick it is shown, but not judged."""

    name: str
    ok: bool
    text: str
    timed: bool = False


class Lab:
    """What a part may use."""

    def __init__(self, quick):
        self.top = TOP
        self.quick = quick
        self.artifact = TOP / "target/artifact/loadline"
        self.plain = TOP / "target/artifact/plain/loadline"
        # Set by `build`.
        self.confine = None
        # One for all runs: what is there can be made again.
        self.scratch = TOP / "target/bench/scratch"
        self.scratch.mkdir(parents=True, exist_ok=True)
        # The versions of what a part has used, for the document.
        self.versions = {}

    def say(self, text):
        """Progress, for whoever waits."""
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def build(self):
        """Makes what is measured."""
        self.say("building loadline, small and plain, and what confines")
        run(["make", "--no-print-directory", "artifact", "plain"], stdout=sys.stderr)
        self.confine = demo.build_confine()

    def install(self, *packages):
        """Installs Debian packages where they are missing, and notes their versions."""
        found = subprocess.run([TOP / "tests/lab/apt", "install", *packages])
        if found.returncode:
            raise Cannot(f"{', '.join(packages)} cannot be had from Debian")
        for package in packages:
            version = output(["dpkg-query", "-W", "-f", "${Version}", package])
            self.versions[package] = f"Debian's {version}"

    def compile(self, source, name, *flags, compiler="gcc"):
        """A program from one file of C, static and stripped, below the scratch folder."""
        program = self.scratch / name
        run([compiler, "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", *flags, "-o", program, source])
        return program

    def limits(self, memory, cpus, report=None):
        """The words before a command that is to run in a fresh cgroup."""
        return [str(self.confine), "--memory", memory, "--cpus", str(cpus),
                *(["--report", str(report)] if report else []), "--"]


@contextlib.contextmanager
def awake():
    """Keeps every processor from going to sleep, by a process of the idle class for each, which
    gives way to whatever else wants to run. To wake a virtual processor takes longer than much of
    what is measured, and whether one sleeps is up to whatever else goes on."""
    prctl = ctypes.CDLL(None).prctl
    pids = []
    try:
        for _ in range(os.cpu_count()):
            pid = os.fork()
            if not pid:
                try:
                    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                        signal.signal(number, signal.SIG_DFL)
                    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                    signal.alarm(AWAKE_SECONDS)
                    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
                    while True:
                        pass
                finally:
                    os._exit(1)
            pids.append(pid)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def run(command, **how):
    """Runs what has to work."""
    try:
        subprocess.run(command, cwd=TOP, check=True, **how)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Cannot(f"{' '.join(map(str, command))}: {error}") from error


def to_its_end(command):
    """Runs a command that has things to put away, and gives its exit code."""
    with subprocess.Popen(command, cwd=TOP) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            child.wait(STOPPING_SECONDS)
            raise


def output(command):
    return subprocess.run(command, cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def machine():
    """What the figures depend on, as pairs of a name and a value."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^(?:model name|Model)\s*: (.+)$", cpuinfo, re.MULTILINE)
    meminfo = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    system = os.uname()
    release = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    unified = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()
    return {
        "processor": f"{model[1] if model else 'unknown'} ({system.machine}), {os.cpu_count()} CPUs",
        "memory": f"{int(re.search(r'MemTotal: +([0-9]+)', meminfo)[1]) / (1 << 20):.0f} GiB",
        "system": re.search(r'^PRETTY_NAME="(.+)"$', release, re.MULTILINE)[1],
        "kernel": system.release,
        "cgroups": "v2" if unified else "v1",
        "rustc": output(["rustc", "--version"]).removeprefix("rustc "),
    }


def commit():
    """Which loadline it is; `+` where what is at hand is not what was committed."""
    try:
        sources = ["src", "Cargo.toml", "Cargo.lock", "Makefile"]
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *sources], cwd=TOP)
        return output(["git", "rev-parse", "--short", "HEAD"]) + "+" * bool(changed.returncode)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def today():
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")


# Figures. A spread is always that of the middle half: outliers on a busy machine have no bound.

def quartiles(samples):
    """The lower quartile, the median and the upper quartile."""
    ordered = sorted(samples)
    if len(ordered) < 2:
        return [ordered[0]] * 3
    return statistics.quantiles(ordered, n=4, method="inclusive")


def percentile(samples, part):
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part / 100))]


def ratio(samples, others, draws=1000, seed=1):
    """The ratio of two medians, with the bounds that hold 95 of 100 of its bootstrap draws. Both
    are lists of what was measured in turn, round by round: whole rounds are drawn."""
    drawn = random.Random(seed)
    size = len(samples)
    if size != len(others):
        raise ValueError("not measured in turn")
    ratios = []
    for _ in range(draws):
        rounds = drawn.choices(range(size), k=size)
        ratios.append(statistics.median([samples[i] for i in rounds])
                      / statistics.median([others[i] for i in rounds]))
    ratios.sort()
    return {"ratio": statistics.median(samples) / statistics.median(others),
            "low": ratios[int(draws * 0.025)], "high": ratios[int(draws * 0.975)]}


# Markdown and pictures.

def table(head, *rows, right=True):
    """A table whose cells but the first of a row stand to the right."""
    side = "---:" if right else "---"
    lines = [head, ["---"] + [side] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def pyplot():
    """matplotlib's, set so that the same data gives the same file, with its text as text."""
    found = subprocess.run([TOP / "tests/lab/matplotlib"], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise Cannot("matplotlib cannot be had from PyPI")
    if found.stdout.strip() not in sys.path:
        sys.path.insert(0, found.stdout.strip())
    os.environ.setdefault("MPLCONFIGDIR", str(TOP / "target/lab/matplotlib-config"))
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "loadline", "savefig.facecolor": "white",
        "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
        "axes.spines.top": False, "axes.spines.right": False, "font.size": 10,
    })
    from matplotlib import pyplot as plot
    return plot


def save(figure, path):
    """Writes a picture without the date and the version of what drew it."""
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    # Without the blanks at the ends of lines, which git complains of.
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")
