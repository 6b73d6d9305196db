#!/usr/bin/env python3
"""Runs the steps of the workflows in .github on this machine, as GitHub would for the tag of a release.

The release is made as CONTRIBUTING.md says: the changelog gets a section for the version, and the commit a tag.
The job that builds runs in this directory, below an overlay that is thrown away, so that what is compiled
already is used. The other jobs run in clones, with the files that the first has handed over. The image is
pushed to a registry on this machine.

Steps that only GitHub can run, and those that CI itself consists of, are listed with the reason. With --clone the
job that builds runs in a clone too, which takes minutes.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent.parent
INSIDE = "--inside"
CANNOT = 2
# Seconds for one step.
PATIENCE = 1200

sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/lab/containers")]
import registry  # noqa: E402
import run as suites  # noqa: E402

setup = subprocess.run(["tests/lab/pypi", "tests/lab/workflows/requirements.txt"], cwd=TOP, stdout=subprocess.PIPE, text=True)
if setup.returncode:
    print("steps: not run: a reader of YAML cannot be downloaded from PyPI")
    sys.exit(CANNOT)
sys.path.insert(0, setup.stdout.strip())
from ruamel.yaml import YAML  # noqa: E402

# The steps that do not run here, by how their commands begin.
LEFT_OUT = {
    "rustup update": "it would change the toolchain of this machine",
    "tests/run.py": "the suites of CI",
    "bash .ci/run": "the suites of CI",
    "make check": "the suites rustfmt, clippy, unit and integration",
    "cosign": "a signature without a key needs the identity that GitHub gives to a job",
    "gh": "it needs GitHub",
}
# What runs in place of a step.
INSTEAD = {"cargo publish --locked --workspace": "cargo publish --locked --workspace --dry-run"}
# The actions that hand over what the next steps need. All others are left out.
CHECKOUT, UPLOAD, DOWNLOAD = "actions/checkout", "actions/upload-artifact", "actions/download-artifact"
EXPRESSION = re.compile(r"\$\{\{ *([\w.]+) *\}\}")


class Workflow:
    """A run of all jobs of a workflow, in the order of the file."""

    def __init__(self, file, release, address, scratch):
        self.name, self.release, self.scratch = file.stem, release, scratch
        self.content = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
        self.address = address
        self.handed_over = scratch / "artifact"

    def values(self, outputs):
        """The values of the expressions that the workflows use."""
        return {"github.token": "token", "steps.auth.outputs.token": "token",
                **{f"steps.{step}.outputs.{name}": value for (step, name), value in outputs.items()}}

    def run(self):
        for name, job in self.content["jobs"].items():
            if "uses" in job:
                print(f"{self.name}: {name}: not run: another workflow: {job['uses']}")
                continue
            yield from self.run_job(name, job)

    def run_job(self, name, job):
        builds = any(UPLOAD in step.get("uses", "") for step in job["steps"])
        directory = TOP if builds and "--clone" not in sys.argv else self.scratch / f"{self.name}-{name}"
        outputs = {}
        for step in job["steps"]:
            if "uses" in step:
                self.use(name, step, directory)
                continue
            command = " ".join(step["run"].split())
            reason = next((reason for begin, reason in LEFT_OUT.items() if f"{command} ".startswith(f"{begin} ")), None)
            if reason:
                print(f"{self.name}: {name}: not run: {command}: {reason}")
                continue
            instead = INSTEAD.get(command, command)
            variables = {**self.content.get("env", {}), **job.get("env", {}), **step.get("env", {})}
            good, text = self.run_step(instead, directory / step.get("working-directory", ""), variables, outputs,
                                       step.get("id"))
            yield good, f"{self.name}: {name}: {instead}" + ("" if good else f":\n{text}")

    def use(self, job, step, directory):
        action = step["uses"].partition("@")[0]
        if action == CHECKOUT:
            if directory != TOP:
                git("clone", "--quiet", f"--branch=v{self.release}", f"file://{TOP}", str(directory))
        elif action == UPLOAD:
            shutil.copytree(directory / step["with"]["path"], self.handed_over, copy_function=shutil.copyfile)
        elif action == DOWNLOAD:
            # What was handed over has lost its modes, as on GitHub.
            shutil.copytree(self.handed_over, directory / step["with"]["path"])
        else:
            print(f"{self.name}: {job}: not run: {action}: an action, which only GitHub runs")

    def run_step(self, command, directory, variables, outputs, step):
        values = self.values(outputs)
        file = self.scratch / "output"
        file.write_text("", encoding="utf-8")
        environment = {**os.environ, "HOME": str(self.scratch), "GITHUB_OUTPUT": str(file), "GITHUB_ACTOR": "somebody",
                       "GITHUB_REF_NAME": f"v{self.release}", "GITHUB_REPOSITORY": "Somebody/loadline"}
        for name, value in variables.items():
            environment[name] = EXPRESSION.sub(lambda match: values[match[1]], str(value))
        if "REGISTRY" in environment:
            environment["REGISTRY"] = self.address
        done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command], cwd=directory,
                              env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
        for line in file.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            outputs[step, name] = value
        return done.returncode == 0, done.stdout


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def make_release():
    """Commits and tags a release of what is in this directory, and returns its version."""
    shutil.rmtree(TOP / "dist", ignore_errors=True)
    metadata = json.loads(subprocess.run(["cargo", "metadata", "--no-deps", "--format-version=1", "--locked"], cwd=TOP,
                                         check=True, stdout=subprocess.PIPE).stdout)
    version = metadata["packages"][0]["version"]
    changelog = TOP / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    changelog.write_text(re.sub("^## Unreleased$", f"## {version} - 2026-01-01", text, flags=re.MULTILINE), encoding="utf-8")
    git("add", "--all")
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    git(*who, "commit", "--quiet", "--allow-empty", "--no-verify", "--message=A release")
    git("tag", "--force", f"v{version}")
    return version


def coverage():
    """What is left out because suites run it must be what suites run."""
    run_by_suites = {command for _, _, commands, _ in suites.SUITES for command in commands}
    check = subprocess.run(["make", "--dry-run", "check"], cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout
    # All tests of cargo are those of the library, of the documentation and of one integration test.
    parts = {"cargo test --locked": ["cargo test --locked --lib", "cargo test --locked --doc", "cargo test --locked --test tests"]}
    missing = [part for line in check.splitlines() for part in parts.get(line, [line]) if part not in run_by_suites]
    yield not missing, "suites run all that make check runs" + (f", but not {missing}" if missing else "")


def inside(scratch):
    address = registry.start(scratch)
    release = make_release()
    passed = True

    def report(good, what):
        nonlocal passed
        print(f"{'ok' if good else 'FAILED'}: workflow-steps: {what}", flush=True)
        passed = passed and good

    for good, what in coverage():
        report(good, what)
    for file in sorted((TOP / ".github/workflows").glob("*.yml")):
        for good, what in Workflow(file, release, address, scratch).run():
            report(good, what)
    return 0 if passed else 1


def outside():
    if os.geteuid() != 0:
        print("steps: not run: only root can put an overlay on a directory")
        return CANNOT
    for command in (["tests/lab/apt", "install", "skopeo"], registry.SETUP):
        if subprocess.run(command, cwd=TOP, stdout=subprocess.DEVNULL).returncode:
            print("steps: not run: skopeo and docker-registry cannot be had from Debian's packages")
            return CANNOT
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.run([*namespaces, sys.executable, __file__, INSIDE, *sys.argv[1:]]).returncode


def overlay(directory, scratch):
    """What is written to a directory from now on goes elsewhere."""
    upper, work = (pathlib.Path(tempfile.mkdtemp(dir=scratch)) for _ in range(2))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={directory},upperdir={upper},workdir={work}",
                    directory], check=True)


def main():
    if INSIDE not in sys.argv:
        return outside()
    # In memory, so it ends with the namespaces. Cargo and rustup are used as they are.
    scratch = pathlib.Path("/run/workflows")
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    scratch.mkdir()
    for name, directory in (("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"), ("PYENV_ROOT", ".pyenv")):
        os.environ.setdefault(name, str(pathlib.Path.home() / directory))
    for directory in (TOP, pathlib.Path("/etc")):
        overlay(directory, scratch)
    os.chdir(TOP)
    return inside(scratch)


if __name__ == "__main__":
    sys.exit(main())
