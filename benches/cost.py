"""What an init costs: bytes, memory, wake-ups, time, instructions and system calls.

All of it is measured as in a container, in a cgroup with limits that is the root of its cgroup
namespace, by this file run as a script inside it: the limits are such that loadline sets both
variables, and that is checked before anything is measured.
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
from lab import Bar, Cannot, awake, pyplot, quartiles, ratio, save, table, to_its_end

NAME = "cost"
TITLE = "What an init costs"

MEMORY = "400Mi"
# Below the CPUs of any machine with two, or GOMAXPROCS would not have to be set.
CPUS = 1
SET = {"GOMEMLIMIT": str((400 << 20) * 8 // 10), "GOMAXPROCS": "1"}
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
STARTS = 9
# Seconds for what takes milliseconds.
PATIENCE = 20

NO_INIT, FLOOR, READING = "no init", "floor", "floor that reads the limits"
BECOMING = "floor that reads and becomes"
LOADLINE, EXEC, PLAIN = "loadline", "loadline --exec", "loadline, plain build"
# What is timed on a host as well.
ON_HOST = [FLOOR, READING, LOADLINE, EXEC, "tini-static"]
# What stays while the program runs.
STAYING = [FLOOR, READING, LOADLINE, PLAIN, "tini", "tini-static", "dumb-init", "catatonit"]
ALL = [NO_INIT, FLOOR, READING, BECOMING, LOADLINE, EXEC, *STAYING[3:]]
BYTES, RSS, DIRTY = 65536, 84, 24
OF_TINI, OF_READING, EXEC_OF_READING = 0.6, 1.2, 1.0
# Measured before, with the same musl for all, and quoted.
ON_MUSL = [("tini 0.19, static", "60,184", "80 / 20"), ("dumb-init 1.2.5", "67,160", ""),
           ("catatonit 0.1.7", "59,064", ""), ("pid1-rs", "684,768", "728")]


def measure(lab):
    if os.cpu_count() <= CPUS:
        raise Cannot("with one CPU there is no quota below it")
    lab.install("musl-tools", "strace", "valgrind")
    sources = lab.top / "benches"
    kinds = {FLOOR: [], READING: ["-DREADING"], BECOMING: ["-DREADING", "-DBECOMING"]}
    floors = {name: lab.compile(sources / "floor.c", name.replace(" ", "-"), *kind, compiler="musl-gcc")
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
    # A mapped page of a file that was just written and is not on the disk yet counts as dirty.
    for path in {words[0] for words in commands.values() if words}:
        with open(path, "rb") as file:
            os.fsync(file)
    lab.say("cost: start to finish")
    with awake():
        data = confined(lab, plan, times)
        on_host = {name: plan["commands"][name] for name in ON_HOST}
        data["on host"] = confined(lab, plan | {"commands": on_host, "is_host": True}, times)
    lab.say(f"cost: memory, work, and {plan['idle_seconds']} idle seconds")
    data |= confined(lab, plan, everything_else)
    data["bytes"] = {name: pathlib.Path(words[0]).stat().st_size
                     for name, words in commands.items() if name in STAYING}
    data["machine"] = os.uname().machine
    # Reckoned here, as a draw of whole rounds takes a while.
    data["ratios"] = {
        "of tini-static": {name: ratio(samples, data["samples"]["tini-static"], draws=300)
                           for name, samples in data["samples"].items()},
        "of reading": ratio(data["samples"][LOADLINE], data["samples"][READING]),
        "exec of reading": ratio(data["samples"][EXEC], data["samples"][READING]),
        "exec of becoming": ratio(data["samples"][EXEC], data["samples"][BECOMING]),
    }
    data["times"] = {name: quartiles(samples) for name, samples in data.pop("samples").items()}
    samples = data.pop("on host")["samples"]
    data["on host"] = {name: {"time": quartiles(samples[name]), "of reading": ratio(samples[name], samples[READING])}
                       for name in ON_HOST}
    return data


def confined(lab, plan, function):
    """What a function of this file gives in a cgroup with limits, and in namespaces of its own unless
    it is to be as on a host."""
    with tempfile.TemporaryDirectory(dir=lab.scratch) as scratch:
        files = [pathlib.Path(scratch) / name for name in ("plan.json", "result.json")]
        files[0].write_text(json.dumps(plan), encoding="utf-8")
        apart = [] if plan.get("is_host") else ["unshare", "--cgroup", "--mount"]
        inside = [*apart, sys.executable, "-B", __file__, function.__name__, *files]
        code = to_its_end([*lab.limits(MEMORY, CPUS), *inside])
        if code == 125:
            raise Cannot("no cgroup with limits can be made here")
        if code:
            raise RuntimeError(f"{function.__name__} ended with {code}; the reason is above")
        return json.loads(files[1].read_text(encoding="utf-8"))


# Inside the cgroup.

def mount_anew():
    """The hierarchies, as the cgroup namespace has them: its root is our cgroup. In a mount namespace
    of our own."""
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
        # The same cannot be mounted over itself.
        subprocess.run(["umount", "--lazy", point], check=True)
        subprocess.run(["mount", "-t", kind, *chosen, "none", point], check=True)


class Idle:
    """An init whose program waits for ever, once both have come to rest."""

    def __init__(self, words, program):
        self.process = subprocess.Popen(
            [*words, program, "pause"], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid

    def __enter__(self):
        self.process.stdout.readline()
        patience = time.monotonic() + PATIENCE
        while not (self.status("State").startswith("S") and self.children()):
            if time.monotonic() > patience:
                raise RuntimeError(f"does not come to rest: {self.process.args}")
            time.sleep(0.001)
        # An init may see to itself a moment after the start: at rest is what is not woken for a while.
        past = None
        while past != (past := self.switches()):
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        # By its end, as the floors pass nothing on.
        for child in self.children():
            os.kill(child, signal.SIGKILL)
        try:
            self.process.wait(PATIENCE)
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
        """Of the pages that are mapped now: RSS, PSS and private dirty, in kB."""
        rollup = self.read("smaps_rollup")
        return [int(re.search(rf"^{field}:\s*(\d+) kB", rollup, re.MULTILINE)[1])
                for field in ("Rss", "Pss", "Private_Dirty")]

    def switches(self):
        """How often it has gone to sleep or was made to."""
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
    """Of all inits at the same time."""
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
    """loadline has to have read the limits, and to have set what it ought to, or it was measured
    at less than its work. The floors that read do the same work, and nobody else any of it."""
    for name, words in plan["commands"].items():
        said = subprocess.run([*words, "/usr/bin/env"], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
                              timeout=PATIENCE).stdout
        found = dict(line.split("=", 1) for line in said.splitlines())
        expected = SET if name in (READING, BECOMING) or name.startswith("loadline") else {}
        if {variable: found[variable] for variable in SET if variable in found} != expected:
            raise RuntimeError(f"{name}: the program has not {expected}: {said}")


def throttled():
    """How often the quota has held up this cgroup, and in how many periods it ran."""
    for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            mount = "/sys/fs/cgroup/cpu" if controllers else "/sys/fs/cgroup"
            stat = pathlib.Path(mount + path) / "cpu.stat"
            if stat.exists():
                counts = dict(line.split() for line in stat.read_text(encoding="utf-8").splitlines())
                if "nr_throttled" in counts:
                    return [int(counts["nr_throttled"]), int(counts["nr_periods"])]
    raise RuntimeError("no cpu.stat tells how often the quota has held up this cgroup")


def times(plan):
    """Nanoseconds from start to end, of each command a list by rounds."""
    command = [plan["spawner"], str(plan["rounds"])]
    for words in plan["commands"].values():
        command += [*words, plan["trivial"], "::"]
    before = throttled()
    said = subprocess.run(command[:-1], env=ENVIRONMENT, stdin=subprocess.DEVNULL, check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    held_up = [after - past for past, after in zip(before, throttled())]
    rounds = [[int(time) for time in line.split()] for line in said.splitlines()]
    samples = dict(zip(plan["commands"], zip(*rounds)))
    return {"samples": samples, "throttled": held_up, "rounds": plan["rounds"]}


def system_calls(plan):
    """What the init itself calls from its exec to its end, its program's calls apart."""
    counts = {}
    for name in ALL[1:]:
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
            subprocess.run(["strace", "-o", log.name, "--", *plan["commands"][name], plan["trivial"]],
                           env=ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
                           timeout=PATIENCE)
            calls = re.findall(r"^(\w+)\(", log.read(), re.MULTILINE)
        # The first is what started it. What becomes the program is that from the next on.
        calls = calls[1:]
        if name in (EXEC, BECOMING):
            calls = calls[:calls.index("execve") + 1]
        counts[name] = len(calls)
    return counts


def instructions(plan):
    """Of the init itself in user space, three times; none where callgrind sees no end of it."""
    counts = {}
    for name in ALL[1:]:
        runs = []
        for _ in range(3):
            with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
                ended = subprocess.run(
                    ["valgrind", "--tool=callgrind", f"--callgrind-out-file={log.name}", "--",
                     *plan["commands"][name], plan["trivial"]], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE)
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
    """Its name in the document."""
    return "loadline `--exec`" if name == EXEC else name


def report(data):
    held_up, periods = data["throttled"]
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
        counted = f"{statistics.median(runs):,.0f}" if runs else "not seen"
        if runs and runs[0] != runs[-1]:
            counted += f" ({runs[0]:,} to {runs[-1]:,})"
        work_rows.append((label(name), data["calls"][name], counted))
    return f"""
![Time and memory of each init](cost.svg)

The inits are Debian's, the loadline files those of `make release` and of a plain `cargo build` for musl.
The floors are C on musl ([benches/floor.c](../benches/floor.c)): the least program that blocks the signals,
starts another with vfork and waits for it; the same that reads the limits of its cgroup and sets both
variables first; and one that does so and then becomes the program, as `--exec` does.

All is measured in a cgroup with {MEMORY}B and {CPUS} CPU, the root of its cgroup namespace as a container's is;
loadline has to set both variables there, which is checked. Where an init has the option it is asked to adopt orphans (`-s`), for without that it warns where
it is not PID 1.

### Start to finish

A trivial static program, from the start of the command to its end as the parent sees it:
{data['rounds']:,} rounds of all commands, each round in an order of its own. The median in microseconds, the
quartiles, and the ratio to tini-static with the bounds of 95 of 100 bootstrap draws of whole rounds.
The processors are kept awake by processes of the idle scheduling class: to wake a virtual one adds some
50 us to all inits alike, now and then, as whatever else goes on has it. The quota held up {held_up} of the
{periods} periods of 100 ms that this took.

{table(["", "median, us", "quartiles", "of tini-static"], *time_rows)}

Of the time of the floor that reads the limits and stays loadline takes {of["of reading"]}, and with
`--exec` {of["exec of reading"]}; of that of the floor that reads and becomes the program, with
`--exec` {of["exec of becoming"]}.

Without a cgroup namespace, as on a host, loadline has to find out first that the cgroup by the name in
/proc/self/cgroup is its own, by the processes in it; the floor takes that for granted. So measured apart:

{table(["on a host", "median, us", "quartiles", "of the floor that reads"], *host_rows)}

### Bytes, memory, wake-ups

The size of the file; resident memory while the program waits, in kB (the median of {STARTS} starts, the
range where there is one); how often the init woke up in {data['idle_seconds']} idle seconds, all inits at the
same time.
tini and dumb-init are linked dynamically: the pages of the C library count as resident in each process
that maps them, and PSS divides them by the number of those.

{table(["", "bytes", "RSS", "PSS", "private dirty", "wake-ups"], *memory_rows)}

For comparison, others built for musl, as loadline is. These were not measured in this run. In another,
of the same kind, tini so built took 393 us where tini-static took 725.

{table(["on musl, static", "bytes", "RSS / private dirty, kB"], *ON_MUSL)}

### Work

What the init does itself, from its exec to its end, to run the trivial program: system calls as
strace counts them, and instructions in user space as callgrind does (the median of three runs, the
range where there is one; under it vfork is fork). It does not see those of an init that becomes its
program.

{table(["", "system calls", "instructions"], *work_rows)}
"""


def bars(data):
    def bar(name, value, limit, text, timed=False):
        return Bar(name, value <= limit, text, timed)

    def timed(name, found, limit):
        return bar(name, found["ratio"], limit, f"{with_bounds(found)}, at most {limit}", True)

    size = data["bytes"][LOADLINE]
    rss, _, dirty = data["memory"][LOADLINE]["median"]
    found = []
    if data["machine"] == "x86_64":
        found.append(bar("bytes of the small amd64 file", size, BYTES, f"{size:,}, at most {BYTES:,}"))
    return [
        *found,
        bar("resident while the program runs", rss, RSS, f"{rss:g} kB, at most {RSS}"),
        bar("of that private and dirty", dirty, DIRTY, f"{dirty:g} kB, at most {DIRTY}"),
        bar("no wake-ups when idle", data["wakeups"][LOADLINE], 0,
            f"{data['wakeups'][LOADLINE]} in {data['idle_seconds']} s"),
        timed("start to finish, of tini-static", data["ratios"]["of tini-static"][LOADLINE], OF_TINI),
        timed("start to finish, of the floor that reads the limits", data["ratios"]["of reading"], OF_READING),
        timed("with `--exec`, of the floor that reads the limits and stays", data["ratios"]["exec of reading"],
              EXEC_OF_READING),
    ]


OURS, PEER, MARK = "#1f6feb", "#8c959f", "#d0d7de"


def colour(name):
    return OURS if name.startswith("loadline") else PEER if name in STAYING[4:] else MARK


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
        left.plot([low, high], [row, row], color="black", linewidth=1)
        left.text(high + max(medians) / 60, row, f"{median:.0f}", va="center")
    left.set_xlabel("start to finish of a trivial program, us\n(median; the line is the middle half)")

    most = max(seen["median"][0] for seen in data["memory"].values())
    for row, name in zip(rows, names):
        if name not in data["memory"]:
            right.text(most / 60, row, "nothing stays", va="center", color="#57606a")
            continue
        resident, _, dirty = data["memory"][name]["median"]
        right.barh(row, resident, color=colour(name))
        right.barh(row, dirty, color="black", height=0.2)
        right.text(resident + most / 60, row, f"{resident:g}", va="center")
    right.set_xlabel("resident while the program waits, kB\n(black: private and dirty)")
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
        mount_anew()
    check_variables(plan)
    result_file.write_text(json.dumps(what(plan)), encoding="utf-8")


if __name__ == "__main__":
    main()
