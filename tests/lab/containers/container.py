"""A container in which loadline is the init and `inside` the program, whoever made it, and what has
to be true of all of them."""

import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import capture
from suite import FIXTURES, HIERARCHIES, HOME, LOADLINE, TOP

# What inside/main.go ends with.
STATUS = 7
MEMORY = 64 << 20
CPUS = 0.5
# For the commands of Docker and Podman, and what loadline is to find then.
MEMORY_OPTIONS = [f"--memory={MEMORY}", f"--memory-swap={MEMORY}"]
CPU_OPTIONS = [f"--cpus={CPUS}"]
LIMITS = MEMORY_OPTIONS + CPU_OPTIONS
# How Go says that it has no memory limit.
NO_LIMIT = 2**63 - 1


def found(place=""):
    """Both limits, in the files of this cgroup as the container sees it."""
    return {"memory": (MEMORY, f"/sys/fs/cgroup/memory{place}/memory.limit_in_bytes"),
            "cpus": (CPUS, f"/sys/fs/cgroup/cpu{place}/cpu.cfs_quota_us")}


class Container:
    """Runs from the start of `with` to its end. The subclasses know the runtime's command."""

    # The file that is loadline in the container.
    init = "/loadline"
    # Where messages go; a file never is full.
    stderr = None
    count = 0

    def __init__(self, *options):
        Container.count += 1
        self.name = f"lab-{Container.count}"
        self.options = options

    def run_command(self):
        raise NotImplementedError

    def exec_command(self, command):
        raise NotImplementedError

    def kill_command(self, signal_name):
        raise NotImplementedError

    def stop_command(self):
        return self.kill_command("TERM")

    def pid(self):
        """The ID of the container's first process."""
        raise NotImplementedError

    def __enter__(self):
        self.messages = open(HOME / f"{self.name}.stderr", "w+", encoding="utf-8")
        self.client = subprocess.Popen(
            self.run_command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.stderr or self.messages, text=True)
        try:
            self.first_line = self.line()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.client.kill()
        self.client.wait()
        self.client.stdout.close()
        self.messages.close()

    @property
    def report(self):
        return json.loads(self.first_line)

    def line(self):
        """What the program says next."""
        line = self.client.stdout.readline()
        if not line:
            raise EOFError(f"{self.name} ended with {self.client.wait()}: {self.said_by_init()}")
        return line.rstrip()

    def said_by_init(self):
        self.messages.seek(0)
        return self.messages.read().strip()

    def execute(self, *command):
        return subprocess.run(self.exec_command(command), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)

    def explain(self):
        return explanation(self.execute(self.init, "--explain=json"))

    def kill(self, signal_name):
        subprocess.run(self.kill_command(signal_name), check=True, capture_output=True, text=True)

    def stop(self):
        """Gives what the program said at the end, and the exit status."""
        subprocess.run(self.stop_command(), check=True, capture_output=True, text=True)
        return self.client.stdout.read().split(), self.client.wait()

    def memory_cgroups(self):
        """The memory cgroup of the first process, and those above it."""
        for line in pathlib.Path(f"/proc/{self.pid()}/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "memory":
                path = pathlib.PurePath(path)
                return [pathlib.Path(f"{HIERARCHIES}/memory{it}") for it in (path, *path.parents)]
        raise LookupError(f"{self.name} is in no memory cgroup")


def explanation(finished):
    """What `--explain=json` said, without the program."""
    finished.check_returncode()
    said = json.loads(finished.stdout)
    del said["program"]
    return said


def equal(found, expected, what):
    return found == expected, what if found == expected else f"{what}: {found}, expected {expected}"


def variables(memory, cpus, allowed):
    """What loadline has to set for these limits."""
    values = {}
    if memory:
        values["GOMEMLIMIT"] = str(memory * 8 // 10)
    if cpus and math.ceil(cpus) < allowed:
        values["GOMAXPROCS"] = str(math.ceil(cpus))
    return values


def check(title, container, memory=None, cpus=None, allowed=None, said=(), fixture=None):
    """Everything that is true of a container with these limits: of each the amount, and the file in
    which it is found. `said` are parts of the messages that there are."""
    allowed = allowed or len(os.sched_getaffinity(0))
    memory_limit, memory_source = memory or (None, None)
    cpu_limit, cpu_source = cpus or (None, None)
    expected = variables(memory_limit, cpu_limit, allowed)

    report = container.report
    yield equal(report["Environment"], expected, f"{title}: the program is given the variables")
    go = {"MemoryLimit": int(expected.get("GOMEMLIMIT", NO_LIMIT)),
          "Processors": int(expected.get("GOMAXPROCS", allowed))}
    yield equal({name: report[name] for name in go}, go, f"{title}: Go goes by them")

    explained = container.explain()
    decided = {"memory": [memory_limit, memory_source, expected.get("GOMEMLIMIT"), False],
               "cpu": [cpu_limit, cpu_source, expected.get("GOMAXPROCS"), False], "warnings": []}
    keys = {"memory": ["limit_bytes", "source", "GOMEMLIMIT", "guessed"],
            "cpu": ["limit_cpus", "source", "GOMAXPROCS", "guessed"]}
    explains = {half: [explained[half][key] for key in keys[half]] for half in keys}
    explains["warnings"] = explained["warnings"]
    yield equal(explains, decided, f"{title}: --explain says where the limits are from")

    tree = HOME / "captured" / container.name
    capture.capture(container.pid(), tree)
    again = explanation(subprocess.run([LOADLINE, "--root", tree, "--explain=json"], check=True,
                                       capture_output=True, text=True))
    yield equal(again, explained, f"{title}: a captured tree says the same")
    if fixture and "--fixtures" in sys.argv and explains == decided:
        keep(tree, *fixture, explained)

    if memory:
        yield from check_enforced(title, container, explained["memory"]["limit_bytes"])

    lines = [next((part for part in said if part in line), line)
             for line in container.said_by_init().splitlines()]
    yield equal(lines, list(said), f"{title}: nothing else is said")
    yield equal(container.stop(), (["terminated"], STATUS),
                f"{title}: stopped by SIGTERM, with the program's own status")
    if memory:
        yield from check_explained(title, container.said_by_init(), "1 process of the container",
                                   memory_limit)


def check_enforced(title, container, limit):
    """A program that takes more than the limit that loadline found is killed exactly there."""
    cgroups = container.memory_cgroups()
    limiting = min(cgroups, key=lambda cgroup: number(cgroup, "memory.limit_in_bytes"))
    before = oom_kills(cgroups[0])
    grown = container.execute(container.init, "--", "/inside", "grow", str(4 * MEMORY))
    yield equal(grown.returncode, 128 + signal.SIGKILL, f"{title}: taking more memory is deadly")
    # It runs under a loadline of its own, which says so.
    yield from check_explained(title, grown.stderr, "the program", limit)
    kills = oom_kills(cgroups[0]) - before
    peak = number(limiting, "memory.max_usage_in_bytes")
    # The kernel charges up to 64 pages at once, and beyond the limit what may not fail.
    slack = 64 * os.sysconf("SC_PAGE_SIZE")
    yield (kills == 1 and limit is not None and abs(peak - limit) <= slack,
           f"{title}: the kernel kills at the limit that was found: {kills} at {peak} of {limit}")


def check_explained(title, messages, who, limit):
    """A kill for want of memory is one line that names who was killed, the limit, and the peak."""
    explained = [line for line in messages.splitlines() if "OOM-killed" in line]
    line = explained[0] if len(explained) == 1 else ""
    good = (f"the kernel OOM-killed {who}: limit {limit >> 20} MiB in" in line
            and ", peak " in line and "; raise the limit, or " in line)
    yield good, f"{title}: it is said of {who}" + ("" if good else f", not {messages.strip()}")


def number(cgroup, file):
    return int((cgroup / file).read_text(encoding="utf-8"))


def oom_kills(cgroup):
    """How many processes of the cgroup itself were taken, whoever had the limit."""
    lines = (cgroup / "memory.oom_control").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def keep(tree, name, about, explained):
    """Makes a fixture of a captured tree, in the place of an older one."""
    for file in tree.rglob("*"):
        if file.is_file() and str(TOP) in file.read_text(encoding="utf-8"):
            raise ValueError(f"{file} holds a path of this machine")
    shutil.rmtree(FIXTURES / name, ignore_errors=True)
    shutil.copytree(tree, FIXTURES / name)
    for half in ("memory", "cpu"):
        del explained[half]["reason"]
    expected = json.dumps({"about": about, **explained}, indent=2)
    (FIXTURES / name / "expected.json").write_text(f"{expected}\n", encoding="utf-8")
