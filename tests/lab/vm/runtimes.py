"""What the Go runtimes find as their CPU quota on cgroup v2, and whether loadline knows it."""

import json
import pathlib
import subprocess
import sys

import machine

GOLANG = machine.HERE.parent / "golang"
sys.path.append(str(GOLANG))
import programs

VERSIONS = [version for version in programs.TOOLCHAINS if programs.minor(version) >= 25]
# The number of CPUs that programs see. With those of the machine, a runtime that finds no quota would use
# as many threads as one that does.
CPUS = 16
THREADS = 3

# How the mounts are changed, and the y of each Go 1.y whose runtime does not find its quota then.
MOUNTS = {
    "the usual mount": ("", ()),
    "a network namespace is mounted first (golang/go#81864)": ("""
touch /tmp/net
mount --bind /proc/self/ns/net /tmp/net
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
""", (26, 27)),
    "a network namespace is mounted later": ("""
touch /tmp/net
mount --bind /proc/self/ns/net /tmp/net
""", ()),
    "another cgroup is mounted later": ("""
mkdir -p /tmp/other
mount --bind /sys/fs/cgroup/other /tmp/other
""", (25,)),
    "a cgroup namespace, and the mount of the host later": ("""
mkdir -p /tmp/kept /tmp/host
mount --bind /sys/fs/cgroup /tmp/kept
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind /tmp/kept /tmp/host
umount -l /tmp/kept
""", (25,)),
}


def files():
    """The programs, by their path inside."""
    try:
        machine.LAB.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-static", "-O1", "-o", machine.LAB / "cpus", GOLANG / "cpus.c"], check=True)
        built = {"tools/cpus": machine.LAB / "cpus"}
        for version in VERSIONS:
            program = programs.Program(version, version, "stripped", flags=("-ldflags=-s -w",))
            program.path.parent.mkdir(parents=True, exist_ok=True)
            programs.build(programs.toolchain(version), program)
            built[f"tools/seen-{version}"] = pathlib.Path(program.path)
        return built
    except programs.Cannot as reason:
        raise machine.CannotRun(str(reason)) from reason


def find_their_quota(guest, report):
    for name, (change, lost) in MOUNTS.items():
        namespaces = "--mount --cgroup" if name.startswith("a cgroup namespace") else "--mount"
        _, output = guest.sh(f"""
group $C/other
group $C/app cpu.max="250000 100000"
cat >/tmp/inside <<'END'
{change}
for version in {" ".join(VERSIONS)}; do
    cpus {CPUS} /tools/seen-$version </dev/null
    cpus {CPUS} loadline -s -- /tools/seen-$version </dev/null
done
END
(enter $C/app; /tools/unshare {namespaces} sh -e /tmp/inside)
clear_groups $C
""")
        seen = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        for version, bare, under in zip(VERSIONS, seen[::2], seen[1::2], strict=True):
            is_lost = programs.minor(version) in lost
            found = (bare["processors"], under["GOMAXPROCS"], under["processors"])
            wanted = (CPUS, str(THREADS), THREADS) if is_lost else (THREADS, None, THREADS)
            report.check(found == wanted, f"Go {version}, {name}: the runtime finds "
                         f"{'no' if is_lost else 'the'} quota, and loadline knows that", (found, wanted))
