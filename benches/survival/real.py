"""Programs that nobody here wrote, from Debian's packages. hugo builds a web site of so many pages. promtool writes
samples of so many series to a new database, with the code by which Prometheus ingests what it scrapes."""

import json
import pathlib
import random
import re
import subprocess

import lab as labs

from .cells import HUGO

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


def install(lab, name):
    """The program, and the version of Go that it was built with."""
    if name == HUGO:
        program = unpack("hugo", "usr/bin/hugo") / "usr/bin/hugo"
        library = next(unpack(LIBRARY, "usr/lib").glob("usr/lib/*/libsass.so.*"))
        command, ask = ["env", f"LD_LIBRARY_PATH={library.parent}", program], "version"
    else:
        # The files that the tests unpack too.
        program = unpack("prometheus", "usr/bin/prometheus", "usr/bin/promtool") / "usr/bin/promtool"
        command, ask = [program], "--version"
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


def command(name, program, folder, size):
    """Generates the input below the folder, and returns what works on it."""
    return (site if name == HUGO else series)(program, folder, int(size))


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
