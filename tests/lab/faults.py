#!/usr/bin/env python3
"""Makes every system call of loadline fail, one at a time, and checks what becomes of it.

For each mode, a recording run finds the calls of loadline and of its child up to the exec. Then each
occurrence of each call fails with each error that the man page lists, and with EPERM and ENOSYS, which
seccomp filters return. Last, each call fails always, by a seccomp filter, and so do the calls of tini:
loadline must start the program wherever tini does.

The rule: the program was started and its exit code is returned, or a line on stderr gives the reason and
the exit code is 1, 126 or 127. Never a hang, death by a signal, silence, or something untrue.

Without options, a fixed selection runs, of some 90 seconds. --all runs everything, --mode NAME one mode,
--fault MODE:WHO:CALL:NTH:ERROR or MODE:deny:CALL:ERROR one fault, and prints what it does.
"""

import argparse
import collections
import concurrent.futures
import copy
import errno
import itertools
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
HOME = TOP / "target/lab/faults"
LOADLINE = os.environ.get("LOADLINE_ARTIFACT", str(TOP / "target/artifact/loadline"))
TINI = "tini-static"
# Runs at the same time. They mostly sleep.
WORKERS = 3 * (os.cpu_count() or 2)
# Seconds after which a run hangs. The longest takes one.
PATIENCE = 4
# Without --all, one in so many occurrences of a call fails in the modes that take long.
SLOW_MODE_SHARE = 4

# The errors of each call by its man page, those aside that would need other arguments than loadline
# passes. EPERM and ENOSYS are added.
ERRORS = {
    "access": "EACCES ELOOP ENOENT ENOTDIR EIO ENOMEM EROFS ETXTBSY",
    "arch_prctl": "",
    "chdir": "EACCES EIO ELOOP ENOMEM",
    "clock_gettime": "EINVAL",
    "clone": "EAGAIN ENOMEM",
    "close": "EINTR EIO",
    "close_range": "EMFILE ENOMEM",
    "execve": "E2BIG EACCES EAGAIN EIO ELIBBAD ELOOP EMFILE ENFILE ENOENT ENOEXEC ENOMEM ENOTDIR ETXTBSY",
    "exit_group": "",
    "ftruncate": "EINTR EIO EINVAL",
    "getdents64": "EIO ENOENT ENOTDIR EINVAL",
    "getpid": "",
    "getpgid": "",
    "getppid": "",
    "getrusage": "",
    "gettid": "",
    "inotify_add_watch": "EACCES ENOENT ENOMEM ENOSPC",
    "inotify_init1": "EMFILE ENFILE ENOMEM",
    "ioctl": "ENOTTY EIO EBADF ENXIO",
    "kill": "ESRCH",
    "madvise": "EAGAIN ENOMEM EINVAL",
    "mmap": "ENOMEM EAGAIN",
    "mprotect": "ENOMEM EACCES",
    "munmap": "ENOMEM",
    "newfstatat": "EACCES ELOOP ENOENT ENOMEM ENOTDIR",
    "openat": "EACCES EINTR ELOOP EMFILE ENFILE ENODEV ENOENT ENOMEM ENOTDIR ENXIO EIO",
    "ppoll": "EINTR ENOMEM EINVAL",
    "prctl": "EINVAL",
    "prlimit64": "ESRCH EINVAL",
    "pread64": "EINTR EIO EISDIR ESPIPE",
    "pwritev2": "EAGAIN EOPNOTSUPP EINTR EIO",
    "read": "EINTR EIO EISDIR ENODEV ENOMEM",
    "rt_sigaction": "",
    "rt_sigprocmask": "",
    "rt_sigqueueinfo": "EAGAIN ESRCH",
    "rt_sigtimedwait": "EINTR EAGAIN",
    "sched_getaffinity": "EINVAL",
    "setpgid": "EACCES ESRCH",
    "set_tid_address": "",
    "signalfd4": "EMFILE ENFILE ENOMEM",
    "sysinfo": "",
    "wait4": "EINTR ECHILD",
    "waitid": "EINTR ECHILD EAGAIN",
    "write": "EAGAIN EINTR EIO ENOSPC EPIPE",
}
ALWAYS = ["EPERM", "ENOSYS"]

# Calls whose failure cannot be handled: the C library makes them before main.
BEFORE_MAIN = {"arch_prctl": "the start code of the C library crashes, of glibc's and musl's alike"}

# Lines that do not give the error of a call, and when they are true.
TRUE_WITHOUT_CAUSE = [
    # The file is there, so it must be its interpreter that is not.
    r"cannot execute .*; the file exists, but its interpreter",
    # That is why there is no value.
    r"\(the limit could not be read\)",
    # There is no shell for a script.
    r"cannot execute .*: Exec format error",
    # A filter may deny mmap. The allocator does not format the cause.
    r"cannot allocate memory: mmap failed",
    # The group could not be killed, or was not made.
    r"killed process \d+: it did not exit in time",
    # Nothing says that it was not.
    r"killed by SIGKILL, possibly by the OOM killer",
]

# Where something may fail in silence, and why that is right.
SILENT = {
    ("memory-warn", "pread64"): "the files are read again when the kernel changes memory.events",
    ("resize-log", "clock_gettime"): "the seconds since boot take its place, and the program ends before the next one",
    ("drain", "kill", "ESRCH"): "the kernel says that there are no other processes",
    ("drain-not-pid-1", "waitid", "ECHILD"): "the kernel says that there are no children",
}


# What --explain shows of a program whose file cannot be read, or not be executed.
NOT_GO = re.compile('not recognised as a Go program|"go_version":null|is not found, or is not executable')


class Failed(Exception):
    """The suite itself cannot go on."""


EVENTS = "low 0\nhigh 0\nmax 0\noom 0\noom_kill {}\noom_group_kill 0\n"


def tree(memory_max="419430400", anon=1 << 20):
    """The files of a container with limits, below --root: cgroup v2, two levels."""
    pod = {"cgroup.controllers": "cpu memory\n", "memory.max": "max\n", "memory.high": "max\n", "cpu.max": "max 100000\n"}
    app = {
        "cgroup.controllers": "cpu memory\n", "cgroup.procs": "1\n", "memory.max": f"{memory_max}\n",
        "memory.high": "max\n", "cpu.max": "50000 100000\n", "memory.oom.group": "0\n",
        "memory.events": EVENTS.format(0),
        "memory.stat": f"anon {anon}\nfile 0\n", "memory.peak": f"{memory_max}\n", "memory.swap.max": "0\n",
        "memory.swap.current": "0\n", "cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_usec 5\n",
    }
    files = {
        "proc/self/cgroup": "0::/pod/app\n",
        "proc/self/status": "Pid:\t1\nCpus_allowed_list:\t0-7\n",
        "proc/meminfo": "MemTotal:  8388608 kB\n",
        "proc/self/mountinfo": "31 23 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
        "termination-log": "",
    }
    files.update({f"sys/fs/cgroup/pod/{name}": text for name, text in pod.items()})
    files.update({f"sys/fs/cgroup/pod/app/{name}": text for name, text in app.items()})
    return files


APP = "{dir}/sys/fs/cgroup/pod/app"
ROOT = ["--root", "{dir}"]


class Mode:
    """A way to run loadline."""

    def __init__(self, options, actions=(), pid_1=True, files=None, program="{program}", variables=None,
                 code=3, mounts=False, is_slow=False, fills_arguments=False, ignores_sigchld=False):
        self.options = list(options)
        self.actions = list(actions)
        self.pid_1 = pid_1
        self.files = files or tree()
        self.program = program
        self.variables = variables or {}
        self.code = code
        self.mounts = mounts
        self.is_slow = is_slow
        self.fills_arguments = fills_arguments
        self.ignores_sigchld = ignores_sigchld

    def without_actions(self):
        """The same for a program that does nothing, because a filter would apply to it too."""
        mode = copy.copy(self)
        mode.actions = []
        mode.code = 3 if self.actions else self.code
        return mode

    @property
    def explains(self):
        return any(option.startswith("--explain") for option in self.options)


MODES = {
    "init": Mode(ROOT, ["ask", "orphan", "sleep=60"]),
    "running-system": Mode([], ["ask"], mounts=True),
    "not-pid-1": Mode([*ROOT, "-s"], ["ask"], pid_1=False),
    "sigchld-ignored": Mode([*ROOT, "-s"], ["ask"], pid_1=False, ignores_sigchld=True),
    "exec": Mode([*ROOT, "--exec"]),
    "explain": Mode([*ROOT, "--explain"], code=0),
    "explain-json": Mode([*ROOT, "--explain=json"], code=0),
    "explain-running-system": Mode(["--explain"], code=0, mounts=True),
    "group": Mode([*ROOT, "-g"], ["ask"]),
    "parent-death": Mode([*ROOT, "-s", "-p", "SIGTERM"], ["ask"], pid_1=False),
    "parent-death-kill": Mode([*ROOT, "-s", "-p", "SIGKILL"], ["ask"], pid_1=False),
    "kill-after": Mode([*ROOT, "--kill-after", "50ms"], ["stay"], code=137),
    "kill-after-not-pid-1": Mode([*ROOT, "-s", "--kill-after", "50ms"], ["stay"], pid_1=False, code=137),
    "drain": Mode([*ROOT, "--drain", "50ms"], ["orphan"]),
    "drain-not-pid-1": Mode([*ROOT, "--drain", "50ms"], ["orphan"], pid_1=False, mounts=True),
    "resize-log": Mode([*ROOT, "--on-resize", "log"], [f"write={APP}/memory.max=209715200\n", "sleep=600"],
                       is_slow=True),
    "resize-exit": Mode([*ROOT, "--on-resize", "exit"],
                        ["sleep=50", f"write={APP}/memory.max=209715200\n", "sleep=2000"], code=143, is_slow=True),
    "memory-warn": Mode([*ROOT, "--memory-warn"], ["sleep=200"], files=tree(anon=418 << 20)),
    "report": Mode([*ROOT, "--report=text"], ["sleep=60"]),
    "report-json": Mode([*ROOT, "--report=json"], ["sleep=60"]),
    "termination-log": Mode(
        [*ROOT, "--termination-log", "{dir}/termination-log"],
        ["sleep=60", f"write={APP}/memory.events={EVENTS.format(1)}", "die"], code=137),
    "rewrite": Mode([*ROOT, "--rewrite", "TERM:USR1"], ["ask"]),
    "path": Mode(ROOT, program="program", variables={"PATH": "/none:{dir}:{home}"}),
    "script": Mode(ROOT, program="{home}/script", code=4),
    "no-room": Mode(ROOT, fills_arguments=True),
    "verbose": Mode([*ROOT, "-vvv"], ["ask"]),
    "not-found": Mode(ROOT, program="/none", code=127),
    "usage": Mode(["--none"], code=1),
}


class Outcome:
    """What became of a run."""

    def __init__(self, results, stdout, stderr, directory):
        lines = results.splitlines()
        self.end = lines.pop() if lines else "nothing"
        self.is_hit = "hit" in lines
        self.calls = [tuple(line.split()[1:]) for line in lines if line.startswith("call ")]
        log = pathlib.Path(directory, "termination-log").read_text(encoding="utf-8")
        self.stdout = stdout.replace(directory, "{dir}") + "termination message\n" * bool(log)
        self.stderr = stderr.replace(directory, "{dir}")
        self.lines = self.stderr.splitlines()
        self.is_started = self.stdout.startswith("ran ") or "script ran" in self.stdout

    def __str__(self):
        return f"{self.end}\n{self.stdout}{self.stderr}"


WORKER = threading.local()


def directory():
    """The directory of this worker's tree."""
    if not hasattr(WORKER, "directory"):
        WORKER.directory = tempfile.mkdtemp(prefix="w", dir=HOME)
    return WORKER.directory


def write_tree(top, files):
    for name, text in files.items():
        path = pathlib.Path(top, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def run(mode, how, init=None):
    """Runs a mode with these options of inject."""
    top = directory()
    write_tree(top, mode.files)
    # All directories have names of the same length, so the arguments need the same room.
    words = {"dir": top, "home": str(HOME), "program": str(HOME / "program")}
    flags = [flag for flag, is_set in [("-1", mode.pid_1), ("-m", mode.mounts), ("-c", mode.ignores_sigchld),
                                       ("-l", mode.fills_arguments)] if is_set]
    flags += ["-t", str(PATIENCE * 1000)]
    command = init or [LOADLINE, *(word.format(**words) for word in mode.options)]
    arguments = [word.format(**words) for word in (mode.program, *mode.actions)]
    variables = {"PATH": "/usr/bin:/bin"}
    variables.update({name: text.format(**words) for name, text in mode.variables.items()})
    if mode.fills_arguments:
        variables["FILLING"] = "x" * FILLING
    read, write = os.pipe()
    with open(read, encoding="utf-8") as results:
        try:
            child = subprocess.run(
                [HOME / "inject", *flags, *how, str(write), *command, *arguments],
                env=variables, pass_fds=[write], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=3 * PATIENCE)
        finally:
            os.close(write)
        return Outcome(results.read(), child.stdout, child.stderr, top)


FILLING = 0
# The exit code of inject's child if it cannot execute the command.
CANNOT_EXECUTE = 2


def find_filling():
    """Finds how long a variable may be so that loadline can be executed, but not with more variables."""
    global FILLING
    low, high = 0, 1 << 17
    while low < high:
        FILLING = (low + high + 1) // 2
        if run(MODES["no-room"], []).end == f"exit {CANNOT_EXECUTE}":
            high = FILLING - 1
        else:
            low = FILLING
    FILLING = low


class Judge:
    """Compares the runs of a mode with the one in which nothing failed."""

    def __init__(self, mode, baseline, usual_lines):
        self.mode = mode
        self.baseline = baseline
        self.usual_lines = usual_lines

    def new_lines(self, outcome):
        """The lines that do not only repeat what would be said anyway, and those that are missing. A line
        that says less is the same: what is not known is left out of text, and is `null` in JSON."""
        missing = list(self.baseline.lines)
        fresh = []
        for line in outcome.lines:
            same = [known for known in missing if parts(line) <= parts(known)]
            if same:
                missing.remove(same[0])
            elif not any(parts(line) <= parts(known) for known in self.usual_lines):
                fresh.append(line)
        return fresh, missing

    def violation(self, outcome, fault):
        """What is wrong with a run with this fault."""
        call, error = fault.call, errno_of(fault.error)
        kind, _, value = outcome.end.partition(" ")
        if kind != "exit":
            return {"timeout": "hangs", "signal": f"dies of signal {value}"}.get(kind, outcome.end)
        code = int(value)
        fresh, missing = self.new_lines(outcome)
        words = os.strerror(error)
        if fault.call == "execve" and fault.error == "ENOEXEC" and "/bin/sh: " in outcome.stderr:
            # The shell was started for what was no script, and its exit code returned.
            return None
        if strange := [line for line in outcome.lines if not is_ours(line)]:
            return f"prints a strange line: {strange[0]}"
        is_explained = any(words in line for line in fresh)
        # A file that does not exist sets no limit, and nobody needs to know.
        is_explained |= call == "openat" and error in (errno.ENOENT, errno.ENOTDIR)
        # What follows from a cause that was given may differ from what would be said without it.
        if not is_explained and (untrue := [line for line in fresh if not is_true(line)]):
            return f"says what may be untrue: {untrue[0]}"
        is_explained |= bool({(fault.mode, call), (fault.mode, call, fault.error)} & SILENT.keys())
        if self.mode.explains:
            if code == self.mode.code:
                is_explained = is_explained or words in outcome.stdout or NOT_GO.search(outcome.stdout)
                same = parts(outcome.stdout) <= parts(self.baseline.stdout)
                return None if same or is_explained else "explains something else in silence"
            return None if code == 1 and fresh else f"exits with {code} in silence"
        # The program cannot say that it was started, but what its exit code is.
        is_mute = (fault.who, call) == ("deny", "write")
        is_started = outcome.is_started or is_mute
        if is_started or code == self.mode.code:
            if code != self.mode.code and not (is_explained and code in (1, 3, 126, 127)):
                return f"exits with {code} in silence"
            if outcome.stdout != self.baseline.stdout and not is_explained and not is_mute:
                return "gives the program something else in silence"
            if missing and not fresh and not is_explained and call not in ("pwritev2", "write"):
                return f"does not say: {missing[0]}"
            return None
        if code not in (1, 126, 127):
            return f"starts nothing, and exits with {code}"
        return None if fresh else f"exits with {code} in silence"


def parts(line):
    """What a line says, without numbers."""
    return {part for part in re.split(r"[;,{}] ?", re.sub(r"\d+(\.\d+)?", "0", re.sub(' in ".*?"', "", line)))
            if part and not part.endswith(":null")}


def is_ours(line):
    return line.startswith(("loadline: ", "{")) or not line.strip()


def is_true(line):
    return any(re.search(pattern, line) for pattern in TRUE_WITHOUT_CAUSE)


class Fault:
    """A call that fails."""

    def __init__(self, mode, who, call, nth, error):
        self.mode, self.who, self.call, self.nth, self.error = mode, who, call, nth, error

    def options(self):
        number = errno_of(self.error)
        if self.who == "deny":
            return ["-d", f"{NUMBERS[self.call]}:{number}"]
        return ["-i", f"{self.who}:{NUMBERS[self.call]}:{self.nth}:{number}"]

    def __str__(self):
        place = [self.call, self.error] if self.who == "deny" else [self.call, str(self.nth), self.error]
        return ":".join([self.mode, self.who, *place])


def errno_of(name):
    return getattr(errno, name)


def system_calls():
    """The numbers of the system calls by their names."""
    header = subprocess.run(["cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
                            stdout=subprocess.PIPE, text=True, check=True).stdout
    return {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", header, re.MULTILINE)}


NUMBERS = {}


def build():
    """Builds the two programs, and puts what the modes need beside them."""
    if platform.machine() != "x86_64" or os.geteuid():
        print("faults: not run: it needs root, and an x86-64 machine")
        sys.exit(2)
    subprocess.run([TOP / "tests/lab/apt", "install", "gcc", "libc6-dev", "tini"], check=True)
    if not pathlib.Path(LOADLINE).exists():
        raise Failed(f"there is no {LOADLINE}: `make artifact` builds it")
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    for name in ("inject", "program"):
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-static", "-Wl,-z,norelro", "-o", HOME / name,
                        TOP / f"tests/lab/faults/{name}.c"], check=True)
    # A script without `#!`.
    script = HOME / "script"
    script.write_text("echo script ran\nexit 4\n", encoding="utf-8")
    script.chmod(0o755)
    NUMBERS.update(system_calls())


def record(name):
    """Runs a mode without a fault. Returns the judges of its other runs, with and without a filter, and
    the occurrences of each call."""
    judges = []
    for mode in (MODES[name], MODES[name].without_actions()):
        outcome = run(mode, ["-r"])
        if outcome.end != f"exit {mode.code}":
            raise Failed(f"{name} does not run: {outcome}")
        usual_lines = outcome.lines + [line for judge in judges for line in judge.baseline.lines]
        judges.append(Judge(mode, outcome, usual_lines))
    names = {str(number): call for call, number in NUMBERS.items()}
    calls = collections.Counter((who, names[number]) for who, number in judges[0].baseline.calls)
    return judges, calls


def faults_of(name, calls):
    """All faults of a mode: one call of one process, and all calls of one kind."""
    for (who, call), count in calls.items():
        if call not in ERRORS:
            raise Failed(f"{name} calls {call}, whose errors are not in ERRORS")
        if call in BEFORE_MAIN:
            continue
        for nth in range(1, count + 1):
            for error in ERRORS[call].split() + ALWAYS:
                yield Fault(name, who, call, nth, error)
    if MODES[name].program.endswith("script"):
        # The shell would be under the filter too.
        return
    for call in sorted({call for _, call in calls} - {"execve", *BEFORE_MAIN}):
        for error in ALWAYS:
            yield Fault(name, "deny", call, 0, error)


def check(fault, judges):
    judge = judges[fault.who == "deny"]
    outcome = run(judge.mode, fault.options())
    is_hit = outcome.is_hit or fault.who == "deny"
    return outcome, is_hit, judge.violation(outcome, fault)


def select(name, faults):
    """A fixed selection: each occurrence of each call fails once, and each with the next of its errors. The
    slow modes run a part of that."""
    places = {}
    for fault in faults:
        places.setdefault((fault.who, fault.call, fault.nth), []).append(fault)
    offset = list(MODES).index(name)
    share = SLOW_MODE_SHARE if MODES[name].is_slow else 1
    for index, errors in enumerate(places.values(), offset):
        if index % share == 0:
            yield errors[index // share % len(errors)]


def compare_with_tini(pool):
    """Denies each call that loadline or tini makes. Returns how often, and where tini starts the program and
    loadline neither does nor names the call."""
    mode = MODES["init"].without_actions()
    inits = [None, [shutil.which(TINI)]]
    names = {str(number): call for call, number in NUMBERS.items()}
    calls = {names[number] for init in inits for _, number in run(mode, ["-r"], init).calls} - {"execve"}

    def compare(call, error):
        how = ["-d", f"{NUMBERS[call]}:{errno_of(error)}"]
        ours, tinis = (run(mode, how, init) for init in inits)
        is_worse = starts(tinis) and not starts(ours) and call not in ours.stderr
        return f"{call} {error}: {ours}" if is_worse else None

    jobs = [pool.submit(compare, call, error) for call in sorted(calls) for error in ALWAYS]
    return len(jobs), [worse for job in jobs if (worse := job.result())]


def before_protection(calls):
    """The calls before relocated data becomes read-only."""
    names = {str(number): call for call, number in NUMBERS.items()}
    return list(itertools.takewhile(lambda call: call != "mprotect", (names[number] for _, number in calls)))


def starts(outcome):
    return outcome.is_started and outcome.end == "exit 3"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="run every fault")
    parser.add_argument("--mode", action="append", choices=MODES, help="run the faults of this mode only")
    parser.add_argument("--fault", help="run one fault, and print what it does")
    options = parser.parse_args()
    build()
    find_filling()
    if options.fault:
        mode, who, call, *rest = options.fault.split(":")
        judges, _ = record(mode)
        fault = Fault(mode, who, call, int(rest[0]) if len(rest) > 1 else 0, rest[-1])
        outcome, is_hit, violation = check(fault, judges)
        baseline = judges[fault.who == "deny"].baseline
        print(f"without:\n{baseline}\nwith:\n{outcome}\nhit: {is_hit}, violation: {violation}")
        return 0

    begin = time.monotonic()
    total = missed = violations = 0
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for name in options.mode or MODES:
            judges, calls = record(name)
            faults = list(faults_of(name, calls))
            chosen = faults if options.all else list(select(name, faults))
            jobs = [(fault, pool.submit(check, fault, judges)) for fault in chosen]
            wrong = []
            for fault, job in jobs:
                outcome, is_hit, violation = job.result()
                total += 1
                missed += not is_hit
                if violation:
                    wrong.append((fault, violation))
            # What takes longer than usual may be due to the other runs. Now there are none.
            wrong = [f"{fault}: {again}" for fault, _ in wrong if (again := check(fault, judges)[2])]
            violations += len(wrong)
            for line in wrong:
                print(f"  {line}")
            print(f"{'FAILED' if wrong else 'ok'}: {name}: {len(chosen)} faults, {len(wrong)} violations, "
                  f"{time.monotonic() - begin:.0f} s", flush=True)
        if not options.mode:
            count, wrong = compare_with_tini(pool)
            total += count
            violations += len(wrong)
            for line in wrong:
                print(f"  tini starts the program, and loadline does not say why it does not: {line}")
            early = [before_protection(run(MODES[name], ["-r"]).calls) for name in ("init", "exec", "explain")]
            # The first two are the C library's.
            is_first = all(calls == ["arch_prctl", "set_tid_address", "rt_sigprocmask"] for calls in early)
            print(f"{'ok' if is_first else 'FAILED'}: relocated data is protected before anything is read: {early}")
            violations += not is_first
            print(f"{'FAILED' if wrong else 'ok'}: loadline starts wherever tini starts, or names the call: "
                  f"{count} faults")
    print(f"{total} faults, {missed} not reached, {violations} violations, {time.monotonic() - begin:.0f} seconds")
    return 1 if violations else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as reason:
        sys.exit(f"faults: {reason}")
