#!/usr/bin/env python3
"""packaging/notes.py [--tag TAG] [--address URL] FILE: writes the section of CHANGELOG.md for the version in Cargo.toml to FILE,
as the notes of its release. It fails if there is no such section, if TAG is not "v" and that version, or if URL is
not the address of the repository in Cargo.toml."""

import argparse
import pathlib
import re
import sys
import tomllib

TOP = pathlib.Path(__file__).resolve().parent.parent
HEADING = "## {version} - YEAR-MONTH-DAY"


def package():
    manifest = tomllib.loads((TOP / "Cargo.toml").read_text(encoding="utf-8"))
    return manifest["workspace"]["package"]


def section(changelog, wanted):
    """The text below the heading of a version."""
    heading = re.compile(rf"^## {re.escape(wanted)} - \d{{4}}-\d\d-\d\d$", re.MULTILINE)
    parts = heading.split(changelog)
    if len(parts) != 2:
        raise ValueError(f"CHANGELOG.md has {len(parts) - 1} headings \"{HEADING.format(version=wanted)}\", not one")
    text = parts[1].split("\n## ")[0].strip()
    if not text:
        raise ValueError(f"the section for {wanted} in CHANGELOG.md is empty")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", help="the tag that is released")
    parser.add_argument("--address", help="the address of the repository that it is released from")
    parser.add_argument("file", type=pathlib.Path)
    arguments = parser.parse_args()
    wanted, address = package()["version"], package()["repository"]
    if arguments.tag not in (None, f"v{wanted}"):
        sys.exit(f"notes: the tag is {arguments.tag}, but Cargo.toml has the version {wanted}")
    if arguments.address not in (None, address):
        sys.exit(f"notes: the repository is {arguments.address}, but Cargo.toml names {address}")
    try:
        text = section((TOP / "CHANGELOG.md").read_text(encoding="utf-8"), wanted)
    except ValueError as error:
        sys.exit(f"notes: {error}")
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    arguments.file.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
