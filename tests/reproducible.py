#!/usr/bin/env python3
"""Builds the release and its image again in another place, and checks that every file in dist has the same bytes.

The other place is a shallow clone with the changes of this tree, in a directory with a longer name.
The paths of the Rust toolchain and of Cargo's home differ too, as on another machine.
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
    """Makes a clone with the files as they are in this tree."""
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{TOP}", to], check=True)
    names = output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in names.split("\0")[:-1]:
        (to / name).unlink(missing_ok=True)
        if os.path.lexists(TOP / name):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, to / name, follow_symlinks=False)


def link(source, target):
    """Links a file to another name, or copies it if that is on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def copy_toolchain(to):
    """Puts the toolchain at another path, if it has a directory of its own, as with rustup."""
    sysroot = pathlib.Path(output("rustc", "--print", "sysroot").strip())
    if not (sysroot / "lib/rustlib/components").exists():
        return {}
    for folder in ("bin", "lib"):
        shutil.copytree(sysroot / folder, to / folder, symlinks=True, copy_function=link)
    return {"PATH": f"{to}/bin:{os.environ['PATH']}"}


def copy_home(to):
    """Puts Cargo's home at another path, with all downloads."""
    to.mkdir()
    for entry in pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo")).iterdir():
        (to / entry.name).symlink_to(entry)
    return {"CARGO_HOME": str(to)}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("reproducible: stopped by SIGTERM"))
    # Packages are built again by their own suite.
    released = sorted(file for file in (TOP / "dist").iterdir()
                      if "-linux-" in file.name or file.name == "loadline-image.tar")
    if not released:
        sys.exit("reproducible: dist is empty: `make release image` fills it")
    with tempfile.TemporaryDirectory(prefix="loadline-built-elsewhere-") as scratch:
        there = pathlib.Path(scratch) / "sources"
        copy_sources(there)
        # Variables of this make or of this directory must not reach the other build.
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("MAKE", "MFLAGS", "LOADLINE_", "CARGO_TARGET"))}
        environment |= copy_toolchain(there.with_name("rust")) | copy_home(there.with_name("cargo"))
        subprocess.run(["make", "--no-print-directory", "release", "image"], cwd=there, env=environment, check=True)
        good = True
        for file in released:
            same = file.read_bytes() == (there / "dist" / file.name).read_bytes()
            print(f"{'ok' if same else 'FAILED'}: {file.name} has the same bytes if built elsewhere")
            good = good and same
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
