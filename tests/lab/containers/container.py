"""A container in which loadline is the init and `inside` is the program, and the checks that apply to
all containers."""

import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import capture
from checks import equal
from suite import FIXTURES, HIERARCHIES, HOME, LOADLINE, TOP

# The exit code of inside/main.go.
STATUS = 7
MEMORY = 64 << 20
CPUS = 0.5
# The options for Docker and Podman, and the limits that loadline must find.
MEMORY_OPTIONS = [f"--memory={MEMORY}", f"--memory-swap={MEMORY}"]
CPU_OPTIONS = [f"--cpus={CPUS}"]
LIMITS = MEMORY_OPTIONS + CPU_OPTIONS
# The value with which Go reports no memory limit.
NO_LIMIT = 2**63 - 1


def found(place=""):
    """Both limits, with their files as the container sees them."""
    return {"memory": (MEMORY, f"/sys/fs/cgroup/memory{place}/memory.limit_in_bytes"),
            "cpus": (CPUS, f"/sys/fs/cgroup/cpu{place}/cpu.cfs_quota_us")}


class Container:
    """A container that runs inside a `with` block. Subclasses provide the commands of the runtime."""

    # The path of loadline in the container.
    init = "/loadline"
    # Where messages go. A file is never full, unlike a pipe.
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
        """The next line of the program."""
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
        """Stops the container. Returns the last words of the program, and the exit code."""
        subprocess.run(self.stop_command(), check=True, capture_output=True, text=True)
        return self.client.stdout.read().split(), self.client.wait()

    def memory_cgroups(self):
        """The memory cgroup of the first process, and its ancestors."""
        for line in pathlib.Path(f"/proc/{self.pid()}/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "memory":
                path = pathlib.PurePath(path)
                return [pathlib.Path(f"{HIERARCHIES}/memory{it}") for it in (path, *path.parents)]
        raise LookupError(f"{self.name} is in no memory cgroup")


def explanation(finished):
    """The output of `--explain=json`, without the part about the program."""
    finished.check_returncode()
    said = json.loads(finished.stdout)
    del said["program"]
    return said


def matches(pattern, line, what):
    good = re.fullmatch(pattern, line, re.DOTALL)
    return good, what if good else f"{what}: {line}"


def variables(memory, cpus, allowed):
    """The variables that loadline must set for these limits."""
    values = {}
    if memory:
        values["GOMEMLIMIT"] = str(memory * 8 // 10)
    if cpus and math.ceil(cpus) < allowed:
        values["GOMAXPROCS"] = str(math.ceil(cpus))
    return values


def check(title, container, memory=None, cpus=None, allowed=None, said=(), fixture=None):
    """Checks a container with these limits. Each limit is its value and the file in which it is found.
    `said` are parts of the messages that are expected."""
    allowed = allowed or len(os.sched_getaffinity(0))
    memory_limit, memory_source = memory or (None, None)
    cpu_limit, cpu_source = cpus or (None, None)
    expected = variables(memory_limit, cpu_limit, allowed)

    report = container.report
    yield equal(report["Environment"], expected, f"{title}: the program is given the variables")
    go = {"MemoryLimit": int(expected.get("GOMEMLIMIT", NO_LIMIT)),
          "Processors": int(expected.get("GOMAXPROCS", allowed))}
    yield equal({name: report[name] for name in go}, go, f"{title}: the Go runtime uses them")

    explained = container.explain()
    decided = {"memory": [memory_limit, memory_source, expected.get("GOMEMLIMIT"), False],
               "cpu": [cpu_limit, cpu_source, expected.get("GOMAXPROCS"), False], "warnings": []}
    keys = {"memory": ["limit_bytes", "source", "GOMEMLIMIT", "guessed"],
            "cpu": ["limit_cpus", "source", "GOMAXPROCS", "guessed"]}
    explains = {half: [explained[half][key] for key in keys[half]] for half in keys}
    explains["warnings"] = explained["warnings"]
    yield equal(explains, decided, f"{title}: --explain names the files of the limits")

    tree = HOME / "captured" / container.name
    capture.capture(container.pid(), tree)
    again = explanation(subprocess.run([LOADLINE, "--root", tree, "--explain=json"], check=True,
                                       capture_output=True, text=True))
    yield equal(again, explained, f"{title}: the captured tree gives the same result")
    if fixture and "--fixtures" in sys.argv and explains == decided:
        keep(tree, *fixture, explained)

    if memory:
        yield from check_enforced(title, container, explained["memory"]["limit_bytes"])

    lines = [next((part for part in said if part in line), line)
             for line in container.said_by_init().splitlines()]
    yield equal(lines, list(said), f"{title}: there are no other messages")
    yield equal(container.stop(), (["terminated"], STATUS),
                f"{title}: stopped by SIGTERM, with the exit code of the program")
    if memory:
        yield from check_explained(title, container.said_by_init(), "1 process of the container",
                                   memory_limit)


def check_enforced(title, container, limit):
    """Checks that the kernel kills a program exactly at the limit that loadline found."""
    cgroups = container.memory_cgroups()
    limiting = min(cgroups, key=lambda cgroup: number(cgroup, "memory.limit_in_bytes"))
    before = oom_kills(cgroups[0])
    grown = container.execute(container.init, "--", "/inside", "grow", str(4 * MEMORY))
    yield equal(grown.returncode, 128 + signal.SIGKILL, f"{title}: a program that takes more memory is killed")
    # It runs under another loadline, which reports the kill.
    yield from check_explained(title, grown.stderr, "the program", limit)
    kills = oom_kills(cgroups[0]) - before
    peak = number(limiting, "memory.max_usage_in_bytes")
    # The kernel charges up to 64 pages at a time, and exceeds the limit for allocations that must not fail.
    slack = 64 * os.sysconf("SC_PAGE_SIZE")
    yield (kills == 1 and limit is not None and abs(peak - limit) <= slack,
           f"{title}: the kernel kills at the limit that was found: {kills} at {peak} of {limit}")


def check_explained(title, messages, who, limit):
    """An OOM kill is reported in one line that names what was killed, the limit, and the peak."""
    explained = [line for line in messages.splitlines() if "OOM-killed" in line]
    line = explained[0] if len(explained) == 1 else ""
    good = (f"the kernel OOM-killed {who} (out of memory): limit {limit >> 20} MiB in" in line
            and ", peak " in line and "; raise the limit, or " in line)
    yield good, f"{title}: the OOM kill of {who} is reported" + ("" if good else f", not {messages.strip()}")


def number(cgroup, file):
    return int((cgroup / file).read_text(encoding="utf-8"))


def oom_kills(cgroup):
    """The number of OOM kills in the cgroup itself, whichever cgroup has the limit."""
    lines = (cgroup / "memory.oom_control").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def keep(tree, name, about, explained):
    """Replaces a fixture with a captured tree."""
    for file in tree.rglob("*"):
        if file.is_file() and str(TOP) in file.read_text(encoding="utf-8"):
            raise ValueError(f"{file} contains a path of this machine")
    shutil.rmtree(FIXTURES / name, ignore_errors=True)
    shutil.copytree(tree, FIXTURES / name)
    for half in ("memory", "cpu"):
        del explained[half]["reason"]
    expected = json.dumps({"about": about, **explained}, indent=2)
    (FIXTURES / name / "expected.json").write_text(f"{expected}\n", encoding="utf-8")
