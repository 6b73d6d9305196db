"""What an init does with signals and zombies: how long a signal takes through it, whether one is lost
at the start or in a burst, and what it costs to reap.

Every init is PID 1 of a PID namespace of its own. Peers hang here and there: every wait has an end.
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
from lab import Bar, Cannot, awake, percentile, quartiles, table

NAME = "signals"
TITLE = "Signals and zombies"

NO_INIT, LOADLINE = "no init", "loadline"
NAMES = [LOADLINE, "tini", "tini-static", "dumb-init", "catatonit"]
BURST = 1000
# SIGRTMIN + 1 of a program on glibc.
REALTIME = 35
# Seconds for what takes milliseconds, and for a multitude to be made or reaped.
PATIENCE, LONG_PATIENCE = 5, 60


class Hangs(Exception):
    """An init does not go on."""


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
    """What signaller says, line by line."""
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if ended.returncode == 2:
        raise Cannot("no PID namespace can be made here")
    ended.check_returncode()
    return [line.split() for line in ended.stdout.splitlines()]


def joined(commands):
    """Commands as signaller takes them."""
    words = [word for command in commands for word in [*command, "::"]]
    return words[:-1]


def latency(signaller, known, rounds):
    receiver = [signaller, "receive"]
    commands = [receiver, *(init.as_pid_1() + receiver for init in known.values())]
    with awake():
        rows = signal_rows([signaller, "latency", str(rounds), *joined(commands)])
    found = {}
    for name, column in zip([NO_INIT, *known], zip(*rows)):
        times = [int(time) for time in column if time != "-1"]
        found[name] = {"sent": len(column), "lost": len(column) - len(times),
                       "quartiles": quartiles(times), "p99": percentile(times, 99)}
    return found


def window(signaller, program, known, starts):
    """SIGTERM to an init that has just started: its program must die of it."""
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
        found[name][mode] = {"starts": starts, "lost": lost, "ended otherwise": starts - lost - died}
    return found


class PidOne:
    """An init that is PID 1 of a PID namespace, with the probe as its program."""

    def __init__(self, words, program, *arguments):
        self.outside = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--", *words, program, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.said = b""
        self.pid = None

    def __enter__(self):
        try:
            self.expect_line(b"ready", LONG_PATIENCE)
            [self.pid] = children(self.outside.pid)
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        # The init dies with it, and its namespace with the init.
        self.outside.kill()
        self.outside.wait()
        self.outside.stdout.close()

    def read(self, deadline):
        """More of what the program says; empty at the end."""
        left = max(0, deadline - time.monotonic())
        if not select.select([self.outside.stdout], [], [], left)[0]:
            raise Hangs
        return os.read(self.outside.stdout.fileno(), 65536)

    def expect_line(self, line, patience):
        deadline = time.monotonic() + patience
        while line + b"\n" not in self.said:
            more = self.read(deadline)
            if not more:
                raise Hangs
            self.said += more

    def rest(self):
        """All that the program says until nobody can say anything more."""
        deadline = time.monotonic() + PATIENCE
        while more := self.read(deadline):
            self.said += more

    def signal(self, number):
        os.kill(self.pid, number)

    def until(self, done):
        """Asks again and again, for what nobody tells."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > deadline:
                raise Hangs
            time.sleep(0.0002)


def children(pid):
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in listed.split()]


def rests_without(pid, number):
    """Whether a process sleeps with no such signal waiting for it."""
    fields = dict(line.split(":\t", 1) for line in
                  pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines() if ":\t" in line)
    waiting = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
    return fields["State"].startswith("S") and not waiting >> (number - 1) & 1


def burst(words, program):
    """Realtime signals with values, all sent before the program takes the first."""
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
                # Until the init has passed on all that it will.
                init.until(lambda: rests_without(init.pid, REALTIME))
                # Now the program reads its queue, until the last signal.
                init.signal(signal.SIGTERM)
                init.until(lambda: b"signal 15\n" in init.said or more(init))
                init.until(lambda: rests_without(child, REALTIME))
                init.signal(signal.SIGUSR1)
                init.rest()
            except (Hangs, OSError, LookupError):
                ended = False
            said = init.said.decode()
    except Hangs:
        ended, said = False, ""
    arrived = [line.split() for line in said.splitlines() if line.startswith(f"signal {REALTIME}")]
    values = [int(line[3]) for line in arrived if len(line) == 4]
    return {"sent": BURST, "arrived": len(arrived), "lost": BURST - len(arrived),
            "with value": sum(value in range(BURST) for value in set(values)),
            "in order": values == list(range(BURST)), "ended": ended}


def more(init):
    """Takes what the program has said by now."""
    if select.select([init.outside.stdout], [], [], 0)[0]:
        init.said += os.read(init.outside.stdout.fileno(), 65536)
    return False


def zombies(known, program, count, rounds):
    """Orphans that end all at once: the time until the last is gone, and the init's share of it."""
    found = {name: {"count": count, "seconds": [], "cpu": [], "left": 0} for name in known}
    for _ in range(rounds):
        for name, init in known.items():
            result = found[name]
            try:
                with PidOne(init.as_pid_1(), program, "orphans", str(count)) as running:
                    reap(running, count, result)
            except Hangs:
                result["left"] = max(result["left"], count)
    return found


def reap(running, count, result):
    first, *orphans = children(running.pid)
    if len(orphans) != count:
        raise RuntimeError(f"{len(orphans)} orphans in place of {count}")
    cpu_before = on_cpu(running.pid)
    begin = time.monotonic()
    # Tells the program to let them end.
    running.signal(signal.SIGUSR1)
    deadline = begin + LONG_PATIENCE
    for orphan in orphans:
        # A zombie is still there for kill; one after the other is asked for, so that asking costs
        # little while all of them are.
        while exists(orphan) and time.monotonic() < deadline:
            time.sleep(0.0002)
    seconds = time.monotonic() - begin
    left = len([child for child in children(running.pid) if child != first])
    result["left"] = max(result["left"], left)
    if not left:
        result["seconds"].append(seconds)
        result["cpu"].append((on_cpu(running.pid) - cpu_before) / 1e9)


def exists(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def on_cpu(pid):
    """Nanoseconds that a process has run."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()[0])


# The document.

def micro(nanoseconds):
    return f"{nanoseconds / 1000:.1f}"


def milli(seconds):
    """The median of some runs, and their range."""
    if not seconds:
        return "never"
    low, high = min(seconds) * 1000, max(seconds) * 1000
    middle = f"{statistics.median(seconds) * 1000:.0f}"
    return middle if len(seconds) == 1 else f"{middle} ({low:.0f} to {high:.0f})"


def report(data):
    latency_rows = []
    for name, seen in data["latency"].items():
        low, median, high = map(micro, seen["quartiles"])
        latency_rows.append((name, median, f"{low} to {high}", micro(seen["p99"]), seen["lost"]))
    window_rows = []
    for name, modes in data["window"].items():
        def cell(mode):
            seen = modes.get(mode)
            if not seen:
                return "no such option"
            other = seen["ended otherwise"]
            return f"{seen['lost']} of {seen['starts']}" + (f", {other} ended otherwise" if other else "")
        window_rows.append((name, cell("program"), cell("group")))
    burst_rows = [(name, seen["lost"], seen["with value"], "yes" if seen["in order"] else
                   "cannot be told" if not seen["with value"] else "no", "yes" if seen["ended"] else "no")
                  for name, seen in data["burst"].items()]
    zombie_rows = [(name, milli(seen["seconds"]), milli(seen["cpu"]), seen["left"])
                   for name, seen in data["zombies"].items()]
    some = data["zombies"][LOADLINE]
    return f"""
Each init is PID 1 of a PID namespace of its own.

### Forwarding

From just before SIGUSR1 is sent to the init until the program, which waits for it, has it:
{data['latency'][LOADLINE]['sent']:,} signals to each, one at a time, all inits in turn, in an order drawn anew for each round. The median in
microseconds, the quartiles, and what 99 of 100 stay below. The processors are kept awake, as for the
times above. Without an init the signal is sent to the program.

{table(["", "median, us", "quartiles", "99%", "lost"], *latency_rows)}

### At the start

SIGTERM from the moment the init has blocked its signals to 2 ms later, in equal steps, a start for
each; the program does not handle it. Lost is a signal that neither init nor program has any more while
both of them rest: the container would wait for its SIGKILL. With `-g` the init signals the program's
process group; dumb-init does so unless it is told `--single-child`.

{table(["", "lost", "with -g, lost"], *window_rows)}

### A burst

{BURST} realtime signals with a value each are sent before the program takes the first one.

{table(["", "lost", "with their value", "in order", "goes on after that"], *burst_rows)}

### Zombies

{some['count']:,} orphans, adopted by the init, end all at once. Milliseconds until the last of them is gone
(each is asked for by its number until it is not there any more; most of the time is the kernel's, which
ends the processes), and those that the init itself was on a CPU, kernel included: the median
of {len(some['seconds'])} and the range.

{table(["", "until all are gone, ms", "CPU time of the init, ms", "left"], *zombie_rows)}
"""


def bars(data):
    def none(name, *counts):
        return Bar(name, not any(counts), f"{sum(counts)}")

    seen, modes = data["burst"][LOADLINE], data["window"][LOADLINE]
    spoilt = BURST - seen["with value"]
    return [
        none("signals lost one at a time", data["latency"][LOADLINE]["lost"]),
        none("signals lost at the start", modes["program"]["lost"], modes["program"]["ended otherwise"]),
        none("signals lost at the start, with `-g`", modes["group"]["lost"], modes["group"]["ended otherwise"]),
        none("realtime signals lost in a burst, or their value", seen["lost"], spoilt),
        Bar("realtime signals in order", seen["in order"] and seen["ended"], "yes" if seen["in order"] else "no"),
        none("zombies left", data["zombies"][LOADLINE]["left"]),
    ]
