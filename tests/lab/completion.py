#!/usr/bin/env python3
"""Completes command lines of loadline in bash, zsh and fish, as a user of each would."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys

import checks

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = TOP / "packaging/completion"
CANNOT = 2
PATIENCE = 30
# What is typed before the tabulator, and what is offered.
CASES = [
    ("loadline --memory-ra", "--memory-ratio"),
    ("loadline --memory c", "cap"),
    ("loadline --report=j", "json"),
    ("loadline --root /us", "/usr/"),
    ("loadline -e 3 --rew", "--rewrite"),
    ("loadline unsha", "unshare"),
    ("loadline --cpu live -- unsha", "unshare"),
    ("loadline --exec -- dpkg --listf", "--listfiles"),
]


def bash(line):
    """The offers for a line. Words are split as bash splits them."""
    words = [word for word in re.split(r" |(=)", line) if word]
    quoted = " ".join(f"'{word}'" for word in words)
    script = f""". /usr/share/bash-completion/bash_completion
. {FOLDER}/loadline.bash
COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1} COMP_LINE='{line}' COMP_POINT={len(line)}
compopt() {{ mapfile -t COMPREPLY < <(compgen -d -- "$word"); COMPREPLY=("${{COMPREPLY[@]/%//}}"); }}
_loadline 2>/dev/null
printf '%s\\n' "${{COMPREPLY[@]}}\""""
    return subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, text=True, timeout=PATIENCE).stdout.split()


def fish(line):
    script = f"source {FOLDER}/loadline.fish; complete -C '{line}'"
    output = subprocess.run(["fish", "-c", script], check=True, stdout=subprocess.PIPE, text=True,
                            timeout=PATIENCE).stdout
    return [offer.split("\t")[0].rpartition("=")[2] for offer in output.splitlines()]


class Zsh:
    """An interactive zsh, because it completes nowhere else."""

    # The second key shows what the line has become, and empties it. The quotes keep what is typed here from
    # looking like the answer.
    SETUP = f"""fpath=({FOLDER} $fpath); autoload -Uz compinit; compinit -u -D
show() {{ print -r -- "<<$BUFFER>"">"; zle kill-whole-line }}; zle -N show
bindkey '^X' show; bindkey '^I' complete-word; print -r -- '<<''ready>>'
"""

    def __init__(self):
        child, self.terminal = pty.fork()
        if child == 0:
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb"})
        os.write(self.terminal, self.SETUP.encode())
        self.answer()

    def answer(self):
        output = b""
        while not (found := re.search(rb"<<([^'<>$]*)>>", output)):
            if not select.select([self.terminal], [], [], PATIENCE)[0]:
                sys.exit(f"completion: zsh does not answer: {output!r}")
            output += os.read(self.terminal, 65536)
        return found[1].decode()

    def __call__(self, line):
        os.write(self.terminal, f"{line}\t\x18".encode())
        return [re.split("[ =]", self.answer().rstrip(" ="))[-1]]


def cases():
    for name, complete in {"bash": bash, "fish": fish, "zsh": Zsh()}.items():
        for line, expected in CASES:
            found = complete(line)
            yield expected in found, f"{name}: {line}: {' '.join(found)}"


def main():
    packages = {"fish": "fish", "zsh": "zsh"}
    needed = ["bash-completion", *(name for name, command in packages.items() if not shutil.which(command))]
    if subprocess.run([TOP / "tests/lab/apt", "install", *needed]).returncode:
        print("completion: not run: the shells cannot be installed")
        return CANNOT
    return checks.run("completion", (cases,))


if __name__ == "__main__":
    sys.exit(main())
