"""What loadline-runtime adds to the commands of runc."""

import json
import os
import random
import shutil
import statistics
import subprocess
import time

from lab import Target, Unavailable, demo, run, table

TITLE = "What the OCI runtime costs"

RUNC, LOADLINE = "runc", "loadline-runc"
COMMANDS = ["create", "state", "start", "kill", "delete"]
# The promise, in milliseconds more than runc alone.
CREATE_MORE, OTHER_MORE = 3, 1
MEMORY, QUOTA = 400 << 20, 50_000


def measure(lab):
    lab.install("runc")
    run(["make", "--no-print-directory", "runtime"], stdout=subprocess.DEVNULL)
    ours = lab.scratch / LOADLINE
    shutil.copy(lab.top / "target/artifact/loadline-runtime", ours)
    service, go = demo.build_service("1.19")
    bundle = make_bundle(lab, service)
    config = (bundle / "config.json").read_text(encoding="utf-8")
    times = {name: {command: [] for command in COMMANDS} for name in (RUNC, LOADLINE)}
    for number in range(5 if lab.quick else 200):
        programs = [(RUNC, shutil.which(RUNC)), (LOADLINE, str(ours))]
        random.shuffle(programs)
        for name, program in programs:
            (bundle / "config.json").write_text(config, encoding="utf-8")
            life_of_a_container(program, bundle, f"loadline-bench-{os.getpid()}-{number}", times[name])
            edited = (bundle / "config.json").read_text(encoding="utf-8") != config
            if edited != (name == LOADLINE):
                raise RuntimeError(f"{name}: the bundle was {'' if edited else 'not '}edited")
    lab.versions["Go"] = go
    return times


def make_bundle(lab, service):
    bundle = lab.scratch / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    (bundle / "rootfs").mkdir(parents=True)
    shutil.copy(service, bundle / "rootfs/service")
    run(["runc", "spec", "--bundle", bundle])
    config = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    config["process"].update(terminal=False, args=["/service"])
    config["linux"]["cgroupsPath"] = f"/loadline-bench-{os.getpid()}"
    config["linux"]["resources"] = {"memory": {"limit": MEMORY}, "cpu": {"quota": QUOTA, "period": 100_000}}
    (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return bundle


def life_of_a_container(program, bundle, identifier, times):
    arguments = {"create": ["create", "--bundle", str(bundle), identifier], "state": ["state", identifier],
                 "start": ["start", identifier], "kill": ["kill", identifier, "KILL"],
                 "delete": ["delete", "--force", identifier]}
    try:
        for command in COMMANDS:
            times[command].append(milliseconds([program, *arguments[command]]))
    except Unavailable:
        subprocess.run([program, *arguments["delete"]], capture_output=True)
        raise


def milliseconds(command):
    """The time from the start of a command to its exit."""
    with open(os.devnull, "r+b") as null:
        streams = [(os.POSIX_SPAWN_DUP2, null.fileno(), number) for number in range(3)]
        begin = time.perf_counter()
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=streams)
        _, status = os.waitpid(pid, 0)
        took = time.perf_counter() - begin
    if status:
        raise Unavailable(f"{' '.join(command)}: exit code {os.waitstatus_to_exitcode(status)}")
    return took * 1000


def more(data, command):
    """The median of the differences of the pairs, in milliseconds."""
    pairs = zip(data[RUNC][command], data[LOADLINE][command])
    return statistics.median(ours - theirs for theirs, ours in pairs)


def report(data):
    rows = [(f"`{command}`", f"{statistics.median(data[RUNC][command]):.1f}",
             f"{statistics.median(data[LOADLINE][command]):.1f}", f"{more(data, command):+.2f}") for command in COMMANDS]
    return f"""
The life of a container with a Go service, {len(data[RUNC]['create'])} times with runc and with loadline-runtime in front of
it, in turns. At `create` loadline-runtime reads the bundle, the cgroups and the program, and writes the bundle
again; all other commands it passes on. The table shows medians in milliseconds, and the median of the
differences of the pairs.

{table(["", "runc, ms", "loadline-runc, ms", "more, ms"], *rows)}
"""


def targets(data):
    others = max(more(data, command) for command in COMMANDS[1:])
    return [
        Target("loadline-runtime: `create`, more than runc alone", more(data, "create") <= CREATE_MORE,
               f"{more(data, 'create'):.2f} ms, at most {CREATE_MORE}", timed=True),
        Target("loadline-runtime: any other command", others <= OTHER_MORE,
               f"{others:.2f} ms, at most {OTHER_MORE}", timed=True),
    ]
