#!/usr/bin/env python3
"""Runs the integration tests with the released files of other architectures, under an emulator.

    tests/lab/architectures.py ARCHITECTURE[:MODULE,...]...

Given modules of the tests, such as `limits`, only these run. Only the init is emulated; the programs that it
starts are for this machine. The kernel of an amd64 machine runs 386 files itself, and so nothing is emulated.
tests/lab/architectures.expected lists the cases that fail because of the emulator. The suite fails if any
other case fails, if one of these passes, or if a reason given there does not hold: a small program without
any code of loadline checks each reason. What loadline decides about Go programs of all architectures must be the
same everywhere. The output is in target/lab/peers/ARCHITECTURE.log.
"""

import os
import pathlib
import platform
import signal
import subprocess
import sys
import time

import peers
from peers import TOP, Failed

HOME = TOP / "target/lab/architectures"
EXPECTED = TOP / "tests/lab/architectures.expected"
# The emulator of each architecture. This machine runs 386 files itself.
EMULATORS = {"arm64": "aarch64", "armv7": "arm", "386": None, "riscv64": "riscv64", "ppc64le": "ppc64le",
             "s390x": "s390x"}
# The version of Go that builds the programs to decide about.
GO = "1.27"
# The cases wait more than they compute.
peers.THREADS = 8
# The reasons that tests/lab/emulator does not check.
UNASKED = {"image", "outside", peers.RACE}


def output(*command):
    """The output of a command, which prints the reason itself if it fails."""
    done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"{command[0]} failed")
    return done.stdout.strip()


def emulated(emulator, program, name):
    """Builds a program that executes another program under the emulator."""
    name.parent.mkdir(parents=True, exist_ok=True)
    strings = {"EMULATOR": emulator, "PROGRAM": program}
    defines = [f'-D{macro}="{value}"' for macro, value in strings.items()]
    source = TOP / "tests/lab/emulated.c"
    output("cc", "-static", "-O1", "-Wall", "-Werror", *defines, "-o", name, source)
    return name


def questions(architecture):
    """Builds the program that checks the reasons, for an architecture."""
    where = HOME / architecture
    output("make", "--no-print-directory", "emulator", f"ARCH={architecture}", f"OUT={where}")
    return where / "emulator"


def expectations(architecture):
    """The cases that are known to fail, and why. A line may name the architectures that it is for, and is for
    all that are emulated otherwise."""
    for case, reason, *only in peers.entries(EXPECTED):
        if architecture in (only[0].split() if only else filter(EMULATORS.get, EMULATORS)):
            yield case, reason


def holds(program, question):
    """Whether the machine behaves as the kernel does."""
    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGSEGV])

    environment = {"FIRST": "", "SECOND": "", "PATH": os.environ["PATH"]}
    asked = subprocess.run([program, question], env=environment, preexec_fn=prepare, timeout=60)
    return asked.returncode == 0


def wrong_reasons(reasons, native, foreign):
    """The reasons that do not hold."""
    for reason in sorted(reasons - UNASKED):
        try:
            if not holds(native, reason):
                yield f"the reason '{reason}' does not hold: this machine itself behaves otherwise"
            if holds(foreign, reason):
                yield f"the reason '{reason}' does not hold: the emulator behaves as the kernel does"
        except subprocess.TimeoutExpired as hang:
            yield f"the reason '{reason}' cannot be checked: {hang}"


def go_programs():
    """Builds a Go program for each architecture. All have the same name, each in a directory of its own."""
    go = output(TOP / "tests/lab/go", GO)
    source = HOME / "go"
    source.mkdir(exist_ok=True)
    (source / "go.mod").write_text(f"module service\n\ngo {GO}\n")
    (source / "main.go").write_text("package main\n\nfunc main() {}\n")
    for architecture in ("amd64", *EMULATORS):
        machine = {"GOARCH": "arm", "GOARM": "7"} if architecture == "armv7" else {"GOARCH": architecture}
        environment = {**os.environ, **machine, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
        program = HOME / architecture / "service"
        subprocess.run([go, "build", "-trimpath", "-o", program, "."], cwd=source, env=environment, check=True)
        yield program


def decisions(init, programs):
    """What an init says of itself, and about each program."""
    yield output(init, "--version")
    for program in programs:
        explain = [init, "--explain", "--root", TOP / "tests/fixtures/v2_systemd_init_leaf", "./service"]
        yield subprocess.run(explain, cwd=program.parent, check=True, stdout=subprocess.PIPE, text=True).stdout


def check(architecture, modules, tests, native, wanted, programs):
    """Tests the file of an architecture. Returns whether all is as expected."""
    file = TOP / f"dist/loadline-linux-{architecture}"
    if not file.exists():
        raise Failed(f"there is no {file}: `make release` builds it")
    where = HOME / architecture
    expected = {case: reason for case, reason in expectations(architecture)
                if not modules or case.split("::")[0] in modules}
    wrong = []
    # The examples of the README need the usual name.
    init = where / "loadline"
    if EMULATORS[architecture]:
        emulator = output(TOP / "tests/lab/qemu", EMULATORS[architecture])
        emulated(emulator, file, init)
        foreign = emulated(emulator, questions(architecture), where / "questions")
        wrong += wrong_reasons(set(" ".join(expected.values()).split()), native, foreign)
    else:
        output(TOP / "tests/lab/install-atomic", file, init)

    if list(decisions(init, programs)) == wanted:
        print(f"ok: {architecture}: --version and --explain are as on amd64, for Go programs of all architectures")
    else:
        wrong.append("--version or --explain is not as on amd64")
    begin = time.monotonic()
    results = peers.run(tests, str(init), [f"{module}::" for module in modules], architecture)
    print(f"{file}: {len(results.cases)} cases in {time.monotonic() - begin:.0f} seconds", flush=True)
    wrong += results.deviations(expected)
    for case in sorted(results.passed - results.not_run):
        print(f"ok: {architecture}: {case}")
    for case in sorted(results.failed & set(expected)):
        print(f"cannot be tested under the emulator ({expected[case]}): {architecture}: {case}")
    for what in wrong:
        print(f"FAILED: {architecture}: {what}")
    return not wrong


def main():
    if platform.machine() != "x86_64":
        raise Failed("not run: the expected results are those of an amd64 machine")
    HOME.mkdir(parents=True, exist_ok=True)
    peers.HOME.mkdir(parents=True, exist_ok=True)
    peers.bound()
    native = questions("amd64")
    programs = list(go_programs())
    wanted = list(decisions(TOP / "dist/loadline-linux-amd64", programs))
    if len(set(wanted)) != 2 or f"go{GO}" not in wanted[1]:
        raise Failed(f"the decisions on amd64 differ, or are not about Go: {wanted}")
    tests = peers.build()
    peers.adopt()
    # Under the emulator, vfork is fork anyway.
    os.environ.pop("LOADLINE_ARTIFACT_FORK", None)
    good = True
    for argument in sys.argv[1:]:
        architecture, _, modules = argument.partition(":")
        good = check(architecture, modules.split(",") if modules else [], tests, native, wanted, programs) and good
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as reason:
        sys.exit(f"architectures: {reason}")
