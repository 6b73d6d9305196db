#!/usr/bin/env python3
"""The image of `make image`: pushed to a registry on this machine, pulled by Docker, and copied from.

The suite has a network of its own, which reaches nothing but the registry.
"""

import json
import shutil
import subprocess
import tarfile

import registry
import suite
from container import equal
from docker import Service, check_service, docker as run_docker, start_daemon
from suite import HOME, LAB, TOP

ARCHIVE = TOP / "dist/loadline-image.tar"
# The architectures of the image, by Docker's names.
RELEASED = {name: TOP / f"dist/loadline-linux-{name.replace('/', '')}"
            for name in ("amd64", "arm64", "arm/v7", "386", "riscv64", "ppc64le", "s390x")}

# A Dockerfile of a user.
DOCKERFILE = """
FROM scratch
COPY --from={image} /loadline /loadline
COPY service /service
USER 65532:65532
ENTRYPOINT ["/loadline", "--"]
CMD ["/service"]
"""
# As in the README, with the limits of `Service` in place of those there.
EXPLAINED = """\
memory
  limit       400 MiB (419430400 bytes)
  source      "/sys/fs/cgroup/memory/memory.limit_in_bytes"
  GOMEMLIMIT  335544320
  reason      80% of the limit
  headroom    80 MiB for bursts and for memory outside the heap
cpu
  limit       0.5 CPU
  source      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
  GOMAXPROCS  1
  reason      the quota rounded up
"""

# Set by `prepare`.
image = None


def prepare():
    global image
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tarfile.open(ARCHIVE) as archive:
        index = json.load(archive.extractfile("index.json"))["manifests"][0]
    image = f"{registry.start(HOME)}/loadline:{index['annotations']['org.opencontainers.image.ref.name']}"
    start_daemon(HOME)


def skopeo(*arguments):
    return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True).stdout


def pushed():
    name, _, tag = image.rpartition(":")
    # In capitals, as the name of an owner may be.
    done = subprocess.run([TOP / "packaging/push", name.upper(), tag], check=True, stdout=subprocess.PIPE, text=True)
    index = json.loads(skopeo("inspect", "--raw", f"docker://{image}"))
    platforms = [it["platform"] for it in index["manifests"]]
    yield equal(["/".join([it["os"], it["architecture"], *filter(None, [it.get("variant")])]) for it in platforms],
                [f"linux/{name}" for name in RELEASED], "the registry has the image of each architecture")
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
        name = file.name
        run_docker("pull", "--quiet", f"--platform=linux/{architecture}", image)
        run_docker("create", "--name", name, f"--platform=linux/{architecture}", image)
        copy = HOME / name
        run_docker("cp", f"{name}:/loadline", str(copy))
        yield equal(copy.read_bytes() == file.read_bytes(), True,
                    f"docker pull --platform linux/{architecture}: that file")
        archive = HOME / f"{name}.tar"
        run_docker("export", "--output", str(archive), name)
        names = subprocess.run(["tar", "--list", "--file", archive], check=True, capture_output=True, text=True).stdout
        # Docker adds these to every container.
        own = [it for it in names.split() if it.split("/")[0] not in (".dockerenv", "dev", "etc", "proc", "sys")]
        yield equal(own, ["loadline"], f"linux/{architecture}: the image contains nothing else")
        run_docker("rm", name)
    # The kernel runs the 386 file itself.
    for architecture in ("386", "amd64"):
        run_docker("pull", "--quiet", f"--platform=linux/{architecture}", image)
        said = run_docker("run", "--rm", "--network=none", f"--platform=linux/{architecture}", image, "--version")
        yield said.startswith("loadline version "), f"docker run: linux/{architecture}: {said}"


def copied_from():
    context = HOME / "context"
    context.mkdir()
    shutil.copy(LAB / "service", context)
    (context / "Dockerfile").write_text(DOCKERFILE.format(image=image), encoding="utf-8")
    run_docker("build", "--quiet", "--network=none", "--tag=copied", str(context))
    with Service("copied") as container:
        yield equal(container.execute("/loadline", "--explain").stdout, EXPLAINED,
                    "COPY --from: --explain says what the README does")
        yield from check_service("COPY --from", container)


def installed():
    """As in an init container."""
    tools = HOME / "tools"
    tools.mkdir()
    run_docker("run", "--rm", "--network=none", f"--volume={tools}:/tools", image, "--install", "/tools")
    yield equal((tools / "loadline").read_bytes() == RELEASED["amd64"].read_bytes(), True,
                "an init container installs the file")


if __name__ == "__main__":
    suite.main("image", {"dockerd": "docker.io", "docker": "docker-cli", "skopeo": "skopeo", "ip": "iproute2"},
               [pushed, pulled, copied_from, installed], prepare, namespaces=("--net",), setup=registry.SETUP)
