"""What an init costs: bytes on disk."""

import shutil

from lab import Bar, table

NAME = "cost"
TITLE = "What an init costs"


def measure(lab):
    lab.install("tini", "dumb-init", "catatonit")
    peers = [shutil.which(name) for name in ("tini", "tini-static", "dumb-init", "catatonit")]
    return {"bytes": {name: (lab.top / name).stat().st_size for name in map(str, [lab.artifact, lab.plain, *peers])}}


def report(data):
    return table(["init", "bytes"], *data["bytes"].items())


def bars(data):
    return []
