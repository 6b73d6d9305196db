"""What the suites with containers share: how a suite is isolated, and how it runs its cases.

A suite runs in new mount and PID namespaces, with the init under test as PID 1. What it writes to /run,
/etc, /var and /usr/local/bin stays in memory. Its processes, mounts and files end with the namespaces, even
if it is killed. Only its cgroup, CGROUP in every hierarchy, is removed from outside.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
import checks  # noqa: E402

TOP = HERE.parent.parent.parent
LAB = TOP / "target/lab"
ARTIFACT = pathlib.Path(os.environ.get("LOADLINE_ARTIFACT", TOP / "target/artifact/loadline"))
RUNTIME = pathlib.Path(os.environ.get("LOADLINE_RUNTIME", TOP / "target/artifact/loadline-runtime"))
HIERARCHIES = pathlib.Path("/sys/fs/cgroup")
FIXTURES = TOP / "tests/fixtures"

# Inside the namespaces: the name of the cgroup, the directory of the suite, and the two files that
# containers consist of.
CGROUP = os.environ.get("LAB_CGROUP", "")
HOME = pathlib.Path("/run/lab")
LOADLINE, INSIDE = HOME / "loadline", HOME / "inside"

# Seconds for one case. It takes less than ten seconds on an idle machine.
PATIENCE = 180
CANNOT = 2
# The suite itself runs without limits for Go.
OFF = {"LOADLINE_MEMORY": "off", "LOADLINE_CPU": "off"}


class Cannot(Exception):
    """This machine cannot run the suite."""


def main(name, commands, cases, prepare, setup=None, namespaces=(), patience=PATIENCE):
    """Runs a suite. `commands` are the commands that it needs, and the packages that contain them. A
    case is a function that yields (passed, description) pairs. `setup` is a command, with its arguments, that
    provides more files. `namespaces` are options of unshare(1) for more namespaces; with that for cgroups,
    CGROUP is what the suite sees as the root of each hierarchy. `patience` is the time for one case, in
    seconds. With --fixtures, the captured trees replace the fixtures."""
    if CGROUP:
        sys.exit(inside(name, cases, prepare, patience))
    try:
        sys.exit(outside(name, commands, setup, namespaces))
    except Cannot as reason:
        print(f"{name}: not run: {reason}")
        sys.exit(CANNOT)


def outside(name, commands, setup, more_namespaces):
    if os.geteuid() != 0:
        raise Cannot("only root can create containers with limits")
    if not (HIERARCHIES / "memory/memory.limit_in_bytes").exists():
        raise Cannot("this machine has no cgroup v1 hierarchy for memory")
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *more_namespaces]
    if subprocess.run([*namespaces, "mount", "-t", "tmpfs", "none", "/run"]).returncode:
        raise Cannot("root cannot create namespaces and mounts here")
    try:
        for command, package in commands.items():
            if not shutil.which(command):
                subprocess.run([TOP / "tests/lab/apt", "install", package], check=True)
        build_go()
        if setup:
            subprocess.run(setup, check=True, stdout=sys.stderr)
    except subprocess.CalledProcessError as error:
        raise Cannot(f"a requirement cannot be installed: {error}") from error

    # Signals become exceptions, so that the child is ended and its cgroup removed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("stopped by a signal"))
    cgroup = f"loadline-{name}-{os.getpid()}"
    child = None
    try:
        child = subprocess.Popen(
            [*namespaces, ARTIFACT, "--", sys.executable, pathlib.Path(sys.argv[0]).resolve(), *sys.argv[1:]],
            cwd="/", env={**os.environ, **OFF, "LAB_CGROUP": cgroup},
            preexec_fn=(lambda: enter_cgroup(cgroup)) if "--cgroup" in namespaces else None)
        return child.wait()
    finally:
        if child and child.poll() is None:
            # unshare(1) exits after its child, PID 1, and PID 1 exits after all others in the namespace.
            children = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children")
            for pid in children.read_text(encoding="utf-8").split():
                os.kill(int(pid), signal.SIGKILL)
            child.wait()
        remove_cgroup(cgroup)


def build_go():
    """Builds the Go programs with the oldest toolchain, whose runtime reads no limits itself."""
    go = subprocess.run([TOP / "tests/lab/go", "1.19"], check=True, stdout=subprocess.PIPE, text=True)
    environment = {**os.environ, "GOCACHE": str(LAB / "go-cache"), "GOPATH": str(LAB / "go-path"),
                   "GOFLAGS": "", "CGO_ENABLED": "0"}
    for source in (HERE / "inside", TOP / "examples/service", TOP / "examples/resize"):
        subprocess.run([go.stdout.strip(), "build", "-o", LAB / source.name, "."], cwd=source,
                       env=environment, check=True)


def enter_cgroup(name):
    """Moves this process into a new cgroup in every hierarchy of v1."""
    for top in {file.parent.resolve() for file in HIERARCHIES.glob("*/tasks")}:
        (top / name).mkdir()
        # An empty cpuset accepts no process (cpuset(7)).
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (top / file).exists():
                (top / name / file).write_text((top / file).read_text())
        (top / name / "cgroup.procs").write_text("0")


def remove_cgroup(name):
    for top in HIERARCHIES.glob(f"*/{name}"):
        for directory, _, _ in os.walk(top, topdown=False):
            os.rmdir(directory)


def mount_private():
    """Mounts memory over some directories, so that the suite and its tools change no files."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    HOME.mkdir()
    for directory in ("/etc", "/var", "/usr/local/bin"):
        upper, work = (HOME / f"written{directory}/{part}" for part in ("upper", "work"))
        upper.mkdir(parents=True)
        work.mkdir()
        options = f"lowerdir={directory},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "none", directory], check=True)


def inside(name, cases, prepare, patience):
    def hangs(*_):
        raise TimeoutError(f"no result within {patience} seconds")

    signal.signal(signal.SIGALRM, hangs)
    for variable in OFF:
        del os.environ[variable]
    mount_private()
    shutil.copy(ARTIFACT, LOADLINE)
    shutil.copy(LAB / "inside", INSIDE)
    os.chdir(HOME)
    prepare()

    passed = True
    for case in cases:
        signal.alarm(patience)
        passed = checks.check(name, case.__name__, case()) and passed
        signal.alarm(0)
    return 0 if passed else 1
