"""Cgroups with limits, and programs that run in them."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from programs import CPUS, HOME, LOADLINE, Cannot

HIERARCHIES = pathlib.Path("/sys/fs/cgroup")
CONTROLLERS = ["cpu", "memory"]
CGROUP = f"loadline-golang-{os.getpid()}"
PERIOD = 100_000
MEMORY = 200 << 20
# The number of CPUs that programs see.
MANY = 16
CPUS_ALLOWED = f"Cpus_allowed_list:\t0-{MANY - 1}\n"
ROOT = HOME / "root"
# Seconds for anything. It takes less than one on an idle machine.
PATIENCE = 90


def with_mounts(before="", show="$cgroup", after="", at="$mounts/cpu"):
    """A script that executes its arguments where other mounts show the cgroups. `before` and `after` are
    commands that mount something before and after those, `show` is what they show of the hierarchies,
    and `at` is where that of the CPU controller is. The PID in ROOT is that of loadline: it believes the
    usual directory only if that lists its process."""
    return f"""
cgroup=$1 mounts=$2 extra=$2/extra; shift 2
printf '{CPUS_ALLOWED}Pid:\\t%s\\n' $$ >"{ROOT}/proc/self/status"
mount -t tmpfs none "$mounts"
mkdir "$extra"
{before}
mkdir -p "$mounts/memory" "{at}"
mount --bind "/sys/fs/cgroup/memory/{show}" "$mounts/memory"
mount --bind "/sys/fs/cgroup/cpu/{show}" "{at}"
{after}
umount --recursive --lazy /sys/fs/cgroup
mount --move "$mounts" /sys/fs/cgroup
exec "$@"
"""


# The layout of Docker without a cgroup namespace: the root of each mount is the cgroup of the container,
# but /proc/self/cgroup has the full path.
ONLY_A_PART = with_mounts()


@dataclasses.dataclass(frozen=True)
class Place:
    """A cgroup and its parent, with CPU quotas. The memory limit is where the quota is."""

    name: str
    leaf: float = None
    above: float = None
    # A script that changes the mounts.
    script: str = None
    # The y of each Go 1.y whose runtime does not find the quota here, and what the reason says of that.
    lost: tuple = ()
    why: str = ""
    leaf_name: str = "leaf"
    # The number of CPUs that a program sees; None for those of the machine.
    cpus: int = MANY
    v2: bool = False

    @property
    def quota(self):
        return min(filter(None, (self.leaf, self.above)), default=None)

    @property
    def cgroup(self):
        # Only characters that mountinfo does not show in octal, because automaxprocs does not decode it.
        name = "".join(c if c.isalnum() or c == "." else "-" for c in self.name)
        return f"{CGROUP}/{name}/{self.leaf_name}"

    @property
    def seen_cpus(self):
        return self.cpus or len(os.sched_getaffinity(0))

    def make(self):
        for controller in CONTROLLERS:
            (HIERARCHIES / controller / self.cgroup).mkdir(parents=True)
        parent = self.cgroup.rpartition("/")[0]
        for cgroup, quota in [(parent, self.above), (self.cgroup, self.leaf)]:
            if quota:
                write(f"memory/{cgroup}/memory.limit_in_bytes", MEMORY)
                write(f"cpu/{cgroup}/cpu.cfs_period_us", PERIOD)
                set_quota(cgroup, quota)

    def start(self, command, environment=(), **options):
        """Starts a command in the cgroup."""
        if self.cpus:
            command = [CPUS, str(self.cpus), *command]
        if self.script:
            command = ["unshare", "--mount", "sh", "-ec", self.script, "sh",
                       self.cgroup, HOME / "mounts", *command]

        def enter():
            for controller in CONTROLLERS:
                write(f"{controller}/{self.cgroup}/cgroup.procs", 0)

        return subprocess.Popen(command, env={"PATH": os.environ["PATH"], **dict(environment)},
                                preexec_fn=enter, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)

    def run(self, command, environment=()):
        """Runs a command. Returns its output, parsed as JSON, and its messages."""
        child = self.start(command, environment, stdin=subprocess.DEVNULL)
        out, err = child.communicate(timeout=PATIENCE)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, command, out, err)
        return json.loads(out), err

    def loadline(self, *options):
        root = ["--root", ROOT] if self.cpus else []
        return [LOADLINE, *root, *options]

    def explain(self, program, options=(), environment=()):
        return self.run(self.loadline(*options, "--explain=json", program), environment)[0]

    def under_loadline(self, program, options=(), environment=()):
        return self.run(self.loadline(*options, "-s", "-v", "--", program), environment)

    def bare(self, program, environment=()):
        return self.run([program], environment)[0]


@dataclasses.dataclass(frozen=True)
class Tree(Place):
    """The same on cgroup v2, as a tree for `--root`. Nothing can run there."""

    v2: bool = True

    @property
    def path(self):
        return HOME / "trees" / self.name

    def make(self):
        shutil.rmtree(self.path, ignore_errors=True)
        files = {"proc/self/cgroup": "0::/above/leaf\n", "proc/meminfo": "MemTotal: 33554432 kB\n",
                 "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                 "proc/self/status": CPUS_ALLOWED,
                 "sys/fs/cgroup/cgroup.controllers": "cpu memory\n"}
        for cgroup, quota in [("above", self.above), ("above/leaf", self.leaf)]:
            directory = f"sys/fs/cgroup/{cgroup}"
            files[f"{directory}/cpu.max"] = f"{int(quota * PERIOD) if quota else 'max'} {PERIOD}\n"
            files[f"{directory}/memory.max"] = f"{MEMORY if quota else 'max'}\n"
            files[f"{directory}/memory.high"] = "max\n"
        for file, content in files.items():
            (self.path / file).parent.mkdir(parents=True, exist_ok=True)
            (self.path / file).write_text(content, encoding="utf-8")

    def explain(self, program, options=(), environment=()):
        command = [LOADLINE, "--root", self.path, *options, "--explain=json", program]
        finished = subprocess.run(command, env=dict(environment), check=True, timeout=PATIENCE,
                                  stdout=subprocess.PIPE)
        return json.loads(finished.stdout)


def write(file, value):
    (HIERARCHIES / file).write_text(str(value), encoding="utf-8")


def set_quota(cgroup, cpus):
    write(f"cpu/{cgroup}/cpu.cfs_quota_us", int(cpus * PERIOD))


def make_root():
    """A tree for `--root` that is this machine, with another number of CPUs."""
    shutil.rmtree(ROOT, ignore_errors=True)
    (ROOT / "proc/self").mkdir(parents=True)
    (ROOT / "sys").symlink_to("/sys")
    for file in ("proc/meminfo", "proc/self/cgroup", "proc/self/mountinfo"):
        (ROOT / file).symlink_to(f"/{file}")
    (ROOT / "proc/self/status").write_text(CPUS_ALLOWED, encoding="utf-8")


@contextlib.contextmanager
def made(places):
    """The places exist inside the `with` block. At its end, all processes in them are killed."""
    if os.geteuid() != 0:
        raise Cannot("only root can create cgroups with limits")
    for file in ("cpu/cpu.cfs_quota_us", "memory/memory.limit_in_bytes"):
        if not (HIERARCHIES / file).exists():
            raise Cannot(f"this machine has no cgroup v1 hierarchy with {HIERARCHIES / file}")
    for command, what in [(["unshare", "--mount", "true"], "cannot create mount namespaces"),
                          ([CPUS, str(MANY), "true"], "cannot answer system calls of others")]:
        if subprocess.run(command).returncode:
            raise Cannot(f"root {what} here")
    make_root()
    (HOME / "mounts").mkdir(exist_ok=True)
    try:
        try:
            for place in places:
                place.make()
        except OSError as error:
            raise Cannot(f"root cannot create cgroups here: {error}") from error
        yield
    finally:
        remove()


def remove():
    patience = time.monotonic() + PATIENCE
    for controller in CONTROLLERS:
        top = HIERARCHIES / controller / CGROUP
        for directory, _, _ in os.walk(top, topdown=False):
            processes = pathlib.Path(directory) / "cgroup.procs"
            while pids := processes.read_text(encoding="utf-8").split():
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                if time.monotonic() > patience:
                    raise TimeoutError(f"{directory} does not become empty")
                time.sleep(0.01)
            os.rmdir(directory)
