#!/usr/bin/env python3
"""Runs every case of tests/init against other inits too, and prints a table of the results.

tests/lab/peers.expected lists the cases that a peer is known to fail. The suite fails if loadline
fails a case, if an init could not be run, or if the results of a peer differ from that file, because
then the peer or the case has changed. `n/a` is followed by the option that the peer does not have.
The output of each run is in target/lab/peers.
"""

import ctypes
import fnmatch
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
HOME = TOP / "target/lab/peers"
EXPECTED = TOP / "tests/lab/peers.expected"
ARTIFACT = os.environ.get("LOADLINE_ARTIFACT", str(TOP / "target/artifact/loadline"))
# The commands, and the Debian packages that contain them.
PEERS = {"tini": "tini", "tini-static": "tini", "dumb-init": "dumb-init", "catatonit": "catatonit"}

# Seconds for all cases of one init. They take a minute on an idle machine, and some minutes in an emulator.
PATIENCE = 900
# Seconds that a case waits for a peer. Many peers hang, so more cases run at the same time than there
# are processors.
PEER_PATIENCE = 4
THREADS = 4
# This word in the reason of an expected failure says that the case may also pass, because of a race.
RACE = "race"

CASE = re.compile(r"^test (?:init::)?(\S+) \.\.\. (ok|FAILED)$", re.MULTILINE)
PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    """The suite itself cannot go on."""


class Results:
    """The results of all cases with one init."""

    def __init__(self, name, log, not_run, not_applicable):
        self.name = name
        self.log = log
        outcomes = dict(CASE.findall(log))
        self.cases = list(outcomes)
        self.not_applicable = not_applicable
        # These were run in part, and what was run decides.
        self.not_run = {case for case in not_run if case not in not_applicable}
        self.passed = {case for case, outcome in outcomes.items() if outcome == "ok"}
        self.failed = set(outcomes) - self.passed - set(not_applicable)
        if strange := self.passed & set(not_applicable):
            raise Failed(f"{name}: passed, though not applicable: {', '.join(sorted(strange))}")

    def cell(self, case, reasons):
        if case in self.not_applicable:
            return f"n/a {self.not_applicable[case]}"
        cell = "pass" if case in self.passed else f"FAIL {reasons.get(case, '')}".rstrip()
        return cell + "*" * (case in self.not_run)

    def deviations(self, reasons):
        """The differences from the expected results."""
        for case in sorted(self.failed - set(reasons) - self.not_run):
            said = re.search(rf"^---- (?:init::)?{case} stdout ----\n+(.*?)\n\n", self.log, re.MULTILINE | re.DOTALL)
            yield f"fails {case}\n{said[1] if said else ''}"
        for case, reason in sorted(reasons.items()):
            if case not in self.failed | self.passed:
                yield f"is expected to fail {case}, which is not a case for it"
            elif case in self.passed - self.not_run and RACE not in reason.split():
                yield f"passes {case}, which it is known to fail ({reason})"


def missing():
    """The packages of the peers that are not installed."""
    return sorted({package for command, package in PEERS.items() if not shutil.which(command)})


def install():
    if packages := missing():
        subprocess.run([TOP / "tests/lab/apt", "install", *packages])
    if packages := missing():
        raise Failed(f"{', '.join(packages)} cannot be installed")


def build():
    """Builds the integration tests and returns the path of the binary."""
    build = subprocess.run(
        ["cargo", "test", "--quiet", "--locked", "--test", "tests", "--no-run",
         "--message-format=json"], cwd=TOP, stdout=subprocess.PIPE, text=True)
    if build.returncode:
        raise Failed("the tests do not build")
    messages = map(json.loads, build.stdout.splitlines())
    return [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "tests"][0]


def run(tests, init, cases=("init::",), name=None):
    """Runs all cases with an init, or those whose names contain one of these."""
    name = name or pathlib.Path(init).name
    log, not_run, not_applicable = (HOME / f"{name}.{kind}" for kind in ("log", "not-run", "n-a"))
    for notes in (not_run, not_applicable):
        notes.write_text("")
    environment = {
        **os.environ, "LOADLINE_ARTIFACT": init, "LOADLINE_PEER_PATIENCE": str(PEER_PATIENCE),
        "LOADLINE_NOT_RUN": str(not_run), "LOADLINE_NOT_APPLICABLE": str(not_applicable),
        "RUST_BACKTRACE": "0",
    }
    with open(log, "w", encoding="utf-8") as output:
        to_its_end([tests, *cases, f"--test-threads={THREADS}"], environment, output)
    output = log.read_text(encoding="utf-8", errors="replace")
    if "\ntest result: " not in output:
        raise Failed(f"{name}: the tests ended early: {output[-2000:]}")
    return Results(name, output, notes_in(not_run), notes_in(not_applicable))


def notes_in(file):
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split(": ", 2)[1:] for line in lines)


def to_its_end(command, environment, output):
    """Runs a command and kills all processes that it leaves behind: a peer may leave its program."""
    signal.alarm(PATIENCE)
    child = subprocess.Popen(command, cwd=TOP, env=environment, stdin=subprocess.DEVNULL,
                             stdout=output, stderr=subprocess.STDOUT)
    try:
        # Every orphan becomes a child of this process, which must reap it.
        while os.wait()[0] != child.pid:
            pass
        # Popen must not wait for this process ID again.
        child.returncode = 0
    finally:
        signal.alarm(0)
        while pids := children():
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def adopt():
    """Makes this process the parent of all orphans from here on."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children():
    listed = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8")
    return [int(pid) for pid in listed.split()]


def expectations():
    """For each peer, the cases that it is known to fail, and why."""
    expected = {name: {} for name in PEERS}
    for pattern, case, reason in entries(EXPECTED):
        for name in fnmatch.filter(PEERS, pattern):
            expected[name][case] = reason
    return expected


def entries(file):
    """The lines of a file without comments, split into their parts."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.split(": ")


def table(all_results, expected):
    rows = [("", *(results.name for results in all_results))]
    module = None
    for case in sorted(all_results[0].cases):
        if case.split("::")[0] != module:
            module = case.split("::")[0]
            rows.append((module,))
        what = "  " + case.split("::")[1].replace("_", " ")
        rows.append((what, *(r.cell(case, expected.get(r.name, {})) for r in all_results)))
    rows.append(())
    for what, count in (("passed", lambda r: len(r.passed)), ("failed", lambda r: len(r.failed)),
                        ("n/a", lambda r: len(r.not_applicable))):
        rows.append((what, *(str(count(results)) for results in all_results)))
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for case in sorted({case for results in all_results for case in results.not_run}):
        print(f"* this machine can run only a part of it: {case}")


def bound():
    """Turns signals that end this process into exceptions, so that its children are ended first."""
    def stop(number, _):
        raise Failed("an init took too long" if number == signal.SIGALRM else "stopped by a signal")

    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def main():
    bound()
    if not pathlib.Path(ARTIFACT).exists():
        raise Failed(f"there is no {ARTIFACT}: `make artifact` builds it")
    install()
    HOME.mkdir(parents=True, exist_ok=True)
    tests = build()
    adopt()
    expected = expectations()
    all_results = []
    for init in [ARTIFACT, *map(shutil.which, PEERS)]:
        begin = time.monotonic()
        results = run(tests, init)
        print(f"{init}: {len(results.cases)} cases in {time.monotonic() - begin:.0f} seconds", flush=True)
        all_results.append(results)
    print()
    table(all_results, expected)
    print()

    bad = False
    for results in all_results:
        wrong = list(results.deviations(expected.get(results.name, {})))
        if sorted(results.cases) != sorted(all_results[0].cases):
            wrong.append("did not run every case")
        for what in wrong:
            print(f"FAILED: {results.name} {what}")
        if not wrong:
            print(f"ok: {results.name} {'fails only the cases that are expected' if results.failed else 'passes'}")
        bad = bad or wrong
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as reason:
        sys.exit(f"peers: {reason}")
