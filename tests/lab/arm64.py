#!/usr/bin/env python3
"""Runs the integration tests with the released arm64 file, on another machine, by an emulator.

The emulator runs the init alone; what that starts are this machine's own programs. What the emulator
makes impossible is named in tests/lab/arm64.expected: the suite fails where a case fails that is not
named, where one passes that is, and where a reason given there does not hold for a small program
that has nothing to do with loadline. The output is in target/lab/peers/loadline.log.
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
# The words in the reasons that are no question to tests/lab/emulator.rs.
UNASKED = {"image", "outside", peers.RACE}


def output(*command):
    """What a command prints, which on failure has said why."""
    done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"{command[0]} failed")
    return done.stdout.strip()


def emulated(emulator, program, name):
    """A program of this machine that is another under the emulator."""
    stand_in = HOME / name
    strings = {"EMULATOR": emulator, "PROGRAM": program}
    defines = [f'-D{name}="{value}"' for name, value in strings.items()]
    source = TOP / "tests/lab/emulated.c"
    output("cc", "-static", "-O1", "-Wall", "-Werror", *defines, "-o", stand_in, source)
    return stand_in


def questions(machine):
    """The program that asks, for a machine."""
    triple = f"{machine}-unknown-linux-musl"
    output(TOP / "tests/lab/rust", "--plain", triple)
    program = HOME / f"emulator-{machine}"
    output("rustc", "--edition=2024", "-Clinker=rust-lld", f"--target={triple}", "-o", program,
           TOP / "tests/lab/emulator.rs")
    return program


def holds(program, question):
    """Whether the answer is the kernel's."""
    def hand_down():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGSEGV])

    environment = {"FIRST": "", "SECOND": "", "PATH": os.environ["PATH"]}
    asked = subprocess.run([program, question], env=environment, preexec_fn=hand_down, timeout=10)
    return asked.returncode == 0


def main():
    if platform.machine() != "x86_64":
        raise Failed("not run: only amd64 machines are known to emulate arm64 as expected")
    if not FILE.exists():
        raise Failed(f"there is no {FILE}: `make release` builds it")
    HOME.mkdir(parents=True, exist_ok=True)
    peers.HOME.mkdir(parents=True, exist_ok=True)
    peers.bound()
    emulator = output(TOP / "tests/lab/qemu", "aarch64")
    # By its usual name, as the README has it.
    init = emulated(emulator, FILE, "loadline")
    native, foreign = questions("x86_64"), emulated(emulator, questions("aarch64"), "emulator")
    expected = dict(peers.entries(EXPECTED))
    wrong = []
    for reason in sorted(set(" ".join(expected.values()).split()) - UNASKED):
        if not holds(native, reason):
            wrong.append(f"the reason '{reason}' does not hold: this machine does not as the kernel should")
        if holds(foreign, reason):
            wrong.append(f"the reason '{reason}' does not hold: the emulator does as the kernel does")

    tests = peers.build()
    peers.adopt()
    # There is but one way to spawn under the emulator.
    os.environ.pop("LOADLINE_ARTIFACT_FORK", None)
    begin = time.monotonic()
    results = peers.run(tests, str(init), cases=())
    print(f"{FILE}: {len(results.cases)} cases in {time.monotonic() - begin:.0f} seconds")
    wrong += results.deviations(expected)
    for case in sorted(results.passed - results.not_run):
        print(f"ok: {case}")
    for case in sorted(results.failed & set(expected)):
        print(f"cannot be told under the emulator ({expected[case]}): {case}")
    for what in wrong:
        print(f"FAILED: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as reason:
        sys.exit(f"arm64: {reason}")
