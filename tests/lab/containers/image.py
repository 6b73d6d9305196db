#!/usr/bin/env python3
"""The image of `make image`: pushed to a registry on this machine, pulled by Docker, and copied from."""

import json
import os
import shutil
import subprocess

import registry
import suite
from container import CPUS, LIMITS, MEMORY, equal, variables
from docker import Docker, docker as run_docker, start_daemon
from suite import HOME, INSIDE, TOP

ARCHIVE = TOP / "dist/loadline-image.tar"
RELEASED = {"amd64": TOP / "dist/loadline-linux-amd64", "arm64": TOP / "dist/loadline-linux-arm64"}

# Set by `prepare`.
image = None


class FromTheRegistry(Docker):
    """A container of an image that was built with COPY --from."""

    def __init__(self):
        super().__init__(*LIMITS)
        self.image = "copied"


def prepare():
    global image
    image = f"{registry.start(HOME)}/loadline:1.0"
    start_daemon(HOME)


def skopeo(*arguments):
    return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True).stdout


def pushed():
    name, _, tag = image.rpartition(":")
    # In capitals, as the name of an owner may be.
    done = subprocess.run([TOP / "packaging/push", name.upper(), tag], check=True, stdout=subprocess.PIPE, text=True)
    index = json.loads(skopeo("inspect", "--raw", f"docker://{image}"))
    platforms = [it["platform"] for it in index["manifests"]]
    yield equal(platforms, [{"architecture": name, "os": "linux"} for name in RELEASED],
                "the registry has the image of each architecture")
    layout = HOME / "layout"
    layout.mkdir()
    subprocess.run(["tar", "--extract", "--file", ARCHIVE, "--directory", layout], check=True)
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    found = skopeo("inspect", "--format={{.Digest}}", f"docker://{image}").strip()
    yield equal(found, digest, "the digest is that of the archive")
    yield equal(done.stdout, f"name={name}\ndigest={digest}\n", "packaging/push prints the name and the digest")
    labels = json.loads(skopeo("inspect", "--config", f"docker://{image}"))["config"]
    yield equal(labels["Entrypoint"], ["/loadline"], "the entry point is loadline")
    yield equal(labels["Labels"]["org.opencontainers.image.licenses"], "MIT", "a label names the license")


def pulled():
    for architecture, file in RELEASED.items():
        run_docker("pull", "--quiet", f"--platform=linux/{architecture}", image)
        run_docker("create", "--name", architecture, f"--platform=linux/{architecture}", image)
        copy = HOME / architecture
        run_docker("cp", f"{architecture}:/loadline", str(copy))
        yield equal(copy.read_bytes() == file.read_bytes(), True, f"docker pull --platform linux/{architecture}: that file")
        archive = HOME / f"{architecture}.tar"
        run_docker("export", "--output", str(archive), architecture)
        names = subprocess.run(["tar", "--list", "--file", archive], check=True, capture_output=True, text=True).stdout
        # Docker adds these to every container.
        own = [it for it in names.split() if it.split("/")[0] not in (".dockerenv", "dev", "etc", "proc", "sys")]
        yield equal(own, ["loadline"], f"linux/{architecture}: the image contains nothing else")
        run_docker("rm", architecture)
    run_docker("pull", "--quiet", "--platform=linux/amd64", image)
    said = run_docker("run", "--rm", "--network=none", image, "--version")
    yield said.startswith("loadline version "), f"docker run: {said}"


def copied_from():
    """As in a Dockerfile of a user."""
    context = HOME / "context"
    context.mkdir()
    shutil.copy(INSIDE, context)
    (context / "Dockerfile").write_text(
        f'FROM scratch\nCOPY --from={image} /loadline /loadline\nCOPY inside /inside\n'
        'ENTRYPOINT ["/loadline", "--"]\nCMD ["/inside"]\n', encoding="utf-8")
    run_docker("build", "--quiet", "--network=none", "--tag=copied", str(context))
    with FromTheRegistry() as container:
        yield equal(container.report["Parent"], 1, "COPY --from: loadline is PID 1")
        yield equal(container.report["Environment"], variables(MEMORY, CPUS, len(os.sched_getaffinity(0))),
                    "COPY --from: the program is given the variables")


def installed():
    """As in an init container."""
    tools = HOME / "tools"
    tools.mkdir()
    run_docker("run", "--rm", "--network=none", f"--volume={tools}:/tools", image, "--install", "/tools")
    yield equal((tools / "loadline").read_bytes() == RELEASED["amd64"].read_bytes(), True,
                "an init container installs the file")


if __name__ == "__main__":
    suite.main("image", {"dockerd": "docker.io", "docker": "docker-cli", "skopeo": "skopeo"},
               [pushed, pulled, copied_from, installed], prepare,
               setup=registry.SETUP)
