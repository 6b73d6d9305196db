#!/usr/bin/env python3
"""Puts a PID 1 under load for a while: orphans, bursts of realtime signals while the program is stopped
and no more signals can be queued, and stops of the init itself. Nothing may be lost, and the memory of
the init may not grow. tests/lab/endurance.py --minutes 60 is the long run.
"""

import argparse
import ctypes
import errno
import os
import pathlib
import resource
import select
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
HOME = TOP / "target/lab/endurance"
LOADLINE = os.environ.get("LOADLINE_ARTIFACT", str(TOP / "target/artifact/loadline"))
# What the program may have in its queue, and how many signals a burst has.
QUEUE, BURST = 200, 3000
# How many signals in a row the kernel refuses before the init's queue counts as full.
REFUSALS = 200
# Seconds to wait for an answer.
PATIENCE = 60
# How much the memory may differ from that of the first rounds, in kB.
TOLERANCE = 8
REALTIME = signal.SIGRTMIN + 1

libc = ctypes.CDLL(None, use_errno=True)
libc.sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]


class Failed(Exception):
    """Something was lost, or hangs."""


class Load:
    """An init under load, and its program."""

    def __init__(self, program):
        limit = lambda: resource.setrlimit(resource.RLIMIT_SIGPENDING, (QUEUE, QUEUE))
        command = ["unshare", "-pf", "--kill-child", "--mount-proc", LOADLINE, "--", str(program)]
        self.outer = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                      preexec_fn=limit, bufsize=0)
        self.lines = b""
        self.sent = self.orphans = 0
        self.expect("ready")
        self.init = self.child_of(self.outer.pid)
        self.program = self.child_of(self.init)

    @staticmethod
    def child_of(pid):
        return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def line(self):
        """The next line of the program."""
        while b"\n" not in self.lines:
            if not select.select([self.outer.stdout], [], [], PATIENCE)[0]:
                raise Failed("the program does not answer")
            if not (text := os.read(self.outer.stdout.fileno(), 65536)):
                raise Failed("the program has ended")
            self.lines += text
        line, self.lines = self.lines.split(b"\n", maxsplit=1)
        return line.decode()

    def expect(self, expected):
        if (line := self.line()) != expected:
            raise Failed(f"{line!r} instead of {expected!r}")

    def leave_orphans(self):
        os.kill(self.init, signal.SIGUSR1)
        self.expect("orphaned")
        self.orphans += 50

    def queue(self):
        """Sends the next value; False if the kernel has no room for it."""
        if libc.sigqueue(self.init, REALTIME, self.sent) == 0:
            self.sent += 1
            return True
        if (error := ctypes.get_errno()) != errno.EAGAIN:
            raise Failed(os.strerror(error))
        return False

    def burst(self):
        """Sends values while the program is stopped, and the rest when it goes on."""
        last = self.sent + BURST
        os.kill(self.program, signal.SIGSTOP)
        refused = 0
        while self.sent < last and refused < REFUSALS:
            refused = 0 if self.queue() else refused + 1
        os.kill(self.program, signal.SIGCONT)
        deadline = time.monotonic() + PATIENCE
        while self.sent < last:
            self.queue()
            if time.monotonic() > deadline:
                raise Failed("the queue stays full")
        self.check_received()

    def stop_init(self):
        """The init gets what was sent while it was stopped."""
        os.kill(self.init, signal.SIGSTOP)
        for _ in range(QUEUE // 2):
            self.queue()
        os.kill(self.init, signal.SIGCONT)
        self.check_received()

    def check_received(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            os.kill(self.init, signal.SIGUSR2)
            if (line := self.line()) == f"received {self.sent}":
                return
            if not line.startswith("received ") or time.monotonic() > deadline:
                raise Failed(f"{line!r}; sent were {self.sent}")

    def wait_for_reaping(self):
        """Waits until the init has no child but the program."""
        deadline = time.monotonic() + PATIENCE
        children = pathlib.Path(f"/proc/{self.init}/task/{self.init}/children")
        while children.read_text().split() != [str(self.program)]:
            if time.monotonic() > deadline:
                raise Failed("orphans are left")

    def memory(self):
        """The resident memory of the init in kB."""
        rollup = pathlib.Path(f"/proc/{self.init}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Rss:"))

    def end(self):
        os.kill(self.init, signal.SIGTERM)
        if (code := self.outer.wait(PATIENCE)) != 7:
            raise Failed(f"exit code {code}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=0.1, help="how long (0.1)")
    deadline = time.monotonic() + 60 * parser.parse_args().minutes
    if os.geteuid():
        print("endurance: not run: a PID namespace needs root")
        return 2
    HOME.mkdir(parents=True, exist_ok=True)
    program = HOME / "program"
    source = TOP / "tests/lab/endurance.c"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", program, source], check=True)
    load = Load(program)
    memory = []
    try:
        while len(memory) < 5 or time.monotonic() < deadline:
            load.leave_orphans()
            load.burst()
            load.stop_init()
            load.wait_for_reaping()
            memory.append(load.memory())
        load.end()
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        print(f"FAILED: {len(memory)} rounds, {load.sent:,} signals: {error}")
        return 1
    finally:
        load.outer.kill()
    about = (f"{len(memory)} rounds, {load.orphans:,} orphans, {load.sent:,} signals; "
             f"{min(memory)} to {max(memory)} kB resident")
    if max(memory) > max(memory[:3]) + TOLERANCE:
        print(f"FAILED: memory grows: {about}")
        return 1
    print(f"ok: {about}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
