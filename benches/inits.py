"""The inits that are measured, as Debian ships them, and their options."""

import dataclasses
import shutil

# Debian's commands and packages.
PEERS = {"tini": "tini", "tini-static": "tini", "dumb-init": "dumb-init", "catatonit": "catatonit"}


@dataclasses.dataclass
class Init:
    """The path, and the options as PID 1, as a child subreaper, and to send signals to the program's whole
    process group (None if the init has no such option)."""

    path: str
    pid_1: list = dataclasses.field(default_factory=list)
    subreaper: list = dataclasses.field(default_factory=list)
    group: list | None = None

    def as_pid_1(self):
        return [self.path, *self.pid_1, "--"]

    def as_subreaper(self):
        return [self.path, *self.subreaper, "--"]

    def with_group(self):
        return None if self.group is None else [self.path, *self.group, "--"]


def inits(lab):
    """loadline and the other inits, by their names in the document."""
    lab.install(*sorted(set(PEERS.values())))
    found = {name: shutil.which(name) for name in PEERS}
    like_tini = {"subreaper": ["-s"], "group": ["-g"]}
    return {
        "loadline": Init(str(lab.artifact), **like_tini),
        "loadline, plain build": Init(str(lab.plain), **like_tini),
        "tini": Init(found["tini"], **like_tini),
        "tini-static": Init(found["tini-static"], **like_tini),
        # It sends signals to the group by default.
        "dumb-init": Init(found["dumb-init"], pid_1=["--single-child"], group=[]),
        "catatonit": Init(found["catatonit"], group=["-g"]),
    }


def probe(lab):
    """The program that the tests run under an init."""
    return str(lab.compile("tests/probe.c", "probe"))
