"""Debian's docker-registry on a port of this machine, without TLS and without users."""

import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

TOP = pathlib.Path(__file__).resolve().parent.parent.parent.parent
PROGRAM = TOP / "target/lab/docker-registry/usr/bin/docker-registry"
# Unpacks it.
SETUP = [TOP / "tests/lab/unpack", "docker-registry", "usr/bin/docker-registry"]
CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "{address}"}}
"""
# Allows skopeo to do without TLS.
PLAIN = """
[[registry]]
location = "{address}"
insecure = true
"""
PATIENCE = 60


def start(directory):
    """Starts it, with its files in a directory, and returns its address. The caller is in namespaces that end it,
    and in which it may change /etc."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = directory / "registry.yml"
    config.write_text(CONFIG.format(root=directory / "registry", address=address), encoding="utf-8")
    plain = pathlib.Path("/etc/containers/registries.conf.d/loadline-lab.conf")
    plain.parent.mkdir(parents=True, exist_ok=True)
    plain.write_text(PLAIN.format(address=address), encoding="utf-8")
    with open(directory / "registry.log", "w", encoding="utf-8") as log:
        subprocess.Popen([PROGRAM, "serve", config], stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(f"http://{address}/v2/", timeout=PATIENCE).close()
            return address
        except (urllib.error.URLError, ConnectionError):
            # It has no other way to tell that it listens.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
