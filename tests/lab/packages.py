#!/usr/bin/env python3
"""The packages of `make packages`: what they contain, what lintian says, and that they can be installed and
removed. Installing goes into a directory of its own."""

import gzip
import hashlib
import io
import json
import pathlib
import platform
import subprocess
import sys
import tarfile
import tempfile

import checks
from checks import equal

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
DIST = TOP / "dist"
CANNOT = 2
NAMES = ["loadline", "loadline-runtime"]
KINDS = ("deb", "rpm", "apk")
# The name of each architecture in each kind of package.
ARCHITECTURES = {
    "amd64": ("amd64", "x86_64", "x86_64"), "arm64": ("arm64", "aarch64", "aarch64"),
    "armv7": ("armhf", "armv7hl", "armv7"), "386": ("i386", "i386", "x86"),
    "riscv64": ("riscv64", "riscv64", "riscv64"), "ppc64le": ("ppc64el", "ppc64le", "ppc64le"),
    "s390x": ("s390x", "s390x", "s390x"),
}
# Those for which there is an OCI runtime.
RUNTIMES = ("amd64", "arm64")
OWN = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def version():
    metadata = json.loads(output("cargo", "metadata", "--no-deps", "--format-version=1", "--locked", cwd=TOP))
    return next(it["version"] for it in metadata["packages"] if it["name"] == "loadline")


def released():
    """Each architecture, with the names of the programs that are released for it."""
    for architecture in ARCHITECTURES:
        yield architecture, NAMES if architecture in RUNTIMES else NAMES[:1]


def file(name, kind, architecture):
    own = ARCHITECTURES[architecture][KINDS.index(kind)]
    return DIST / (f"{name}-{version()}-1.{own}.rpm" if kind == "rpm" else f"{name}_{version()}_{own}.{kind}")


def expected(name):
    completion = {f"/usr/share/{it}" for it in ("bash-completion/completions/loadline",
                                               "zsh/vendor-completions/_loadline",
                                               "fish/vendor_completions.d/loadline.fish")}
    return {f"/usr/bin/{name}", f"/usr/share/doc/{name}/copyright", f"/usr/share/doc/{name}/changelog.gz",
            f"/usr/share/man/man1/{name}.1.gz", *(completion if name == "loadline" else ())}


def contents(path):
    """The files of a package, and the hash of the program."""
    if path.suffix == ".rpm":
        listed = output("rpm", "--query", "--package", "--queryformat", "[%{FILENAMES} %{FILEDIGESTS}\n]", path)
        return {line.split()[0]: line.split()[1] for line in listed.splitlines() if len(line.split()) == 2}
    if path.suffix == ".deb":
        archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], check=True, stdout=subprocess.PIPE).stdout
    else:
        # Three archives, one after the other: signature or control, and data.
        archive = gzip.decompress(path.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(archive), ignore_zeros=True) as files:
        return {f"/{it.name.removeprefix('./')}": hashlib.sha256(files.extractfile(it).read()).hexdigest()
                for it in files if it.isfile()}


def what_they_contain():
    for architecture, names in released():
        for name in names:
            program = hashlib.sha256((DIST / f"{name}-linux-{architecture}").read_bytes()).hexdigest()
            for kind in KINDS:
                path = file(name, kind, architecture)
                found = contents(path)
                own = {it for it in found if it.startswith("/usr/") and "/lintian/" not in it}
                yield equal((own, found.get(f"/usr/bin/{name}")), (expected(name), program),
                            f"{path.name}: the program and its documents")


def lintian():
    for architecture, names in released():
        paths = [file(name, "deb", architecture) for name in names]
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", *paths], capture_output=True,
                              text=True)
        yield done.returncode == 0, f"lintian: {architecture} {done.stdout}{done.stderr}".strip()


def installed_and_removed():
    for name in NAMES:
        with tempfile.TemporaryDirectory(prefix="loadline-packages-") as root:
            root = pathlib.Path(root)
            for part in ("info", "updates", "triggers"):
                (root / "var/lib/dpkg" / part).mkdir(parents=True)
            (root / "var/lib/dpkg/status").touch()
            dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-script-chrootless"]
            output(*dpkg, "--install", file(name, "deb", OWN))
            said = output(root / "usr/bin" / name, "--version")
            yield said.startswith(f"{name} version {version()}"), f"{name}: installed, --version: {said.strip()}"
            page = output("man", "--pager=cat", "--local-file", root / f"usr/share/man/man1/{name}.1.gz")
            yield name in page and "SYNOPSIS" in page, f"{name}: the man page can be read"
            output(*dpkg, "--purge", name)
            left = [it for it in root.rglob("*") if it.is_file() and "var/lib/dpkg" not in str(it)]
            yield equal(left, [], f"{name}: removed, nothing is left")


def reproducible():
    before = {it.name: it.read_bytes() for it in DIST.iterdir() if it.suffix in (".deb", ".rpm", ".apk")}
    for architecture, names in released():
        output("packaging/build", architecture, *names, cwd=TOP)
    for name, data in sorted(before.items()):
        yield (DIST / name).read_bytes() == data, f"{name}: the same bytes each time"


def main():
    if subprocess.run([TOP / "tests/lab/apt", "install", "lintian", "rpm", "man-db"]).returncode:
        print("packages: not run: lintian, rpm and man-db cannot be installed")
        return CANNOT
    return checks.run("packages", (what_they_contain, lintian, installed_and_removed, reproducible))


if __name__ == "__main__":
    sys.exit(main())
