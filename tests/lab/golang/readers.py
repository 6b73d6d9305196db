#!/usr/bin/env python3
"""Compares loadline with the reader that each Go runtime has for its quota: the runtime's own source,
built into a test of the toolchain. Both read the same trees: the fixtures, odd lists of mounts that no
kernel here can show, and random ones. Where loadline leaves GOMAXPROCS to the runtime, that reader must
find the same quota; where loadline says that the runtime does not, it must not. Exits with 2 if the
machine cannot run this.
"""

import json
import os
import random
import shutil
import subprocess

import programs
from places import CPUS_ALLOWED, PATIENCE
from programs import HERE, HOME, LOADLINE, TOOLCHAINS, TOP
from report import main

TREES = HOME / "reader-trees"
PID = 7
QUOTA = "250000 100000\n"
FIXTURES = TOP / "tests/fixtures"
SEED = 1

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = ("40 23 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
      "41 23 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpuacct,cpu\n")
LISTS = {V2: "0::/a/b\n", V1: "5:cpuset:/\n4:cpuacct,cpu:/a/b\n0::/\n"}
# Lines before and after the mount of the cgroup.
LINES = [
    "29 23 0:4 net:[4026531840] /run/netns/x rw shared:2 - nsfs nsfs rw\n", "\n", "bad\n", "29 23\n",
    "29 23 0:4 / /x rw nsfs nsfs rw\n", "29 23 0:4 / /x rw - nsfs\n", "29 23 0:4 / /x rw - nsfs \n",
    "29 23 0:4 / /x - nsfs nsfs rw\n", "29 23 0:4  /x rw - nsfs nsfs rw\n", "29 23 0:4 /  rw - nsfs nsfs rw\n",
    "29 23 0:4 / /x rw - 9p drvfs rw,path=C:\\134Program Files;a - b\n",
    "29 23 0:4 / /x rw - fuse x rw,option=with a\nline feed\n", "29 23 0:4 //deleted /x//deleted rw - tmpfs x rw\n",
    "29 23 0:4 / /x rw shared:1 master:2 propagate_from:3 unbindable - tmpfs tmpfs rw\n",
    f"29 23 0:4 / / rw - overlay overlay rw,lowerdir={'/layer:' * 20_000}\n",
    f"29 23 0:4 / / rw - overlay overlay rw,lowerdir={'l' * 65_490}\n",
    f"29 23 0:4 / /{'x' * 70_000} rw - tmpfs tmpfs rw\n", f"29 23 0:4 / /{'x/' * 2_000} rw - tmpfs tmpfs rw\n",
    "29 23 0:26 / /other rw - cgroup2 cgroup2 rw\n", "29 23 0:26 /a /sys/fs/cgroup/a rw - cgroup2 cgroup2 rw\n",
    "29 23 0:26 /.. /other rw - cgroup2 cgroup2 rw\n", "29 23 0:26 / /x\\04 rw - cgroup cgroup rw,memory\n",
    "29 23 0:31 / /other rw - cgroup cgroup rw,cpu\n", "29 23 0:31 /x /other rw - cgroup cgroup rw,cpu\n",
    "29 23 0:31 /a /sys/fs/cgroup/cpu/a rw - cgroup cgroup rw,cpu\n", "29 23 0:31 / /x rw - cgroup cgroup\n",
    "29 23 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n", "29 23 0:9 / /sys rw - sysfs sysfs rw\n",
]
CGROUPS = ["bad\n", "\n", "3:memory\n", "3:name=cpu:/\n", "0::/a/b\n", "9:cpu:/x\n", "0::/\n"]
# What a kernel prints, and what neither of both can parse. Of other forms loadline understands more.
QUOTAS = ["max 100000\n", "500000 200000\n", "5 2\n", "x 100000\n", ""]


def tree(number, mountinfo, cgroups, quota=QUOTA, other=None):
    """Makes a tree. Its process is in /a/b of the v2 and the CPU hierarchy."""
    path = TREES / str(number)
    files = {"proc/self/cgroup": cgroups, "proc/self/mountinfo": mountinfo, "proc/meminfo": "MemTotal: 33554432 kB\n",
             "proc/self/status": f"{CPUS_ALLOWED}Pid:\t{PID}\n"}
    for top, limit in [("sys/fs/cgroup", quota), ("sys/fs/cgroup/cpu", quota), ("other", other)]:
        for directory in [f"{top}/a/b"] * (limit is not None):
            files[f"{directory}/cpu.max"] = limit
            first, _, second = limit.partition(" ")
            files[f"{directory}/cpu.cfs_quota_us"] = first.replace("max", "-1") + "\n" * (first[-1:] != "\n")
            files[f"{directory}/cpu.cfs_period_us"] = second or "100000\n"
            files[f"{directory}/cgroup.procs"] = f"{PID}\n"
    for file, content in files.items():
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_text(content, encoding="utf-8")
    return path


def odd_trees():
    number = iter(range(1_000_000))
    for mount, cgroups in LISTS.items():
        yield tree(next(number), mount, cgroups)
        for line in LINES:
            yield tree(next(number), line + mount, cgroups)
            yield tree(next(number), mount + line, cgroups)
            yield tree(next(number), line + mount, cgroups, other="100000 100000\n")
        for line in CGROUPS:
            yield tree(next(number), mount, line + cgroups)
            yield tree(next(number), mount, cgroups + line)
        for quota in QUOTAS:
            yield tree(next(number), mount, cgroups, quota)
        yield tree(next(number), "", cgroups)
        missing = tree(next(number), "", cgroups)
        (missing / "proc/self/mountinfo").unlink()
        yield missing
    chance = random.Random(SEED)
    short = [line for line in LINES if len(line) < 1000]
    for _ in range(300):
        mount, cgroups = chance.choice([*LISTS.items()])
        lines = chance.choices([*short, V1, V2], k=chance.randrange(6))
        lines.insert(chance.randrange(len(lines) + 1), mount)
        other = chance.choice([None, QUOTA, "100000 100000\n"])
        yield tree(next(number), "".join(lines), cgroups, other=other)


def reader(version):
    """Builds the reader of a toolchain."""
    go = programs.toolchain(version)
    package = go.resolve().parent.parent / "src/internal/runtime/cgroup"
    find = "1.25" if version == "1.25" else "1.26"
    sources = {"probe_test.go": "probe_test.go", "find_test.go": f"find_{find}_test.go"}
    overlay = HOME / "reader.json"
    overlay.write_text(json.dumps({"Replace": {
        str(package / name): str(HERE / "reader" / source) for name, source in sources.items()}}), encoding="utf-8")
    binary = HOME / f"bin/reader-{version}"
    environment = {**os.environ, "GOCACHE": str(programs.LAB / "go-cache"), "GOENV": "off",
                   "GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "0"}
    subprocess.run([go, "test", "-c", "-vet=off", f"-overlay={overlay}", "-o", binary, "internal/runtime/cgroup"],
                   check=True, env=environment, cwd=package, capture_output=True, text=True)
    return binary


def found_by(binary, trees):
    """The quota that a reader finds in each tree."""
    listed, found = HOME / "reader.trees", HOME / "reader.found"
    listed.write_text("\n".join(map(str, trees)), encoding="utf-8")
    subprocess.run([binary, "-test.run=^TestProbe$"], check=True, timeout=PATIENCE, capture_output=True, text=True,
                   env={"PROBE_TREES": str(listed), "PROBE_FOUND": str(found)})
    return json.loads(found.read_text(encoding="utf-8"))


def explained(path, program):
    finished = subprocess.run([LOADLINE, "--root", path, "--explain=json", program.path], check=True,
                              timeout=PATIENCE, env={}, capture_output=True)
    return json.loads(finished.stdout)["cpu"]


def agrees(report, version, program, trees):
    left, set_, wrong = 0, 0, []
    for path, quota in zip(trees, found_by(reader(version), trees), strict=True):
        said = explained(path, program)
        limit, reason = said["limit_cpus"], said["reason"]
        is_found = quota is not None and limit is not None and abs(quota - limit) < 1e-5
        if reason.startswith("left to the Go runtime"):
            left += 1
            is_right = is_found
        elif "; the Go runtime" in reason and "own cgroup" not in reason:
            set_ += 1
            is_right = not is_found
        else:
            continue
        if not is_right:
            wrong.append(f"{path.name}: the runtime finds {quota}, of {limit}: {reason}")
    report.check(f"the reader of Go {version}: finds the quota in {left} trees where it is left to it, and not in "
                 f"{set_} where it is not", wrong=(wrong, []), some=(left > 50 and set_ > 50, True))


def check_all(report, built):
    shutil.rmtree(TREES, ignore_errors=True)
    fixtures = {path for path in FIXTURES.iterdir() if (path / "proc").exists()}
    # The runtime does not understand what no kernel prints.
    fixtures.remove(FIXTURES / "v2_cpu_quota_without_a_period")
    trees = [*odd_trees(), *sorted(fixtures)]
    for version in TOOLCHAINS:
        if programs.minor(version) >= 25:
            program = next(program for program in built if program.name == f"go{version}")
            report.case(agrees, version, program, trees)


if __name__ == "__main__":
    main(check_all)
