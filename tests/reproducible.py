#!/usr/bin/env python3
"""Builds the release and its image again in another place, and checks that every file in dist has the same bytes.

    tests/reproducible.py [ARCHITECTURE...]

The other place is a shallow clone with the changes of this tree, in a directory with a longer name. The paths
of the Rust toolchain and of Cargo's home differ too, as on another machine. If it can, root builds there as the
user nobody. Given architectures, only the files of these are built again, and the image contains the others as
they are.
"""

import os
import pathlib
import pwd
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
    home = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    for name in ("registry/cache", "registry/index"):
        shutil.copytree(home / name, to / name)
    for name in ("config.toml", "config"):
        if (home / name).exists():
            shutil.copy(home / name, to)
    return {"CARGO_HOME": str(to)}


def give(user, *trees):
    """Makes a user the owner of some trees, and the only one who can write there."""
    for tree in trees:
        for path in [tree, *tree.rglob("*")]:
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def build(there, architectures, released):
    """Builds the files of some architectures there, and the image with the released files of the others."""
    scratch = there.parent
    toolchain, home = scratch / "rust", scratch / "cargo"
    # Variables of this make or of this directory must not reach the other build.
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("MAKE", "MFLAGS", "LOADLINE_", "CARGO_TARGET"))}
    environment |= copy_toolchain(toolchain) | copy_home(home)
    (there / "dist").mkdir()
    others = [file for file in released if "-linux-" in file.name and file.name.rpartition("-")[2] not in architectures]
    for file in others:
        shutil.copy2(file, there / "dist")
    old = [f"--old-file=dist/{file.name}" for file in others]
    command = ["make", "--jobs=2", "--no-print-directory", *old, "release", "image"]
    options = {}
    if os.geteuid() == 0 and toolchain.exists():
        user = pwd.getpwnam("nobody")
        give(user, there, home)
        scratch.chmod(0o755)
        environment |= {"HOME": str(scratch), "USER": user.pw_name}
        options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    print(f"building {', '.join(architectures)} as {'nobody' if options else 'the same user'} in {there}", flush=True)
    subprocess.run(command, cwd=there, env=environment, check=True, **options)
    return [file for file in released if file not in others]


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("reproducible: stopped by SIGTERM"))
    # Packages are built again by their own suite.
    released = sorted(file for file in (TOP / "dist").iterdir()
                      if "-linux-" in file.name or file.name == "loadline-image.tar")
    if not released:
        sys.exit("reproducible: dist is empty: `make release image` fills it")
    names = [file.name.rpartition("-")[2] for file in released if file.name.startswith("loadline-linux-")]
    with tempfile.TemporaryDirectory(prefix="loadline-built-elsewhere-") as scratch:
        there = pathlib.Path(scratch) / "sources"
        copy_sources(there)
        good = True
        for file in build(there, sys.argv[1:] or names, released):
            same = file.read_bytes() == (there / "dist" / file.name).read_bytes()
            print(f"{'ok' if same else 'FAILED'}: {file.name} has the same bytes if built elsewhere")
            good = good and same
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
