#!/usr/bin/env python3
"""Measures loadline against other inits and writes docs/benchmarks.md with its pictures.

Each part is a module beside this file: NAME, TITLE, measure(lab) -> data for JSON, report(data) ->
Markdown, bars(data) -> what is promised, and perhaps draw(data, folder) -> SVG files. What a part has
measured is written to target/bench/NAME.json as soon as it has ended; the document is made of all
that is there. With --quick everything is run with the least counts, and all goes to
target/bench/quick. The exit code is 1 where a promise is missed. Run by `make bench`.
"""

import argparse
import importlib
import json
import os
import signal
import sys
import time
import traceback

import lab as labs
from lab import CANNOT, Bar, Cannot, Lab

# In the order of the document.
PARTS = [
    "cost",
    "signals",
    "golang",
]


class Result:
    """What there is of a part: the module, and its JSON file, which is data and the run's circumstances."""

    def __init__(self, name, folder):
        self.module = importlib.import_module(name)
        self.name = name
        self.file = folder / f"{name}.json"
        self.run = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else None

    def measure(self, lab):
        begin = time.monotonic()
        lab.versions = {}
        data = self.module.measure(lab)
        self.run = {
            "date": labs.today(), "loadline": labs.commit(), "seconds": round(time.monotonic() - begin),
            "machine": labs.machine(), "versions": lab.versions, "data": data,
        }
        self.file.write_text(json.dumps(self.run, indent=1) + "\n", encoding="utf-8")

    def bars(self):
        return [Bar(*bar) for bar in self.module.bars(self.run["data"])]


def head(results):
    """How to repeat it, and on what it was done."""
    newest = max((result.run for result in results), key=lambda run: run["date"])
    minutes = sum(result.run["seconds"] for result in results) / 60
    versions = {}
    for result in results:
        versions.update(result.run["versions"])
    facts = [("date", newest["date"]), ("loadline", f"commit {newest['loadline']}"),
             *newest["machine"].items(), *sorted(versions.items())]
    return f"""# Benchmarks

All of this is measured by one command, `make bench`, as root on a machine with Rust, gcc, Python and
apt; it installs what else it needs, takes {minutes:.0f} minutes and writes this file. `benches/run.py --only
PART` measures one part again, `--report` only writes the file again from what was measured. The
figures are of a small virtual machine that does other things as well: what is compared was measured
in turn, in one run, and ratios mean more than times.

{labs.table(["", ""], *facts, right=False)}
"""


def promises(results, quick):
    rows = []
    for result in results:
        for bar in result.bars():
            verdict = "yes" if bar.ok else "**no**"
            rows.append((bar.name, bar.text, "not judged" if quick and bar.timed else verdict))
    if not rows:
        return ""
    return f"""## What is promised

{labs.table(["promise", "measured", "kept"], *rows, right=False)}
"""


def section(result, results):
    text = f"## {result.module.TITLE}\n\n"
    if len({(other.run["date"], other.run["loadline"]) for other in results}) > 1:
        text += f"Measured on {result.run['date']} with loadline {result.run['loadline']}.\n\n"
    return text + result.module.report(result.run["data"]).strip() + "\n"


def write(results, folder, quick):
    """The document and its pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        if hasattr(result.module, "draw"):
            result.module.draw(result.run["data"], folder)
    parts = [head(results), promises(results, quick), *(section(result, results) for result in results)]
    document = folder / "benchmarks.md"
    document.write_text("\n".join(part for part in parts if part), encoding="utf-8")
    return document


def check(passed, what, detail=""):
    print(f"ok: bench: {what}" if passed else f"FAILED: bench: {what}: {detail}", flush=True)
    return not passed


def note(name, reason):
    """What this machine could not run, for tests/run.py, which takes each `ok` for a case."""
    print(f"ok: bench: {name} (not run: {reason})", flush=True)
    with open(os.environ.get("LOADLINE_NOT_RUN", os.devnull), "a", encoding="utf-8") as notes:
        print(f"bench: {name}: {reason}", file=notes)


def measure(results, lab):
    """Runs the parts and gives how many have failed."""
    failed = 0
    for result in results:
        lab.say(f"{result.name}: {result.module.TITLE}")
        result.run = None
        try:
            result.measure(lab)
        except Cannot as reason:
            note(result.name, reason)
        except Exception as error:  # Whatever it is, the other parts are run.
            traceback.print_exc()
            failed += check(False, f"{result.name} was measured", repr(error))
        else:
            check(True, f"{result.name} was measured, in {result.run['seconds']} seconds")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="the least that exercises everything")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the document again")
    options = parser.parse_args()
    # As an exception, so that what runs is ended and put away.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("bench: told to stop"))

    raw = labs.TOP / "target/bench" / ("quick" if options.quick else "")
    docs = raw / "docs" if options.quick else labs.TOP / "docs"
    raw.mkdir(parents=True, exist_ok=True)
    lab = Lab(options.quick)
    results = [Result(name, raw) for name in PARTS]
    wanted = [result for result in results if not options.only or result.name in options.only]
    failed = 0
    try:
        labs.pyplot()
        if not options.report:
            lab.build()
            failed += measure(wanted, lab)
    except Cannot as reason:
        print(f"bench: not run: {reason}", flush=True)
        return CANNOT

    results = [result for result in results if result.run]
    if not results:
        print("bench: nothing has been measured")
        return 1
    document = write(results, docs, options.quick)
    text = document.read_text(encoding="utf-8")
    for result in results:
        failed += check(f"\n## {result.module.TITLE}\n" in text,
                        f"{result.name} is in {document.relative_to(labs.TOP)}")
    for result in results:
        for bar in result.bars():
            if bar.timed and options.quick:
                print(f"bench: not judged with --quick: {bar.name}: {bar.text}")
            elif result in wanted:
                failed += check(bar.ok, bar.name, bar.text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
