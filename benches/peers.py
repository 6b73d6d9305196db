"""How many cases of the test suite each init passes: tests/lab/peers.py runs the same cases with all of
them. Part of `make test` as well, so --quick leaves it out."""

import re
import subprocess

from inits import PEERS
from lab import TOP, Target, Unavailable, table

TITLE = "The test suite with other inits"
QUICK = False

LOADLINE = "loadline"
OUTCOMES = ["passed", "failed", "n/a"]


def measure(lab):
    lab.install(*sorted(set(PEERS.values())))
    lab.say("peers: the test suite, once with each init")
    output = subprocess.run([TOP / "tests/lab/peers.py"], cwd=TOP, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True).stdout
    names = [LOADLINE, *PEERS]
    found = {}
    for outcome in OUTCOMES:
        # The last lines of its table, with a column for each init.
        line = re.search(rf"^{outcome} +([\d ]+)$", output, re.MULTILINE)
        if not line:
            raise Unavailable("tests/lab/peers.py printed no table")
        found[outcome] = dict(zip(names, map(int, line[1].split()), strict=True))
    return found


def cases(data):
    return sum(data[outcome][LOADLINE] for outcome in OUTCOMES)


def report(data):
    rows = [(outcome, *data[outcome].values()) for outcome in OUTCOMES]
    return f"""
The suite that tests loadline also runs with Debian's inits; `make test` prints the table of all cases.
"n/a" are cases about an option that an init lacks, or about what only loadline does. Some failures are
conventions, such as an exit code or where a message goes; others lose signals, hang, or leave a
program behind: the table says which.

{table([f"of {cases(data)} cases", *data["passed"]], *rows)}
"""


def targets(data):
    failed = data["failed"][LOADLINE]
    return [Target("loadline passes the test suite", failed == 0, f"{failed} of {cases(data)} cases failed")]
