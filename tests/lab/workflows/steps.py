#!/usr/bin/env python3
"""Runs the steps of the workflows in .github on this machine, as GitHub would for the tag of a release.

The release is made as CONTRIBUTING.md says: the changelog gets a section for the version, and the commit a tag.
The job that builds runs in this directory, below an overlay that is thrown away, so that what is compiled
already is used. The other jobs run in clones, with the files that the first has handed over. The image is
pushed to a registry on this machine.

Steps that only GitHub can run, and those that CI itself consists of, are listed with the reason.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent.parent
CANNOT = 2
# Seconds for one step.
PATIENCE = 1200

sys.path[:0] = [str(TOP / it) for it in ("tests", "tests/lab", "tests/lab/containers")]
import checks  # noqa: E402
import registry  # noqa: E402
import run as suites  # noqa: E402

setup = subprocess.run(["tests/lab/pypi", "tests/lab/workflows/requirements.txt"], cwd=TOP,
                       stdout=subprocess.PIPE, text=True)
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
    "cosign sign-blob": "a signature without a key needs the identity that GitHub gives to a job",
    "gh": "it needs GitHub",
}
# What runs in place of a step.
INSTEAD = {
    # tests/lab/crate builds what is packed.
    "cargo publish --locked --workspace": "cargo publish --locked --workspace --dry-run --no-verify",
    # A signature needs the same as below, but the image must be there.
    'cosign sign --yes "$NAME@$DIGEST"': 'skopeo inspect "docker://$NAME@$DIGEST"',
}
# The actions that hand over what the next steps need. All others are left out.
CHECKOUT, UPLOAD, DOWNLOAD = "actions/checkout", "actions/upload-artifact", "actions/download-artifact"
# The only architecture that is built. The suites release, image and packages build all.
ARCHITECTURE = "amd64"
EXPRESSION = re.compile(r"\$\{\{ *([\w.]+) *\}\}")


class Workflow:
    """A run of all jobs of a workflow, in the order of the file."""

    def __init__(self, file, package, address, scratch, clone):
        self.server, *repository = package["repository"].rsplit("/", 2)
        self.repository = "/".join(repository)
        self.name, self.release, self.scratch, self.clone = file.stem, package["version"], scratch, clone
        self.content = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
        self.address = address
        self.handed_over = scratch / "artifact"

    def run(self):
        for name, job in self.content["jobs"].items():
            if "uses" in job:
                print(f"not run: {self.name}: {name}: another workflow: {job['uses']}")
                continue
            for step in job["steps"]:
                step["run"] = " ".join(step.get("run", "").split())
            builds = any(UPLOAD in step.get("uses", "") for step in job["steps"])
            directory = TOP if builds and not self.clone else self.scratch / f"{self.name}-{name}"
            outputs = {"github.token": "token", "steps.auth.outputs.token": "token"}
            for step in job["steps"]:
                for good, what in self.run_step(job, step, directory, outputs):
                    yield good, f"{self.name}: {name}: {what}"
                    if not good:
                        return

    def run_step(self, job, step, directory, outputs):
        """Runs one step. `outputs` are the values of the expressions that the workflows use."""
        def resolve(variables):
            return {name: EXPRESSION.sub(lambda match: outputs[match[1]], str(value))
                    for name, value in variables.items()}

        command = step["run"]
        variables = resolve({**self.content.get("env", {}), **job.get("env", {}), **step.get("env", {})})
        reason = next((reason for begin, reason in LEFT_OUT.items() if f"{command} ".startswith(f"{begin} ")), None)
        if "uses" in step:
            self.use(step["uses"].partition("@")[0], resolve(step.get("with", {})), directory)
        elif reason:
            print(f"not run: {self.name}: {command}: {reason}")
        else:
            self.check_out(directory)
            instead = INSTEAD.get(command, command)
            begin = time.monotonic()
            done, added = self.execute(instead, directory / step.get("working-directory", ""), variables)
            outputs.update((f"steps.{step.get('id')}.outputs.{name}", value) for name, value in added)
            what = command if instead == command else f"{instead} (in place of {command})"
            what += f": {time.monotonic() - begin:.0f} s"
            yield not done.returncode, what if not done.returncode else f"{what}:\n{done.stdout}"

    def use(self, action, parameters, directory):
        if action == UPLOAD:
            shutil.copytree(directory / parameters["path"], self.handed_over, copy_function=shutil.copyfile)
        elif action == DOWNLOAD:
            self.check_out(directory)
            # What was handed over has lost its modes, as on GitHub.
            shutil.copytree(self.handed_over, directory / parameters["path"])
        elif action != CHECKOUT:
            print(f"not run: {self.name}: {action}: an action, which only GitHub runs")

    def check_out(self, directory):
        if not directory.exists():
            git("-c", "advice.detachedHead=false", "clone", "--quiet", "--depth=1", f"--branch=v{self.release}",
                f"file://{TOP}", str(directory))

    def execute(self, command, directory, variables):
        """Runs a command as GitHub does. Returns how it ended, and the outputs that it adds."""
        output = self.scratch / "output"
        output.write_text("", encoding="utf-8")
        environment = {**os.environ, "HOME": str(self.scratch), "GITHUB_OUTPUT": str(output),
                       "GITHUB_ACTOR": "somebody", "GITHUB_SERVER_URL": self.server,
                       "GITHUB_REPOSITORY": self.repository,
                       "GITHUB_REF_NAME": f"v{self.release}", "MAKEFLAGS": f"RELEASED={ARCHITECTURE}", **variables}
        if "REGISTRY" in variables:
            environment["REGISTRY"] = self.address
        done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command], cwd=directory,
                              env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
        return done, [line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines()]


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def make_release():
    """Commits and tags a release of what is in this directory, and returns what Cargo.toml says."""
    shutil.rmtree(TOP / "dist", ignore_errors=True)
    metadata = json.loads(subprocess.run(["cargo", "metadata", "--no-deps", "--format-version=1", "--locked"], cwd=TOP,
                                         check=True, stdout=subprocess.PIPE).stdout)
    package = metadata["packages"][0]
    version = package["version"]
    changelog = TOP / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    if f"\n## {version} - " not in text:
        changelog.write_text(text.replace("\n## Unreleased\n", f"\n## {version} - 2026-01-01\n"), encoding="utf-8")
    git("add", "--all")
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    git(*who, "commit", "--quiet", "--allow-empty", "--no-verify", "--message=A release")
    git("tag", "--force", f"v{version}")
    return package


def coverage():
    """What is left out because suites run it must be what suites run."""
    run_by_suites = {command for _, _, commands, _ in suites.SUITES for command in commands}
    check = subprocess.run(["make", "--dry-run", "check"], cwd=TOP, check=True, stdout=subprocess.PIPE,
                           text=True).stdout
    # All tests of cargo are those of the library, of the documentation and of one integration test.
    parts = {"cargo test --locked": [f"cargo test --locked {it}" for it in ("--lib", "--doc", "--test tests")]}
    missing = [part for line in check.splitlines() for part in parts.get(line, [line]) if part not in run_by_suites]
    yield not missing, "suites run all that make check runs" + (f", but not {missing}" if missing else "")
    known = {it for name, group, *_ in suites.SUITES for it in (name, group)}
    for file in sorted((TOP / ".github/workflows").glob("*.yml")):
        for picked in re.findall(r"--only (\S+)", file.read_text(encoding="utf-8")):
            yield picked in known, f"{file.stem}: {picked} names suites"


def inside(scratch, names, clone):
    address = registry.start(scratch)
    package = make_release()
    files = {name: TOP / f".github/workflows/{name}.yml" for name in names}
    cases = {name: Workflow(file, package, address, scratch, clone).run() for name, file in files.items()}
    passed = [checks.check("workflow-steps", name, case) for name, case in {"coverage": coverage(), **cases}.items()]
    return 0 if all(passed) else 1


def outside():
    if os.geteuid() != 0:
        print("steps: not run: only root can put an overlay on a directory")
        return CANNOT
    for command in (["tests/lab/apt", "install", "skopeo"], registry.SETUP):
        if subprocess.run(command, cwd=TOP, stdout=subprocess.DEVNULL).returncode:
            print("steps: not run: skopeo and docker-registry cannot be had from Debian's packages")
            return CANNOT
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.run([*namespaces, sys.executable, __file__, "--inside", *sys.argv[1:]]).returncode


def overlay(directory, scratch):
    """What is written to a directory from now on goes elsewhere."""
    upper, work = (pathlib.Path(tempfile.mkdtemp(dir=scratch)) for _ in range(2))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={directory},upperdir={upper},workdir={work}",
                    directory], check=True)


def main():
    names = sorted(it.stem for it in (TOP / ".github/workflows").glob("*.yml"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clone", action="store_true",
                        help="let the job that builds run in a clone too, which takes minutes")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("workflow", nargs="*", choices=[[], *names], metavar="WORKFLOW",
                        help=f"one of {', '.join(names)}")
    arguments = parser.parse_args()
    if not arguments.inside:
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
    return inside(scratch, arguments.workflow or names, arguments.clone)


if __name__ == "__main__":
    sys.exit(main())
