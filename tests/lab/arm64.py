#!/usr/bin/env python3
"""Runs the integration tests with the released arm64 file, under an emulator.

Only the init is emulated; the programs that it starts are for this machine. tests/lab/arm64.expected
lists the cases that fail because of the emulator. The suite fails if any other case fails, if one of
these passes, or if a reason given there does not hold: a small program without any code of loadline
checks each reason. The output is in target/lab/peers/loadline.log.
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

HOME = TOP / "target/lab/arm64"
EXPECTED = TOP / "tests/lab/arm64.expected"
FILE = TOP / "dist/loadline-linux-arm64"
# The reasons that tests/lab/emulator.rs does not check.
UNASKED = {"image", "outside", peers.RACE}


def output(*command):
    """The output of a command, which prints the reason itself if it fails."""
    done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"{command[0]} failed")
    return done.stdout.strip()


def emulated(emulator, program, name):
    """Builds a program that executes another program under the emulator."""
    stand_in = HOME / name
    strings = {"EMULATOR": emulator, "PROGRAM": program}
    defines = [f'-D{name}="{value}"' for name, value in strings.items()]
    source = TOP / "tests/lab/emulated.c"
    output("cc", "-static", "-O1", "-Wall", "-Werror", *defines, "-o", stand_in, source)
    return stand_in


def questions(machine):
    """Builds the program that checks the reasons, for an architecture."""
    triple = f"{machine}-unknown-linux-musl"
    output(TOP / "tests/lab/rust", "--plain", triple)
    program = HOME / f"emulator-{machine}"
    output("rustc", "--edition=2024", "-Clinker=rust-lld", f"--target={triple}", "-o", program,
           TOP / "tests/lab/emulator.rs")
    return program


def holds(program, question):
    """Whether the machine behaves as the kernel does."""
    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGSEGV])

    environment = {"FIRST": "", "SECOND": "", "PATH": os.environ["PATH"]}
    asked = subprocess.run([program, question], env=environment, preexec_fn=prepare, timeout=10)
    return asked.returncode == 0


def main():
    if platform.machine() != "x86_64":
        raise Failed("not run: the expected results are those of an amd64 machine")
    if not FILE.exists():
        raise Failed(f"there is no {FILE}: `make release` builds it")
    HOME.mkdir(parents=True, exist_ok=True)
    peers.HOME.mkdir(parents=True, exist_ok=True)
    peers.bound()
    emulator = output(TOP / "tests/lab/qemu", "aarch64")
    # The examples of the README need the usual name.
    init = emulated(emulator, FILE, "loadline")
    native, foreign = questions("x86_64"), emulated(emulator, questions("aarch64"), "emulator")
    expected = dict(peers.entries(EXPECTED))
    wrong = []
    for reason in sorted(set(" ".join(expected.values()).split()) - UNASKED):
        if not holds(native, reason):
            wrong.append(f"the reason '{reason}' does not hold: this machine itself behaves otherwise")
        if holds(foreign, reason):
            wrong.append(f"the reason '{reason}' does not hold: the emulator behaves as the kernel does")

    tests = peers.build()
    peers.adopt()
    # Under the emulator, vfork is fork anyway.
    os.environ.pop("LOADLINE_ARTIFACT_FORK", None)
    begin = time.monotonic()
    results = peers.run(tests, str(init), cases=())
    print(f"{FILE}: {len(results.cases)} cases in {time.monotonic() - begin:.0f} seconds")
    wrong += results.deviations(expected)
    for case in sorted(results.passed - results.not_run):
        print(f"ok: {case}")
    for case in sorted(results.failed & set(expected)):
        print(f"cannot be tested under the emulator ({expected[case]}): {case}")
    for what in wrong:
        print(f"FAILED: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as reason:
        sys.exit(f"arm64: {reason}")
