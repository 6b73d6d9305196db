"""Programs that nobody here wrote, from Debian's packages. hugo builds a web site of so many pages. promtool writes
samples of so many series to a new database, with the code by which Prometheus ingests what it scrapes. etcd is asked
from outside to store so many values, and keeps the latest of its log in memory."""

import base64
import contextlib
import http.client
import json
import pathlib
import random
import re
import socket
import subprocess
import threading

import lab as labs

from .cells import ETCD, HUGO

# The library that hugo is linked to.
LIBRARY = "libsass1"
SCRAPES = 100
WORDS = ("the ship load line mark water depth summer winter fresh salt draught hull deck cargo port berth pier gauge "
         "level tide harbour canal lock crane rope anchor engine bridge watch").split()
PARAGRAPHS, WORDS_EACH = 12, 60
CONFIGURATION = """baseURL = "https://example.org/"
title = "Harbour"
disableKinds = ["sitemap"]
[taxonomies]
tag = "tags"
"""
SINGLE = """<html><title>{{ .Title }}</title><body>{{ .Content }}{{ .TableOfContents }}
{{ range first 5 (.Site.RegularPages.Related .) }}<a href="{{ .RelPermalink }}">{{ .Title }}</a>{{ end }}
</body></html>
"""
LIST = """<html><title>{{ .Title }}</title><body>{{ range .Pages }}
<a href="{{ .RelPermalink }}">{{ .Title }}</a><p>{{ .Summary }}</p>{{ end }}</body></html>
"""


# The bytes of a value in etcd, and how many clients write at a time.
VALUE, CLIENTS = 128 << 10, 8
# Seconds that etcd has for one write, and after which it is asked again whether it is there.
WRITE_TIMEOUT, ASK_EVERY = 60, 0.05


def install(lab, name):
    """The program, and the version of Go that it was built with."""
    ask = "--version"
    if name == HUGO:
        program = unpack("hugo", "usr/bin/hugo") / "usr/bin/hugo"
        library = next(unpack(LIBRARY, "usr/lib").glob("usr/lib/*/libsass.so.*"))
        command, ask = ["env", f"LD_LIBRARY_PATH={library.parent}", program], "version"
    elif name == ETCD:
        program = unpack("etcd-server", "usr/bin/etcd") / "usr/bin/etcd"
        command = [program]
    else:
        # The files that the tests unpack too.
        program = unpack("prometheus", "usr/bin/prometheus", "usr/bin/promtool") / "usr/bin/promtool"
        command = [program]
    found = subprocess.run([*command, ask], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if found.returncode:
        raise labs.Unavailable(f"Debian's {name} does not run: {found.stdout}")
    lab.versions[name] = f"Debian's {re.search(r'[0-9]+[.][0-9.]+', found.stdout)[0]}"
    return command, built_with(program)


def unpack(package, *files):
    done = subprocess.run([labs.TOP / "tests/lab/unpack", package, *files], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise labs.Unavailable(f"Debian's {package} cannot be downloaded")
    return pathlib.Path(done.stdout.strip())


def built_with(program):
    """The version of Go in a program's build information."""
    return re.search(rb"\xff Go buildinf:.{19}go([0-9.]+)", program.read_bytes(), re.DOTALL)[1].decode()


def prepare(name, program, folder, size):
    """Generates the input below the folder. Returns the command, and the client that the program works for, if any."""
    if name == ETCD:
        return store(program, folder, int(size))
    return (site if name == HUGO else series)(program, folder, int(size)), None


def store(program, folder, count):
    with contextlib.ExitStack() as both:
        ports = [both.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(2)]
    client, peer = (f"http://127.0.0.1:{port}" for port in ports)
    command = [*program, f"--data-dir={folder / 'data'}", f"--listen-client-urls={client}",
               f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
               f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}", "--log-level=error"]
    return command, Client(ports[0], count)


class Client:
    """Writes so many values to etcd, several at a time, and then stops it."""

    def __init__(self, port, count):
        self.port = port
        self.left = iter(range(count))
        self.count = count
        self.written = 0
        self.refused = False
        self.lock = threading.Lock()
        self.value = base64.b64encode(random.Random(1).randbytes(VALUE)).decode()

    def start(self, child):
        threading.Thread(target=self.run, args=[child], daemon=True).start()

    def run(self, child):
        """Ends when all is written, when etcd refuses a write, or when etcd has ended."""
        while child.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(ASK_EVERY)
        writers = [threading.Thread(target=self.write, daemon=True) for _ in range(CLIENTS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        if self.refused or self.is_done():
            child.terminate()

    def write(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WRITE_TIMEOUT)
        with contextlib.suppress(OSError, http.client.HTTPException):
            while not self.refused and (number := self.take()) is not None:
                key = base64.b64encode(b"/harbour/%d" % number).decode()
                connection.request("POST", "/v3/kv/put", json.dumps({"key": key, "value": self.value}))
                answer = connection.getresponse()
                answer.read()
                with self.lock:
                    if answer.status == http.HTTPStatus.OK:
                        self.written += 1
                    else:
                        self.refused = True

    def take(self):
        with self.lock:
            return next(self.left, None)

    def is_done(self):
        """Whether all was written."""
        return self.written == self.count


def series(program, folder, count):
    file = folder / "series.json"
    with open(file, "w", encoding="utf-8") as lines:
        for n in range(count):
            labels = {"__name__": f"requests_{n % 50}", "instance": f"host-{n // 50}:9100", "job": "node",
                      "path": f"/v1/items/{n}", "code": str(200 + n % 5)}
            lines.write(json.dumps(labels) + "\n")
    return [*program, "tsdb", "bench", "write", f"--out={folder / 'out'}", f"--metrics={count}", f"--scrapes={SCRAPES}",
            file]


def site(program, folder, pages):
    dice = random.Random(1)
    for name, text in (("config.toml", CONFIGURATION), ("layouts/_default/single.html", SINGLE),
                       ("layouts/_default/list.html", LIST)):
        file = folder / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    paragraphs = [" ".join(dice.choices(WORDS, k=WORDS_EACH)) for _ in range(200)]
    content = folder / "site/content/posts"
    content.mkdir(parents=True)
    for page in range(pages):
        body = "".join(f"## {dice.choice(WORDS)}\n\n{dice.choice(paragraphs)} *{dice.choice(WORDS)}*.\n\n"
                       for _ in range(PARAGRAPHS))
        tags = ", ".join(f'"{tag}"' for tag in dice.sample(WORDS, 3))
        (content / f"page-{page}.md").write_text(
            f'---\ntitle: "Page {page}"\ndate: 2024-03-01\ntags: [{tags}]\n---\n\n{body}', encoding="utf-8")
    return [*program, "--quiet", "--source", folder / "site", "--destination", folder / "public",
            "--cacheDir", folder / "cache"]
