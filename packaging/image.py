#!/usr/bin/env python3
"""packaging/image.py IMAGE ARCHITECTURE=FILE...: packs loadline into an image for several architectures.

The image contains `/loadline` and nothing else. IMAGE is an archive in the layout of the OCI image
specification, which skopeo, podman and newer versions of Docker read:

    skopeo copy --all --preserve-digests oci-archive:dist/loadline-image.tar docker://registry.example/loadline:1.0

The same files give the same bytes. Nothing is compressed, because compressors differ from version to version,
and all times are that of the commit, or SOURCE_DATE_EPOCH.
"""

import datetime
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile

TOP = pathlib.Path(__file__).resolve().parent.parent
OCI = "application/vnd.oci.image"
PROGRAM = "loadline"


def output(*command):
    return subprocess.run(command, cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def epoch():
    """Seconds since 1970, for everything that has a time."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or output("git", "log", "-1", "--format=%ct"))


def package():
    """What Cargo.toml says of the package."""
    metadata = json.loads(output("cargo", "metadata", "--no-deps", "--format-version=1", "--locked"))
    return next(it for it in metadata["packages"] if it["name"] == "loadline")


def add(archive, name, data, time, mode=0o644):
    file = tarfile.TarInfo(name)
    file.size, file.mtime, file.mode = len(data), time, mode
    archive.addfile(file, io.BytesIO(data))


class Layout:
    """The files of an image layout, by their names in it."""

    def __init__(self):
        self.files = {}

    def blob(self, data, kind, **more):
        """Adds a blob. Returns its descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        self.files[f"blobs/sha256/{digest}"] = data
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data), **more}

    def document(self, content, kind, **more):
        return self.blob(json.dumps(content, separators=(",", ":")).encode(), kind, **more)


def layer(program, time):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        add(archive, PROGRAM, program.read_bytes(), time, 0o755)
    return content.getvalue()


def platform(architecture):
    """An architecture in the words of the specification, which has those of Go: `armv7` is arm, variant v7."""
    if architecture.startswith("armv"):
        return {"architecture": "arm", "os": "linux", "variant": architecture.removeprefix("arm")}
    return {"architecture": architecture, "os": "linux"}


def manifest(layout, architecture, program, time, labels):
    """Adds the image for one architecture. Returns its descriptor."""
    data = layer(program, time)
    created = datetime.datetime.fromtimestamp(time, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = layout.document({
        "created": created, **platform(architecture),
        "config": {"Entrypoint": [f"/{PROGRAM}"], "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}"]},
        "history": [{"created": created, "created_by": f"COPY {PROGRAM} /{PROGRAM}"}],
    }, f"{OCI}.config.v1+json")
    layers = [layout.blob(data, f"{OCI}.layer.v1.tar")]
    return layout.document(
        {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": config, "layers": layers},
        f"{OCI}.manifest.v1+json", platform=platform(architecture))


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__.splitlines()[0])
    image = pathlib.Path(sys.argv[1])
    time, about = epoch(), package()
    labels = {
        "org.opencontainers.image.title": about["name"],
        "org.opencontainers.image.description": about["description"],
        "org.opencontainers.image.licenses": about["license"],
        "org.opencontainers.image.source": about["repository"],
        "org.opencontainers.image.version": about["version"],
        "org.opencontainers.image.revision": output("git", "rev-parse", "HEAD"),
    }
    layout = Layout()
    programs = [argument.partition("=") for argument in sys.argv[2:]]
    manifests = [manifest(layout, name, pathlib.Path(program), time, labels) for name, _, program in programs]
    index = layout.document(
        {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests, "annotations": labels},
        f"{OCI}.index.v1+json", annotations={"org.opencontainers.image.ref.name": about["version"]})
    layout.files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [index]}).encode()
    layout.files["oci-layout"] = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
    draft = image.with_suffix(".new")
    with tarfile.open(draft, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in sorted(layout.files.items()):
            add(archive, name, data, time)
    draft.rename(image)
    print(f"{image}: {index['digest']}, {', '.join(name for name, *_ in programs)}")


if __name__ == "__main__":
    main()
