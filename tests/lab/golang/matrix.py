#!/usr/bin/env python3
"""Compares the decisions of loadline for Go programs with the real runtimes, in real cgroups.

For each program in each place, it checks three things: what the runtime does without loadline; the
output of `loadline --explain`; and what the program sees under loadline. loadline must set the values
that the runtime would get wrong, and no others, whatever libraries are in the program. Exits with 2 if the machine cannot run this.
"""

import dataclasses
import json
import math
import shutil
import subprocess
import time

import programs
from places import MANY, MEMORY, ONLY_A_PART, PATIENCE, Place, Tree, made, set_quota, with_mounts
from programs import AUTOMAXPROCS, NEWEST, TOOLCHAINS
from report import main

# The value with which Go reports no memory limit.
NO_LIMIT = 2**63 - 1

HALF = Place("half a CPU", leaf=0.5)
SOME = Place("2.5 CPUs", leaf=2.5)
PLENTY = Place("20 CPUs", leaf=20)
NONE = Place("no quota")
ABOVE = Place("2.5 CPUs above", above=2.5)
PART = Place("2.5 CPUs, the mount begins there", leaf=2.5, script=ONLY_A_PART, lost=(25,),
             why="does not find its cgroup")
REAL = Place("half a CPU on the CPUs there are", leaf=0.5, cpus=None)
LIVE = Place("a quota that changes", leaf=2.5)
PLACES = [HALF, SOME, PLENTY, NONE, ABOVE, PART, REAL]
TREES = [Tree("half a CPU", leaf=0.5), Tree("2.5 CPUs", leaf=2.5), Tree("20 CPUs", leaf=20),
         Tree("no quota"), Tree("2.5 CPUs above", above=2.5), Tree("4 CPUs, 2.5 above", leaf=4, above=2.5),
         Tree("2.5 CPUs, 4 above", leaf=2.5, above=4), Tree("2.5 CPUs, as above", leaf=2.5, above=2.5)]
# Lists of mounts that make the runtime look elsewhere, or give up. It has readers of its own since 1.25.
NETWORK_NAMESPACE = 'touch "$extra/net"; mount --bind /proc/self/ns/net "$extra/net"'
HIDDEN = """
mkdir "$extra/hidden"
mount -t tmpfs none "$extra/hidden"
mkdir "$extra/hidden/cpu"
mount --bind /sys/fs/cgroup/cpu "$extra/hidden/cpu"
mount -t tmpfs none "$extra/hidden"
"""
LONG = """
cd "$extra"
name=$(printf 'd%.0s' $(seq 200))
for _ in $(seq 20); do mkdir "$name"; cd "$name"; done
mount --bind /sys/fs/cgroup/cpu .
cd /
"""
FIRST_AT_THE_PARENT = """
mkdir "$extra/parent"
mount --bind "/sys/fs/cgroup/cpu/${cgroup%/*}" "$extra/parent"
"""
OVERLAY = """
mkdir "$extra/merged"
cd "$extra"
lower=
for n in $(seq 50); do name=$(printf 'l%.0s' $(seq 60))$n; mkdir "$name"; lower=$lower:$name; done
mount -t overlay -o "lowerdir=${lower#:}" none "$extra/merged"
cd /
"""
MOUNTED = [
    Place("a network namespace is mounted first", leaf=2.5,
          script=with_mounts(NETWORK_NAMESPACE, show=""), lost=(26, 27), why="whose root is no path"),
    Place("a network namespace is mounted later", leaf=2.5,
          script=with_mounts(show="", after=NETWORK_NAMESPACE)),
    Place("the first mount is hidden", leaf=2.5, script=with_mounts(HIDDEN, show=""),
          lost=(25, 26, 27), why="does not find its cgroup"),
    Place("the path of the first mount is too long", leaf=2.5, script=with_mounts(LONG, show=""),
          lost=(25, 26, 27), why="does not find its cgroup"),
    Place("the first mount begins at the parent", leaf=2.5,
          script=with_mounts(FIRST_AT_THE_PARENT, show=""), lost=(25,), why="does not find its cgroup"),
    Place("the first mount begins at another cgroup", leaf=2.5,
          script=with_mounts(FIRST_AT_THE_PARENT.replace("${cgroup%/*}", "${cgroup%%/*}/half-a-CPU"), show=""),
          lost=(25,), why="does not find its cgroup"),
    Place("paths with escapes", leaf=2.5, leaf_name="a b\\c:d,e#",
          script=with_mounts(show="", at="$mounts/a b\\\\c\n\td")),
    Place("a long line before", leaf=2.5, script=with_mounts(OVERLAY, show="")),
]
TRACKING = ["containermaxprocs", "updatemaxprocs"]


@dataclasses.dataclass
class Expected:
    """The expected environment of a program under loadline, and the number of its threads."""

    memory: str
    maxprocs: str
    debug: str
    threads: int


def sets_threads(program):
    """Whether an active library in the program sets the number of threads, unless GOMAXPROCS is set."""
    return any(path == AUTOMAXPROCS for path, *_ in program.modules)


def follows(program, debug=None):
    """Whether the runtime follows the quota. `debug` is the GODEBUG of the user."""
    if debug and "containermaxprocs=" in debug and program.minor >= 25:
        return "containermaxprocs=1" in debug
    return program.follows


def can_follow(program, place, debug):
    """Whether the runtime follows the quota if loadline adds settings to GODEBUG."""
    return (program.minor >= 25 and not is_lost(program, place)
            and "containermaxprocs=0" not in (debug or ""))


def is_lost(program, place):
    """Whether the runtime does not find the quota of its own cgroup."""
    return program.minor in place.lost


def alone(program, place, debug=None):
    """The number of threads without loadline. Only the quota of the own cgroup counts."""
    if place.leaf and sets_threads(program):
        return max(1, math.floor(place.leaf))
    if place.leaf and follows(program, debug) and not is_lost(program, place):
        return min(place.seen_cpus, max(2, math.ceil(place.leaf)))
    return place.seen_cpus


def right(place, least=1):
    """The number of threads that can spend the quota, and no more."""
    return min(place.seen_cpus, max(least, math.ceil(place.quota))) if place.quota else place.seen_cpus


def expected(program, place, mode="auto", debug=None):
    threads, maxprocs = right(place), None
    is_in_leaf = place.leaf and place.leaf == place.quota
    if mode == "static" and place.quota:
        maxprocs = str(threads)
    elif mode == "live" and (is_in_leaf or not place.quota) and can_follow(program, place, debug):
        # Without a quota, this is for one that comes later. The runtime itself uses at least two threads.
        threads = right(place, 2)
        missing = [f"{key}=1" for key in TRACKING if key not in (debug or "")]
        if not (follows(program, debug) and program.updates):
            debug = ",".join([*filter(None, [debug]), *missing])
    elif is_in_leaf and follows(program, debug) and not is_lost(program, place):
        threads = alone(program, place, debug)
    elif threads < place.seen_cpus:
        maxprocs = str(threads)
    else:
        # There is nothing to set, whatever the program makes of that.
        threads = alone(program, place, debug)
    memory = str(MEMORY * 8 // 10) if place.quota else None
    return Expected(memory, maxprocs, debug, threads)


def why(program, place, mode, debug):
    """What the reason must contain if GOMAXPROCS is not left to the runtime, although it could be."""
    if mode not in ("auto", "live") or not place.quota or place.quota >= place.seen_cpus:
        return ""
    if mode == "live" and program.minor < 25:
        return "cannot follow changes"
    if follows(program, debug) and is_lost(program, place):
        return place.why
    return "only the process's own cgroup" if follows(program, debug) and not place.leaf else ""


def decides(report, program, place, mode="auto", debug=None):
    """One cell of the matrix."""
    options = [] if mode == "auto" else [f"--cpu={mode}"]
    environment = {"GODEBUG": debug} if debug else {}
    wanted = expected(program, place, mode, debug)
    bare = place.bare(program.path, environment)
    said = place.explain(program.path, options, environment)
    seen, messages = place.under_loadline(program.path, options, environment)
    given = wanted.debug if wanted.debug != debug else None
    settings = ["=".join(setting) for setting in environment.items()]
    title = ", ".join([program.name, place.name, *options, *settings])
    report.check(
        f"{title}: {wanted.threads} threads, GOMAXPROCS {wanted.maxprocs or 'not set'}"
        + f", GODEBUG={given}" * bool(given),
        bare=(bare["processors"], alone(program, place, debug)),
        cpus=(bare["cpus"], place.seen_cpus),
        explained=([said["memory"]["GOMEMLIMIT"], said["cpu"]["GOMAXPROCS"], said["cpu"]["GODEBUG"]],
                   [wanted.memory, wanted.maxprocs, given]),
        why=(why(program, place, mode, debug) in said["cpu"]["reason"], True),
        warnings=(said["warnings"], []),
        environment=([seen["GOMEMLIMIT"], seen["GOMAXPROCS"], seen["GODEBUG"]],
                     [wanted.memory, wanted.maxprocs, wanted.debug]),
        threads=(seen["processors"], wanted.threads),
        memory=(seen["memory"], int(wanted.memory or NO_LIMIT)),
        version=(said["program"]["go_version"], bare["version"]),
        messages=([line.split()[1][:10] for line in messages.splitlines() if line.startswith("loadline: ")],
                  ["GOMEMLIMIT", "started", "the"]),
    )


def decides_on_v2(report, program, tree, mode):
    """The same on cgroup v2, which this machine does not have: checks --explain, and runs nothing."""
    options = [f"--cpu={mode}"]
    wanted = expected(program, tree, mode)
    said = tree.explain(program.path, options)
    report.check(
        f"{program.name}, on v2 {tree.name}, --cpu={mode}: GOMAXPROCS {wanted.maxprocs or 'not set'}"
        + f", GODEBUG={wanted.debug}" * bool(wanted.debug),
        explained=([said["memory"]["GOMEMLIMIT"], said["cpu"]["GOMAXPROCS"], said["cpu"]["GODEBUG"]],
                   [wanted.memory, wanted.maxprocs, wanted.debug]), warnings=(said["warnings"], []))


# Valid and invalid settings of GODEBUG.
DEBUG = [
    "http2client=0", "containermaxprocs=0", "containermaxprocs=1", "updatemaxprocs=0",
    "updatemaxprocs=1", "containermaxprocs=0,http2client=0",
    "containermaxprocs=1,containermaxprocs=0", "containermaxprocs=0,containermaxprocs=1",
    "containermaxprocs=2", "containermaxprocs=-1", "containermaxprocs=00", "containermaxprocs=-0",
    "containermaxprocs=", "containermaxprocs=abc", "containermaxprocs=0,containermaxprocs=abc",
    "containermaxprocs=abc,containermaxprocs=0", "containermaxprocs=1,containermaxprocs=",
    " containermaxprocs=0", "containermaxprocs=0 ", "containermaxprocs =0", "containermaxprocs",
    "containermaxprocs=4294967296", "Containermaxprocs=0", ",containermaxprocs=0,",
    "xcontainermaxprocs=0", "containermaxprocs=0=1", "containermaxprocs=0;x=1",
]


def heeds_debug(report, program, debug):
    """GOMAXPROCS is set only if the runtime does not follow the quota with this GODEBUG."""
    environment = {"GODEBUG": debug}
    goes_by_quota = SOME.bare(program.path, environment)["processors"] == right(SOME)
    said = SOME.explain(program.path, environment=environment)
    seen, _ = SOME.under_loadline(program.path, environment=environment)
    wanted = None if goes_by_quota else str(right(SOME))
    report.check(f"{program.name}, GODEBUG={debug!r}: GOMAXPROCS {wanted or 'not set'}",
                 explained=(said["cpu"]["GOMAXPROCS"], wanted),
                 debug=(seen["GODEBUG"], debug), threads=(seen["processors"], right(SOME)))


# Values that people write, and values at the boundary of what Go accepts.
MEMORY_LIMITS = [
    "0", "1", "1048576", "104857600", "0104857600", "104857600B", "102400KiB", "100MiB", "1GiB",
    "1TiB", "0B", "off", "9223372036854775807", "8388607TiB", "9007199254740991KiB",
    "0000000000000000000000100MiB", "OFF", "Off", "on", "none", "max", "unlimited", "512MB",
    "512M", "512m", "512Mi", "512mib", "512MIB", "512K", "512k", "512KB", "512kB", "1G", "1Gi",
    "1GB", "1PiB", "1EiB", "1.5GiB", "1,5GiB", "1e9", "1E9", "0x10", "1_000", "90%", "-1", "+1",
    " 1", "1 ", "1 MiB", "1MiB ", "1b", "1 B", "MiB", "B", "iB", "1iB", "1Ki", "1BB", "1MiBB",
    "9223372036854775808", "18446744073709551616", "18446744073709551617", "8388608TiB",
    "9007199254740992KiB", "17592186044416MiB", "99999999999999999999999", "-0", "--1", "-",
    "\u0661", "1\u00a0", "'100MiB'", '"100MiB"', "100MiB\n", "\t100MiB", "off ", "$(LIMIT)",
    "+1MiB", "+1B", "-0MiB", "-KiB", "-B", "+", "+KiB",
]
# None is 16, which is the default here, and none is so large that Go cannot start.
PROCESSORS = [
    "3", "03", "+3", "-3", " 3", "3 ", "3.0", "2.5", "0", "-0", "-1", "+0", "+", "abc", "three",
    "0x3", "3_0", "3\n", "3m", "1", "17", "1000", "0000000000000000000003", "2147483648",
    "4294967299", "9223372036854775808", "18446744073709551619", "99999999999999999999", "1e0",
    "3,", "\u0663", "--3", "-", "max", "auto",
]
# None is 100, which is the default.
COLLECTORS = [
    "off", "50", "050", "0", "-1", "-5", "-0", "+50", "+", " 50", "50 ", "50%", "OFF", "Off", "on",
    "abc", "1e2", "0x32", "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967346",
    "18446744073709551666", "99999999999999999999", "50.0", "none", "-",
]


def checks_variables(report, program):
    """There is a warning about a value only if Go aborts or ignores it."""
    for name, values, is_taken in [
            ("GOMEMLIMIT", MEMORY_LIMITS, lambda seen: seen is not None),
            ("GOMAXPROCS", PROCESSORS, lambda seen: seen["processors"] != MANY),
            ("GOGC", COLLECTORS, lambda seen: seen["collector"] != 100)]:
        wrong = []
        for value in values:
            try:
                seen = HALF.bare(program.path, {name: value})
            except subprocess.CalledProcessError:
                seen = None
            said = HALF.explain(program.path, environment={name: value})
            # A value that Go takes may still be too high to help, which is another warning.
            warned = any(name in warning and "too high to help" not in warning
                         for warning in said["warnings"])
            if warned == is_taken(seen) or any(said[half].get(name) for half in ("memory", "cpu")):
                wrong.append(f"{value!r} {'is taken' if is_taken(seen) else 'is not taken'}")
        report.check(f"{program.name}: {name} has a warning exactly if Go does not accept it, "
                     f"{len(values)} values", wrong=(wrong, []))


class Running:
    """A program that prints the number of its threads on request."""

    def __init__(self, program, *options, **environment):
        settings = ["=".join(setting) for setting in environment.items()]
        self.title = ", ".join([program.name, *options, *settings])
        self.child = LIVE.start(LIVE.loadline(*options, "-s", "--", program.path), environment,
                                stdin=subprocess.PIPE)
        self.at_start = json.loads(self.child.stdout.readline())["processors"]

    def ask(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return int(self.child.stdout.readline())

    def stop(self):
        _, said = self.child.communicate(timeout=PATIENCE)
        return self.child.returncode, said


def follow_changes(report, built):
    """Changes the quota of running programs. Those whose runtime decides follow it, others do not."""
    def named(name):
        return next(program for program in built if program.name == name)

    following, fixed = [], []
    for version in TOOLCHAINS:
        if programs.minor(version) < 25:
            fixed += [Running(named(f"go{version}")), Running(named(f"go{version}"), "--cpu=live")]
        else:
            old, own = named(f"go{version}-for1.21"), named(f"go{version}")
            following += [Running(own), Running(own, "--cpu=live"), Running(old, "--cpu=live"),
                          Running(old, "--cpu=live", GODEBUG="containermaxprocs=1")]
            fixed += [Running(old), Running(own, "--cpu=static"), Running(own, GOMAXPROCS="3"),
                      Running(own, "--cpu=live", GODEBUG="updatemaxprocs=0"),
                      Running(old, "--cpu=live", GODEBUG="updatemaxprocs=0"),
                      Running(old, "--cpu=live", GODEBUG="containermaxprocs=0")]
    following += [Running(named(f"go{NEWEST}-asked-for1.21")),
                  Running(named(f"go{NEWEST}-once"), "--cpu=live")]
    fixed += [Running(named(f"go{NEWEST}-fixed")), Running(named(f"go{NEWEST}-once"))]
    latest = {}
    for quota in (5, 1.5, 11.2):
        begin = time.monotonic()
        set_quota(LIVE.cgroup, quota)
        wanted = max(2, math.ceil(quota))
        while time.monotonic() < begin + PATIENCE:
            latest = {running: running.ask() for running in [*following, *fixed]}
            if all(latest[running] == wanted for running in following):
                break
            time.sleep(0.05)
        seconds = time.monotonic() - begin
        for running in following:
            report.check(f"{running.title}: follows when the quota changes to {quota}, all in {seconds:.1f} s",
                         threads=([running.at_start, latest[running]], [3, wanted]))
    for running in fixed:
        report.check(f"{running.title}: does not follow",
                     threads=([running.at_start, latest[running]], [3, 3]))
    for running in [*following, *fixed]:
        code, said = running.stop()
        report.check(f"{running.title}: ends well", code=(code, 0), said=(said, ""))


def behind_an_init(report, program):
    """The program behind a known init decides. What another program starts is not known."""
    def explain(*command):
        return SOME.run(SOME.loadline("--explain=json", *command), {})[0]

    alone, inside = SOME.explain(program.path), explain("/tini", "-g", "--", program.path)
    shell = explain("/bin/sh", "-c", program.path)
    report.check(f"{program.name}, behind an init: it is decided for the program",
                 starts=(inside["program"]["starts"], str(program.path)),
                 version=(inside["program"]["go_version"], alone["program"]["go_version"]),
                 decided=([inside["memory"], inside["cpu"]], [alone["memory"], alone["cpu"]]),
                 shell=([shell["program"]["starts"], shell["cpu"]["GOMAXPROCS"]], [None, str(right(SOME))]))


def before_gomemlimit(report, program):
    """No registry has Go 1.18, so this is 1.19 with another version in its build information.
    GOMEMLIMIT is set for the children of the program, and -v says that it has no effect."""
    older = dataclasses.replace(program, kind="as1.18")
    content = program.path.read_bytes()
    start = content.index(b"\xff Go buildinf:")
    at = content.index(b"go1.19", start)
    older.path.write_bytes(content[:at] + b"go1.18" + content[at + 6:])
    shutil.copymode(program.path, older.path)
    said = HALF.explain(older.path)
    seen, messages = HALF.under_loadline(older.path)
    wanted = [str(MEMORY * 8 // 10), "1"]
    report.check("a Go before 1.19: GOMEMLIMIT is set, and a note says that it has no effect",
                 version=(said["program"]["go_version"][:6], "go1.18"),
                 explained=([said["memory"]["GOMEMLIMIT"], said["cpu"]["GOMAXPROCS"]], wanted),
                 seen=([seen["GOMEMLIMIT"], seen["GOMAXPROCS"]], wanted),
                 reason=("1.19" in said["memory"]["reason"], True), message=("1.19" in messages, True))


def check_all(report, built):
    plain = [program for program in built if not program.kind]
    with_libraries = [program for program in built if program.kind != "replaced" and program.modules]
    with made([*PLACES, *MOUNTED, LIVE]):
        for program in built:
            # In these, automaxprocs is an empty package.
            for place in PLACES * (program.kind not in ("vendored", "replaced")):
                report.case(decides, program, place)
        for program in plain:
            for place in (HALF, SOME, PLENTY, ABOVE, PART, NONE):
                for mode in ("static", "live"):
                    report.case(decides, program, place, mode)
        for program in plain:
            for place in MOUNTED * (program.minor >= 25):
                for mode in ("auto", "live"):
                    report.case(decides, program, place, mode)
        for program in plain:
            if program.minor >= 25:
                for debug in DEBUG[:4]:
                    report.case(decides, program, SOME, "live", debug)
        for program in plain:
            if program.minor >= 25:
                for debug in DEBUG:
                    report.case(heeds_debug, program, debug)
        for program in plain:
            if not program.follows:
                report.case(checks_variables, program)
        for program in plain:
            report.case(behind_an_init, program)
        report.case(before_gomemlimit, plain[0])
        report.case(follow_changes, built)
    for tree in TREES:
        tree.make()
        for program in plain + with_libraries:
            for mode in ("auto", "static", "live"):
                report.case(decides_on_v2, program, tree, mode)


if __name__ == "__main__":
    main(check_all)
