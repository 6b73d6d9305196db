#!/usr/bin/env python3
"""loadline as the init of containers that root runs with Podman."""

import subprocess

import suite
from container import LIMITS, Container, check, equal, found
from suite import CGROUP, HOME, INSIDE, LOADLINE


class Podman(Container):
    """`podman run --init` with an image that does not contain loadline."""

    init = "/run/podman-init"

    def run_command(self):
        # Podman must not raise these limits above those of this process.
        return [*podman("run"), "--rm", "--init", f"--init-path={LOADLINE}", "--network=none",
                f"--cgroup-parent=/{CGROUP}", "--ulimit=nofile=1024:1024",
                "--ulimit=nproc=1024:1024", f"--name={self.name}", *self.options,
                "without-loadline"]

    def exec_command(self, command):
        return [*podman("exec"), self.name, *command]

    def kill_command(self, signal_name):
        return [*podman("kill"), f"--signal={signal_name}", self.name]

    def stop_command(self):
        return [*podman("stop"), self.name]

    def pid(self):
        inspected = subprocess.run([*podman("inspect"), "--format={{.State.Pid}}", self.name],
                                   check=True, capture_output=True, text=True)
        return int(inspected.stdout)


def podman(command):
    return ["podman", "--root", HOME / "podman", "--storage-driver=overlay", "--runtime=runc",
            "--cgroup-manager=cgroupfs", "--events-backend=file", command]


def prepare():
    (HOME / "image.tar").touch()
    subprocess.run(["tar", "--create", "--file", HOME / "image.tar", "--directory", HOME, INSIDE.name],
                   check=True)
    subprocess.run([*podman("import"), "--quiet", '--change=CMD ["/inside"]', HOME / "image.tar",
                    "without-loadline"], check=True, stdout=subprocess.DEVNULL)


def no_limits():
    with Podman() as container:
        yield from check("--init", container)


def host_cgroup_namespace():
    with Podman("--cgroupns=host", *LIMITS) as container:
        yield equal(container.report["Parent"], 1, "--init: loadline is PID 1")
        yield from check("--init, --cgroupns host", container, **found(), fixture=(
            "v1_podman_init", "Podman on cgroup v1, `--init --cgroupns host -m 64m --cpus 0.5`."))


def private_cgroup_namespace():
    with Podman("--cgroupns=private", *LIMITS) as container:
        yield from check("--init, --cgroupns private", container, **found(), fixture=(
            "v1_podman_private_cgroupns",
            "Podman on cgroup v1, `--init --cgroupns private -m 64m --cpus 0.5`."))


def every_signal():
    with Podman() as container:
        for name, said in [("HUP", "hangup"), ("USR1", "user defined signal 1"), ("QUIT", "quit")]:
            container.kill(name)
            yield equal(container.line(), said, f"podman kill -s {name}: reaches the program")


if __name__ == "__main__":
    suite.main("podman", {"runc": "runc", "podman": "podman"}, [
        no_limits, host_cgroup_namespace, private_cgroup_namespace, every_signal], prepare)
