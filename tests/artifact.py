#!/usr/bin/env python3
"""Checks a built loadline: what kind of ELF file it is and, with --small, the budget of its size.

`--machine amd64|arm64` is what it has to be for, by default for this machine.
"""

import argparse
import pathlib
import platform
import struct
import sys

# Bytes of the small build. Idle it takes as much memory as the file is long, and five pages or six.
BUDGET = {"amd64": 65_536, "arm64": 69_632}
# What elf(5) calls the machines, and the largest page that a kernel for them has.
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
    yield PT_GNU_RELRO in flags, "what is relocated lies apart from what changes (RELRO)"
    yield DT_TEXTREL not in tags, "no relocation of code"
    yield not any(k == PT_LOAD and f & PF_X and f & PF_W for k, f, *_ in headers), \
        "nothing both writable and executable"
    yield fits(headers, LARGEST_PAGE[machine]), f"may be mapped in pages of {LARGEST_PAGE[machine]:,} bytes"
    yield b".symtab\0" not in data, "stripped"
    yield b"/.cargo/" not in data and b"/.rustup/" not in data, "no path of the building machine"
    if small:
        yield len(data) <= BUDGET[machine], f"{len(data):,} bytes, at most {BUDGET[machine]:,}"


def fits(headers, page):
    """Whether segments of different rights share no page, and lie in the file as in memory."""
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
    parser.add_argument("--small", action="store_true", help="hold it to the budget of the small build")
    parser.add_argument("file", type=pathlib.Path)
    arguments = parser.parse_args()
    good = True
    for passed, what in check(arguments.file, arguments.machine, arguments.small):
        print(f"{'ok' if passed else 'FAILED'}: {arguments.file}: {what}")
        good = good and passed
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
