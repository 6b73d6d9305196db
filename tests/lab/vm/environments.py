"""Environments of a process: loadline must find their limits, and the kernel must enforce them.

Each has a tree in tests/fixtures that was captured inside. tests/limits.rs compares its expected.json
with the tree, and this suite compares it with the running machine.
"""

import json
import operator
import os
import re
import signal

import machine
from runc import HALF_A_CPU, MIB, container, memory

FIXTURES = machine.TOP / "tests/fixtures"
# Memory of a shell and of dd, without the buffer of dd.
SLACK = 2 * MIB


class Environment:
    """Cgroups with limits, and how a process enters them."""

    def __init__(self, name, setup, into, clear="clear_groups $C"):
        self.name = name
        self.setup = setup
        # The last command runs the script /tmp/inside.
        self.into = into
        self.clear = clear
        self.fixture = FIXTURES / name
        self.expected = json.loads((self.fixture / "expected.json").read_text())

    def enforcement(self):
        """The commands with which the program reaches its limits."""
        limit, source = (self.expected["memory"][key] for key in ["limit_bytes", "source"])
        if limit is not None:
            directory, file = os.path.split(source)
            # The kernel slows processes down above memory.high, so the second size is only a little larger.
            fits, too_much = (limit - SLACK, limit + (MIB if file == "memory.high" else 0))
            yield f"record memory; overfill {directory} {fits} {too_much}"
        if self.expected["cpu"]["limit_cpus"] is not None:
            yield f"record cpu; burn {os.path.dirname(self.expected['cpu']['source'])}"

    def check(self, guest, report, replace):
        program = "; ".join([". /tools/inside.sh", "record variables",
                             'echo "${GOMEMLIMIT-unset} ${GOMAXPROCS-unset}"',
                             *self.enforcement(), "record ended"])
        code, output = guest.sh(f"""
{self.setup}
cat >/tmp/inside <<'END'
. /tools/inside.sh
capture
record explain
loadline --explain=json
exec loadline -s -- sh -c '{program}'
END
({self.into})
code=$?
{self.clear}
exit $code
""")
        seen = dict(part.split("\n", 1) for part in output.split("\x1d")[1:])
        if code or "ended" not in seen:
            report.check(False, f"{self.name}: runs to its end", f"{code}: {output[-400:]}")
            return
        tree = {name: text for name, text in seen.items() if name.startswith("/")}
        if replace:
            self.write(tree)
        found = json.loads(seen["explain"])
        wrong = differences(self.expected, found)
        report.check(not wrong, f"{self.name}: the limits and the decisions", wrong)
        variables = [self.expected["memory"]["GOMEMLIMIT"], self.expected["cpu"]["GOMAXPROCS"]]
        variables = [value or "unset" for value in variables]
        report.check(seen["variables"].split() == variables, f"{self.name}: the variables of the program",
                     f"{seen['variables']!r}, expected {variables}")
        captured, kept = essence(tree), essence(self.read())
        wrong = {name: (captured.get(name), kept.get(name)) for name in {*captured, *kept}
                 if captured.get(name) != kept.get(name)}
        report.check(not wrong, f"{self.name}: the captured tree is the same as in tests/fixtures", wrong)
        if "memory" in seen:
            self.check_memory(seen["memory"], report)
        if "cpu" in seen:
            # The output may contain the report of the kill before.
            report.check("throttled" in seen["cpu"].splitlines(), f"{self.name}: the quota is enforced",
                         seen["cpu"])

    def check_memory(self, seen, report):
        """Checks that the first size leaves no trace, and that the second meets the limit of this cgroup."""
        def numbers(name):
            return [int(number) for number in re.findall(rf"^{name} (\d+)$", seen, re.MULTILINE)]

        slows = self.expected["memory"]["source"].endswith("/memory.high")
        exits, killed = numbers("exit"), numbers("oom_kill")
        met = numbers("local high" if slows else "local oom")
        if slows:
            right = exits == [0, 0] and killed == [0, 0, 0]
        else:
            right = exits == [0, 128 + signal.SIGKILL] and killed == [0, 0, 1]
        right = right and met[:2] == [0, 0] and met[2] > 0
        report.check(right, f"{self.name}: the kernel {'slows down' if slows else 'kills'} at "
                     f"{self.expected['memory']['limit_bytes']} bytes, not below", seen)

    def write(self, tree):
        for name, text in tree.items():
            file = self.fixture / name[1:]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def read(self):
        files = [file for part in ["proc", "sys"] for file in (self.fixture / part).rglob("*")]
        return {f"/{file.relative_to(self.fixture)}": file.read_text()
                for file in files if file.is_file()}


def differences(expected, found):
    """The differences from expected.json, as in tests/limits.rs."""
    wrong = [f"{part}.{key} is {found[part][key]}, expected {value}"
             for part in ["memory", "cpu"] for key, value in expected[part].items()
             if found[part][key] != value]
    warnings, files = found["warnings"], expected["warnings"]
    if len(warnings) != len(files) or not all(map(operator.contains, warnings, files)):
        wrong.append(f"warnings are {warnings}, expected about {files}")
    return wrong


def essence(tree):
    """A tree without the parts that differ from run to run."""
    kept = dict(tree)
    for name in tree:
        if name in ("/proc/meminfo", "/proc/self/status") or name.endswith("/cgroup.procs"):
            del kept[name]
        elif name.endswith("/memory.stat"):
            kept[name] = re.search(r"^hierarchical_memory_limit \d+$", tree[name], re.MULTILINE)[0]
    # Of each cgroup mount: the root, the mount point, the type and the options.
    mounts = [line.split(" - ") for line in tree.get("/proc/self/mountinfo", "").splitlines()]
    kept["/proc/self/mountinfo"] = [(*left.split()[3:5], right.split()[0], right.split()[2])
                                    for left, right in mounts if right.startswith("cgroup")]
    return kept


INSIDE = ["sh", "/tmp/inside"]
RUN_INSIDE = "exec sh /tmp/inside"
# A new cgroup namespace and a new mount, as in containers.
NAMESPACE = ("exec /tools/unshare --cgroup --mount sh -c "
             "'. /tools/inside.sh; umount $0; mount -t cgroup2 cgroup $0; {}exec sh /tmp/inside' $C")


def v1_environments():
    """Hierarchies of v1 beside one of v2, in systemd's hybrid layout."""
    setup = """
mount -t tmpfs tmpfs $C
for controllers in {}; do
    mkdir $C/$controllers
    mount -t cgroup -o $controllers cgroup $C/$controllers
done
mkdir $C/unified
mount -t cgroup2 cgroup2 $C/unified
"""
    clear = "umount $C/unified; umount $C"
    yield Environment(
        "hybrid_vm_limits_in_v1",
        setup.format("memory cpu,cpuacct") + """
group $C/memory/app memory.limit_in_bytes=64M
group $C/cpu,cpuacct/app cpu.cfs_quota_us=50000
group $C/unified/app
""", f"enter $C/memory/app $C/cpu,cpuacct/app $C/unified/app; {RUN_INSIDE}",
        f"clear_groups $C/unified; release memory $C/memory; release cpu $C/cpu,cpuacct; {clear}")
    yield Environment(
        "hybrid_vm_memory_in_v1_cpu_in_v2",
        setup.format("memory") + """
group $C/memory/pod memory.limit_in_bytes=64M
group $C/memory/pod/app
enable $C/unified cpu
group $C/unified/app cpu.max=50000
""", f"enter $C/memory/pod/app $C/unified/app; {RUN_INSIDE}",
        "clear_groups $C/unified; echo -cpu >$C/unified/cgroup.subtree_control; "
        f"release memory $C/memory; {clear}")


def v2_environments():
    """Environments on a machine with only v2."""
    yield Environment("v2_vm_no_limit", "group $C/app", f"enter $C/app; {RUN_INSIDE}")
    yield Environment("v2_vm_real_root", "", RUN_INSIDE)
    yield Environment("v2_vm_leaf_limit", "group $C/app memory.max=64M",
                      f"enter $C/app; {RUN_INSIDE}")
    yield Environment("v2_vm_ancestor_limit",
                      "group $C/pod memory.max=64M; enable $C/pod memory cpu; group $C/pod/app",
                      f"enter $C/pod/app; {RUN_INSIDE}")
    yield Environment("v2_vm_memory_high_below_max",
                      "group $C/app memory.max=64M memory.high=48M",
                      f"enter $C/app; {RUN_INSIDE}")
    yield Environment("v2_vm_cpu_max", "group $C/app 'cpu.max=25000 50000'",
                      f"enter $C/app; {RUN_INSIDE}")
    yield Environment(
        "v2_vm_cpu_max_of_an_ancestor",
        "group $C/pod cpu.max=80000; enable $C/pod memory cpu; group $C/pod/app cpu.max=150000",
        f"enter $C/pod/app; {RUN_INSIDE}")
    yield Environment("v2_vm_controllers_not_enabled_in_the_leaf",
                      "group $C/pod memory.max=64M cpu.max=50000; group $C/pod/app",
                      f"enter $C/pod/app; {RUN_INSIDE}")
    yield Environment("v2_vm_namespace", "group $C/app memory.max=64M cpu.max=50000",
                      f"enter $C/app; {NAMESPACE.format('')}")
    yield Environment("v2_vm_namespace_hides_the_ancestor",
                      "group $C/pod memory.max=64M; enable $C/pod memory cpu; group $C/pod/app",
                      f"enter $C/pod/app; {NAMESPACE.format('')}")
    yield Environment("v2_vm_namespace_with_the_mount_from_outside",
                      "group $C/app memory.max=64M",
                      "enter $C/app; exec /tools/unshare --cgroup sh /tmp/inside")
    yield Environment("v2_vm_init_leaf", "group $C/pod memory.max=64M cpu.max=50000",
                      "enter $C/pod; " + NAMESPACE.format(
                          "group $0/init; enter $0/init; enable $0 memory cpu; "))
    yield Environment("v2_vm_runc", "", container(INSIDE, memory(64) | HALF_A_CPU))
    yield Environment("v2_vm_runc_without_a_namespace",
                      "group $C/pod memory.max=64M; enable $C/pod memory cpu",
                      container(INSIDE, HALF_A_CPU, private=False))
