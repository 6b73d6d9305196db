#!/usr/bin/env python3
"""Compares what loadline reads from Go binaries with `go version -m`: for all binaries of the
toolchains, for the programs of the suite, and for Debian's runc, containerd and Docker. It also counts
the bytes that loadline reads of a large file. Exits with 2 if the machine cannot run this.
"""

import json
import os
import pathlib
import re
import struct
import subprocess

import programs
from programs import HOME, LOADLINE, NEWEST, TOOLCHAINS, TOP, Cannot
from report import main

DEBIAN = ["runc", "containerd", "docker.io"]
NOTHING = dict.fromkeys(("go_version", "go_debug_defaults", "cgo"))
HOLE = 300 << 20
# The most bytes that may be read of a file of any size.
MOST = 512 << 10
# Settings with blanks or quotes in them are quoted (`debug.BuildInfo.String` in runtime/debug).
QUOTED = re.compile(r'^"(.*)"$')
PT_LOAD, PF_W = 1, 2


def apt(package):
    if subprocess.run([TOP / "tests/lab/apt", "install", package]).returncode:
        raise Cannot(f"{package} is not installed and cannot be")


def explained(file, *options):
    finished = subprocess.run([LOADLINE, *options, "--explain=json", file], check=True, timeout=10,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = json.loads(finished.stdout)["program"]
    return {name: found[name] for name in NOTHING}


def programs_in(paths):
    """The files that are programs."""
    def is_program(path):
        return path.is_file() and os.access(path, os.X_OK) and path.open("rb").read(4) == b"\x7fELF"

    return sorted(filter(is_program, paths))


def by_go(go, files):
    """The output of `go version -m` for each file. Its exit code is not 0 if one is not a Go program."""
    finished = subprocess.run([go, "version", "-m", *files], capture_output=True, text=True)
    found = {str(file): NOTHING for file in files}
    for line in finished.stdout.splitlines():
        if not line.startswith("\t"):
            file, _, version = line.partition(": ")
            info = found[file] = {**NOTHING, "go_version": version}
            continue
        # From here on there is information about modules.
        info["go_debug_defaults"] = info["go_debug_defaults"] or ""
        kind, *fields = line[1:].split("\t")
        if kind == "build":
            key, _, value = fields[0].partition("=")
            if key == "DefaultGODEBUG":
                info["go_debug_defaults"] = QUOTED.sub(r"\1", value)
            elif key == "CGO_ENABLED":
                info["cgo"] = value == "1"
    return found


def agrees(report, go, files):
    """Checks that loadline finds the same as `go version -m`."""
    said = by_go(go, files)
    for file in files:
        name = pathlib.Path(file)
        name = name.relative_to(TOP) if name.is_relative_to(TOP) else name
        report.check(f"{name}: {said[str(file)]['go_version'] or 'not Go'}, as go version -m says",
                     **{key: (value, said[str(file)][key]) for key, value in explained(file).items()})


def agrees_on_debians(report, go, package):
    """The same for the programs of a Debian package."""
    apt(package)
    listed = subprocess.run(["dpkg", "--listfiles", package], check=True, stdout=subprocess.PIPE, text=True)
    agrees(report, go, programs_in(map(pathlib.Path, listed.stdout.splitlines())))


def knows_the_suite(report, built):
    """Checks loadline, and so `go version -m`, against the way the programs were built."""
    for program in built:
        found = explained(program.path)
        off = "containermaxprocs=0" in (found["go_debug_defaults"] or "")
        report.check(f"{program.name}: is as it was built",
                     cgo=(found["cgo"], program.cgo),
                     follows=(program.minor >= 25 and not off, program.follows))


def headers(content):
    """The places of all fields of a 64-bit little-endian ELF file that contain offsets (elf(5)), and the
    offset of the first writable segment."""
    segments, sections = struct.unpack_from("<QQ", content, 32)
    size, count, section_size, section_count = struct.unpack_from("<HHHH", content, 54)
    segments = [segments + n * size for n in range(count)]
    fields = [40, *(at + 8 for at in segments),
              *(sections + n * section_size + 24 for n in range(section_count))]
    data = min(struct.unpack_from("<Q", content, at + 8)[0] for at in segments
               if struct.unpack_from("<I", content, at)[0] == PT_LOAD
               and struct.unpack_from("<I", content, at + 4)[0] & PF_W)
    return fields, data


def with_hole(content, file):
    """Writes a program with a hole before its data, like a large embedded file. It uses no disk space."""
    fields, data = headers(content)
    moved = bytearray(content)
    for field in fields:
        offset, = struct.unpack_from("<Q", content, field)
        if offset >= data:
            struct.pack_into("<Q", moved, field, offset + HOLE)
    with open(file, "wb") as out:
        out.write(moved[:data])
        out.seek(data + HOLE)
        out.write(moved[data:])
    file.chmod(0o755)


def without_sections(file):
    """Removes the section table of a program, as packers do."""
    with open(file, "r+b") as out:
        out.seek(40)
        out.write(bytes(8))
        out.seek(58)
        out.write(bytes(6))


def bytes_read(file, log):
    """The bytes that loadline reads of a file, the number of calls, and its mappings."""
    traced = "trace=read,pread64,readv,preadv,preadv2,mmap"
    subprocess.run(["strace", "-f", "-y", "-o", log, "-e", traced, LOADLINE, "--explain=json", file],
                   check=True, stdout=subprocess.DEVNULL, timeout=60)
    calls = [line for line in log.read_text(encoding="utf-8").splitlines() if f"<{file}>" in line]
    mapped = [line for line in calls if "mmap(" in line]
    amounts = [int(line.rpartition(" = ")[2].split()[0]) for line in calls if line not in mapped]
    return sum(amounts), len(calls), mapped


def reads_little(report, built):
    """Checks that loadline reads no more of a large program than of a small one."""
    apt("strace")
    program = next(program for program in built if program.name == f"go{NEWEST}")
    directory = HOME / "large"
    directory.mkdir(exist_ok=True)
    small, hole, tail = (directory / name for name in ("small", "hole", "tail"))
    content = program.path.read_bytes()
    small.write_bytes(content)
    small.chmod(0o755)
    with_hole(content, hole)
    tail.write_bytes(content)
    tail.chmod(0o755)
    os.truncate(tail, len(content) + HOLE)
    wanted = explained(program.path)
    for table in ("", ", no section table"):
        if table:
            for file in (small, hole, tail):
                without_sections(file)
        of_small, _, _ = bytes_read(small, HOME / "strace.log")
        for file in (small, hole, tail):
            ran = subprocess.run([file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            amount, calls, mapped = bytes_read(file, HOME / "strace.log")
            report.check(
                f"{file.name}{table}: of {file.stat().st_size:,} bytes, {amount:,} are read in {calls} calls",
                code=(ran.returncode, 0), found=(explained(file), wanted), mapped=(mapped, []),
                some=(0 < amount <= MOST, True), more_than_of_small=(max(0, amount - of_small), 0))
    for file in (small, hole, tail):
        file.unlink()


def tells_what_is_none(report, built):
    """What is not Go, or hides it, is an answer too; a script is followed one step."""
    program = built[0]
    directory = HOME / "odd"
    directory.mkdir(exist_ok=True)

    def file(name, content):
        path = directory / name
        path.write_bytes(content)
        path.chmod(0o755)
        return path

    content = program.path.read_bytes()
    stripped = directory / "no-buildinfo"
    subprocess.run(["objcopy", "--remove-section=.go.buildinfo", program.path, stripped], check=True)
    fifo = directory / "fifo"
    if not fifo.exists():
        os.mkfifo(fifo, 0o755)
    script = file("script", f"#!{program.path} -x\n".encode())
    for name, path, wanted in [
            ("a C program", programs.CPUS, NOTHING), ("/bin/sh", "/bin/sh", NOTHING),
            ("a shell script", file("sh-script", b"#!/bin/sh\nexit 0\n"), NOTHING),
            ("a script of a Go program", script, explained(program.path)),
            ("a script of a script", file("script2", f"#!{script}\n".encode()), NOTHING),
            ("an empty file", file("empty", b""), NOTHING), ("a directory", directory, NOTHING),
            ("a FIFO", fifo, NOTHING), ("the first 4 KB", file("short", content[:4096]), NOTHING),
            ("text that says Go", file("text", b"\xff Go buildinf:" * 100), NOTHING),
            ("a file that is not there", directory / "none", NOTHING),
            ("no build information", stripped, NOTHING)]:
        report.check(f"{name}: {wanted['go_version'] or 'not recognised as Go'}",
                     found=(explained(path), wanted))


def check_all(report, built):
    go = programs.toolchain(NEWEST)
    for version in TOOLCHAINS:
        root = programs.toolchain(version).resolve().parent.parent
        paths = [*root.glob("bin/*"), *root.glob("pkg/tool/*/*")]
        report.case(agrees, go, programs_in(paths))
    report.case(agrees, go, [program.path for program in built])
    for package in DEBIAN:
        report.case(agrees_on_debians, go, package)
    report.case(knows_the_suite, built)
    report.case(tells_what_is_none, built)
    report.case(reads_little, built)


if __name__ == "__main__":
    main(check_all)
