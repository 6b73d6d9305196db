"""A Go program in a fresh cgroup: how it is built, started, asked and reported on. What the parts of
the Go outcome share; what a request is and how the service is found comes from examples/demo.py."""

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
# Two cells of half a CPU each leave a CPU of two to the client.
SIDE_BY_SIDE = 2
# Seconds for a program to end that was told to.
PATIENCE = 60
# The versions of Go that were used, by series.
used = {}


class Setting:
    """How a program is started: bare, with variables set by hand, or under loadline."""

    def __init__(self, name, variables=None, loadline=None):
        self.name = name
        self.variables = variables or {}
        # The options of loadline, if it is to stand in front.
        self.loadline = loadline

    def command(self, lab, command):
        if self.loadline is None:
            return command
        # Not PID 1 in a cgroup alone: -s adopts orphans all the same.
        return [lab.artifact, "-s", *self.loadline, "--", *command]


def check(lab):
    """Whether there can be cgroups at all."""
    labs.run([*lab.limits("100MiB", 0.5), "true"])


def go(version):
    """The go command of a series, and its full version."""
    found = subprocess.run([TOP / "tests/lab/go", version], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise labs.Cannot(f"Go {version} cannot be had")
    command = found.stdout.strip()
    said = subprocess.run([command, "version"], env=go_environment(), check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    used[version] = said.split()[2].removeprefix("go")
    return command, used[version]


def go_environment():
    lab = TOP / "target/lab"
    return {**os.environ, "GOCACHE": str(lab / "go-cache"), "GOPATH": str(lab / "go-path"),
            "GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "0"}


def build(lab, version, source, language=None):
    """Builds a Go program of ours: the file, and Go's full version. `language` replaces the one of
    its go.mod, which decides whether Go 1.25 and later follow the quota by themselves."""
    source = TOP / source
    command, full = go(version)
    file = lab.scratch / f"{source.name}-{version}{f'-as-{language}' if language else ''}"
    arguments = ["build", "-o", file]
    if language:
        module = lab.scratch / f"{file.name}.mod"
        module.write_text(f"module example.com/{source.name}\n\ngo {language}\n")
        arguments.append(f"-modfile={module}")
    subprocess.run([command, *arguments, "."], cwd=source, env=go_environment(), check=True)
    return file, full


def environment(variables):
    """Ours, without what loadline and Go would take for an order."""
    kept = {name: value for name, value in os.environ.items()
            if name not in ("GOGC", "GODEBUG", *demo.GO_VARIABLES)
            and not name.startswith(("LOADLINE_", "TINI_"))}
    return {**kept, **variables}


class Running:
    """A service that listens, and after its end the report of its cgroup."""

    def __init__(self, started):
        self.started = started
        self.address = self.variables = self.report = self.exit = None

    def directory(self):
        """That of its memory cgroup."""
        return demo.cgroup_of(demo.last_descendant(self.started.pid))


@contextlib.contextmanager
def serve(lab, setting, command, memory, cpus):
    """Runs a service that says where it listens, and ends it."""
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
            said = []
            for line in started.stderr:
                said.append(line)
                if "listening on " in line:
                    running.address = line.split()[-1]
                    break
            # Otherwise it was killed before: a result as good as any other.
            if running.address:
                running.variables = demo.environment_of(demo.last_descendant(started.pid))
            yield running
        finally:
            started.terminate()
            started.wait(timeout=PATIENCE)
            started.stderr.close()
        running.report = json.loads(report.read_text())
        if not running.address and not running.report["memory"]["oom_kills"]:
            raise RuntimeError(f"{command[0]} did not start: {''.join(said)}")


def killed(report):
    return report["memory"]["oom_kills"] > 0


def side_by_side(jobs):
    """Does the jobs, SIDE_BY_SIDE at a time, and gives their results in order."""
    pool = concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE)
    try:
        return [future.result() for future in [pool.submit(job) for job in jobs]]
    finally:
        # What has not begun never does, if one has failed or we are told to stop.
        pool.shutdown(cancel_futures=True)


def fetch(address, path):
    """A small answer, as text."""
    with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE) as answer:
        return answer.read().decode()
