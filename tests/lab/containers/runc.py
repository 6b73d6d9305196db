#!/usr/bin/env python3
"""loadline in nested cgroups of runc, with the limit on an ancestor."""

import json
import shutil
import subprocess

import suite
from container import CPUS, MEMORY, Container, check, equal, found
from suite import CGROUP, HIERARCHIES, HOME, INSIDE, LOADLINE

PERIOD = 100_000
ROOTFS = HOME / "rootfs"
UNLIMITED = "no visible cgroup sets a limit"
OUT_OF_SIGHT = "limits are out of sight: no mount shows the process's cgroup"

# A hook that reads the state of the container (runtime specification, "Hooks") and moves its process,
# whose mounts exist already, into a cgroup below that of the container. systemd and the image
# docker:dind do this.
MOVE_DOWN = """
pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/')
for cgroup in /sys/fs/cgroup/*/"$1"; do
    mkdir "$cgroup/leaf"
    # An empty cpuset accepts no process (cpuset(7)).
    for file in cpuset.cpus cpuset.mems; do
        [ ! -e "$cgroup/$file" ] || cat "$cgroup/$file" >"$cgroup/leaf/$file"
    done
    echo "$pid" >"$cgroup/leaf/cgroup.procs"
done
"""


class Runc(Container):
    """A container in the cgroup `leaf` below another, which has the limits."""

    def __init__(self, change):
        super().__init__()
        self.parent = f"{CGROUP}/{self.name}"
        self.cgroup = f"{self.parent}/leaf"
        self.change = change

    def run_command(self):
        bundle = HOME / self.name
        bundle.mkdir()
        subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
        spec = json.loads((bundle / "config.json").read_text())
        spec["process"].update(terminal=False, args=["/loadline", "--", "/inside"])
        spec["root"]["path"] = str(ROOTFS)
        spec["linux"]["cgroupsPath"] = f"/{self.cgroup}"
        self.change(self, spec)
        (bundle / "config.json").write_text(json.dumps(spec))

        for controller, file, value in [("memory", "memory.limit_in_bytes", MEMORY),
                                        ("cpu", "cpu.cfs_period_us", PERIOD),
                                        ("cpu", "cpu.cfs_quota_us", int(CPUS * PERIOD))]:
            parent = HIERARCHIES / controller / self.parent
            parent.mkdir(parents=True, exist_ok=True)
            (parent / file).write_text(str(value))
        return ["runc", "run", "--bundle", bundle, self.name]

    def exec_command(self, command):
        return ["runc", "exec", self.name, *command]

    def kill_command(self, signal_name):
        return ["runc", "kill", self.name, signal_name]

    def pid(self):
        state = subprocess.run(["runc", "state", self.name], check=True, stdout=subprocess.PIPE)
        return json.loads(state.stdout)["pid"]


class RuncMovedDown(Runc):
    """A container in the cgroup with the limits. Its process is in a child of that cgroup."""

    def __init__(self):
        super().__init__(move_down)
        self.cgroup = self.parent

    def exec_command(self, command):
        return ["runc", "exec", "--cgroup", "leaf", self.name, *command]


def prepare():
    ROOTFS.mkdir()
    for file in (LOADLINE, INSIDE):
        shutil.copy(file, ROOTFS)


def is_cgroup(mount):
    return mount["type"] == "cgroup"


def with_hierarchies(_container, spec):
    for mount in filter(is_cgroup, spec["mounts"]):
        mount.update(type="bind", source=str(HIERARCHIES), options=["rbind", "ro"])


def move_down(container, spec):
    hook = {"path": "/bin/sh", "args": ["sh", "-ec", MOVE_DOWN, "sh", container.parent]}
    spec["hooks"] = {"createRuntime": [hook]}


def with_namespace(_container, spec):
    spec["linux"]["namespaces"].append({"type": "cgroup"})


def without_mounts(_container, spec):
    spec["mounts"] = [mount for mount in spec["mounts"] if not is_cgroup(mount)]


def ancestor_is_visible():
    with Runc(with_hierarchies) as container:
        yield from check("ancestor is visible", container, **found(f"/{container.parent}"), fixture=(
            "v1_runc_ancestor_in_sight",
            "runc on cgroup v1 with the host's hierarchies mounted; the limits are on the parent."))


def leaf_below_the_container():
    with RuncMovedDown() as container:
        yield from check("leaf below the container's cgroup", container, **found(), fixture=(
            "v1_runc_leaf_below_the_container",
            "runc on cgroup v1; the process was moved to a leaf below the container's cgroup."))


def behind_a_namespace():
    """The kernel still shows the memory limit of the ancestor, in memory.stat."""
    with Runc(with_namespace) as container:
        yield equal(container.explain()["cpu"]["reason"], UNLIMITED,
                    "behind a namespace: --explain says that no CPU limit is visible")
        yield from check("behind a namespace", container,
                         memory=(MEMORY, "/sys/fs/cgroup/memory/memory.stat"), fixture=(
                             "v1_runc_behind_a_namespace",
                             "runc on cgroup v1 with a cgroup namespace at the leaf; the limits are "
                             "on the parent, and memory.stat alone tells of one."))


def nothing_is_visible():
    with Runc(without_mounts) as container:
        explained = container.explain()
        yield equal([explained[half]["reason"] for half in ("memory", "cpu")], [OUT_OF_SIGHT] * 2,
                    "no cgroup mounts: --explain says that the limits are out of sight")
        yield from check("no cgroup mounts", container, fixture=(
            "v1_runc_without_cgroup_mounts",
            "runc on cgroup v1 without any cgroup mount; the limits are out of sight."))


if __name__ == "__main__":
    suite.main("runc", {"runc": "runc"}, [
        ancestor_is_visible, leaf_below_the_container, behind_a_namespace, nothing_is_visible], prepare)
