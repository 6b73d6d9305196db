"""Containers that runc runs in the virtual machine."""

import json

MIB = 1 << 20
HALF_A_CPU = {"cpu": {"quota": 50_000, "period": 100_000}}


def container(args, resources, private=True, runtime="runc"):
    """A script that runs a container in the cgroup pod/app, with the files of the machine."""
    namespaces = ["pid", "mount", "ipc", "uts", *(["cgroup"] if private else [])]
    bind = [{"destination": place, "source": place, "type": "bind", "options": ["bind", "ro"]}
            for place in ["/bin", "/tools", "/tmp"]]
    config = {
        "ociVersion": "1.0.2",
        "process": {"args": args, "cwd": "/", "user": {"uid": 0, "gid": 0},
                    "env": ["PATH=/tools:/bin"]},
        "root": {"path": "root"},
        "mounts": [
            {"destination": "/proc", "source": "proc", "type": "proc"},
            {"destination": "/sys", "source": "sysfs", "type": "sysfs", "options": ["ro"]},
            {"destination": "/sys/fs/cgroup", "source": "cgroup", "type": "cgroup",
             "options": ["ro", "nosuid", "nodev", "noexec"]},
            *bind,
        ],
        "linux": {"cgroupsPath": "/pod/app", "resources": resources,
                  "namespaces": [{"type": kind} for kind in namespaces]},
    }
    # The root file system of the machine is the initramfs, which pivot_root(2) cannot leave.
    return f"""
mkdir -p /tmp/bundle/root
echo '{json.dumps(config)}' >/tmp/bundle/config.json
exec {runtime} run --no-pivot --bundle /tmp/bundle app"""


def memory(mebibytes):
    """A limit of memory."""
    # Memory and swap together, as docker -m sets them.
    return {"memory": {"limit": mebibytes * MIB, "swap": mebibytes * MIB}}
