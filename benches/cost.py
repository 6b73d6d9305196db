"""What an init costs: bytes, memory, wake-ups, time, instructions and system calls.

It is measured in a cgroup with limits that is the root of its cgroup namespace, as in a container; this
file runs as a script in there. loadline must set both variables from these limits, which is checked first.
"""

import collections
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from inits import inits, probe
from lab import MUTED, TEXT, Target, Unavailable, awake, pyplot, quartiles, ratio, save, table, to_its_end

TITLE = "What an init costs"

MEMORY = "400Mi"
# Below the number of CPUs of any machine with two; otherwise loadline does not set GOMAXPROCS.
CPUS = 1
VARIABLES = {"GOMEMLIMIT": str((400 << 20) * 8 // 10), "GOMAXPROCS": "1"}
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
STARTS = 9
# Timeout in seconds for what takes milliseconds.
TIMEOUT = 20

NO_INIT, FLOOR, READING = "no init", "floor", "reading floor"
READING_EXEC = "reading floor, exec"
LOADLINE, EXEC, PLAIN = "loadline", "loadline --exec", "loadline, plain build"
# The commands that are timed on a host too.
ON_HOST = [FLOOR, READING, LOADLINE, EXEC, "tini-static"]
# The inits that stay while the program runs.
STAYING = [FLOOR, READING, LOADLINE, PLAIN, "tini", "tini-static", "dumb-init", "catatonit"]
ALL = [NO_INIT, FLOOR, READING, READING_EXEC, LOADLINE, EXEC, *STAYING[3:]]
# The rows of the summary, and the inits that are linked dynamically.
SUMMARY = [LOADLINE, EXEC, "tini-static", "tini", "dumb-init", "catatonit", NO_INIT]
DYNAMIC = ["tini", "dumb-init"]
# The gate: bytes of the amd64 file, kB of memory, and ratios of the time from start to finish.
BYTES, RSS, DIRTY = 122880, 96, 32
OF_TINI, OF_READING, EXEC_OF_READING = 0.55, 1.25, 1.05
# Measured before, with the same musl for all.
ON_MUSL = [("tini 0.19, static", "60,184", "80 / 20"), ("dumb-init 1.2.5", "67,160", ""),
           ("catatonit 0.1.7", "59,064", ""), ("pid1-rs", "684,768", "728")]


def measure(lab):
    if os.cpu_count() <= CPUS:
        raise Unavailable("a quota below the number of CPUs needs two CPUs")
    lab.install("musl-tools", "strace", "valgrind")
    sources = lab.top / "benches"
    kinds = {FLOOR: [], READING: ["-DREADING"], READING_EXEC: ["-DREADING", "-DEXEC"]}
    floors = {name: lab.compile(sources / "floor.c", re.sub(r"\W+", "-", name), *kind, compiler="musl-gcc")
              for name, kind in kinds.items()}
    trivial = lab.compile(sources / "trivial.c", "trivial", compiler="musl-gcc")
    spawner = lab.compile(sources / "spawner.c", "spawner")
    known = inits(lab)
    commands = {NO_INIT: [], **{name: [str(path), "--"] for name, path in floors.items()},
                EXEC: [known[LOADLINE].path, "--exec", "--"],
                **{name: init.as_subreaper() for name, init in known.items()}}
    plan = {
        "commands": {name: commands[name] for name in ALL}, "trivial": str(trivial),
        "spawner": str(spawner), "probe": probe(lab), "rounds": 50 if lab.quick else 3000,
        "idle_seconds": 10 if lab.quick else 30,
    }
    # Mapped pages of a new file count as dirty until they are on disk.
    for path in {words[0] for words in commands.values() if words}:
        with open(path, "rb") as file:
            os.fsync(file)
    lab.say("cost: start to finish")
    with awake():
        data = in_cgroup(lab, plan, times)
        on_host = {name: plan["commands"][name] for name in ON_HOST}
        data["on host"] = in_cgroup(lab, plan | {"commands": on_host, "is_host": True}, times)
    lab.say(f"cost: memory, work, and {plan['idle_seconds']} idle seconds")
    data |= in_cgroup(lab, plan, everything_else)
    data["bytes"] = {name: pathlib.Path(words[0]).stat().st_size
                     for name, words in commands.items() if name in STAYING}
    data["machine"] = os.uname().machine
    # The bootstrap takes a while, so its results are stored.
    data["ratios"] = {
        "of tini-static": {name: ratio(samples, data["samples"]["tini-static"], draws=300)
                           for name, samples in data["samples"].items()},
        "of reading": ratio(data["samples"][LOADLINE], data["samples"][READING]),
        "exec of reading": ratio(data["samples"][EXEC], data["samples"][READING]),
        "exec of reading exec": ratio(data["samples"][EXEC], data["samples"][READING_EXEC]),
    }
    data["times"] = {name: quartiles(samples) for name, samples in data.pop("samples").items()}
    samples = data.pop("on host")["samples"]
    data["on host"] = {name: {"time": quartiles(samples[name]), "of reading": ratio(samples[name], samples[READING])}
                       for name in ON_HOST}
    return data


def in_cgroup(lab, plan, function):
    """Runs a function of this file in a cgroup with limits, in its own cgroup and mount namespace unless the
    plan says `is_host`, and returns the result."""
    with tempfile.TemporaryDirectory(dir=lab.scratch) as scratch:
        files = [pathlib.Path(scratch) / name for name in ("plan.json", "result.json")]
        files[0].write_text(json.dumps(plan), encoding="utf-8")
        namespaces = [] if plan.get("is_host") else ["unshare", "--cgroup", "--mount"]
        inside = [*namespaces, sys.executable, "-B", __file__, function.__name__, *files]
        code = to_its_end([*lab.limits(MEMORY, CPUS), *inside])
        if code == 125:
            raise Unavailable("no cgroup with limits can be made here")
        if code:
            raise RuntimeError(f"{function.__name__} exited with {code}; see the output above")
        return json.loads(files[1].read_text(encoding="utf-8"))


# Inside the cgroup.

def remount_cgroups():
    """Mounts the cgroup hierarchies as this cgroup namespace shows them: our cgroup is the root. Needs a mount
    namespace of our own."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        mount, _, source = line.partition(" - ")
        kind, _, options = source.split(" ", 2)
        controllers = set(options.split(",")) - {"ro", "rw"}
        if kind == "cgroup2":
            chosen = []
        elif kind == "cgroup" and controllers & {"cpu", "memory"}:
            chosen = ["-o", ",".join(controllers)]
        else:
            continue
        point = mount.split()[4]
        # The kernel refuses to mount a hierarchy over itself.
        subprocess.run(["umount", "--lazy", point], check=True)
        subprocess.run(["mount", "-t", kind, *chosen, "none", point], check=True)


class Idle:
    """An init whose program waits for a signal, once both are idle."""

    def __init__(self, words, program):
        self.process = subprocess.Popen(
            [*words, program, "pause"], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid

    def __enter__(self):
        self.process.stdout.readline()
        deadline = time.monotonic() + TIMEOUT
        while not (self.status("State").startswith("S") and self.children()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"does not become idle: {self.process.args}")
            time.sleep(0.001)
        # loadline does optional setup a moment after the start: wait until the init stays asleep.
        past = None
        while past != (past := self.switches()):
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        # Kill the program, as the floors forward no signals.
        for child in self.children():
            os.kill(child, signal.SIGKILL)
        try:
            self.process.wait(TIMEOUT)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def children(self):
        return [int(pid) for pid in self.read(f"task/{self.pid}/children").split()]

    def read(self, file):
        return pathlib.Path(f"/proc/{self.pid}/{file}").read_text(encoding="utf-8")

    def status(self, field):
        return re.search(rf"^{field}:\s*(.+)$", self.read("status"), re.MULTILINE)[1]

    def memory(self):
        """RSS, PSS and private dirty memory, in kB."""
        rollup = self.read("smaps_rollup")
        return [int(re.search(rf"^{field}:\s*(\d+) kB", rollup, re.MULTILINE)[1])
                for field in ("Rss", "Pss", "Private_Dirty")]

    def switches(self):
        """How often it went to sleep or was preempted."""
        return int(self.status("voluntary_ctxt_switches")) + int(self.status("nonvoluntary_ctxt_switches"))


def memory(plan):
    seen = collections.defaultdict(list)
    for _ in range(STARTS):
        for name in STAYING:
            with Idle(plan["commands"][name], plan["probe"]) as idle:
                seen[name].append(idle.memory())
    return {name: {"median": [statistics.median(column) for column in zip(*starts)],
                   "least": [min(column) for column in zip(*starts)],
                   "most": [max(column) for column in zip(*starts)]} for name, starts in seen.items()}


def wakeups(plan):
    """The context switches of all inits in the same idle time."""
    idles = []
    try:
        for name in STAYING:
            idles.append(Idle(plan["commands"][name], plan["probe"]))
            idles[-1].__enter__()
        before = [idle.switches() for idle in idles]
        time.sleep(plan["idle_seconds"])
        return {name: idle.switches() - past for name, idle, past in zip(STAYING, idles, before)}
    finally:
        for idle in idles:
            idle.__exit__()


def check_variables(plan):
    """Checks that loadline and the reading floors set both variables, and that nothing else does, so that
    the work measured is the work claimed."""
    for name, words in plan["commands"].items():
        output = subprocess.run([*words, "/usr/bin/env"], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
                                timeout=TIMEOUT).stdout
        found = dict(line.split("=", 1) for line in output.splitlines())
        expected = VARIABLES if name in (READING, READING_EXEC) or name.startswith("loadline") else {}
        if {variable: found[variable] for variable in VARIABLES if variable in found} != expected:
            raise RuntimeError(f"{name}: expected {expected} in the environment of the program: {output}")


def throttled():
    """The number of throttled periods of this cgroup, and of all periods."""
    for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            mount = "/sys/fs/cgroup/cpu" if controllers else "/sys/fs/cgroup"
            stat = pathlib.Path(mount + path) / "cpu.stat"
            if stat.exists():
                counts = dict(line.split() for line in stat.read_text(encoding="utf-8").splitlines())
                if "nr_throttled" in counts:
                    return [int(counts["nr_throttled"]), int(counts["nr_periods"])]
    raise RuntimeError("no cpu.stat counts the throttled periods of this cgroup")


def times(plan):
    """Nanoseconds from start to exit: for each command a list by rounds."""
    command = [plan["spawner"], str(plan["rounds"])]
    for words in plan["commands"].values():
        command += [*words, plan["trivial"], "::"]
    before = throttled()
    output = subprocess.run(command[:-1], env=ENVIRONMENT, stdin=subprocess.DEVNULL, check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    counts = [after - past for past, after in zip(before, throttled())]
    rounds = [[int(time) for time in line.split()] for line in output.splitlines()]
    samples = dict(zip(plan["commands"], zip(*rounds)))
    return {"samples": samples, "throttled": counts, "rounds": plan["rounds"]}


def system_calls(plan):
    """The system calls of the init itself from its exec to its exit, without those of its program."""
    counts = {}
    for name in ALL[1:]:
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
            subprocess.run(["strace", "-o", log.name, "--", *plan["commands"][name], plan["trivial"]],
                           env=ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
                           timeout=TIMEOUT)
            calls = re.findall(r"^(\w+)\(", log.read(), re.MULTILINE)
        # The first call is the execve of the init. After the next one, an init that execs is the program.
        calls = calls[1:]
        if name in (EXEC, READING_EXEC):
            calls = calls[:calls.index("execve") + 1]
        counts[name] = len(calls)
    return counts


def instructions(plan):
    """Instructions of the init itself in user space, in three runs; none if callgrind sees no exit of it."""
    counts = {}
    for name in ALL[1:]:
        runs = []
        for _ in range(3):
            with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
                ended = subprocess.run(
                    ["valgrind", "--tool=callgrind", f"--callgrind-out-file={log.name}", "--",
                     *plan["commands"][name], plan["trivial"]], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=TIMEOUT)
                total = re.search(r"^totals: (\d+)$", log.read(), re.MULTILINE)
                if total and ended.returncode == 0:
                    runs.append(int(total[1]))
        counts[name] = sorted(runs)
    return counts


def everything_else(plan):
    return {"memory": memory(plan), "wakeups": wakeups(plan), "idle_seconds": plan["idle_seconds"],
            "calls": system_calls(plan), "instructions": instructions(plan)}


# The document.

def micro(nanoseconds):
    return f"{nanoseconds / 1000:.0f}"


def with_bounds(found):
    return f"{found['ratio']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def spread(low, median, high):
    return f"{median:g}" if low == high else f"{median:g} ({low:g} to {high:g})"


def label(name):
    """The name of a command in the document."""
    return "loadline `--exec`" if name == EXEC else name


def summary_rows(data):
    rows = []
    for name in SUMMARY:
        size = "the same file" if name == EXEC else f"{data['bytes'][name]:,}" if name in data["bytes"] else ""
        if name in DYNAMIC:
            size += " and libc"
        rss, dirty = "none", "none"
        if name in data["memory"]:
            rss, _, dirty = (f"{kilobytes:,g}" for kilobytes in data["memory"][name]["median"])
        rows.append((label(name), size, rss, dirty, micro(data["times"][name][1])))
    return rows


def report(data):
    throttled_periods, periods = data["throttled"]
    of = {name: with_bounds(found) for name, found in data["ratios"].items() if name != "of tini-static"}
    time_rows = [(label(name), micro(median), f"{micro(low)} to {micro(high)}",
                  with_bounds(data["ratios"]["of tini-static"][name]) if name != "tini-static" else "1")
                 for name, (low, median, high) in data["times"].items()]
    host_rows = [(label(name), micro(median), f"{micro(low)} to {micro(high)}", with_bounds(it["of reading"]))
                 for name, it in data["on host"].items() for low, median, high in [it["time"]]]
    memory_rows = []
    for name in STAYING:
        seen = data["memory"][name]
        columns = zip(seen["least"], seen["median"], seen["most"])
        memory_rows.append((label(name), f"{data['bytes'][name]:,}", *(spread(*column) for column in columns),
                            data["wakeups"][name]))
    memory_rows.insert(3, (label(EXEC), "the same file", *["none"] * 4))
    work_rows = []
    for name in ALL[1:]:
        runs = data["instructions"][name]
        counted = f"{statistics.median(runs):,.0f}" if runs else "not counted"
        if runs and runs[0] != runs[-1]:
            counted += f" ({runs[0]:,} to {runs[-1]:,})"
        work_rows.append((label(name), data["calls"][name], counted))
    return f"""
![Time and memory of each init](cost.svg)

{table(["", "bytes", "RSS, kB", "private dirty, kB", "start to finish of a trivial program, us"], *summary_rows(data))}

tini, tini-static, dumb-init and catatonit are Debian's. The loadline files are those of `make release` and
of a plain `cargo build` for musl. The floors are C programs on musl ([benches/floor.c](../benches/floor.c)):
the smallest program that blocks signals, starts another with vfork and waits for it; the reading floor,
which first reads the limits of its cgroup and sets both variables; and one that does so and then execs the
program, as `--exec` does.

All commands run in a cgroup with {MEMORY}B and {CPUS} CPU that is the root of its cgroup namespace, as in a
container. A check confirms that loadline sets both variables there. Inits with the option are child
subreapers (`-s`): without it tini warns that it is not PID 1.

### Start to finish

A trivial static program, from the start of the command to its exit as the parent sees it: {data['rounds']:,} rounds
of all commands, in a new random order each. The table shows the median and the quartiles in microseconds,
and the ratio to tini-static with the bounds of 95 of 100 bootstrap draws of whole rounds. SCHED_IDLE
processes keep the CPUs awake: waking an idle virtual CPU adds some 50 us to any init, but not every time.
The quota throttled {throttled_periods} of the {periods} periods of 100 ms.

{table(["", "median, us", "quartiles", "of tini-static"], *time_rows)}

loadline takes {of["of reading"]} of the time of the reading floor, and with `--exec` {of["exec of reading"]}.
`--exec` takes {of["exec of reading exec"]} of the time of the reading floor that execs.

On a host there is no cgroup namespace, and loadline must first confirm that the cgroup named in
/proc/self/cgroup is its own, by looking for its process there. The floor assumes so. This is measured
separately:

{table(["on a host", "median, us", "quartiles", "of the reading floor"], *host_rows)}

### Bytes, memory, wake-ups

The size of the file; memory in kB while the program waits, as the median of {STARTS} starts, with the range if
they differ; and how often the init woke up in {data['idle_seconds']} idle seconds, all inits at the same time. tini and
dumb-init are linked dynamically: RSS counts the pages of the C library in full, and PSS divides each by
the number of processes that map it.

{table(["", "bytes", "RSS, kB", "PSS, kB", "private dirty, kB", "wake-ups"], *memory_rows)}

For comparison, other inits built for musl, as loadline is. They were not measured in this run. In an
earlier one of the same kind, tini on musl took 393 us and tini-static 725 us.

{table(["on musl, static", "bytes", "RSS / private dirty, kB"], *ON_MUSL)}

### Work

The work of the init itself, from its exec to its exit, to run the trivial program: system calls as
counted by strace, and instructions in user space as counted by callgrind (the median of three runs, with
the range if they differ; callgrind turns vfork into fork). callgrind cannot count an init that execs its
program.

{table(["", "system calls", "instructions"], *work_rows)}
"""


def targets(data):
    def target(name, value, limit, text, timed=False):
        return Target(name, value <= limit, text, timed)

    def timed(name, found, limit):
        return target(name, found["ratio"], limit, f"{with_bounds(found)}, at most {limit}", True)

    size = data["bytes"][LOADLINE]
    rss, _, dirty = data["memory"][LOADLINE]["median"]
    found = []
    if data["machine"] == "x86_64":
        found.append(target("size of the amd64 file", size, BYTES, f"{size:,} bytes, at most {BYTES:,}"))
    return [
        *found,
        target("RSS while the program runs", rss, RSS, f"{rss:g} kB, at most {RSS}"),
        target("private dirty memory of that", dirty, DIRTY, f"{dirty:g} kB, at most {DIRTY}"),
        target("wake-ups when idle", data["wakeups"][LOADLINE], 0,
               f"{data['wakeups'][LOADLINE]} in {data['idle_seconds']} s, at most 0"),
        timed("start to finish, as a ratio to tini-static", data["ratios"]["of tini-static"][LOADLINE], OF_TINI),
        timed("start to finish, as a ratio to the reading floor", data["ratios"]["of reading"], OF_READING),
        timed("with `--exec`, as a ratio to the reading floor", data["ratios"]["exec of reading"],
              EXEC_OF_READING),
    ]


OURS, PEER, REFERENCE = "#1f6feb", "#6e7781", "#afb8c1"


def colour(name):
    return OURS if name.startswith("loadline") else PEER if name in STAYING[4:] else REFERENCE


def draw(data, folder):
    plot = pyplot()
    names = sorted(ALL, key=lambda name: -data["times"][name][1])
    rows = range(len(names))
    figure, (left, right) = plot.subplots(1, 2, sharey=True, figsize=(9, 3.6))
    medians = [data["times"][name][1] / 1000 for name in names]
    left.barh(rows, medians, color=[colour(name) for name in names])
    left.set_yticks(rows, names)
    for row, name in zip(rows, names):
        low, median, high = (time / 1000 for time in data["times"][name])
        left.plot([low, high], [row, row], color=TEXT, linewidth=1)
        left.text(high + max(medians) / 60, row, f"{median:.0f}", va="center")
    left.set_xlabel("start to finish of a trivial program, us\n(median; the line is the interquartile range)")

    most = max(seen["median"][0] for seen in data["memory"].values())
    for row, name in zip(rows, names):
        if name not in data["memory"]:
            right.text(most / 60, row, "none", va="center", color=MUTED)
            continue
        resident, _, dirty = data["memory"][name]["median"]
        right.barh(row, resident, color=colour(name))
        right.barh(row, dirty, color=TEXT, height=0.2)
        right.text(resident + most / 60, row, f"{resident:g}", va="center")
    right.set_xlabel("RSS while the program waits, kB\n(black: private dirty)")
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
    figure.tight_layout()
    save(figure, folder / "cost.svg")
    plot.close(figure)


def main():
    what = {function.__name__: function for function in (times, everything_else)}[sys.argv[1]]
    plan_file, result_file = map(pathlib.Path, sys.argv[2:])
    plan = json.loads(plan_file.read_text(encoding="utf-8"))
    if not plan.get("is_host"):
        remount_cgroups()
    check_variables(plan)
    result_file.write_text(json.dumps(what(plan)), encoding="utf-8")


if __name__ == "__main__":
    main()
