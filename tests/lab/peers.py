#!/usr/bin/env python3
"""Runs every case of tests/init against other inits as well and prints who passes what.

What a peer fails is no failure here where tests/lab/peers.expected names it: the suite fails where
loadline fails a case, where an init could not be run, and where a peer does otherwise than that
file says, for then either the peer or our case has changed. `n/a` is followed by the option that
the peer lacks. The output of each run is in target/lab/peers.
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
# The commands, and Debian's packages of them.
PEERS = {"tini": "tini", "tini-static": "tini", "dumb-init": "dumb-init", "catatonit": "catatonit"}

# Seconds for all cases of one init, which take 20 where nothing else runs.
PATIENCE = 400
# Seconds that a case gives a peer to do what it ought to. Many a peer hangs, so cases wait side by
# side, more than there are processors.
PEER_PATIENCE = 4
THREADS = 4
# A word in the reason of an expected failure that happens or not, as a race decides.
RACE = "race"

CASE = re.compile(r"^test (?:init::)?(\S+) \.\.\. (ok|FAILED)$", re.MULTILINE)
PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    """The suite itself cannot go on."""


class Results:
    """What came of the cases with one init."""

    def __init__(self, name, log, not_run, not_applicable):
        self.name = name
        self.log = log
        outcomes = dict(CASE.findall(log))
        self.cases = list(outcomes)
        self.not_applicable = not_applicable
        # In part, that is: what can be run decides.
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
        """Where that is not as expected."""
        for case in sorted(self.failed - set(reasons) - self.not_run):
            said = re.search(rf"^---- (?:init::)?{case} stdout ----\n+(.*?)\n\n", self.log, re.MULTILINE | re.DOTALL)
            yield f"fails {case}\n{said[1] if said else ''}"
        for case, reason in sorted(reasons.items()):
            if case not in self.failed | self.passed:
                yield f"is expected to fail {case}, which is no case for it"
            elif case in self.passed - self.not_run and RACE not in reason.split():
                yield f"passes {case}, which it is known to fail ({reason})"


def missing():
    """The packages of the peers that are not there."""
    return sorted({package for command, package in PEERS.items() if not shutil.which(command)})


def install():
    if packages := missing():
        subprocess.run([TOP / "tests/lab/apt", "install", *packages])
    if packages := missing():
        raise Failed(f"{', '.join(packages)} cannot be had")


def build():
    """The path of the tests' binary."""
    build = subprocess.run(
        ["cargo", "test", "--quiet", "--locked", "--test", "tests", "--no-run",
         "--message-format=json"], cwd=TOP, stdout=subprocess.PIPE, text=True)
    if build.returncode:
        raise Failed("the tests do not build")
    messages = map(json.loads, build.stdout.splitlines())
    return [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "tests"][0]


def run(tests, init, cases=("init::",)):
    """Runs all cases with an init, or those whose names hold one of these."""
    name = pathlib.Path(init).name
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
    """Runs a command and ends all that it leaves behind, for a peer may leave its program."""
    signal.alarm(PATIENCE)
    child = subprocess.Popen(command, cwd=TOP, env=environment, stdin=subprocess.DEVNULL,
                             stdout=output, stderr=subprocess.STDOUT)
    try:
        # This process is the parent of every orphan, and has to reap it.
        while os.wait()[0] != child.pid:
            pass
        # Now that it is known to Popen as well, which would wait for another process by its number.
        child.returncode = 0
    finally:
        signal.alarm(0)
        while pids := children():
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def adopt():
    """From here on this is the parent of what the tests leave behind."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children():
    listed = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8")
    return [int(pid) for pid in listed.split()]


def expectations():
    """For each peer, what it is known to fail, and why."""
    expected = {name: {} for name in PEERS}
    for pattern, case, reason in entries(EXPECTED):
        for name in fnmatch.filter(PEERS, pattern):
            expected[name][case] = reason
    return expected


def entries(file):
    """The lines of a file that are no comment, in their parts."""
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
        print(f"* not all of it can be run on this machine: {case}")


def bound():
    """Makes exceptions of what ends this process, so that what it started is ended first."""
    def stop(number, _):
        raise Failed("an init took too long" if number == signal.SIGALRM else "told to stop")

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
            print(f"ok: {results.name} {'fails what it is known to' if results.failed else 'passes'}")
        bad = bad or wrong
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as reason:
        sys.exit(f"peers: {reason}")
