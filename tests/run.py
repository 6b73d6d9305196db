#!/usr/bin/env python3
"""Runs every suite of the project, also after a failure, and prints a table at the end.

The output of each suite goes to the screen and to target/test-report/SUITE.log. Cases that the
machine cannot run are listed with the reason; with CI=true that is an error unless
tests/known_skips.txt names them. A suite that ran nothing has failed. `make test` runs this;
`--only NAME` picks suites or a group.
"""

import argparse
import fnmatch
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
REPORT = TOP / "target/test-report"
NOT_RUN = REPORT / "not-run.txt"
ARTIFACT = TOP / "target/artifact"
# Seconds after which a command of a suite is stopped, because it hangs. The slowest takes about five
# minutes on an idle machine; a busy one needs several times as long.
PATIENCE = 1800
# Seconds for the whole run. After that, the running command is stopped, and each later one after a
# second.
PATIENCE_WITH_ALL = 3 * 3600
# What a script of ours prints if the machine lacks something that it needs. An exit code does not say
# it, because make has one code for all failures.
CANNOT = re.compile(r"^\w+: not run: (.+)$", re.MULTILINE)

CARGO_TEST = re.compile(r"^test result: \S+ (\d+) passed; (\d+) failed; (\d+) ignored", re.MULTILINE)
CHECKS = re.compile(r"^(ok|FAILED): ", re.MULTILINE)
# What to repeat at the end: the cases that failed, or else the last lines of a command.
FAILED_CASE = re.compile(r"^(?:FAILED: .+|test .+ \.\.\. FAILED|run\.py: stopped after .+)$", re.MULTILINE)
LAST_LINES = 10


def on(artifact):
    """The variables that tell the integration tests which files to test."""
    return {"LOADLINE_ARTIFACT": str(ARTIFACT / artifact),
            "LOADLINE_ARTIFACT_FORK": str(ARTIFACT / "fork/loadline")}


# Runs first, and counts as a case only if it fails.
SETUP = ["tests/lab/rust --lint", "tests/lab/apt install bash libc6-dev util-linux"]
INTEGRATION = "cargo test --locked --test tests"

# The modules of the integration tests that run for every architecture. All of them run where the words are of
# 32 bits or the bytes in the other order.
PART = "limits,exit,signals"
RELEASED = ("amd64", "arm64", "armv7", "386", "riscv64", "ppc64le", "s390x")

# name, group, commands, variables. The numbers of cases come from the output of cargo and of our own
# checkers. A command that prints neither is one case.
SUITES = [
    ("artifact", "build", ["make artifact", "tests/artifact.py --small target/artifact/loadline"], {}),
    ("plain", "build", ["make plain", "tests/artifact.py target/artifact/plain/loadline"], {}),
    ("runtime", "build", ["make runtime", "tests/artifact.py target/artifact/loadline-runtime"], {}),
    ("fork", "build", ["make fork", "tests/artifact.py --small target/artifact/fork/loadline"], {}),
    ("release", "build", ["make --jobs=2 release",
                          *(f"tests/artifact.py --small --machine {name} dist/loadline-linux-{name}"
                            for name in RELEASED),
                          "tests/artifact.py --machine amd64 dist/loadline-runtime-linux-amd64",
                          "tests/artifact.py --machine arm64 dist/loadline-runtime-linux-arm64"], {}),
    # `make reproduce` builds all architectures twice. The suite dockerfile does so for amd64 and arm64.
    ("reproducible", "build", ["make --jobs=2 release image", "tests/reproducible.py s390x"], {}),
    ("rustfmt", "lint", ["cargo fmt --all --check", "cargo fmt --check --manifest-path fuzz/Cargo.toml"], {}),
    ("clippy", "lint", ["cargo clippy --locked --all-targets -- -D warnings"], {}),
    ("rustdoc", "lint", ["cargo doc --locked --no-deps"], {"RUSTDOCFLAGS": "-D warnings"}),
    ("scripts", "lint", ["tests/lab/lint"], {}),
    ("dependencies", "lint", ["tests/lab/dependencies"], {}),
    ("manifests", "lint", ["tests/lab/manifests.py"], {}),
    ("workflows", "lint", ["tests/lab/workflows/lint.py"], {}),
    ("unit", "cargo", ["cargo test --locked --lib", "cargo test --locked --doc"], {}),
    ("integration", "cargo", [INTEGRATION], on("loadline")),
    ("integration-plain", "cargo", [INTEGRATION], on("plain/loadline")),
    ("integration-arm64", "cargo", ["make release", "tests/lab/architectures.py arm64"], {}),
    ("integration-others", "cargo",
     ["make release", f"tests/lab/architectures.py 386 armv7 s390x riscv64:{PART} ppc64le:{PART}"], {}),
    ("crate", "cargo", ["tests/lab/crate"], {}),
    ("fuzz", "cargo", ["fuzz/run.py"], {}),
    ("demo-go1.19", "demo", ["make demo GO=1.19"], {}),
    ("demo-go1.27", "demo", ["make demo GO=1.27"], {}),
    ("peers", "lab", ["tests/lab/peers.py"], on("loadline")),
    ("endurance", "lab", ["tests/lab/endurance.py"], on("loadline")),
    ("docker", "lab", ["tests/lab/containers/docker.py"], on("loadline")),
    ("podman", "lab", ["tests/lab/containers/podman.py"], on("loadline")),
    ("runc", "lab", ["tests/lab/containers/runc.py"], on("loadline")),
    ("packages", "lab", ["make packages", "tests/lab/packages.py", "tests/lab/completion.py"], {}),
    ("publishing", "lab", ["make checksums", "tests/lab/publishing.py"], {}),
    ("image", "lab", ["make image", "tests/lab/containers/image.py"], on("loadline")),
    ("workflow-steps", "lab", ["tests/lab/workflows/steps.py"], {}),
    ("dockerfile", "lab", ["make artifact release", "tests/lab/containers/dockerfile.py"], on("loadline")),
    ("oci-runtime", "lab", ["tests/lab/containers/oci_runtime.py"], on("loadline")),
    ("kubernetes", "lab", ["tests/lab/kubernetes/cases.py"], on("loadline")),
    ("golang", "lab", [f"tests/lab/golang/{script}.py" for script in ("buildinfo", "matrix", "readers", "oci")],
     on("loadline")),
    ("prometheus", "lab", ["tests/lab/prometheus/suite.py"], on("loadline")),
    ("vm", "lab", ["tests/lab/vm/cases.py"], on("loadline")),
    ("faults", "lab", ["tests/lab/faults.py"], on("loadline")),
    ("bench", "lab", ["benches/survival/tests.py", "benches/run.py --quick"], {}),
]


class Result:
    """The result of one suite."""

    def __init__(self, name):
        self.name = name
        self.passed = self.failed = 0
        self.not_run = []
        self.reasons = []
        self.seconds = 0.0

    @property
    def cases(self):
        return self.passed + self.failed + len(self.not_run)

    def count(self, code, output):
        """Adds the result of one command."""
        tallies = CARGO_TEST.findall(output)
        checks = CHECKS.findall(output)
        failed_before = self.failed
        for passed, failed, ignored in tallies:
            self.passed += int(passed)
            self.failed += int(failed)
            self.not_run += [f"{self.name}: ignored by libtest: {ignored} cases"] * bool(int(ignored))
        self.passed += checks.count("ok")
        self.failed += checks.count("FAILED")
        lacking = CANNOT.search(output)
        if code and lacking and not tallies and not checks:
            self.not_run.append(f"{self.name}: all: {lacking[1]}")
        elif code and self.failed == failed_before:
            self.failed += 1
        elif not code and not tallies and not checks:
            self.passed += 1
        if self.failed > failed_before:
            self.reasons += FAILED_CASE.findall(output) or output.splitlines()[-LAST_LINES:]


def run(command, variables, log, deadline):
    """Runs a command and returns its exit code and output."""
    print(f"$ {command}", flush=True)
    limit = max(1, min(PATIENCE, deadline - time.monotonic()))
    output = []
    child = subprocess.Popen(
        ["sh", "-c", f"exec {command}"], cwd=TOP, env={**os.environ, **variables}, text=True,
        errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )

    def stop():
        """Ends it and all that it started. They get 15 seconds to clean up."""
        patience = time.monotonic() + 15
        how = signal.SIGTERM
        try:
            while True:
                os.killpg(child.pid, how)
                child.poll()
                time.sleep(0.1)
                how = 0 if time.monotonic() < patience else signal.SIGKILL
        except ProcessLookupError:
            pass

    def hangs(*_):
        line = f"run.py: stopped after {limit:.0f} seconds: {command}\n"
        print(line, end="")
        log.write(line)
        output.append(line)
        stop()

    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(int(limit))
    try:
        for line in child.stdout:
            print(line, end="", flush=True)
            log.write(line)
            output.append(line)
        return child.wait(), "".join(output)
    except BaseException:
        stop()
        raise
    finally:
        signal.alarm(0)


def run_setup(deadline):
    result = Result("setup")
    begin = time.monotonic()
    with open(REPORT / "setup.log", "w", encoding="utf-8") as log:
        for command in SETUP:
            code, output = run(command, {}, log, deadline)
            if code:
                result.count(code, output)
    result.seconds = time.monotonic() - begin
    return [result] if result.cases else []


def run_suite(name, commands, variables, deadline):
    print(f"\n=== {name}", flush=True)
    result = Result(name)
    begin = time.monotonic()
    noted = NOT_RUN.stat().st_size
    with open(REPORT / f"{name}.log", "w", encoding="utf-8") as log:
        for command in commands:
            result.count(*run(command, variables, log, deadline))
    with open(NOT_RUN, encoding="utf-8") as notes:
        notes.seek(noted)
        lines = notes.read().splitlines()
    # A test that could not run has passed as far as cargo can tell.
    result.passed -= len(lines)
    result.not_run += lines
    if not result.cases:
        result.reasons.append(f"run.py: the suite {name} ran no case")
        print(result.reasons[-1])
        result.failed = 1
    result.seconds = time.monotonic() - begin
    return result


def table(results):
    rows = [("suite", "cases", "passed", "failed", "not run", "seconds")]
    for result in results:
        rows.append((result.name, result.cases, result.passed, result.failed, len(result.not_run),
                     f"{result.seconds:.0f}"))
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *others = (str(cell) for cell in row)
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:]))]
        print("  ".join(cells))


def known_skips():
    """The patterns of the cases that the CI machines cannot run."""
    lines = (TOP / "tests/known_skips.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.strip() and not line.startswith("#"):
            suite, case, _reason = line.split(": ", 2)
            yield f"{suite}: {case}: *"


def main():
    names = [name for name, *_ in SUITES]
    groups = sorted({group for _, group, *_ in SUITES})
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=names + groups, metavar="NAME",
                        help=f"one of {', '.join(groups + names)}")
    only = parser.parse_args().only

    # SIGTERM becomes an exception, so that the running suite is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("run.py: stopped by SIGTERM"))
    REPORT.mkdir(parents=True, exist_ok=True)
    NOT_RUN.write_text("")
    os.environ.update(LOADLINE_NOT_RUN=str(NOT_RUN), CARGO_TERM_COLOR="never",
                      MAKEFLAGS="--no-print-directory")
    # Cargo and pip try a failed download again, more often than by default.
    os.environ.setdefault("CARGO_NET_RETRY", "10")
    os.environ.setdefault("PIP_RETRIES", "10")
    if os.environ.get("CI"):
        # Enough for backtraces, and faster to compile. Elsewhere it would make Cargo build all crates again.
        os.environ["CARGO_PROFILE_DEV_DEBUG"] = "line-tables-only"
    deadline = time.monotonic() + PATIENCE_WITH_ALL
    results = run_setup(deadline)
    results += [run_suite(name, commands, variables, deadline) for name, group, commands, variables in SUITES
                if not only or name in only or group in only]

    print()
    table(results)
    not_run = [line for result in results for line in result.not_run]
    known = list(known_skips())
    unexpected = [line for line in not_run if not any(fnmatch.fnmatch(line, p) for p in known)]
    if not_run:
        print("\nNot run on this machine:")
    for line in not_run:
        print(f"  {line}")
    failed = [result for result in results if result.failed]
    for result in failed:
        print(f"\nFailed in {result.name}, see target/test-report/{result.name}.log:")
        for line in result.reasons:
            print(f"  {line}")
    in_ci = os.environ.get("CI") == "true"
    if in_ci and unexpected:
        print("\nCI may skip only what tests/known_skips.txt names. It does not name:")
        for line in unexpected:
            print(f"  {line}")
    print(f"\n{sum(r.passed for r in results)} passed, {sum(r.failed for r in failed)} failed"
          + (f", {len(not_run)} skipped" if not_run else ""))
    return 1 if failed or (in_ci and unexpected) else 0


if __name__ == "__main__":
    sys.exit(main())
