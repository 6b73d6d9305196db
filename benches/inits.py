"""The inits that are measured, as their users get them, and how each is asked for what it is to do."""

import dataclasses
import shutil

# Debian's commands and packages.
PEERS = {"tini": "tini", "tini-static": "tini", "dumb-init": "dumb-init", "catatonit": "catatonit"}


@dataclasses.dataclass
class Init:
    """The words before the program: as PID 1, among other processes without a warning about that,
    and with signals for the program's whole process group."""

    path: str
    alone: list = dataclasses.field(default_factory=list)
    among_others: list = dataclasses.field(default_factory=list)
    group: list | None = None

    def as_pid_1(self):
        return [self.path, *self.alone, "--"]

    def as_subreaper(self):
        return [self.path, *self.among_others, "--"]

    def with_group(self):
        return None if self.group is None else [self.path, *self.group, "--"]


def inits(lab):
    """loadline and its peers, by the names that the document has for them."""
    lab.install(*sorted(set(PEERS.values())))
    found = {name: shutil.which(name) for name in PEERS}
    like_tini = {"among_others": ["-s"], "group": ["-g"]}
    return {
        "loadline": Init(str(lab.artifact), **like_tini),
        "loadline, plain build": Init(str(lab.plain), **like_tini),
        "tini": Init(found["tini"], **like_tini),
        "tini-static": Init(found["tini-static"], **like_tini),
        # The group is what it does unasked.
        "dumb-init": Init(found["dumb-init"], alone=["--single-child"], group=[]),
        "catatonit": Init(found["catatonit"], group=["-g"]),
    }


def probe(lab):
    """The program that the tests run under an init does here as well."""
    return str(lab.compile("tests/probe.c", "probe"))
