#!/usr/bin/env python3
"""Writes the man page docs/loadline.1, in mdoc(7), from docs/options.md.

With --check it writes nothing, and exits 1 with a diff if the page is not up to date. Fails on
Markdown that it cannot translate, rather than guess.
"""

import argparse
import difflib
import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parent
# The day of the last change of the page's content that users need to know.
DATE = "November 28, 2026"
NAME = "run a Go program within the limits of its container"

# Sections of options.md that keep their place and name; those with options become OPTIONS, and the
# others parts of DESCRIPTION.
SECTIONS = {"Environment": "ENVIRONMENT", "Exit status": "EXIT STATUS", "Files": "FILES",
            "Examples": "EXAMPLES", "See also": "SEE ALSO"}
# What the page itself does not need: the synopsis, and how it comes about.
LEFT_OUT = re.compile(r"`loadline` `\[OPTIONS\]`|This is the reference")

CODE = re.compile(r"(\(?)`([^`]+)`([.,;:)]*)")
PAGE = re.compile(r"(\(?)\b([a-z_]+)\((\d)\)([.,;:)]*)")
VARIABLE = re.compile(r"(?:[A-Z]+_)+[A-Z]*|GO[A-Z]+|PATH")
SIGNAL = re.compile(r"SIG[A-Z]+\d*")
# What the synopsis has for values; the headings of options add theirs.
PLACEHOLDERS = {"OPTIONS", "PROGRAM", "ARGS..."}
# Where a sentence ends. A new one begins a new line, as mdoc(7) asks for.
SENTENCE = re.compile(r"(?<=[a-z0-9)`][.:])\s+(?=[A-Z`])")


class Untranslatable(Exception):
    """Markdown that this script does not know."""


def text(line):
    """A line of text, safe from being taken for a request."""
    line = line.replace("\\", r"\e")
    return r"\&" + line if line[:1] in ".'" else line


def word(argument):
    """An argument of a macro."""
    argument = argument.replace("\\", r"\e").replace("-", r"\-")
    # Names of macros and delimiters have a meaning there.
    if re.fullmatch(r"[A-Z][a-z0-9]|[%.,:;()\[\]?!|]", argument):
        argument = r"\&" + argument
    return f'"{argument}"' if " " in argument else argument


def macro(code):
    """What code is, as a macro with its argument."""
    if match := re.fullmatch(r"-(-?[a-z][a-z-]*)", code):
        return f"Fl {match[1]}"
    if code == "loadline":
        return "Nm"
    if re.fullmatch(r"/\S*", code):
        return f"Pa {code}"
    if SIGNAL.fullmatch(code):
        return f"Dv {code}"
    if VARIABLE.fullmatch(code):
        return f"Ev {code}"
    if code in PLACEHOLDERS:
        return f"Ar {code}"
    return f"Ql {word(code)}"


def inline(paragraph):
    """The lines of a paragraph: a macro stands on a line of its own."""
    if re.search(r"\]\(|\*\*|<|^#", paragraph):
        raise Untranslatable(paragraph)
    lines = []
    for sentence in SENTENCE.split(paragraph):
        position = 0
        matches = [*CODE.finditer(sentence), *PAGE.finditer(sentence)]
        for match in sorted(matches, key=lambda match: match.start()):
            before, after = sentence[position:match.start()], sentence[match.end():]
            if before and not before.endswith((" ", "(")) or after[:1].isalnum():
                raise Untranslatable(sentence)
            if before.strip():
                lines.append(text(before.strip()))
            opening, *what, closing = match.groups()
            name = macro(*what) if len(what) == 1 else f"Xr {' '.join(what)}"
            called, _, arguments = name.partition(" ")
            if called == "Nm" and (opening or closing):
                arguments = "loadline"
            parts = [f".{called}", opening, arguments, *closing]
            lines.append(" ".join(part for part in parts if part))
            position = match.end()
        rest = sentence[position:].strip()
        if rest:
            lines.append(text(rest))
    return lines


def heading(option):
    """The item of a list for an option such as `--report[=text|json]`, with an operand in brackets."""
    if re.fullmatch(r"-[a-z], --[a-z-]+", option):
        return ".It " + " , ".join(f"Fl {name[1:]}" for name in option.split(", "))
    match = re.fullmatch(r"-(-?[a-z][a-z-]*)(?: ([^\s\[]+)|\[=(\S+)\])?(?: \[(\S+)\])?", option)
    if not match:
        raise Untranslatable(option)
    name, value, optional, operand = match.groups()
    item = f".It Fl {name}"
    if optional:
        item += f" Ns Op = Ns {alternatives(optional)}"
    elif value:
        item += f" {alternatives(value)}"
    return f"{item} Op {alternatives(operand)}" if operand else item


def subsection(title):
    return ".Ss " + " ".join(word(part) for part in title.split())


def alternatives(value):
    """Words to choose from are themselves, capitals stand for something."""
    choices = []
    for choice in value.split("|"):
        first, colon, second = choice.partition(":")
        if colon:
            # No space is before a colon.
            choices.append(f"{alternatives(first)} : Ns {alternatives(second)}")
        else:
            choices.append(f"{'Ar' if choice.isupper() else 'Cm'} {choice}")
    return " | ".join(choices)


def items(block):
    """The terms of a list such as "- `TERM`: text", each with its text."""
    for item in re.split(r"^- ", block, flags=re.MULTILINE)[1:]:
        terms, colon, body = " ".join(item.split()).partition(": ")
        if not colon or not re.fullmatch(r"`[^`]+`(, `[^`]+`)*", terms):
            raise Untranslatable(item)
        yield re.findall(r"`([^`]+)`", terms), body


def block_lines(block):
    """The lines of one block: a list, an example or a paragraph."""
    if block.startswith("- "):
        lines = [".Bl -tag -width Ds"]
        for terms, body in items(block):
            lines += [".It " + " , ".join(macro(term) for term in terms), *inline(body)]
        return [*lines, ".El"]
    if block.startswith("```"):
        return [".Bd -literal -offset indent", *(text(line) for line in block.splitlines()[1:-1]), ".Ed"]
    return inline(" ".join(block.split()))


def body(blocks):
    """The lines of a section, its paragraphs apart."""
    lines = []
    for block in blocks:
        # A list and an example make their own space.
        if lines and not block.startswith(("- ", "```")):
            lines.append(".Pp")
        lines += block_lines(block)
    return lines


def sections(markdown):
    """The (title, blocks) of each section, the first of them without a title."""
    title, blocks = "", []
    for block in re.split(r"\n{2,}", markdown.strip()):
        if block.startswith("## "):
            yield title, blocks
            title, blocks = block.removeprefix("## "), []
        elif not block.startswith("# ") and not LEFT_OUT.match(block):
            blocks.append(block)
    yield title, blocks


def options(blocks):
    """The (option, variable, blocks) of each option of a section."""
    option, variable, own = None, None, []
    for block in blocks:
        if block.startswith("### "):
            if option:
                yield option, variable, own
            option, variable, own = block.removeprefix("### "), None, []
        else:
            if match := re.match(r"Variable: `(\w+)`", block):
                variable = match[1]
            own.append(block)
    yield option, variable, own


def see_also(blocks):
    """References to other pages, by section and name as mdoc(7) wants them."""
    pages = sorted(re.findall(r"(\w+)\((\d)\)", blocks[0]), key=lambda page: page[::-1])
    lines = [f".Xr {name} {section} ," for name, section in pages]
    return [*lines[:-1], lines[-1].removesuffix(" ,")]


def page(markdown, version):
    """The whole page."""
    parts = list(sections(markdown))
    PLACEHOLDERS.update(re.findall(r"\b[A-Z]+\b", "".join(re.findall("^### .*", markdown, re.MULTILINE))))
    description, groups, rest, variables = [], [], [], []
    for title, blocks in parts:
        if any(block.startswith("### ") for block in blocks):
            groups += [subsection(title), ".Bl -tag -width Ds"]
            for option, variable, own in options(blocks):
                groups += [heading(option), *body(own)]
                if variable:
                    flag = re.match(r"-(-?[a-z-]+)", option)[1]
                    variables += [f".It Ev {variable}", f"See\n.Fl {flag} ."]
            groups.append(".El")
        elif title not in SECTIONS:
            description += [*([subsection(title)] if title else []), *body(blocks)]
        elif title == "Environment":
            rest += [".Sh ENVIRONMENT", ".Bl -tag -width Ds", *variables, *body(blocks)[1:]]
        else:
            rest += [f".Sh {SECTIONS[title]}", *(see_also if title == "See also" else body)(blocks)]
    lines = [
        r'.\" Generated by docs/man.py from docs/options.md. Do not edit.',
        f".Dd {DATE}", ".Dt LOADLINE 1", f'.Os "loadline {version}"',
        ".Sh NAME", ".Nm loadline", f".Nd {NAME}",
        ".Sh SYNOPSIS", ".Nm", ".Op Ar OPTIONS", ".Op Fl -", ".Ar PROGRAM", ".Op Ar ARGS...",
        ".Sh DESCRIPTION", *description, ".Sh OPTIONS", *groups, *rest,
    ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check

    manifest = (DOCS.parent / "Cargo.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', manifest, re.MULTILINE)[1]
    file = DOCS / "loadline.1"
    try:
        new = page((DOCS / "options.md").read_text(encoding="utf-8"), version)
    except Untranslatable as markdown:
        sys.exit(f"man.py: cannot translate: {markdown}")
    if not check:
        file.write_text(new, encoding="utf-8")
        return
    old = file.read_text(encoding="utf-8") if file.exists() else ""
    names = "docs/loadline.1", "docs/man.py"
    difference = list(difflib.unified_diff(old.splitlines(True), new.splitlines(True), *names))
    sys.stdout.writelines(difference)
    if difference:
        sys.exit("man.py: docs/loadline.1 is not up to date: run docs/man.py")


if __name__ == "__main__":
    main()
