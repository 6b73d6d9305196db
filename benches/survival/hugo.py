"""Debian's hugo, which builds a web site of so many pages: a program that nobody here wrote."""

import pathlib
import random
import re
import subprocess

import lab as labs

LIBRARY = "libsass1"
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


def install(lab):
    """The program, and the version of Go that it was built with."""
    folder = unpack("hugo", "usr/bin/hugo")
    library = next(unpack(LIBRARY, "usr/lib").glob("usr/lib/*/libsass.so.*"))
    program = [folder / "usr/bin/hugo"]
    command = ["env", f"LD_LIBRARY_PATH={library.parent}", *program]
    found = subprocess.run([*command, "version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if found.returncode:
        raise labs.Unavailable(f"Debian's hugo does not run: {found.stdout}")
    lab.versions["hugo"] = f"Debian's {re.search(r'v[0-9.]+', found.stdout)[0]}"
    return command, built_with(program[0])


def unpack(package, file):
    done = subprocess.run([labs.TOP / "tests/lab/unpack", package, file], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise labs.Unavailable(f"Debian's {package} cannot be downloaded")
    return pathlib.Path(done.stdout.strip())


def built_with(program):
    """The version of Go in a program's build information."""
    return re.search(rb"\xff Go buildinf:.{19}go([0-9.]+)", program.read_bytes(), re.DOTALL)[1].decode()


def command(program, folder, pages):
    """Generates a site below the folder, and returns what builds it."""
    dice = random.Random(1)
    for name, text in (("config.toml", CONFIGURATION), ("layouts/_default/single.html", SINGLE),
                       ("layouts/_default/list.html", LIST)):
        file = folder / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    paragraphs = [" ".join(dice.choices(WORDS, k=WORDS_EACH)) for _ in range(200)]
    content = folder / "site/content/posts"
    content.mkdir(parents=True)
    for page in range(int(pages)):
        body = "".join(f"## {dice.choice(WORDS)}\n\n{dice.choice(paragraphs)} *{dice.choice(WORDS)}*.\n\n"
                       for _ in range(PARAGRAPHS))
        tags = ", ".join(f'"{tag}"' for tag in dice.sample(WORDS, 3))
        (content / f"page-{page}.md").write_text(
            f'---\ntitle: "Page {page}"\ndate: 2024-03-01\ntags: [{tags}]\n---\n\n{body}', encoding="utf-8")
    return [*program, "--quiet", "--source", folder / "site", "--destination", folder / "public",
            "--cacheDir", folder / "cache"]
