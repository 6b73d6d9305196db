#!/usr/bin/env python3
"""Checks a built loadline: what kind of ELF file it is and, with --small, that its size is within the
budget.

`--machine amd64|arm64` names the architecture that it must be built for, by default this machine's.
"""

import argparse
import pathlib
import platform
import struct
import sys

# The most bytes that the small build may have.
BUDGET = {"amd64": 122_880, "arm64": 122_880}
# The machine numbers of elf(5), and the largest page size that a kernel for each machine uses.
EM = {"amd64": 62, "arm64": 183}
LARGEST_PAGE = {"amd64": 4096, "arm64": 65_536}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
PT_GNU_STACK, PT_GNU_RELRO = 0x6474E551, 0x6474E552
PF_X, PF_W = 1, 2
DT_NEEDED, DT_TEXTREL = 1, 22
ET_DYN = 3


def check(file, machine, small):
    data = file.read_bytes()
    # elf(5): e_type, e_machine, e_phoff, e_phentsize and e_phnum of a 64-bit little-endian file.
    kind, made_for = struct.unpack_from("<HH", data, 16)
    offset, = struct.unpack_from("<Q", data, 32)
    size, count, = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", data, offset + n * size) for n in range(count)]
    flags = {kind: flags for kind, flags, *_ in headers}

    tags = []
    for kind_of, _, start, _, _, length, *_ in headers:
        if kind_of == PT_DYNAMIC:
            tags += [tag for tag, _ in struct.iter_unpack("<qQ", data[start:start + length])]

    yield data[:6] == b"\x7fELF\2\1" and made_for == EM[machine], f"a 64-bit ELF file for {machine}"
    yield PT_INTERP not in flags and DT_NEEDED not in tags, "static: no interpreter, no library"
    yield kind == ET_DYN, "may be loaded anywhere (static PIE)"
    yield not flags.get(PT_GNU_STACK, PF_X) & PF_X, "no executable stack"
    yield PT_GNU_RELRO in flags, "relocated data is read-only after start (RELRO)"
    yield DT_TEXTREL not in tags, "no text relocations"
    yield not any(k == PT_LOAD and f & PF_X and f & PF_W for k, f, *_ in headers), \
        "nothing both writable and executable"
    yield fits(headers, LARGEST_PAGE[machine]), f"may be mapped in pages of {LARGEST_PAGE[machine]:,} bytes"
    yield b".symtab\0" not in data, "stripped"
    yield b"/.cargo/" not in data and b"/.rustup/" not in data, "no path of the building machine"
    if "runtime" in file.name:
        yield b"\0.gcc_except_table\0" in data, "a panic ends one thread only (unwinding)"
    if small:
        code = [size for k, f, _, _, _, size, *_ in headers if k == PT_LOAD and f & PF_X]
        yield len(code) == 2, f"code that an idle init does not need is in a segment of its own: {code} bytes"
        yield len(data) <= BUDGET[machine], size_against(BUDGET[machine], len(data))


def size_against(budget, size):
    """How much room the budget leaves, in words."""
    room = f"{budget - size:,} left" if size <= budget else f"{size - budget:,} too many"
    return f"{size:,} bytes of {budget:,}: {room}"


def fits(headers, page):
    """Whether no two segments share a page, and each has the same offset within a page in the file as
    in memory."""
    ends = -1
    for kind, _, offset, address, _, _, size, _ in headers:
        if kind == PT_LOAD:
            if offset % page != address % page or address // page <= ends:
                return False
            ends = (address + size - 1) // page
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machine", choices=list(EM), default=MACHINES.get(platform.machine()))
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
