#!/usr/bin/env python3
"""Runs the fuzz targets, each for a few seconds, or as long as asked: fuzz/run.py --seconds 900.

cargo-fuzz is built below target/lab, and drives LLVM's libFuzzer, which needs g++ from Debian's
packages. What is found stays in fuzz/corpus, and an input that fails in fuzz/artifacts.
"""

import argparse
import json
import os
import pathlib
import re
import struct
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
FUZZ = TOP / "fuzz"
TOOL = TOP / "target/lab/fuzz"
VERSION = "0.13.2"
# cargo-fuzz asks for flags that are unstable. No sanitizer: the code under test has no `unsafe`.
ENVIRONMENT = {**os.environ, "RUSTC_BOOTSTRAP": "1", "CARGO_PROFILE_DEV_DEBUG": "0",
               "PATH": f"{TOOL}/bin:{os.environ['PATH']}"}
BUILD = ["--fuzz-dir", str(FUZZ), "--sanitizer", "none"]
TARGETS = sorted(path.stem for path in (FUZZ / "targets").glob("*.rs"))
DONE = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)


def seeds(target):
    """Inputs to begin with."""
    if target == "explain":
        names = re.findall(r'^    "((?:proc|sys)/.*)",$', (FUZZ / "targets/explain.rs").read_text(),
                           re.MULTILINE)
        for tree in sorted((TOP / "tests/fixtures").iterdir()):
            files = [tree / name for name in names]
            yield b"\0".join(file.read_bytes() if file.is_file() else b"" for file in files)
    elif target == "go_binary":
        yield from (go_program(order, bits) for order in "<>" for bits in (32, 64))
    elif target == "command_line":
        text = "-g -e 3 --memory cap --cpu-limit=500m --rewrite TERM:QUIT,HUP:0 -- program -v"
        variables = ["LOADLINE_DRAIN=5s", "TINI_VERBOSITY=3", "LOADLINE_EXEC=1"]
        yield "\0".join([*text.split(), "", *variables]).encode()
    elif target == "runtime_config":
        # Without spaces: what is inserted is then a valid text more often.
        process = {"args": ["/service"], "env": ["PATH=/bin", "A=\u00e4"], "cwd": "/"}
        linux = {"cgroupsPath": "/a", "namespaces": [{"type": "pid"}],
                 "resources": {"memory": {"limit": 1}, "cpu": {"quota": 1, "period": 2}, "unified": {"cpu.max": "max"}}}
        config = {"process": process, "root": {"path": "rootfs"}, "linux": linux, "annotations": {"a": "b"},
                  "mounts": [{"destination": "/dev", "type": "tmpfs"}]}
        yield from (json.dumps(config, separators=(",", ":"), ensure_ascii=it).encode() for it in (True, False))
    else:
        values = "400MiB 1.5Gi 500m 0.5 10s 250ms 1h SIGTERM RTMIN+3 RTMAX-2 0.8 off 1e3"
        yield from (value.encode() for value in values.split())


def go_program(order, bits):
    """The smallest ELF file with Go's build information in a writable segment."""
    wide = bits == 64
    modules = b"path\tx\nbuild\tDefaultGODEBUG=containermaxprocs=0\nbuild\tCGO_ENABLED=0\n"
    framed = b"0" * 16 + modules + b"1" * 16
    strings = b"".join(bytes([len(text)]) + text for text in (b"go1.27.3", framed))
    info = b"\xff Go buildinf:" + bytes([bits // 8, 2 | (order == ">")]) + bytes(16) + strings
    ident = b"\x7fELF" + bytes([bits // 32, 1 + (order == ">"), 1]) + bytes(9)
    header, entry = (64, 56) if wide else (52, 32)
    offset = 128
    word = "Q" if wide else "I"
    elf = ident + struct.pack(f"{order}HHI3{word}I6H", 2, 62, 1, 0, header, 0, 0, header, entry, 1,
                              64 if wide else 40, 0, 0)
    place = [offset, offset, offset, len(info), len(info)]
    program = (struct.pack(f"{order}II6Q", 1, 6, *place, 4096) if wide
               else struct.pack(f"{order}8I", 1, *place, 6, 4096))
    return (elf + program).ljust(offset, b"\0") + info


def dictionary():
    """The words of the command line."""
    text = (TOP / "src/cli/help.rs").read_text() + (TOP / "src/cli/spec.rs").read_text()
    words = set(re.findall(r"--[a-z-]+|LOADLINE_[A-Z_]+|TINI_[A-Z_]+", text))
    path = FUZZ / "corpus/dictionary"
    path.write_text("".join(f'"{word}"\n' for word in sorted(words)))
    return path


def set_up():
    def must(command, what):
        if subprocess.run(command, env=ENVIRONMENT, cwd=TOP).returncode:
            print(f"fuzz: not run: {what}")
            sys.exit(2)
    must(["tests/lab/apt", "install", "g++"], "g++ cannot be installed from Debian's packages")
    if not (TOOL / "bin/cargo-fuzz").exists():
        print(f"setup: building cargo-fuzz {VERSION} below target/lab", flush=True)
        # What compiles faster is enough here.
        must(["cargo", "install", "--quiet", "--locked", "--debug", "--root", str(TOOL), "--version", VERSION,
              "cargo-fuzz"], "cargo-fuzz cannot be built")


def fuzz(target, seconds):
    """Runs a target. Returns whether no input failed."""
    corpus = FUZZ / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-verbosity=1"]
    if target == "command_line":
        options.append(f"-dict={dictionary()}")
    command = ["cargo", "fuzz", "run", *BUILD, target, "--", *options]
    done = subprocess.run(command, env=ENVIRONMENT, cwd=TOP, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    result = DONE.search(done.stdout)
    if done.returncode or not result:
        print(*done.stdout.splitlines()[-40:], sep="\n")
        print(f"FAILED: {target}")
        return False
    print(f"ok: {target}: {int(result[1]):,} inputs in {result[2]} s", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=int, default=5, help="how long each target runs (5)")
    parser.add_argument("targets", nargs="*", default=TARGETS, help=", ".join(TARGETS))
    asked = parser.parse_args()
    set_up()
    subprocess.run(["cargo", "fuzz", "build", *BUILD], env=ENVIRONMENT, cwd=TOP, check=True)
    return not all([fuzz(target, asked.seconds) for target in asked.targets])


if __name__ == "__main__":
    sys.exit(main())
