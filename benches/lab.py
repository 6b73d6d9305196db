"""What the parts of the benchmark share: paths, builds and packages, statistics, tables and pictures."""

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

# The exit code of our scripts when the machine lacks something that they need.
UNAVAILABLE = 2
# The colours of the pictures: the card, what is written on it, what is less important, and thin lines.
CARD, TEXT, MUTED, LINES = "#ffffff", "#1f2328", "#57606a", "#d0d7de"
PR_SET_PDEATHSIG = 1
# Stops the processes that keep CPUs awake, should this process fail to.
AWAKE_SECONDS = 300
# How long a command may take to exit after SIGTERM.
STOPPING_SECONDS = 10


class Unavailable(Exception):
    """This machine lacks something that the measurement needs."""


class Target(typing.NamedTuple):
    """What the project promises. A `timed` one depends on how quiet the machine is and how many samples
    there are: with --quick it is shown, but not judged."""

    name: str
    ok: bool
    text: str
    timed: bool = False


class Lab:
    """What a part uses: files, programs, packages."""

    def __init__(self, quick, limit=None, hours=None):
        self.top = TOP
        self.quick = quick
        # What to measure of the survival: only one size of container in MiB, and when to stop.
        self.limit = limit
        self.hours = hours
        self.artifact = TOP / "target/artifact/loadline"
        self.plain = TOP / "target/artifact/plain/loadline"
        # Set by `build`.
        self.confine = None
        # Shared by all runs; everything in it can be built again.
        self.scratch = TOP / "target/bench/scratch"
        self.scratch.mkdir(parents=True, exist_ok=True)
        # The versions of the tools that a part has used, for the document.
        self.versions = {}

    def say(self, text):
        """Prints progress."""
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def build(self):
        """Builds both files of loadline, and examples/confine.rs."""
        self.say("building loadline, the plain build, and examples/confine")
        run(["make", "--no-print-directory", "artifact", "plain"], stdout=sys.stderr)
        self.confine = demo.build_confine()

    def install(self, *packages):
        """Installs Debian packages if they are missing, and records their versions."""
        found = subprocess.run([TOP / "tests/lab/apt", "install", *packages])
        if found.returncode:
            raise Unavailable(f"Debian's {', '.join(packages)} cannot be installed")
        for package in packages:
            version = output(["dpkg-query", "-W", "-f", "${Version}", package])
            self.versions[package] = f"Debian's {version}"

    def compile(self, source, name, *flags, compiler="gcc"):
        """Compiles one C file to a static, stripped program in the scratch directory."""
        program = self.scratch / name
        run([compiler, "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", *flags, "-o", program, source])
        return program

    def limits(self, memory, cpus, report=None):
        """The arguments that run the command after them in a new cgroup."""
        return [str(self.confine), "--memory", memory, "--cpus", str(cpus),
                *(["--report", str(report)] if report else []), "--"]


@contextlib.contextmanager
def awake():
    """Keeps every CPU from going idle, with one SCHED_IDLE process each, which yields to all other
    processes. Waking an idle virtual CPU takes longer than much of what is measured, and whether one is
    idle depends on other work on the machine."""
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
                    # On some kernels a wake-up on this CPU does not preempt before the next tick.
                    while True:
                        os.sched_yield()
                finally:
                    os._exit(1)
            pids.append(pid)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def run(command, **how):
    """Runs a command that must succeed."""
    try:
        subprocess.run(command, cwd=TOP, check=True, **how)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"{' '.join(map(str, command))}: {error}") from error


def to_its_end(command):
    """Runs a command that cleans up after itself, and returns its exit code."""
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
    """The machine that was measured on, as names and values for the document."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^(?:model name|Model)\s*: (.+)$", cpuinfo, re.MULTILINE)
    meminfo = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    system = os.uname()
    release = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    unified = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()
    return {
        "processor": f"{model[1] if model else 'unknown'} ({system.machine}), {os.cpu_count()} CPUs"
                     + " of a virtual machine" * (" hypervisor" in cpuinfo),
        "memory": f"{int(re.search(r'MemTotal: +([0-9]+)', meminfo)[1]) / (1 << 20):.0f} GiB",
        "system": re.search(r'^PRETTY_NAME="(.+)"$', release, re.MULTILINE)[1],
        "kernel": system.release,
        "cgroups": "v2" if unified else "v1",
        "rustc": output(["rustc", "--version"]).removeprefix("rustc "),
    }


def commit():
    """The last commit that changed the sources of loadline; with `+` if they differ from it."""
    try:
        sources = ["src", "Cargo.toml", "Cargo.lock", "Makefile"]
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *sources], cwd=TOP)
        last = output(["git", "log", "-1", "--format=%h", "--", *sources])
        return last + "+" * bool(changed.returncode)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def today():
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")


# Statistics. A spread is always the interquartile range: outliers on a busy machine are unbounded.

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
    """The ratio of two medians, with the bounds of 95 of 100 bootstrap draws. Both lists are in the order
    of the rounds, in which the commands took turns: the draws are of whole rounds."""
    source = random.Random(seed)
    size = len(samples)
    if size != len(others):
        raise ValueError("the lists differ in their number of rounds")
    ratios = []
    for _ in range(draws):
        rounds = source.choices(range(size), k=size)
        ratios.append(statistics.median([samples[i] for i in rounds])
                      / statistics.median([others[i] for i in rounds]))
    ratios.sort()
    return {"ratio": statistics.median(samples) / statistics.median(others),
            "low": ratios[int(draws * 0.025)], "high": ratios[int(draws * 0.975)]}


# Markdown and pictures.

def table(head, *rows, right=True):
    """A Markdown table; all columns but the first are aligned right."""
    side = "---:" if right else "---"
    lines = [head, ["---"] + [side] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def pyplot():
    """matplotlib's pyplot, set up so that the same data gives the same file, and text stays text. The
    pictures are light cards with a border, so that they are readable on light and on dark pages."""
    found = subprocess.run([TOP / "tests/lab/matplotlib"], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise Unavailable("PyPI's matplotlib cannot be installed")
    if found.stdout.strip() not in sys.path:
        sys.path.insert(0, found.stdout.strip())
    os.environ.setdefault("MPLCONFIGDIR", str(TOP / "target/lab/matplotlib-config"))
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "loadline", "savefig.facecolor": CARD,
        "savefig.edgecolor": LINES, "savefig.pad_inches": 0.15, "axes.facecolor": CARD,
        "text.color": TEXT, "axes.labelcolor": TEXT, "axes.edgecolor": TEXT, "xtick.color": TEXT, "ytick.color": TEXT,
        "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
        "axes.spines.top": False, "axes.spines.right": False, "font.size": 10,
    })
    from matplotlib import pyplot as plot
    return plot


def save(figure, path):
    """Writes a picture without a date and the version of matplotlib."""
    figure.patch.set_linewidth(1.5)
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    # Without trailing blanks, which git warns about.
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")
