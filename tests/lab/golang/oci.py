#!/usr/bin/env python3
"""Compares what `loadline-runtime explain` says of a bundle with what the Go program sees in the container
that runc makes of it.

Every program that needs no libraries runs in containers with and without a cgroup namespace, with quotas
below and at the number of CPUs, and without any. Exits with 2 if the machine cannot run this.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from places import MEMORY, PATIENCE
from programs import TOP, Cannot
from report import main

RUNTIME = pathlib.Path(os.environ.get("LOADLINE_RUNTIME", TOP / "target/artifact/loadline-runtime"))
PERIOD = 100_000
VARIABLES = ["GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"]


def bundle(directory, program, quota, private):
    (directory / "rootfs").mkdir()
    shutil.copy(program.path, directory / "rootfs/seen")
    subprocess.run(["runc", "spec", "--bundle", directory], check=True)
    config = directory / "config.json"
    spec = json.loads(config.read_text(encoding="utf-8"))
    spec["process"].update(terminal=False, args=["/seen"])
    spec["linux"]["cgroupsPath"] = f"/loadline-golang-{os.getpid()}"
    resources = {"memory": {"limit": MEMORY}}
    if quota:
        resources["cpu"] = {"quota": int(quota * PERIOD), "period": PERIOD}
    spec["linux"]["resources"] = resources
    namespaces = [it for it in spec["linux"]["namespaces"] if it["type"] != "cgroup"]
    spec["linux"]["namespaces"] = [*namespaces, *([{"type": "cgroup"}] if private else [])]
    config.write_text(json.dumps(spec), encoding="utf-8")


def sees_what_is_explained(report, link, program, quota, private):
    with tempfile.TemporaryDirectory(prefix="loadline-golang-") as scratch:
        scratch = pathlib.Path(scratch)
        bundle(scratch, program, quota, private)
        explain = [RUNTIME, "explain", "--json", scratch]
        said = json.loads(subprocess.run(explain, check=True, capture_output=True, text=True).stdout)
        ran = subprocess.run([link, "--root", scratch / "state", "run", "--bundle", scratch, f"golang-{os.getpid()}"],
                             stdin=subprocess.DEVNULL, check=True, capture_output=True, text=True, timeout=PATIENCE)
    seen = json.loads(ran.stdout)
    cpus = len(os.sched_getaffinity(0))
    set_to = said["cpu"]["GOMAXPROCS"]
    # Without the variable, the runtime uses all CPUs, or at least two.
    threads = int(set_to) if set_to else cpus
    report.check(
        f"{program.name}, in a container with {quota or 'no'} quota, {'a' if private else 'no'} cgroup namespace: "
        f"GOMAXPROCS {set_to or 'not set'}",
        environment=([seen[name] for name in VARIABLES],
                     [said["memory"]["GOMEMLIMIT"], set_to, said["cpu"]["GODEBUG"]]),
        memory=(seen["memory"], MEMORY * 8 // 10), threads=(seen["processors"], threads),
        version=(said["program"]["go_version"], seen["version"]), warnings=(said["warnings"], []))


def check_all(report, built):
    if os.geteuid() != 0:
        raise Cannot("only root can run containers")
    if not shutil.which("runc") and subprocess.run([TOP / "tests/lab/apt", "install", "runc"]).returncode:
        raise Cannot("runc cannot be installed")
    with tempfile.TemporaryDirectory(prefix="loadline-golang-") as links:
        link = pathlib.Path(links) / "loadline-runc"
        link.symlink_to(RUNTIME)
        for program in built:
            # The container has no dynamic loader.
            if program.cgo or "pie" in program.kind:
                continue
            for quota in (None, 0.5, len(os.sched_getaffinity(0))):
                for private in (False, True):
                    report.case(sees_what_is_explained, link, program, quota, private)


if __name__ == "__main__":
    main(check_all)
