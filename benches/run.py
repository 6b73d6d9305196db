#!/usr/bin/env python3
"""Measures loadline beside other inits, and writes docs/benchmarks.md with its pictures.

Each part is a module with TITLE, measure(lab) -> data for JSON, report(data) -> Markdown, and optionally
targets(data) -> what the project promises, draw(data, folder) -> SVG files, and QUICK = False if --quick
leaves the part out. The data of a part is written to target/bench/PART.json as soon as it is measured.
The document is made from all files that exist. --quick runs every part with the smallest counts, and
writes everything below target/bench/quick. The exit code is 1 if a target is missed. Run by `make bench`.

The part `survival` takes hours. It says how many before it begins, keeps each run in docs/survival.csv, and goes
on from there when it is called again. If a part has seconds(data), that is how long it takes from the beginning.
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
from lab import UNAVAILABLE, Lab, Target, Unavailable

# The sections of the document, and the modules of their parts.
SECTIONS = {
    "What an init costs": ["cost"],
    "What the OCI runtime costs": ["oci_runtime"],
    "Signals and zombies": ["signals"],
    "The test suite with other inits": ["peers"],
    "What a Go service gets": ["golang.over_time", "golang.founding", "survival", "golang.collector",
                                "golang.threads", "golang.more_cpus"],
}


def name_of(module):
    return module.rpartition(".")[2]


PARTS = [name_of(module) for modules in SECTIONS.values() for module in modules]


class Part:
    """A module, and its JSON file: the data, and when and on which machine it was measured."""

    def __init__(self, module, section, folder):
        self.module = importlib.import_module(module)
        self.section = section
        self.name = name_of(module)
        self.file = folder / f"{self.name}.json"
        self.run = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else None

    def measure(self, lab):
        begin = time.monotonic()
        lab.versions = {}
        data = self.module.measure(lab)
        self.run = {
            "date": labs.today(), "loadline": labs.commit(), "seconds": round(self.seconds(data, begin)),
            "load": round(os.getloadavg()[1], 1), "machine": labs.machine(), "versions": lab.versions,
            "data": data,
        }
        self.file.write_text(json.dumps(self.run, indent=1) + "\n", encoding="utf-8")

    def seconds(self, data, begin):
        """How long it takes to measure the part from the beginning."""
        return self.module.seconds(data) if hasattr(self.module, "seconds") else time.monotonic() - begin

    def targets(self):
        if not hasattr(self.module, "targets"):
            return []
        return [Target(*target) for target in self.module.targets(self.run["data"])]

    def heading(self):
        """The part's own heading; none if it is the whole section."""
        return "" if self.module.TITLE == self.section else f"### {self.module.TITLE}\n"

    def text(self):
        return f"{self.heading()}\n{self.module.report(self.run['data']).strip()}\n"


def head(parts):
    """How to repeat the run, and on what machine each part was measured."""
    minutes = sum(part.run["seconds"] or 0 for part in parts) / 60
    facts, versions = {}, {}
    for part in parts:
        for names, known in ((part.run["machine"], facts), (part.run["versions"], versions)):
            for name, value in names.items():
                known.setdefault(name, []).append(value)
    facts |= dict(sorted(versions.items()))
    # Parts that were measured on different machines show all values.
    fact_rows = [(name, ", ".join(dict.fromkeys(values))) for name, values in facts.items()]
    part_rows = []
    for part in parts:
        run = part.run
        # Both are unknown for data that was restored from an older document.
        duration, load = ("" if run["seconds"] is None else f"{run['seconds'] / 60:.1f}"), run["load"]
        part_rows.append((part.module.TITLE, run["date"], f"`{run['loadline']}`", duration, "" if load is None else load))
    return f"""# Benchmarks

`make bench` measures all of this and writes this file. It runs as root on a machine with Rust, gcc,
Python and apt, and installs what else it needs. The figures below took {minutes:.0f} minutes. `benches/run.py --only PART`
measures one part again, and `--report` only writes this file again from the data in target/bench.

The machine is a small virtual machine that also does other work. So the commands that are compared take
turns within one run, and ratios mean more than times. Each part names the commit of loadline that was
measured: the last one that changed its sources (`+`: with changes that are not committed). Load is the
load average of five minutes at the end of the part; the part itself adds to it.

{labs.table(["part", "measured on", "loadline", "minutes", "load"], *part_rows)}

{labs.table(["", ""], *fact_rows, right=False)}
"""


def targets_table(parts, quick):
    rows = []
    for part in parts:
        for target in part.targets():
            verdict = "yes" if target.ok else "**no**"
            rows.append((target.name, target.text, "not judged" if quick and target.timed else verdict))
    if not rows:
        return ""
    return f"""## Targets

{labs.table(["target", "measured", "met"], *rows, right=False)}
"""


def write(parts, folder, quick):
    """Writes the document and its pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [head(parts), targets_table(parts, quick)]
    for section in SECTIONS:
        own = [part for part in parts if part.section == section]
        if own:
            texts += [f"## {section}\n", *(part.text().lstrip() for part in own)]
        for part in own:
            if hasattr(part.module, "draw"):
                part.module.draw(part.run["data"], folder)
    document = folder / "benchmarks.md"
    document.write_text("\n".join(text for text in texts if text), encoding="utf-8")
    return document


def check(passed, what, detail=""):
    print(f"ok: bench: {what}" if passed else f"FAILED: bench: {what}: {detail}", flush=True)
    return not passed


def note(name, reason):
    """Reports a part that cannot run on this machine to tests/run.py, which takes each `ok` for a case."""
    print(f"ok: bench: {name} (not run: {reason})", flush=True)
    with open(os.environ.get("LOADLINE_NOT_RUN", os.devnull), "a", encoding="utf-8") as notes:
        print(f"bench: {name}: {reason}", file=notes)


def measure(parts, lab):
    """Runs the parts and returns how many failed."""
    failed = 0
    for part in parts:
        lab.say(f"{part.name}: {part.module.TITLE}")
        part.run = None
        try:
            part.measure(lab)
        except Unavailable as reason:
            note(part.name, reason)
        except Exception as error:  # The other parts run whatever it is.
            traceback.print_exc()
            failed += check(False, f"{part.name} was measured", repr(error))
        else:
            check(True, f"{part.name} was measured in {part.run['seconds']} seconds")
    return failed


def mebibytes(text):
    """A size such as 64MiB or 2GiB in MiB."""
    for unit, factor in (("MiB", 1), ("GiB", 1024)):
        if text.endswith(unit):
            return int(text.removesuffix(unit)) * factor
    raise argparse.ArgumentTypeError("it ends in MiB or GiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="the smallest run that covers everything")
    parser.add_argument("--report", action="store_true", help="measure nothing, only write the document again")
    parser.add_argument("--limit", type=mebibytes, metavar="SIZE",
                        help="survival: only containers of this size, as in 64MiB or 2GiB")
    parser.add_argument("--hours", type=float, help="survival: stop after so many hours")
    options = parser.parse_args()
    # An exception, so that child processes are stopped and cgroups removed.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit("bench: stopped by a signal"))

    raw = labs.TOP / "target/bench" / ("quick" if options.quick else "")
    docs = raw / "docs" if options.quick else labs.TOP / "docs"
    raw.mkdir(parents=True, exist_ok=True)
    lab = Lab(options.quick, options.limit, options.hours)
    parts = [Part(module, section, raw) for section, modules in SECTIONS.items() for module in modules]
    if options.quick:
        parts = [part for part in parts if getattr(part.module, "QUICK", True)]
    wanted = [part for part in parts if not options.only or part.name in options.only]
    failed = 0
    try:
        labs.pyplot()
        if not options.report:
            lab.build()
            failed += measure(wanted, lab)
    except Unavailable as reason:
        print(f"bench: not run: {reason}", flush=True)
        return UNAVAILABLE

    parts = [part for part in parts if part.run]
    if not parts:
        print("bench: nothing has been measured")
        return 1
    document = write(parts, docs, options.quick)
    text = document.read_text(encoding="utf-8")
    for part in parts:
        failed += check(f"# {part.module.TITLE}\n" in text, f"{part.name} is in {document.relative_to(labs.TOP)}")
        for target in part.targets():
            if target.timed and options.quick:
                print(f"bench: not judged with --quick: {target.name}: {target.text}")
            elif part in wanted:
                failed += check(target.ok, target.name, target.text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
