"""Container images FROM scratch, in an archive as `docker save` writes it (Docker image specification 1.2)."""

import dataclasses
import hashlib
import io
import json
import pathlib
import platform
import tarfile

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


@dataclasses.dataclass
class Image:
    """An image of these files, by their paths in the image. `links` are symbolic links."""

    name: str
    files: dict
    links: dict = dataclasses.field(default_factory=dict)
    entrypoint: list = dataclasses.field(default_factory=list)
    command: list = dataclasses.field(default_factory=list)

    def layer(self):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as layer:
            scratch = tarfile.TarInfo("tmp")
            scratch.type, scratch.mode = tarfile.DIRTYPE, 0o1777
            layer.addfile(scratch)
            for path, source in self.files.items():
                data = pathlib.Path(source).read_bytes()
                file = tarfile.TarInfo(path.lstrip("/"))
                file.mode, file.size = 0o755, len(data)
                layer.addfile(file, io.BytesIO(data))
            for path, target in self.links.items():
                link = tarfile.TarInfo(path.lstrip("/"))
                link.type, link.linkname = tarfile.SYMTYPE, target
                layer.addfile(link)
        return content.getvalue()

    def config(self, layer):
        run = {"Entrypoint": self.entrypoint, "Cmd": self.command, "Env": ["PATH=/bin:/"]}
        diff = f"sha256:{hashlib.sha256(layer).hexdigest()}"
        return json.dumps({"architecture": ARCHITECTURE, "os": "linux", "config": run,
                           "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode()


def save(archive, images):
    """Writes an archive of the images."""
    manifest = []
    with tarfile.open(archive, "w") as output:
        def add(name, data):
            file = tarfile.TarInfo(name)
            file.size = len(data)
            output.addfile(file, io.BytesIO(data))

        for number, image in enumerate(images):
            layer = image.layer()
            add(f"{number}/layer.tar", layer)
            add(f"{number}.json", image.config(layer))
            manifest.append({"Config": f"{number}.json", "RepoTags": [image.name],
                             "Layers": [f"{number}/layer.tar"]})
        add("manifest.json", json.dumps(manifest).encode())
