"""A Go program in a new cgroup: how it is built, started, and reported on. Requests, and how the process
of the service is found, come from examples/demo.py."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(TOP / "examples"))
import demo  # noqa: E402
import lab as labs  # noqa: E402

MIB = 1 << 20
# Two cgroups of half a CPU each leave one of two CPUs to the client.
SIDE_BY_SIDE = 2
# Seconds for a program to exit after SIGTERM.
TIMEOUT = 60


class Setting:
    """How a program is started: bare, with variables set by hand, or under loadline."""

    def __init__(self, name, variables=None, loadline=None):
        self.name = name
        self.variables = variables or {}
        # The options of loadline; None without it.
        self.loadline = loadline

    def command(self, lab, command):
        if self.loadline is None:
            return command
        # In a cgroup without a PID namespace loadline is not PID 1: -s makes it adopt orphans there too.
        return [lab.artifact, "-s", *self.loadline, "--", *command]


def check(lab):
    """Raises Unavailable if this machine cannot make cgroups."""
    labs.run([*lab.limits("100MiB", 0.5), "true"])


def go(version):
    """The go command of a version such as 1.24, and the full version."""
    found = subprocess.run([TOP / "tests/lab/go", version], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise labs.Unavailable(f"Go {version} cannot be installed")
    command = found.stdout.strip()
    output = subprocess.run([command, "version"], env=go_environment(), check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    return command, output.split()[2].removeprefix("go")


def go_environment():
    folder = TOP / "target/lab"
    return {**os.environ, "GOCACHE": str(folder / "go-cache"), "GOPATH": str(folder / "go-path"),
            "GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "0"}


def build(lab, version, source, language=None):
    """Builds a Go program of this repository, and returns its path and Go's full version. `language`
    replaces the version in its go.mod, which decides whether Go 1.25 and later read the quota themselves."""
    name, source = source.replace("/", "-"), TOP / source
    command, full = go(version)
    lab.versions[f"Go {version}"] = full
    file = lab.scratch / f"{name}-{version}{f'-as-{language}' if language else ''}"
    arguments = ["build", "-o", file]
    if language:
        module = lab.scratch / f"{file.name}.mod"
        module.write_text(f"module example.com/{source.name}\n\ngo {language}\n")
        arguments.append(f"-modfile={module}")
    subprocess.run([command, *arguments, "."], cwd=source, env=go_environment(), check=True)
    return file, full


def environment(variables):
    """Our environment without the variables that loadline and Go read, and with `variables`."""
    kept = {name: value for name, value in os.environ.items()
            if name not in ("GOGC", "GODEBUG", *demo.GO_VARIABLES)
            and not name.startswith(("LOADLINE_", "TINI_"))}
    return {**kept, **variables}


class Running:
    """A service that listens, and after its exit the report of its cgroup."""

    def __init__(self, started):
        self.started = started
        self.address = self.variables = self.report = None

    def directory(self):
        """The directory of its memory cgroup."""
        return demo.cgroup_of(demo.last_descendant(self.started.pid))


@contextlib.contextmanager
def serve(lab, setting, command, memory, cpus):
    """Runs a service that prints its address, and stops it."""
    with tempfile.TemporaryDirectory(dir=lab.scratch) as scratch:
        report = pathlib.Path(scratch) / "report.json"
        limits = [*(["--memory", memory] if memory else []), *(["--cpus", str(cpus)] if cpus else [])]
        started = subprocess.Popen(
            [lab.confine, *limits, "--report", report, "--",
             *setting.command(lab, [*command, "-listen", "127.0.0.1:0"])],
            env=environment(setting.variables), stderr=subprocess.PIPE, text=True,
        )
        running = Running(started)
        try:
            output = []
            for line in started.stderr:
                output.append(line)
                if "listening on " in line:
                    running.address = line.split()[-1]
                    break
            # Without an address it was killed before it listened, which is a valid result.
            if running.address:
                running.variables = demo.environment_of(demo.last_descendant(started.pid))
            yield running
        finally:
            started.terminate()
            started.wait(timeout=TIMEOUT)
            started.stderr.close()
        running.report = json.loads(report.read_text())
        if not running.address and not running.report["memory"]["oom_kills"]:
            raise RuntimeError(f"{command[0]} did not start: {''.join(output)}")


def usage_file(directory):
    """The file with the memory that a cgroup uses, of v2 or v1."""
    return next(file for name in ("memory.current", "memory.usage_in_bytes") if (file := directory / name).exists())


def killed(report):
    return report["memory"]["oom_kills"] > 0


def side_by_side(jobs, at_a_time=SIDE_BY_SIDE):
    """Runs the jobs, some at a time, and returns their results in order."""
    pool = concurrent.futures.ThreadPoolExecutor(at_a_time)
    try:
        return [future.result() for future in [pool.submit(job) for job in jobs]]
    finally:
        # If a job fails or a signal stops us, the jobs that have not begun are dropped.
        pool.shutdown(cancel_futures=True)


def fetch(address, path):
    """Requests a path and returns the answer as text."""
    with urllib.request.urlopen(f"http://{address}{path}", timeout=TIMEOUT) as answer:
        return answer.read().decode()
