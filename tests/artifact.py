#!/usr/bin/env python3
"""Checks a built loadline: what kind of ELF file it is and, with --small, that its size is within the
budget.

`--machine ARCHITECTURE` names what it must be built for, by default this machine.
"""

import argparse
import pathlib
import platform
import struct
import sys
from typing import NamedTuple


class Machine(NamedTuple):
    """An architecture: the class, byte order and machine number of elf(5), the largest page size that a
    kernel for it uses, and the most bytes that the small build may have."""
    bits: int
    order: str
    number: int
    page: int
    budget: int


MACHINES = {
    "amd64": Machine(64, "<", 62, 4096, 122_880),
    "arm64": Machine(64, "<", 183, 65_536, 122_880),
    "armv7": Machine(32, "<", 40, 4096, 98_304),
    "386": Machine(32, "<", 3, 4096, 135_168),
    "riscv64": Machine(64, "<", 243, 4096, 110_592),
    "ppc64le": Machine(64, "<", 21, 65_536, 167_936),
    "s390x": Machine(64, ">", 22, 4096, 143_360),
}
OWN = {"x86_64": "amd64", "aarch64": "arm64"}
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
PT_GNU_STACK, PT_GNU_RELRO = 0x6474E551, 0x6474E552
PF_X, PF_W = 1, 2
DT_NEEDED, DT_TEXTREL = 1, 22
ET_DYN = 3


class Segment(NamedTuple):
    """An entry of the program header table."""
    kind: int
    flags: int
    offset: int
    address: int
    in_file: int
    in_memory: int


def segments(data, machine):
    """The entries of the program header table, whose fields are in another order in 32-bit files."""
    header, entry = ("Q", "IIQQQQQQ") if machine.bits == 64 else ("I", "IIIIIIII")
    where, = struct.unpack_from(machine.order + header, data, 32 if machine.bits == 64 else 28)
    size, count = struct.unpack_from(machine.order + "HH", data, 54 if machine.bits == 64 else 42)
    for n in range(count):
        fields = struct.unpack_from(machine.order + entry, data, where + n * size)
        if machine.bits == 64:
            kind, flags, offset, address, _, in_file, in_memory, _ = fields
        else:
            kind, offset, address, _, in_file, in_memory, flags, _ = fields
        yield Segment(kind, flags, offset, address, in_file, in_memory)


def check(file, name, small):
    data = file.read_bytes()
    machine = MACHINES[name]
    kind, made_for = struct.unpack_from(machine.order + "HH", data, 16)
    like = data[:6] == b"\x7fELF" + bytes([machine.bits // 32, "<>".index(machine.order) + 1])
    yield like and made_for == machine.number, f"a {machine.bits}-bit ELF file for {name}"
    if not like:
        return
    headers = list(segments(data, machine))
    flags = {it.kind: it.flags for it in headers}
    entry = machine.order + ("qQ" if machine.bits == 64 else "iI")
    tags = [tag for it in headers if it.kind == PT_DYNAMIC
            for tag, _ in struct.iter_unpack(entry, data[it.offset:it.offset + it.in_file])]

    yield PT_INTERP not in flags and DT_NEEDED not in tags, "static: no interpreter, no library"
    yield kind == ET_DYN, "may be loaded anywhere (static PIE)"
    yield not flags.get(PT_GNU_STACK, PF_X) & PF_X, "no executable stack"
    whole = [(it.address + it.in_memory) % machine.page == 0 for it in headers if it.kind == PT_GNU_RELRO]
    yield whole == [True], "relocated data is read-only after start (RELRO), all pages of it"
    yield DT_TEXTREL not in tags, "no text relocations"
    loaded = [it for it in headers if it.kind == PT_LOAD]
    yield not any(it.flags & PF_X and it.flags & PF_W for it in loaded), "nothing both writable and executable"
    yield fits(loaded, machine.page), f"may be mapped in pages of {machine.page:,} bytes"
    yield b".symtab\0" not in data, "stripped"
    yield b"/.cargo/" not in data and b"/.rustup/" not in data, "no path of the building machine"
    if "runtime" in file.name:
        yield b"\0.gcc_except_table\0" in data, "a panic ends one thread only (unwinding)"
    if small:
        code = [it.in_memory for it in loaded if it.flags & PF_X]
        yield len(code) == 2, f"code that an idle init does not need is in a segment of its own: {code} bytes"
        yield len(data) <= machine.budget, size_against(machine.budget, len(data))


def size_against(budget, size):
    """How much room the budget leaves, in words."""
    room = f"{budget - size:,} left" if size <= budget else f"{size - budget:,} too many"
    return f"{size:,} bytes of {budget:,}: {room}"


def fits(loaded, page):
    """Whether no two segments share a page, and each has the same offset within a page in the file as
    in memory."""
    ends = -1
    for segment in loaded:
        if segment.offset % page != segment.address % page or segment.address // page <= ends:
            return False
        ends = (segment.address + segment.in_memory - 1) // page
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machine", choices=list(MACHINES), default=OWN.get(platform.machine()))
    parser.add_argument("--small", action="store_true", help="check the size budget of the small build")
    parser.add_argument("file", type=pathlib.Path)
    arguments = parser.parse_args()
    good = True
    for passed, what in check(arguments.file, arguments.machine, arguments.small):
        print(f"{'ok' if passed else 'FAILED'}: {arguments.file}: {what}")
        good = good and passed
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
