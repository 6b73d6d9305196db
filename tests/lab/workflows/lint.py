#!/usr/bin/env python3
"""Checks the workflows in .github with actionlint, zizmor and check-jsonschema. Each of them must find mistakes.

zizmor's audits that ask GitHub are left out.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent.parent
GITHUB = TOP / ".github"
CANNOT = 2

setup = subprocess.run(["tests/lab/pypi", "tests/lab/workflows/requirements.txt"], cwd=TOP,
                       stdout=subprocess.PIPE, text=True)
if setup.returncode:
    print("workflows: not run: the tools cannot be downloaded from PyPI")
    sys.exit(CANNOT)
LAB = pathlib.Path(setup.stdout.strip())
sys.path[:0] = [str(LAB), str(TOP / "tests/lab")]
import checks  # noqa: E402
from ruamel.yaml import YAML  # noqa: E402


def said(*command):
    """What a tool says about mistakes, or nothing."""
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(LAB)}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip() if done.returncode else ""


def actionlint(directory):
    return said(LAB / "bin/actionlint", "-no-color", f"-shellcheck={LAB / 'bin/shellcheck'}", *workflows(directory))


def zizmor(directory):
    return said(LAB / "bin/zizmor", "--quiet", "--color=never", "--offline", "--persona=auditor", directory)


def schema(directory):
    check = (LAB / "bin/check-jsonschema", "--builtin-schema")
    return said(*check, "vendor.github-workflows", *workflows(directory)) + \
        said(*check, "vendor.dependabot", directory / "dependabot.yml")


def commands(directory):
    """A step is one command, so that everything can be run elsewhere too."""
    mistakes = []
    for file in workflows(directory):
        for name, job in read(file)["jobs"].items():
            mistakes += [f"{file.name}: {name}: {step['run']}" for step in job.get("steps", [])
                         if any(it in step.get("run", "") for it in ("\n", ";", "&&", "||", " | "))]
    return "\n".join(mistakes)


def workflows(directory):
    return sorted((directory / "workflows").glob("*.yml"))


def read(file):
    return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))


# For each tool: a text in a workflow, what takes its place, and what the tool then says.
MISTAKES = [
    (actionlint, "steps.push.outputs.name }}", "steps.pushed.outputs.name }}", "pushed"),
    (actionlint, "needs: build\n", "needs: built\n", "built"),
    (actionlint, '"$NAME@$DIGEST"', "$NAME@$DIGEST", "SC2086"),
    (actionlint, "ubuntu-24.04", "ubuntu-24.4", "ubuntu-24.4"),
    (zizmor, "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7.0.1", "unpinned-uses"),
    (zizmor, "permissions: {}", "permissions: write-all", "excessive-permissions"),
    (zizmor, "persist-credentials: false", "persist-credentials: true", "artipacked"),
    (zizmor, '"$GITHUB_REF_NAME" --address', '"${{ github.ref_name }}" --address', "template-injection"),
    (zizmor, "cooldown:\n      default-days: 7", "open-pull-requests-limit: 5", "dependabot-cooldown"),
    (schema, "timeout-minutes", "timeout_minutes", "timeout_minutes"),
    (schema, "interval: weekly", "interval: often", "often"),
    (commands, "- run: make notes", "- run: make notes && make sbom", "make sbom"),
]


def mistakes():
    for tool, text, other, expected in MISTAKES:
        with tempfile.TemporaryDirectory() as scratch:
            copy = pathlib.Path(scratch) / ".github"
            (copy / "workflows").mkdir(parents=True)
            count = 0
            for file in [*workflows(GITHUB), GITHUB / "dependabot.yml"]:
                content = file.read_text(encoding="utf-8")
                count += content.count(text)
                (copy / file.relative_to(GITHUB)).write_text(content.replace(text, other), encoding="utf-8")
            found = tool(copy) if count else "the workflows do not contain it"
        yield expected in found, f"{tool.__name__} refuses {other!r}" + ("" if expected in found else f": {found}")


def tools():
    for tool in (actionlint, zizmor, schema, commands):
        found = tool(GITHUB)
        yield not found, f"{tool.__name__}: {found or f'{len(workflows(GITHUB))} workflows'}"


if __name__ == "__main__":
    sys.exit(checks.run("workflows", (tools, mistakes)))
