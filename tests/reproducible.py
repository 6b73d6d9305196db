#!/usr/bin/env python3
"""Builds the release a second time and elsewhere, and compares: every file in dist must be the same.

Elsewhere is a shallow clone with the changes of this tree, in a folder of another name and length,
with the Rust toolchain and Cargo's home by other paths too: as another machine has them.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent


def output(*command):
    return subprocess.run(command, cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout


def copy_sources(to):
    """A clone, and in it the files as they are here."""
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{TOP}", to], check=True)
    names = output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in names.split("\0")[:-1]:
        (to / name).unlink(missing_ok=True)
        if os.path.lexists(TOP / name):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, to / name, follow_symlinks=False)


def link(source, target):
    """Another name for a file, or a copy on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def copy_toolchain(to):
    """The toolchain by another path, if it is a folder of its own, as rustup has it."""
    sysroot = pathlib.Path(output("rustc", "--print", "sysroot").strip())
    if not (sysroot / "lib/rustlib/components").exists():
        return {}
    for folder in ("bin", "lib"):
        shutil.copytree(sysroot / folder, to / folder, symlinks=True, copy_function=link)
    return {"PATH": f"{to}/bin:{os.environ['PATH']}"}


def copy_home(to):
    """Cargo's home by another path, with all that was downloaded."""
    to.mkdir()
    for entry in pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo")).iterdir():
        (to / entry.name).symlink_to(entry)
    return {"CARGO_HOME": str(to)}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("reproducible: told to stop"))
    released = sorted(file for file in (TOP / "dist").glob("loadline-*") if file.suffix != ".sha256")
    if not released:
        sys.exit("reproducible: there is nothing in dist: `make release` builds it")
    with tempfile.TemporaryDirectory(prefix="loadline-built-elsewhere-") as scratch:
        there = pathlib.Path(scratch) / "sources"
        copy_sources(there)
        # Of what stands for this make or this folder, nothing is handed on.
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("MAKE", "MFLAGS", "LOADLINE_", "CARGO_TARGET"))}
        environment |= copy_toolchain(there.with_name("rust")) | copy_home(there.with_name("cargo"))
        subprocess.run(["make", "--no-print-directory", "release"], cwd=there, env=environment, check=True)
        good = True
        for file in released:
            same = file.read_bytes() == (there / "dist" / file.name).read_bytes()
            print(f"{'ok' if same else 'FAILED'}: {file.name} is the same wherever it is built")
            good = good and same
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
