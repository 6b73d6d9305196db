"""What an init does with signals and zombies: how long it takes to forward a signal, whether it loses one at
the start or in a burst, and what reaping costs.

Every init is PID 1 of its own PID namespace. Some inits hang in some cases, so every wait has a timeout.
"""

import collections
import ctypes
import os
import pathlib
import select
import signal
import statistics
import subprocess
import time

from inits import inits, probe
from lab import Target, Unavailable, percentile, quartiles, table

TITLE = "Signals and zombies"

NO_INIT, LOADLINE = "no init", "loadline"
NAMES = [LOADLINE, "tini", "tini-static", "dumb-init", "catatonit"]
BURST = 1000
# SIGRTMIN + 1 in glibc.
REALTIME = 35
# Timeouts in seconds: for what takes milliseconds, and to create or reap thousands of processes.
TIMEOUT, LONG_TIMEOUT = 5, 30


class Hangs(Exception):
    """An init does not respond in time."""


def measure(lab):
    quick = lab.quick
    known = inits(lab)
    known = {name: known[name] for name in NAMES}
    signaller = str(lab.compile(lab.top / "benches/signaller.c", "signaller"))
    program = probe(lab)
    data = {"latency": latency(signaller, known, 50 if quick else 2000)}
    lab.say("signals: at the start")
    data["window"] = window(signaller, program, known, 40 if quick else 400)
    lab.say("signals: in a burst")
    data["burst"] = {name: burst(init.as_pid_1(), program) for name, init in known.items()}
    lab.say("signals: zombies")
    data["zombies"] = zombies(known, program, *((500, 1) if quick else (10000, 5)))
    return data


def signal_rows(command):
    """The lines that signaller prints."""
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if ended.returncode == 2:
        raise Unavailable("no PID namespace can be made here")
    ended.check_returncode()
    return [line.split() for line in ended.stdout.splitlines()]


def joined(commands):
    """Commands, separated as signaller expects."""
    words = [word for command in commands for word in [*command, "::"]]
    return words[:-1]


def latency(signaller, known, rounds):
    receiver = [signaller, "receive"]
    commands = [receiver, *(init.as_pid_1() + receiver for init in known.values())]
    rows = signal_rows([signaller, "latency", str(rounds), *joined(commands)])
    found = {}
    for name, column in zip([NO_INIT, *known], zip(*rows)):
        times = [int(time) for time in column if time != "-1"]
        found[name] = {"sent": len(column), "lost": len(column) - len(times),
                       "quartiles": quartiles(times) if times else None,
                       "p99": percentile(times, 99) if times else None}
    return found


def window(signaller, program, known, starts):
    """Sends SIGTERM to an init that has just started: its program must die from it."""
    modes = [(name, mode, words) for name, init in known.items()
             for mode, words in (("program", init.as_pid_1()), ("group", init.with_group())) if words]
    commands = [[*words, program, "pause"] for _, _, words in modes]
    counts = collections.Counter()
    for index, _, code in signal_rows([signaller, "window", str(starts), *joined(commands)]):
        counts[int(index), code] += 1
    found = collections.defaultdict(dict)
    for index, (name, mode, _) in enumerate(modes):
        died = counts[index, str(128 + signal.SIGTERM)]
        lost = counts[index, "lost"]
        found[name][mode] = {"starts": starts, "lost": lost, "other": starts - lost - died}
    return found


class PidOne:
    """An init that is PID 1 of a PID namespace, with the probe as its program; `on_one` keeps them and all
    their descendants on one CPU."""

    def __init__(self, words, program, *arguments, on_one=False):
        pinned = ["taskset", "--cpu-list", str(max(os.sched_getaffinity(0)))] if on_one else []
        self.outside = subprocess.Popen(
            [*pinned, "unshare", "--pid", "--fork", "--kill-child", "--", *words, program, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.output = b""
        self.pid = None

    def __enter__(self):
        try:
            self.expect_line(b"ready", LONG_TIMEOUT)
            [self.pid] = children(self.outside.pid)
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        # unshare --kill-child kills the init, and so the whole namespace.
        self.outside.kill()
        self.outside.wait()
        self.outside.stdout.close()

    def read(self, deadline):
        """More output of the program; empty at its end."""
        left = max(0, deadline - time.monotonic())
        if not select.select([self.outside.stdout], [], [], left)[0]:
            raise Hangs
        return os.read(self.outside.stdout.fileno(), 65536)

    def expect_line(self, line, timeout):
        deadline = time.monotonic() + timeout
        while line + b"\n" not in self.output:
            more = self.read(deadline)
            if not more:
                raise Hangs
            self.output += more

    def read_all(self):
        """Reads the output until its end."""
        deadline = time.monotonic() + TIMEOUT
        while more := self.read(deadline):
            self.output += more

    def signal(self, number):
        os.kill(self.pid, number)

    def wait_until(self, done):
        """Polls a condition that nothing notifies about."""
        deadline = time.monotonic() + TIMEOUT
        while not done():
            if time.monotonic() > deadline:
                raise Hangs
            time.sleep(0.0002)


def children(pid):
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in listed.split()]


def sleeps_without(pid, number):
    """Whether a process sleeps and the signal is not pending."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    pending = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
    return fields["State"].startswith("S") and not pending >> (number - 1) & 1


def burst(words, program):
    """Sends realtime signals with values, all before the program takes the first."""
    send = ctypes.CDLL(None, use_errno=True).sigqueue
    send.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
    ended = True
    try:
        with PidOne(words, program, "hold") as init:
            child = children(init.pid)[0]
            for value in range(BURST):
                if send(init.pid, REALTIME, value):
                    raise OSError(ctypes.get_errno(), "sigqueue")
            try:
                # Until the init has forwarded all that it will.
                init.wait_until(lambda: sleeps_without(init.pid, REALTIME))
                # SIGTERM makes the program read its queue, up to the last signal.
                init.signal(signal.SIGTERM)
                init.wait_until(lambda: b"signal 15\n" in init.output or more(init))
                init.wait_until(lambda: sleeps_without(child, REALTIME))
                init.signal(signal.SIGUSR1)
                init.read_all()
            except (Hangs, OSError, LookupError):
                ended = False
            output = init.output.decode()
    except Hangs:
        ended, output = False, ""
    arrived = [line.split() for line in output.splitlines() if line.startswith(f"signal {REALTIME}")]
    values = [int(line[3]) for line in arrived if len(line) == 4]
    return {"sent": BURST, "arrived": len(arrived), "lost": BURST - len(arrived),
            "with value": sum(value in range(BURST) for value in set(values)),
            "in order": values == list(range(BURST)), "ended": ended}


def more(init):
    """Reads the output so far. False, for use in a condition."""
    if select.select([init.outside.stdout], [], [], 0)[0]:
        init.output += os.read(init.outside.stdout.fileno(), 65536)
    return False


def zombies(known, program, count, rounds):
    """Orphans that exit all at once: the time until the last is gone, and the CPU time of the init."""
    found = {name: {"count": count, "seconds": [], "cpu": [], "left": 0} for name in known}
    for _ in range(rounds):
        for name, init in known.items():
            result = found[name]
            if result["left"]:
                continue
            try:
                with PidOne(init.as_pid_1(), program, "orphans", str(count), on_one=True) as running:
                    reap(running, count, result)
            except Hangs:
                result["left"] = count
    return found


def reap(running, count, result):
    first, *orphans = children(running.pid)
    if len(orphans) != count:
        raise RuntimeError(f"{len(orphans)} orphans instead of {count}")
    cpu_before = cpu_time(running.pid)
    begin = time.monotonic()
    # Makes the program end them.
    running.signal(signal.SIGUSR1)
    deadline = begin + LONG_TIMEOUT
    for orphan in orphans:
        # kill(2) still finds a zombie. Checking one after the other costs little while all exist.
        while exists(orphan) and time.monotonic() < deadline:
            time.sleep(0.0002)
    seconds = time.monotonic() - begin
    result["left"] = len([child for child in children(running.pid) if child != first])
    if not result["left"]:
        result["seconds"].append(seconds)
        result["cpu"].append((cpu_time(running.pid) - cpu_before) / 1e9)


def exists(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def cpu_time(pid):
    """The CPU time of a process in nanoseconds."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()[0])


# The document.

def micro(nanoseconds):
    return "never" if nanoseconds is None else f"{nanoseconds / 1000:.1f}"


def milli(seconds):
    """The median of some runs in milliseconds, and their range."""
    if not seconds:
        return "never"
    low, high = min(seconds) * 1000, max(seconds) * 1000
    middle = f"{statistics.median(seconds) * 1000:.0f}"
    return middle if len(seconds) == 1 else f"{middle} ({low:.0f} to {high:.0f})"


def report(data):
    latency_rows = []
    for name, seen in data["latency"].items():
        low, median, high = map(micro, seen["quartiles"] or [None] * 3)
        latency_rows.append((name, median, f"{low} to {high}", micro(seen["p99"]), seen["lost"]))
    window_rows = []
    for name, modes in data["window"].items():
        def cell(mode):
            seen = modes.get(mode)
            if not seen:
                return "no such option"
            other = seen["other"]
            return f"{seen['lost']} of {seen['starts']}" + (f", {other} with another result" if other else "")
        window_rows.append((name, cell("program"), cell("group")))
    burst_rows = [(name, seen["lost"], seen["with value"], "yes" if seen["in order"] else
                   "unknown" if not seen["with value"] else "no", "yes" if seen["ended"] else "no")
                  for name, seen in data["burst"].items()]
    zombie_rows = [(name, milli(seen["seconds"]), milli(seen["cpu"]), seen["left"])
                   for name, seen in data["zombies"].items()]
    sent, some = data["latency"][LOADLINE]["sent"], data["zombies"][LOADLINE]
    rounds = max(len(seen["seconds"]) for seen in data["zombies"].values())
    return f"""
Each init is PID 1 of its own PID namespace.

### Forwarding

The time from just before SIGUSR1 is sent to the init until the program, which waits for it, receives it:
{sent:,} signals to each init, one at a time; the inits take turns, in a new random order in each round. The
table shows the median in microseconds, the quartiles, and the 99th percentile. Sender, inits and programs
share one CPU: on several CPUs, chance decides which process has to wake another's CPU. Without an init
the signal is sent to the program.

{table(["", "median, us", "quartiles", "99%", "lost"], *latency_rows)}

### At the start

SIGTERM is sent between the moment when the init has blocked its signals and 2 ms later, in equal steps, with
a new start for each; the program does not handle it. A signal is lost if neither init nor program has it
and both sleep: the container would run until its SIGKILL. How often that happens depends on how busy the
machine is. With `-g` the init signals the program's process group; dumb-init does so unless it is given
`--single-child`.

{table(["", "lost", "with -g, lost"], *window_rows)}

### A burst

{BURST:,} realtime signals, each with a value, are sent before the program takes the first one.

{table(["", "lost", "with their value", "in order", "still responds"], *burst_rows)}

### Zombies

{some['count']:,} orphans, adopted by the init, exit all at once. The table shows the milliseconds until the last of
them is gone (kill(2) no longer finds it; most of that time the kernel ends the processes), and the CPU time
of the init, kernel included: the median of {rounds} and the range. All run on one CPU: on several, the init mainly
waits for a lock in the kernel.

{table(["", "until all are gone, ms", "CPU time of the init, ms", "left"], *zombie_rows)}
"""


def targets(data):
    def none(name, lost, sent):
        return Target(name, not lost, f"{lost:,} of {sent:,}")

    def lost_in(mode):
        seen = data["window"][LOADLINE][mode]
        return seen["lost"] + seen["other"], seen["starts"]

    one_by_one, burst, zombies = (data[what][LOADLINE] for what in ("latency", "burst", "zombies"))
    return [
        none("signals lost one at a time", one_by_one["lost"], one_by_one["sent"]),
        none("signals lost at the start", *lost_in("program")),
        none("signals lost at the start, with `-g`", *lost_in("group")),
        none("realtime signals lost in a burst, or without their value", burst["sent"] - burst["with value"],
             burst["sent"]),
        Target("realtime signals in order", burst["in order"] and burst["ended"],
            "yes" if burst["in order"] else "no"),
        none("zombies left", zombies["left"], zombies["count"]),
    ]
