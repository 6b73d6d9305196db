#!/usr/bin/env python3
"""Shows what loadline is for: a small Go REST service (examples/service) in a container's limits.

The same binary gets the same four requests three times: without loadline, with GOMEMLIMIT set by
hand, and under loadline. The demo fails if the first run survives or if the service does not survive
under loadline. It exits with 2 if this machine does not allow new cgroups.

Run by `make demo`, or by `make demo GO=1.27` for another Go.
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
MEMORY_MIB = 400
# Half a CPU is less than any machine has, so the Go runtime starts too many threads. It is enough for
# twelve answers of 66 MB in about ten seconds.
CPUS = 0.5
HAND_SET = "360MiB"
REQUESTS = 4
# How often the service may survive without loadline before the demo fails.
TRIES = 3
PATH = "/projects/harbour/rows"
# Seconds for one answer. It takes half a second on an idle machine.
PATIENCE = 120
CANNOT = 2


class Confine:
    """A new cgroup, v1 or v2, made by the example confine.rs."""

    def __init__(self, _files):
        self.program = build_confine()
        self.arguments = ["--memory", f"{MEMORY_MIB}MiB", "--cpus", str(CPUS)]

    def obstacle(self):
        tried = subprocess.run(
            [self.program, *self.arguments, "--", "true"], stderr=subprocess.PIPE, text=True
        )
        return tried.stderr.strip() if tried.returncode else None

    def __str__(self):
        return "a cgroup made by examples/confine.rs"

    def start(self, scratch, command):
        self.report = scratch / "report.json"
        return [self.program, *self.arguments, "--report", self.report, "--", *command]

    def first_process(self, started):
        return started.pid

    def observe(self, _pid):
        """Does nothing: the report has all numbers."""

    def result(self):
        memory = json.loads(self.report.read_text())["memory"]
        return memory["peak_bytes"], memory["oom_kills"]


class Observed:
    """Containers that remove their cgroup, so it must be read while they run."""

    def __init__(self, _files):
        self.peak = self.kills = None
        self.parent = self.kills_before = None

    def observe(self, pid):
        directory = cgroup_of(pid)
        self.peak = number(directory, "memory.peak", "memory.max_usage_in_bytes") or self.peak
        if self.parent != directory.parent:
            self.parent, self.kills_before = directory.parent, oom_kills(directory.parent)

    def result(self):
        # On v2 the counts include child cgroups, even removed ones.
        after = oom_kills(self.parent)
        if after is not None and self.kills_before is not None:
            self.kills = after - self.kills_before
        return self.peak, self.kills


class Docker(Observed):
    """A Docker container. Its image is built FROM scratch."""

    def __init__(self, files):
        super().__init__(files)
        self.files = files
        self.image = f"loadline-demo:{os.getpid()}"
        self.name = None

    def obstacle(self):
        if not shutil.which("docker"):
            return "there is no docker command"
        asked = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True
        )
        return asked.stderr.strip() or "no daemon answers" if asked.returncode else None

    def __str__(self):
        return "docker run"

    def start(self, scratch, command):
        for file in self.files:
            shutil.copy(file, scratch)
        names = " ".join(file.name for file in self.files)
        (scratch / "Dockerfile").write_text(f"FROM scratch\nCOPY {names} /\n")
        subprocess.run(["docker", "build", "--quiet", "--tag", self.image, scratch], check=True,
                       stdout=subprocess.DEVNULL)
        self.name = f"loadline-demo-{os.getpid()}-{time.monotonic_ns()}"
        inside = [f"/{part.name}" if part in self.files else part for part in command]
        # A name without a value passes on the value of this process, if it has one.
        variables = [f"--env={name}" for name in GO_VARIABLES]
        # The network of the host, because the service listens on the loopback address. The user of
        # this process, so that it can read the environment of the service.
        return ["docker", "run", "--name", self.name, "--network", "host",
                "--user", f"{os.getuid()}:{os.getgid()}", "--memory", f"{MEMORY_MIB}m",
                "--memory-swap", f"{MEMORY_MIB}m", "--cpus", str(CPUS),
                "--entrypoint", inside[0], *variables, self.image, *inside[1:]]

    def inspect(self, what):
        return subprocess.run(["docker", "inspect", "--format", what, self.name], check=True,
                              capture_output=True, text=True).stdout.strip()

    def first_process(self, _started):
        return int(self.inspect("{{.State.Pid}}"))

    def result(self):
        peak, kills = super().result()
        if kills is None:
            kills = int(self.inspect("{{.State.OOMKilled}}") == "true")
        subprocess.run(["docker", "rm", "--force", self.name], stdout=subprocess.DEVNULL)
        subprocess.run(["docker", "rmi", "--force", self.image], stdout=subprocess.DEVNULL)
        return peak, kills


class SystemdRun(Observed):
    """A scope of the user's service manager, if that can limit memory and CPU."""

    LIMITS = ["-p", f"MemoryMax={MEMORY_MIB}M", "-p", "MemorySwapMax=0",
              "-p", f"CPUQuota={CPUS:.0%}"]

    def obstacle(self):
        if not shutil.which("systemd-run"):
            return "there is no systemd-run command"
        script = "cat /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/memory.max"
        tried = subprocess.run(self.start(None, ["sh", "-c", script]), capture_output=True, text=True)
        if tried.returncode or tried.stdout.strip() != str(MEMORY_MIB << 20):
            return tried.stderr.strip() or "the user's service manager cannot limit memory"
        return None

    def __str__(self):
        return "systemd-run --user --scope"

    def start(self, _scratch, command):
        return ["systemd-run", "--user", "--scope", "--quiet", "--collect", *self.LIMITS, "--", *command]

    def first_process(self, started):
        return started.pid


GO_VARIABLES = ["GOMEMLIMIT", "GOMAXPROCS"]


def cgroup_of(pid):
    """The directory with the memory files of a process, at the usual place."""
    unified = None
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return pathlib.Path("/sys/fs/cgroup/memory" + path)
        if not controllers:
            unified = pathlib.Path("/sys/fs/cgroup" + path)
    return unified


def number(directory, *names):
    for name in names:
        try:
            return int((directory / name).read_text())
        except (OSError, ValueError):
            pass
    return None


def oom_kills(directory):
    """The number of OOM kills in a v2 cgroup and its children, or None."""
    try:
        lines = (directory / "memory.events").read_text().splitlines()
    except (OSError, TypeError):
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def last_descendant(pid):
    """The service itself, which is the last descendant."""
    while True:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            return pid
        pid = int(children[0])


def environment_of(pid):
    """The variables in the environment of the process."""
    entries = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    variables = dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)
    return {name: variables.get(name.encode(), b"unset").decode() for name in GO_VARIABLES}


def get(address, patience=PATIENCE):
    """Sends one request. Returns the status and size of the answer, and whether it was complete."""
    connection = http.client.HTTPConnection(address, timeout=patience)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        received = 0
        while True:
            part = answer.read(1 << 20)
            if not part:
                break
            received += len(part)
        return f"{answer.status}, {received:,} bytes", answer.status == 200 and received > 0
    except ConnectionRefusedError:
        return "connection refused", False
    except (http.client.HTTPException, OSError):
        return "connection reset", False
    finally:
        connection.close()


class Column:
    """One run of the service."""

    def __init__(self, title, box, command, variables):
        self.title = title
        kept = {name: value for name, value in os.environ.items()
                if name not in ("GOGC", "GODEBUG", *GO_VARIABLES)
                and not name.startswith(("LOADLINE_", "TINI_"))}
        with tempfile.TemporaryDirectory(prefix="loadline-demo-") as scratch:
            self.run(box, pathlib.Path(scratch), command, {**kept, **variables})

    def run(self, box, scratch, command, environment):
        print(f"demo: {self.title} ...", file=sys.stderr)
        begin = time.monotonic()
        started = subprocess.Popen(
            box.start(scratch, command), env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            self.said = []
            for line in started.stderr:
                if "listening on " in line:
                    address = line.split()[-1]
                    break
                self.said.append(line.rstrip())
            else:
                sys.exit("\n".join(["demo: the service did not start:", *self.said]))
            first = box.first_process(started)
            self.variables = environment_of(last_descendant(first))
            box.observe(first)
            self.answers = []
            for _ in range(REQUESTS):
                self.answers.append(get(address))
                try:
                    box.observe(first)
                except OSError:
                    pass  # It has been killed.
            self.survived = all(whole for _, whole in self.answers)
        finally:
            started.terminate()
            code = started.wait(timeout=PATIENCE)
            started.stderr.close()
        self.exit = 128 - code if code < 0 else code
        self.seconds = time.monotonic() - begin
        self.peak, self.kills = box.result()

    def cells(self):
        yield from (text for text, _ in self.answers)
        peak = "unknown" if self.peak is None else f"{self.peak / (1 << 20):.0f} MiB"
        # A cgroup that was removed with its process was last read before the end.
        yield f"over {peak}" if self.kills and (self.peak or 0) < MEMORY_MIB << 20 else peak
        yield "unknown" if self.kills is None else str(self.kills)
        yield {137: "137, killed", 143: "143, by our SIGTERM"}.get(self.exit, str(self.exit))
        yield from (self.variables[name] for name in GO_VARIABLES)
        yield f"{self.seconds:.1f}"


ROWS = [*(f"request {n + 1}" for n in range(REQUESTS)), "peak memory", "OOM kills", "exit status",
        *GO_VARIABLES, "seconds"]


def table(columns):
    cells = [["", *ROWS], *([column.title, *column.cells()] for column in columns)]
    widths = [max(map(len, column)) for column in cells]
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
             for row in zip(*cells)]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def build_service(go_version, name="service"):
    """Builds the service, or another of the examples, with the given Go, or with the first that can be
    installed."""
    for version in [go_version] if go_version else ["1.19", "1.27"]:
        found = subprocess.run([TOP / "tests/lab/go", version], stdout=subprocess.PIPE, text=True)
        if found.returncode == 0:
            break
    go = found.stdout.strip() or shutil.which("go")
    if go is None or (go_version and found.returncode):
        cannot(f"Go {go_version or ''} cannot be installed")
    lab = TOP / "target/lab"
    service = TOP / "target/demo" / (go_version or "default") / name
    environment = {**os.environ, "GOCACHE": str(lab / "go-cache"), "GOPATH": str(lab / "go-path"),
                   "GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "0"}
    print(f"demo: building the {name} ...", file=sys.stderr)
    subprocess.run([go, "build", "-o", service, "."], cwd=TOP / "examples" / name,
                   env=environment, check=True)
    version = subprocess.run([go, "version"], env=environment, check=True, capture_output=True,
                             text=True).stdout.split()[2]
    return service, version


def build_confine():
    """Builds examples/confine.rs and returns the path of the program, which Cargo knows."""
    built = subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "--example", "confine", "--message-format=json"],
        cwd=TOP, check=True, stdout=subprocess.PIPE, text=True)
    messages = map(json.loads, built.stdout.splitlines())
    return next(pathlib.Path(message["executable"]) for message in messages if message.get("executable"))


def cannot(reason):
    print(f"demo: not run: {reason}", file=sys.stderr)
    sys.exit(CANNOT)


def box_for(files, wanted):
    """The first kind of container that works here."""
    obstacles = []
    for kind in (Confine, Docker, SystemdRun):
        if wanted and kind.__name__.lower() != wanted:
            continue
        box = kind(files)
        obstacle = box.obstacle()
        if obstacle is None:
            return box
        obstacles.append(f"{box}: {' '.join(obstacle.split())}")
    cannot("no kind of container works here; one needs root, a docker daemon, or a systemd that lets "
           "users limit memory: " + "; ".join(obstacles))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--go", metavar="VERSION", help="1.19, or 1.27 for the newest 1.27")
    parser.add_argument("--loadline", type=pathlib.Path, default=TOP / "target/artifact/loadline")
    parser.add_argument("--box", choices=["confine", "docker", "systemdrun"], help="the kind of container")
    options = parser.parse_args()
    # SIGTERM becomes an exception, so that the container is ended and removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("demo: stopped by SIGTERM"))

    loadline = options.loadline.resolve()
    service, go = build_service(options.go)
    box = box_for([loadline, service], options.box)
    serve = [service, "-listen", "127.0.0.1:0"]
    # The garbage collector runs at random times, so sometimes the heap stays just below the limit.
    for lucky in range(TRIES):
        bare = Column("bare", box, serve, {})
        if not bare.survived:
            break
    by_hand = Column(f"GOMEMLIMIT={HAND_SET} by hand", box, serve, {"GOMEMLIMIT": HAND_SET})
    # A cgroup without a PID namespace has no PID 1, so -s adopts orphans. -v prints the values.
    under = Column("under loadline", box, [loadline, "-s", "-v", "--", *serve], {})

    print(f"""
A REST service of a hundred lines, built with {go}; {REQUESTS} requests in a row for 66 MB of JSON.
{MEMORY_MIB} MiB of memory, no swap, {CPUS} CPU, in {box}.
""")
    print(table([bare, by_hand, under]))
    print(*under.said, sep="\n")

    wrong = []
    if bare.survived or bare.exit != 137:
        wrong.append("the bare service was not killed")
    if not under.survived or under.kills:
        wrong.append("the service did not survive under loadline")
    if under.variables["GOMEMLIMIT"] != str((MEMORY_MIB << 20) * 8 // 10):
        wrong.append("loadline did not set GOMEMLIMIT to four fifths of the limit")
    threads = under.variables["GOMAXPROCS"]
    said = "GOMAXPROCS not set" if threads == "unset" else f"GOMAXPROCS={threads} "
    if said not in "".join(under.said):
        wrong.append("the message of loadline about GOMAXPROCS does not match the environment of the service")
    if wrong:
        sys.exit("\ndemo: failed: " + "; ".join(wrong))
    if lucky:
        print(f"\nWithout loadline it survived {lucky} times before the run in the table.")
    answered = sum(whole for _, whole in bare.answers)
    print(f"""
Without loadline the kernel killed the service after {answered} of {REQUESTS} answers, because Go let its heap
grow beyond the memory limit. Under loadline the same file answered all {REQUESTS}: loadline read the limits of
the container and set GOMEMLIMIT and GOMAXPROCS.""")
    if not by_hand.survived and threads == "1":
        # Seen in some runs of a hundred, and never with GOMAXPROCS=1.
        print(f"""This time GOMEMLIMIT alone was not enough: Go ran {os.cpu_count()} threads on {CPUS} CPU, and the garbage
collector did not get enough of it. loadline sets GOMAXPROCS too.""")


if __name__ == "__main__":
    main()
