#!/usr/bin/env python3
"""What is published beside the programs: SHA256SUMS, the SBOM and the notes of `make checksums notes`.

The crates in the SBOM must be those that Cargo really compiles for each program, and the SBOM must follow
Cargo.lock. A file, a document or a changelog with a mistake must be found.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import checks
from checks import equal

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
DIST = TOP / "dist"
SUMS, SBOM = "SHA256SUMS", "loadline.cdx.json"
# How `make` builds each program.
TARGETS = {"loadline": "artifact", "loadline-runtime": "runtime"}
# Passes Cargo's messages on, which name each crate that is compiled or was.
CARGO = '#!/bin/sh\nexec cargo "$@" --message-format=json-render-diagnostics\n'
CANNOT = 2

sys.path.insert(0, str(TOP / "tests"))
import reproducible  # noqa: E402


def setup(requirements):
    done = subprocess.run(["tests/lab/pypi", requirements], cwd=TOP, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"publishing: not run: the packages of {requirements} cannot be downloaded")
        sys.exit(CANNOT)
    sys.path.insert(0, done.stdout.strip())


setup("tests/lab/workflows/requirements.txt")
setup("packaging/requirements.txt")
from cyclonedx.schema import SchemaVersion  # noqa: E402
from cyclonedx.validation.json import JsonStrictValidator  # noqa: E402


def said(*command, cwd=TOP):
    """Whether a command succeeds, and the lines of all that it says."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout


def read_sbom(directory=DIST):
    return json.loads((directory / SBOM).read_text(encoding="utf-8"))


def names(directory):
    return sorted(it.name for it in directory.iterdir())


def sums():
    listed = [line.split()[1] for line in (DIST / SUMS).read_text(encoding="utf-8").splitlines()]
    others = [it for it in names(DIST) if not it.startswith(SUMS)]
    yield equal(listed, others, "SHA256SUMS has every other file in dist")
    good, text = said("sha256sum", "--check", "--strict", SUMS, cwd=DIST)
    yield good, "sha256sum --check" if good else text
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / SUMS).write_bytes((DIST / SUMS).read_bytes())
        file = "loadline-linux-amd64"
        (scratch / file).write_bytes((DIST / file).read_bytes())
        check = ("sha256sum", "--check", "--ignore-missing", SUMS)
        yield equal(said(*check, cwd=scratch), (True, f"{file}: OK\n"), "one file can be checked without the others")
        (scratch / file).write_bytes((DIST / file).read_bytes()[:-1])
        good, text = said(*check, cwd=scratch)
        yield not good and f"{file}: FAILED" in text, "a changed file is found"


def schema():
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    text = (DIST / SBOM).read_text(encoding="utf-8")
    mistake = validator.validate_str(text)
    yield not mistake, f"{SBOM} is valid CycloneDX 1.6" + (f": {mistake}" if mistake else "")
    broken = read_sbom()
    broken["components"][0]["type"] = "programme"
    yield bool(validator.validate_str(json.dumps(broken))), "a component of an unknown type is refused"
    references = [it["bom-ref"] for it in broken["components"]]
    used = {it for dependency in broken["dependencies"] for it in dependency.get("dependsOn", [])}
    yield equal(sorted(used), sorted(references), "every component is used by another")


def files():
    described = {it["name"]: it["hashes"][0]["content"] for it in read_sbom()["components"]
                 if it["type"] in ("application", "container", "file")}
    published = {it: hashlib.sha256((DIST / it).read_bytes()).hexdigest() for it in names(DIST)
                 if it not in (SUMS, SBOM)}
    yield equal(described, published, "the SBOM has the hash of every file")
    before = (DIST / SBOM).read_bytes()
    subprocess.run(["packaging/sbom.py", DIST / SBOM], cwd=TOP, check=True, stdout=subprocess.DEVNULL)
    yield (DIST / SBOM).read_bytes() == before, "the same bytes each time"
    with tempfile.TemporaryDirectory() as scratch:
        program, old = "loadline-linux-amd64", "loadline_0.0.1_amd64.deb"
        (pathlib.Path(scratch) / program).write_bytes((DIST / program).read_bytes())
        (pathlib.Path(scratch) / old).touch()
        good, text = said("packaging/sbom.py", f"{scratch}/{SBOM}")
        yield not good and f"sbom: {old} is a package of no program" in text, "a package of another version is refused"


def in_sbom(sbom, file):
    """What a file consists of, by the SBOM: the crates, and the versions of the other libraries."""
    components = {it["bom-ref"]: it for it in sbom["components"]}
    needs = next(it["dependsOn"] for it in sbom["dependencies"] if it["ref"] == file)
    crates = {(components[it]["name"], components[it]["version"]) for it in needs if it.startswith("crate:")}
    return crates, {components[it]["name"]: components[it]["version"] for it in needs if not it.startswith("crate:")}


def compiled(program, architecture, scratch):
    """The crates that Cargo compiles for a program, and those of them that come from crates.io."""
    cargo = scratch / "cargo"
    cargo.write_text(CARGO, encoding="utf-8")
    cargo.chmod(0o755)
    output = subprocess.run(
        ["make", "--silent", TARGETS[program], f"ARCH={architecture}", f"OUT=target/artifact/{architecture}",
         f"CARGO={cargo}"], cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    target, _ = subprocess.run(["make", "--no-print-directory", "--silent", "target", f"ARCH={architecture}"], cwd=TOP,
                               check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    for message in messages:
        if message["reason"] != "compiler-artifact" or message["target"]["kind"] != ["lib"]:
            continue
        for_target = f"/{target}/" in message["filenames"][0]
        # The crates of the standard library are one component.
        of_std = "rustc-dep-of-std" in message["features"] or "/rustlib/src/" in message["package_id"]
        if for_target and not of_std:
            name, _, version = re.split("[/#]", message["package_id"])[-1].rpartition("@")
            # The ID of a package in a directory of its name is without the name.
            yield name or message["target"]["name"].replace("_", "-"), version


def libraries():
    sbom = read_sbom()
    compiler = re.compile(rb"rustc version (\d\S+)")
    with tempfile.TemporaryDirectory() as scratch:
        for file in sorted(DIST.glob("*-linux-*")):
            program, _, architecture = file.name.partition("-linux-")
            crates, others = in_sbom(sbom, file.name)
            built = set(compiled(program, architecture, pathlib.Path(scratch)))
            yield equal(crates, built, f"{file.name}: the crates that are compiled for it")
            version, = set(compiler.findall(file.read_bytes()))
            yield equal(others["rust-std"], version.decode(), f"{file.name}: the version of Rust that the file names")
            yield others.keys() == {"rust-std", "musl"}, f"{file.name}: also the standard library and musl"
    unlicensed = [it["name"] for it in sbom["components"] if not it.get("licenses")]
    yield equal(unlicensed, [], "every component has a license")


def lock_file():
    """In a copy of the sources with another version of one crate."""
    crate, other = "cfg-if", "1.0.4"
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / "sources"
        reproducible.copy_sources(copy)
        (copy / "target").mkdir()
        (copy / "target/lab").symlink_to(TOP / "target/lab")
        (copy / "dist").mkdir()
        program = "loadline-linux-amd64"
        (copy / "dist" / program).write_bytes((DIST / program).read_bytes())
        before = dict(in_sbom(read_sbom(), program)[0])
        subprocess.run(["cargo", "--quiet", "update", "--package", crate, "--precise", other], cwd=copy, check=True)
        subprocess.run(["packaging/sbom.py", f"dist/{SBOM}"], cwd=copy, check=True, stdout=subprocess.DEVNULL)
        after = dict(in_sbom(read_sbom(copy / "dist"), program)[0])
        yield before[crate] != other, f"{crate} has the version {before[crate]}"
        yield equal(after, before | {crate: other}, f"with {crate} {other} in Cargo.lock, the SBOM has that")


ONE = "## {0} - 2026-01-02\n\nIt.\n"
HEADINGS = 'CHANGELOG.md has {1} headings "## {0} - YEAR-MONTH-DAY", not one'
# The changelog for the version {0}, arguments, and the notes or the error.
NOTES = {
    "the section of the version": (f"# Changelog\n\n## 9.0.0 - 2026-02-01\n\nNew.\n\n{ONE}\n### Added\n\n- That.\n"
                                   "\n## 0.0.1 - 2026-01-01\n\nOld.\n", [], "It.\n\n### Added\n\n- That.\n"),
    "the tag": (ONE, ["--tag", "v{0}"], "It.\n"),
    "another tag": (ONE, ["--tag", "{0}"], "the tag is {0}, but Cargo.toml has the version {0}"),
    "another address": (ONE, ["--address", "https://example.org/other"],
                        "the repository is https://example.org/other, but Cargo.toml names {1}"),
    "no section": ("## Unreleased\n\nIt.\n", [], HEADINGS.format("{0}", 0)),
    "a section without a date": ("## {0}\n\nIt.\n", [], HEADINGS.format("{0}", 0)),
    "two sections": (ONE + ONE, [], HEADINGS.format("{0}", 2)),
    "an empty section": ("## {0} - 2026-01-02\n\n## 0.0.1 - 2026-01-01\n", [],
                         "the section for {0} in CHANGELOG.md is empty"),
}


def notes():
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for name in ("Cargo.toml", "packaging/notes.py"):
            (scratch / name).parent.mkdir(exist_ok=True)
            (scratch / name).write_bytes((TOP / name).read_bytes())
        version = read_sbom()["metadata"]["component"]["version"]
        package = tomllib.loads((TOP / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]
        for what, (changelog, arguments, expected) in NOTES.items():
            (scratch / "CHANGELOG.md").write_text(changelog.format(version), encoding="utf-8")
            good, text = said(sys.executable, "packaging/notes.py", *[it.format(version) for it in arguments],
                              "target/notes.md", cwd=scratch)
            expected = expected.format(version, package["repository"])
            if good:
                yield equal((scratch / "target/notes.md").read_text(encoding="utf-8"), expected, f"notes: {what}")
            else:
                yield equal(text, f"notes: {expected}\n", f"notes: {what} is refused")


def main():
    return checks.run("publishing", (sums, schema, files, libraries, lock_file, notes))


if __name__ == "__main__":
    sys.exit(main())
