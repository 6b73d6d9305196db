#!/usr/bin/env python3
"""capture.py PID DIRECTORY: copies the files that loadline would read in the process PID to a tree for
`loadline --root DIRECTORY`. It needs nothing in the container, and must run as root.
"""

import pathlib
import subprocess
import sys

LIMITS = ["memory.limit_in_bytes", "memory.stat", "cpu.cfs_quota_us", "cpu.cfs_period_us",
          "memory.max", "memory.high", "cpu.max", "cgroup.procs", "cgroup.controllers"]
CONTROLLERS = {"memory", "cpu"}


def capture(pid, directory):
    """Captures inside the namespaces of the process: in /proc/PID/cgroup and mountinfo the kernel shows
    paths relative to the cgroup namespace of the reader (cgroup_namespaces(7)), and in cgroup.procs IDs
    of the reader's PID namespace."""
    subprocess.run(["nsenter", f"--target={pid}", "--cgroup", "--pid", sys.executable, __file__,
                    "--within", str(pid), str(directory)], check=True)


def within(pid, directory):
    root = pathlib.Path(f"/proc/{pid}/root")
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    # proc(5): the IDs from the outermost namespace to that of the process.
    inner = next(line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:"))

    def keep(file, of=None):
        try:
            content = (root / (of or file)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return b""
        copy = directory / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        return content

    keep("proc/meminfo")
    keep("proc/self/status", of=f"proc/{inner}/status")
    memberships = keep("proc/self/cgroup", of=f"proc/{inner}/cgroup").decode().splitlines()
    mounts = keep("proc/self/mountinfo", of=f"proc/{inner}/mountinfo").decode().splitlines()

    for line in mounts:
        before, _, after = line.partition(" - ")
        _, _, _, mount_root, point, *_ = before.split(" ")
        kind, _, options = after.split(" ", 2)
        for membership in memberships:
            _, names, path = membership.split(":", 2)
            if kind == ("cgroup" if names else "cgroup2") and (
                    not names or CONTROLLERS & set(names.split(",")) & set(options.split(","))):
                for cgroup in cgroups(path, mount_root):
                    for name in LIMITS:
                        keep(f"{point}/{cgroup}/{name}".lstrip("/"))


def cgroups(path, mount_root):
    """The places in a mount where the cgroup of a process may be, and all their ancestors."""
    path = pathlib.PurePosixPath(path)
    places = {pathlib.PurePosixPath(".")}
    if ".." not in path.parts:
        places.add(path.relative_to("/"))
        if path.is_relative_to(mount_root):
            places.add(path.relative_to(mount_root))
    return {cgroup for place in places for cgroup in (place, *place.parents)}


def main():
    if sys.argv[1] == "--within":
        within(int(sys.argv[2]), pathlib.Path(sys.argv[3]))
    else:
        pid, directory = sys.argv[1:]
        capture(int(pid), pathlib.Path(directory).absolute())


if __name__ == "__main__":
    main()
