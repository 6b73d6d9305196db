#!/usr/bin/env python3
"""Dockerfile.example with the real toolchains, by BuildKit, by Docker's classic builder, and by Podman.

The images that it begins with are made on this machine, by the script `toolchains` beside this file. The commands
in the stages use the network of this machine: rustup adds what is missing, and Cargo downloads crates.
"""

import json
import os
import subprocess
import tarfile

import suite
from container import equal
from docker import Service, check_service, docker, start_daemon
from podman import Podman, podman
from suite import CGROUP, HOME, LAB, TOP

RELEASED = {name: TOP / f"dist/loadline-linux-{name}" for name in ("amd64", "arm64")}
NATIVE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
FOREIGN = "arm64" if NATIVE == "amd64" else "amd64"
# As the images on Docker Hub have them.
VARIABLES = {
    "PATH": "/usr/local/cargo/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "RUSTUP_HOME": "/usr/local/rustup", "CARGO_HOME": "/usr/local/cargo", "GOTOOLCHAIN": "local"}
STATIC = "FROM scratch\nCOPY . /\nUSER 65532\nWORKDIR /home/nonroot\n"
# The user of each target.
TARGETS = {"distroless": "65532", "from-scratch": "65532:65532"}


class ServiceInPodman(Podman):
    """The same as `Service`."""

    stderr = subprocess.STDOUT

    def __init__(self, image):
        super().__init__("--memory=400m", "--memory-swap=400m", "--cpus=0.5")
        self.image = image

    def run_command(self):
        return [*podman("run"), "--rm", "--network=none", f"--cgroup-parent=/{CGROUP}",
                "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", f"--name={self.name}", *self.options,
                self.image]


def run_podman(command, *arguments):
    finished = subprocess.run([*podman(command), *arguments], check=True, capture_output=True, text=True)
    return finished.stdout.strip()


def toolchains():
    """What the script has made."""
    made = subprocess.run([TOP / "tests/lab/containers/toolchains"], check=True, stdout=subprocess.PIPE, text=True)
    return made.stdout.strip()


def prepare():
    start_daemon(HOME)
    # Podman reads Docker's configuration, and insists on the file.
    (HOME / "config").mkdir(exist_ok=True)
    (HOME / "config/config.json").write_text("{}")
    changes = [f"--change=ENV {name}={value}" for name, value in VARIABLES.items()]
    docker("import", *changes, f"{toolchains()}/root.tar", "toolchains")
    (HOME / "Dockerfile.static").write_text(STATIC)
    docker("build", "--quiet", "--network=none", "--tag=static", f"--file={HOME}/Dockerfile.static",
           f"{toolchains()}/static")


def arguments(toolchain):
    return ["--network=host", f"--file={TOP}/Dockerfile.example", f"--build-arg=RUST_IMAGE={toolchain}",
            f"--build-arg=GO_IMAGE={toolchain}", "--build-arg=FINAL_IMAGE=static"]


def buildkit(*options, **more):
    """Newer clients need a plugin for BuildKit, and Debian 12's does not."""
    plugin = subprocess.run(["docker", "buildx", "version"], capture_output=True).returncode == 0
    subprocess.run(["docker" if plugin else "/usr/bin/docker", "build", "--progress=plain", *options], check=True,
                   env={**os.environ, "DOCKER_BUILDKIT": "1"}, capture_output=True, **more)


def by_buildkit():
    # The default is `distroless`.
    for target, option in (("distroless", []), ("from-scratch", ["--target=from-scratch"])):
        buildkit(*arguments("toolchains"), *option, f"--tag={target}", TOP)
        yield from check_image(f"BuildKit, {target}", docker, target, target)
        with Service(target) as container:
            yield from check_service(f"BuildKit, {target}", container)
    # For the others, with what these commands have added and built.
    buildkit(*arguments("toolchains"), "--target=loadline", "--tag=built", TOP)


def by_buildkit_for_another_machine():
    """From an archive without .git."""
    commit = subprocess.run(["git", "-C", TOP, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True,
                            text=True).stdout.strip()
    names = subprocess.run(["git", "-C", TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           check=True, capture_output=True).stdout
    archive = subprocess.run(["tar", "--create", f"--directory={TOP}", "--null", "--files-from=-"], input=names,
                             check=True, stdout=subprocess.PIPE).stdout
    options = [it.replace(f"{TOP}/", "") for it in arguments("toolchains")]
    buildkit(*options, f"--platform=linux/{FOREIGN}", f"--build-arg=LOADLINE_COMMIT={commit}", "--target=loadline",
             "--tag=foreign", "-", input=archive)
    yield equal(copied(docker, "foreign", "/out/loadline") == RELEASED[FOREIGN].read_bytes(), True,
                f"BuildKit, --platform linux/{FOREIGN}, an archive: the same bytes as by make")


def by_the_classic_builder():
    for target in TARGETS:
        tag = f"classic-{target}"
        docker("build", "--quiet", *arguments("built"), f"--target={target}", f"--tag={tag}", str(TOP))
        yield from check_image(f"classic builder, {target}", docker, tag, target)


def by_podman():
    for image in ("built", "static"):
        archive = HOME / f"{image}.tar"
        docker("save", f"--output={archive}", image)
        run_podman("load", "--quiet", f"--input={archive}")
        archive.unlink()
    # The cgroup is that of the commands themselves, so it may not have others below it.
    options = [*arguments("localhost/built"), f"--build-arg=BUILDPLATFORM=linux/{NATIVE}",
               f"--cgroup-parent=/{CGROUP}/build", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
    for target in TARGETS:
        run_podman("build", "--quiet", *options, f"--target={target}", f"--tag={target}", str(TOP))
        yield from check_image(f"Podman, {target}", run_podman, target, target)
        with ServiceInPodman(target) as container:
            yield from check_service(f"Podman, {target}", container)


def copied(run, image, file):
    """The content of a file in an image."""
    run("create", "--name=copied", image, "/nothing")
    run("cp", f"copied:{file}", str(HOME / "copied"))
    run("rm", "copied")
    return (HOME / "copied").read_bytes()


def files(run, image):
    """The names of all files of an image, and of those that engines add to containers."""
    run("create", "--name=listed", image, "/nothing")
    run("export", f"--output={HOME}/listed.tar", "listed")
    run("rm", "listed")
    with tarfile.open(HOME / "listed.tar") as archive:
        return {it.name.strip("/") for it in archive if not it.isdir()}


def check_image(title, run, image, target):
    config = json.loads(run("inspect", "--type=image", "--format={{json .Config}}", image))
    yield equal([config[key] for key in ("Entrypoint", "Cmd", "User", "ExposedPorts")],
                [["/loadline", "--"], ["/service"], TARGETS[target], {"8080/tcp": {}}],
                f"{title}: entry point, command, user and port")
    added = {".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"}
    base = files(run, "static") if target == "distroless" else added
    yield equal(files(run, image) - base, {"loadline", "service"}, f"{title}: only the two files are added")
    yield equal(copied(run, image, "/loadline") == RELEASED[NATIVE].read_bytes(), True,
                f"{title}: loadline has the same bytes as by make")


if __name__ == "__main__":
    suite.main("dockerfile", {"dockerd": "docker.io", "docker": "docker-cli", "runc": "runc", "podman": "podman"},
               [by_buildkit, by_buildkit_for_another_machine, by_the_classic_builder, by_podman], prepare,
               setup=[TOP / "tests/lab/containers/toolchains"], patience=1200)
