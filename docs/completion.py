#!/usr/bin/env python3
"""Writes the completions of bash, zsh and fish in packaging/completion, from the table of options in README.md.

With --check it writes nothing, and exits 1 with the names of the files that are not up to date.
"""

import argparse
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
FOLDER = TOP / "packaging/completion"
ORIGIN = "Written by docs/completion.py from the table of options in README.md."
# What a shell completes where a value is not one of a few words.
DIRECTORY, FILE, ANYTHING = "directory", "file", ""
KINDS = {"DIR": DIRECTORY, "PATH": FILE}


class Option:
    """An option, from a row such as "| `--report[=text|json]` | `LOADLINE_REPORT` | print a summary at exit |"."""

    def __init__(self, name, description, value="", is_optional=False):
        self.name, self.description = name, description
        self.takes_value = bool(value)
        self.is_optional = is_optional
        self.words = [word for word in value.split("|") if re.fullmatch("[a-z]+", word)]
        self.kind = KINDS.get(value, ANYTHING)

    @property
    def is_long(self):
        return self.name.startswith("--")


def options(readme):
    for row in re.findall(r"^\| (`-.*) \|$", readme, re.MULTILINE):
        names, *_, description = re.split(r"(?<!\\)\| ", row)
        # Links and code have no place in a list of options.
        description = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", description).replace("`", "")
        several = re.findall(r"`(--?[a-z]+)`", names)
        if len(several) > 1:
            yield from (Option(name, name.lstrip("-")) for name in several if name.startswith("--"))
        else:
            name, separator, value = re.match(r"`(--?[a-z-]+)(\[=| )?([^]` ]*)", names.replace("\\|", "|")).groups()
            yield Option(name, description, value, separator == "[=")


def takers(options):
    """The options whose value may be the next word."""
    return [option.name for option in options if option.takes_value and not option.is_optional]


def bash(options):
    values = []
    for option in options:
        action = {DIRECTORY: "compopt -o dirnames", FILE: "compopt -o default"}.get(option.kind, "")
        if option.words:
            action = f"COMPREPLY=($(compgen -W '{' '.join(option.words)}' -- \"$word\"))"
        if action:
            values.append(f"    {option.name}) {action} && return ;;")
    names = " ".join(option.name for option in options)
    return f"""# Completion of loadline for bash, with the package bash-completion.
# {ORIGIN}
# shellcheck shell=bash disable=SC2207

_loadline() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} option=${{COMP_WORDS[COMP_CWORD - 1]}} at
    # bash splits --option=value into three words.
    [ "$word" != = ] || word=
    [ "$option" != = ] || option=${{COMP_WORDS[COMP_CWORD - 2]}}
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${{COMP_WORDS[at]}} in
        --) ((at++)) && break ;;
        {'|'.join(takers(options))}) [ "${{COMP_WORDS[at + 1]}}" = = ] || ((at++)) ;;
        =) ((at++)) ;;
        -*) ;;
        *) break ;;
        esac
    done
    COMPREPLY=()
    # The program and its arguments are completed as they are without loadline.
    if ((at < COMP_CWORD)) || {{ ((at == COMP_CWORD)) && [[ $word != -* ]]; }}; then
        _command_offset "$at"
        return
    fi
    case $option in
{chr(10).join(values)}
    esac
    [[ $word != -* ]] || COMPREPLY=($(compgen -W '{names}' -- "$word"))
}}
complete -F _loadline loadline
"""


def zsh(options):
    def spec(option):
        description = option.description.replace("'", r"'\''")
        what = f"{'*' if option.name == '-v' else ''}{option.name}"
        if not option.takes_value:
            return f"{what}[{description}]"
        action = {DIRECTORY: "_files -/", FILE: "_files"}.get(option.kind, " ")
        if option.words:
            action = f"({' '.join(option.words)})".replace(":", r"\:")
        equals = "=-" if option.is_optional else "=" if option.is_long else ""
        colon = "::" if option.is_optional else ":"
        return f"{what}{equals}[{description}]{colon}value:{action}"

    specs = " \\\n    ".join(f"'{spec(option)}'" for option in options)
    return f"""#compdef loadline
# Completion of loadline for zsh.
# {ORIGIN}

_arguments -S : \\
    {specs} \\
    '(-)1:program:_command_names -e' \\
    '*::arguments:_normal'
"""


def fish(options):
    lines = []
    # Short ones first: the function takes long ones in front for options of its own.
    skipped = sorted(takers(options), key=lambda name: name.startswith("--"))
    for option in options:
        words = ["complete -c loadline", "-l" if option.is_long else "-s", option.name.lstrip("-")]
        if option.takes_value and not option.is_optional:
            words.append("-r -F" if option.kind == FILE else "-x")
        if option.words:
            words.append(f"-a '{' '.join(option.words)}'")
        if option.kind == DIRECTORY:
            words.append("-a '(__fish_complete_directories)'")
        quoted = option.description.replace("'", r"\'")
        lines.append(" ".join([*words, f"-d '{quoted}'"]))
    return f"""# Completion of loadline for fish.
# {ORIGIN}

# The program and its arguments are completed as they are without loadline.
complete -c loadline -x -a "(__fish_complete_subcommand {' '.join(skipped)})"
{chr(10).join(lines)}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare")
    is_check = parser.parse_args().check
    all_options = list(options((TOP / "README.md").read_text(encoding="utf-8")))
    stale = []
    for name, write in {"loadline.bash": bash, "_loadline": zsh, "loadline.fish": fish}.items():
        file, new = FOLDER / name, write(all_options)
        if not file.exists() or file.read_text(encoding="utf-8") != new:
            stale.append(name)
            if not is_check:
                FOLDER.mkdir(exist_ok=True)
                file.write_text(new, encoding="utf-8")
    if is_check and stale:
        sys.exit(f"docs/completion.py would write these anew: {', '.join(stale)}")


if __name__ == "__main__":
    main()
