#!/usr/bin/env python3
"""loadline in pods of a real Kubernetes node: what the kubelet and kubectl say of them."""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent.parent
LAB = TOP / "target/lab"
# The last of them has PyYAML, as soon as the suite is set up.
sys.path += map(str, [HERE.parent / "containers", HERE.parent / "prometheus", TOP / "examples",
                      LAB / "kubernetes-validate"])

import demo
import suite
from container import equal, matches, variables
from node import CONTAINERD, KUBELET_READ_ONLY, NODE, PARTS, Node
from pods import (CPUS, LIMITS, MEMORY, PROBE, Output, Pod, StaticPod, container, has_ended, has_restarted,
                  is_ready, is_running)
from suite import HIERARCHIES

DOCUMENT = TOP / "docs/kubernetes.md"
GOMEMLIMIT = MEMORY * 8 // 10
ANSWERS = ["200, 66,012,856 bytes"] * demo.REQUESTS
# With a single CPU, GOMAXPROCS needs no value.
VARIABLES = variables(MEMORY, CPUS, len(os.sched_getaffinity(0)))
SET = sorted(f"{name}={value}" for name, value in VARIABLES.items())
SMALL = {"memory": "64Mi"}
# More than SMALL.
TOO_MUCH = "dd if=/dev/zero of=/dev/null bs=200M count=1"
# How often a case is run in which an OOM kill has no reason.
ATTEMPTS = 4
# How the line about an OOM kill begins.
KILLED = "loadline: the kernel OOM-killed {} (out of memory): limit {} MiB in "

node = Node()


def ask(pod, requests=demo.REQUESTS):
    """Sends requests to the service, until one fails. Returns the answers."""
    address, answers = pod.address(), []
    for _ in range(requests):
        answer, complete = demo.get(address)
        answers.append(answer)
        if not complete:
            break
    return answers


def terminated(status, *keys):
    """What Kubernetes says of the end of a container, or of its last one if it was restarted."""
    end = status["state"].get("terminated") or status["lastState"]["terminated"]
    return [end.get(key) for key in keys]


def begins(text, expected, what):
    return text.startswith(expected), what if text.startswith(expected) else f"{what}: {text!r}"


def again_if_missed(case):
    """Runs a case again if containerd has missed the reason. It learns of an OOM kill and of the exit in two
    ways, and if the exit is faster, Kubernetes says `Error` for good."""
    @functools.wraps(case)
    def run():
        for _ in range(ATTEMPTS):
            results = list(case())
            if all(right or "'Error', 137" not in what for right, what in results):
                break
        yield from results
    return run


def documented(begin, varying):
    """Runs the command of a transcript in the documentation, and compares what it prints. That is kept below
    target/lab too, to be copied from there. `...` stands for what differs from run to run: what follows the
    groups of the pattern `varying`."""
    blocks = re.findall(rf"^```text\n\$ ({begin}.*)\n([^`]*)^```$",
                        DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    command, expected = blocks[0] if blocks else (begin, None)
    said = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
    said = re.sub(varying, lambda match: f"{match[1]}...", said)
    (PARTS / f"{begin.replace(' ', '-').replace('/', '')}.txt").write_text(f"$ {command}\n{said}")
    yield equal(said, expected, f"{DOCUMENT.name} shows what `{begin}` prints")


def described(name):
    yield from documented(f"kubectl describe pod {name}", r"((?:Started|Finished): +|peak )(?:[\d.]+|.*)")


@again_if_missed
def static_pod_post_mortem():
    program = container("loadline", command=["/loadline", "--", *TOO_MUCH.split()], limits=SMALL)
    with StaticPod("static-post-mortem", program, restartPolicy="Never") as pod:
        reason, code, message = terminated(pod.wait(has_ended, "ended"), "reason", "exitCode", "message")
        yield equal((reason, code), ("OOMKilled", 137), "static pod: the program is OOM-killed")
        yield begins(message or "", KILLED.format("the program", 64), "static pod: the message tells why")


def static_pod():
    """The kubelet alone, then started again as the node of a cluster."""
    with StaticPod("static", container("service", limits=LIMITS, readinessProbe=PROBE)) as pod:
        try:
            before = pod.wait(is_ready, "ready")
            yield equal(ask(pod), ANSWERS, "static pod: under loadline, four answers")
        finally:
            node.join()
        after = Pod(f"{pod.name}-{NODE}").wait(is_ready, "ready")
        yield equal((after["containerID"], after["restartCount"]), (before["containerID"], 0),
                    "static pod: no restart, not even with the kubelet, and the cluster sees it")


@again_if_missed
def founding_case_bare():
    title = "bare"
    with Pod("bare", container("bare", limits=LIMITS, readinessProbe=PROBE)) as pod:
        pod.wait(is_ready, "ready")
        answers = ask(pod, 2 * demo.REQUESTS)
        yield begins(answers[-1], "connection re", f"{title}: the service dies, within {len(answers)} requests")
        status = pod.wait(has_restarted, "restarted")
        yield equal(terminated(status, "reason", "exitCode", "message"), ["OOMKilled", 137, None],
                    f"{title}: OOMKilled, and no message")
        yield from described("bare")


def inspected(pod, title, *operands, container="app"):
    """`--inspect` finds the service and its limits."""
    code, said = pod.run("/loadline", "--inspect=json", *operands, container=container)
    seen = json.loads(said) if code == 0 else {}
    given = [f"{name}={value}" for name, value in sorted(seen.get("given", {}).items()) if value]
    yield equal(given, SET, f"{title}, --inspect: what the service was given")
    now = seen.get("now", {})
    yield equal((now["memory"]["limit_bytes"], now["cpu"]["limit_cpus"], seen["restart_would_change"]),
                (MEMORY, CPUS, False), f"{title}, --inspect: its limits, which have not changed")


def founding_case():
    title = "under loadline"
    with Pod("service", container("service", limits=LIMITS, readinessProbe=PROBE)) as pod:
        pod.wait(is_ready, "ready")
        yield equal(ask(pod), ANSWERS, f"{title}: four answers")
        yield equal(pod.variables("service"), SET, f"{title}: the service is given the variables")
        code, said = pod.run("/loadline", "--explain", "/service")
        yield (code == 0 and all(f"{name}  {value}" in said for name, value in VARIABLES.items()),
               f"{title}: kubectl exec POD -- /loadline --explain /service: exit code {code}")
        yield from inspected(pod, title)
        usage = r"((?:PID  |memory|peak|throttled) +|of which |s, in |\bof )[\d.]+(?: [MK]iB)?"
        yield from documented("kubectl exec service -- /loadline --inspect", usage)
        yield equal(pod.status()["restartCount"], 0, f"{title}: no restart")


@again_if_missed
def post_mortem():
    """The same service with a limit that is less than it needs."""
    title = "post-mortem"
    limits = {**LIMITS, "memory": "200Mi"}
    with Pod("post-mortem", container("service", limits=limits, readinessProbe=PROBE)) as pod:
        pod.wait(is_ready, "ready")
        ask(pod)
        status = pod.wait(has_restarted, "restarted")
        reason, code, message = terminated(status, "reason", "exitCode", "message")
        yield equal((reason, code), ("OOMKilled", 137), f"{title}: OOMKilled")
        yield begins(message or "", KILLED.format("the program", 200), f"{title}: the message tells why")
        yield bool(message) and message in pod.logs("--previous"), f"{title}: kubectl logs --previous has it too"
        yield from described("post-mortem")


def child_is_killed():
    """Kubernetes says OOMKilled for any process of the container, and the exit code is the program's."""
    title = "a child is killed"
    script = f"mkfifo /tmp/go; echo ready; read -r _ </tmp/go; {TOO_MUCH}; echo the child: $?; read -r _ </tmp/go"
    program = container("loadline", command=["/loadline", "--", "sh", "-c", f"{script}; exit 0"], limits=SMALL)
    with Pod("child", program, restartPolicy="Never") as pod:
        pod.wait(is_running, "running")
        go = ["sh", "-c", "echo >/tmp/go"]
        with pod.follow() as log, Output("ctr", "--namespace", "k8s.io", "events") as events:
            log.line("ready")
            pod.run(*go)
            yield equal(log.line("the child: "), "the child: 137\n", f"{title}: the program lives")
            # By this event containerd learns of it. The program must not end before.
            events.line(".*/tasks/oom")
        pod.run(*go)
        reason, code, message = terminated(pod.wait(has_ended, "ended"), "reason", "exitCode", "message")
        yield equal((reason, code), ("OOMKilled", 0), f"{title}: OOMKilled with the exit code 0")
        yield begins(message or "", KILLED.format("1 process of the container", 64), f"{title}: the message tells why")


def message_of_the_program():
    title = "the program's own message"
    script = f"echo the disk is full >/dev/termination-log; {TOO_MUCH}; exit 3"
    program = container("loadline", command=["/loadline", "--", "sh", "-c", script], limits=SMALL)
    with Pod("own-message", program, restartPolicy="Never") as pod:
        status = pod.wait(has_ended, "ended")
        yield equal(terminated(status, "exitCode", "message"), [3, "the disk is full\n"], f"{title}: it stays")
        yield (KILLED.format("1 process of the container", 64) in pod.logs(),
               f"{title}: the log has what loadline says")


def log_as_json():
    """As docs/kubernetes.md shows it."""
    import yaml
    title = "--report=json"
    program = container("loadline", command=["/loadline", "--", "sh", "-c", "exit 3"], limits=SMALL)
    recipe = re.search(r"^```yaml\n(env:\n  - {name: LOADLINE_REPORT.*?)^```$", DOCUMENT.read_text(encoding="utf-8"),
                       re.MULTILINE | re.DOTALL)[1]
    program |= yaml.safe_load(recipe)
    with Pod("json", program, restartPolicy="Never") as pod:
        pod.wait(has_ended, "ended")
        start, end = map(json.loads, pod.logs().splitlines())
    names = [pod.name, pod.name, "default", "service"]
    for line in (start, end):
        yield equal([line[key] for key in ("hostname", "pod", "namespace", "container")], names,
                    f"{title}, {line['event']}: the names of the pod")
    yield equal(start["memory"]["GOMEMLIMIT"], str((64 << 20) * 8 // 10), f"{title}: what was set")
    yield equal((end["exit_code"], end["memory"]["limit_bytes"]), (3, 64 << 20), f"{title}: how it ended")


def restricted():
    """What the Pod Security Standard `restricted` wants, and more. loadline runs in a probe and in a hook."""
    title = "restricted"
    confined = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"}}
    # The message is all that Kubernetes keeps of it.
    hook = ["/loadline", "--", "sh", "-c", "echo GOMEMLIMIT=$GOMEMLIMIT >/dev/termination-log"]
    program = container(
        "service", limits=LIMITS, securityContext=confined, lifecycle={"preStop": {"exec": {"command": hook}}},
        readinessProbe={"exec": {"command": ["/loadline", "--explain"]}, "periodSeconds": 1, "timeoutSeconds": 5})
    with Pod("restricted", program) as pod:
        pod.wait(is_ready, "ready")
        yield True, f"{title}: the exec probe succeeds"
        _, said = pod.run("grep", "-E", "^(Name|Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):", "/proc/1/status")
        nothing = "0" * 16
        yield equal(said.split(), ["Name:", "loadline", "Uid:", *["65532"] * 4, "CapEff:", nothing, "CapBnd:",
                                   nothing, "NoNewPrivs:", "1", "Seccomp:", "2"], f"{title}: it is confined")
        yield equal(pod.variables("service"), SET, f"{title}: the service is given the variables")
        yield from inspected(pod, title)
        yield equal(terminated(pod.delete(), "message"), [f"GOMEMLIMIT={GOMEMLIMIT}\n"],
                    f"{title}: the program of the preStop hook is given the variables")


def shared_process_namespace():
    title = "shareProcessNamespace"
    # The process has lost its parent when its ID is written.
    orphan = "echo $(sh -c 'sleep 3600 >/dev/null & echo $!') >/tmp/orphan; exec"
    parent = "cat /proc/$(grep PPid: /proc/$(cat /tmp/orphan)/status | tr -dc 0-9)/comm"
    program = container("service", "sh", "-c", f"{orphan} /service", limits=LIMITS, readinessProbe=PROBE,
                        env={"TINI_SUBREAPER": "1"})
    neighbour = container("service", "sh", "-c", f"{orphan} sleep 3600", name="neighbour")
    with Pod("shared", program, neighbour, shareProcessNamespace=True) as pod:
        pod.wait(is_ready, "ready")
        yield equal(pod.run("cat", "/proc/1/comm"), (0, "pause\n"), f"{title}: loadline is not PID 1")
        yield equal(pod.variables("service"), SET, f"{title}: the service is given the variables")
        _, service = pod.run("pidof", "service")
        yield from inspected(pod, title, service.strip())
        yield from inspected(pod, f"{title}, from the neighbour", service.strip(), container="neighbour")
        yield equal(pod.run("sh", "-c", parent), (0, "loadline\n"), f"{title}: with TINI_SUBREAPER=1 it gets orphans")
        yield equal(pod.run("sh", "-c", f"until [ -s /tmp/orphan ]; do :; done; {parent}", container="neighbour"),
                    (0, "pause\n"), f"{title}: without, the pause program gets them")
        yield equal(terminated(pod.delete(), "exitCode"), [143], f"{title}: SIGTERM ends it, as any Go program")


def stopped():
    """A program that ignores SIGTERM."""
    title = "kubectl delete"
    program = container(
        "loadline", command=["/loadline", "--", "sh", "-c", "trap '' TERM; echo ready; exec sleep 3600"],
        env={"LOADLINE_KILL_AFTER": "2s", "TINI_VERBOSITY": "3"}, limits=SMALL,
        lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "echo preStop >/proc/1/fd/1"]}}})
    with Pod("stopped", program, terminationGracePeriodSeconds=60) as pod:
        pod.wait(is_running, "running")
        with pod.follow() as log:
            log.line("ready")
            begin = time.monotonic()
            status = pod.delete()
            seconds = time.monotonic() - begin
            said = log.rest()
        yield seconds < 30, f"{title}: --kill-after ends it before the grace period: {seconds:.1f} s"
        yield equal(terminated(status, "exitCode"), [137], f"{title}: the program is killed")
        yield matches(".*preStop\n.* forwarded SIGTERM .*: it did not exit in time\n.*", said,
                      f"{title}: first the preStop hook, then SIGTERM, then SIGKILL")


def resized():
    """As the kubelet does it for a resize in place: the cgroup of the pod, then the container by CRI."""
    title = "resize"
    program = container("service", "/resize", limits=LIMITS, env={"LOADLINE_ON_RESIZE": "signal:USR1"})
    with Pod("resized", program) as pod:
        identifier = pod.wait(is_running, "running")["containerID"].removeprefix("containerd://")
        with pod.follow() as log:
            yield matches(".* memory limit 320 MiB\n", log.line(".* memory limit"),
                          f"{title}: Go's limit at the start")
            memory, quota = 600 << 20, 100_000
            (pod.cgroup("memory") / "memory.limit_in_bytes").write_text(str(memory))
            (pod.cgroup("cpu") / "cpu.cfs_quota_us").write_text(str(quota))
            subprocess.run(["resize-container", f"-endpoint=unix://{CONTAINERD}", f"-memory={memory}",
                            f"-quota={quota}", identifier], check=True, capture_output=True, text=True)
            yield matches("loadline: limits changed: memory 600 MiB, CPU 1; .*; sending SIGUSR1 to the program\n",
                          log.line("loadline: "), f"{title}: loadline says it")
            yield matches(".* memory limit 480 MiB, was 320 MiB\n", log.line(), f"{title}: Go follows it")
        yield equal(pod.status()["restartCount"], 0, f"{title}: no restart")


def limit_of_the_pod():
    """As for resources of the pod (Kubernetes 1.34): the cgroup of the pod has limits, that of the container
    none. They are written before the container is restarted."""
    title = "limit of the pod"
    with Pod("pod-limit", container("service", readinessProbe=PROBE)) as pod:
        pod.wait(is_ready, "ready")
        # The kubelet limits all pods together to what the node can give them.
        of_all = int((pod.cgroup("memory").parent.parent / "memory.limit_in_bytes").read_text())
        yield equal(pod.variables("service"), [f"GOMEMLIMIT={of_all * 8 // 10}"],
                    f"{title}: without one, that of all pods of the node counts")
        (pod.cgroup("memory") / "memory.limit_in_bytes").write_text(str(MEMORY))
        (pod.cgroup("cpu") / "cpu.cfs_quota_us").write_text(str(int(CPUS * 100_000)))
        pod.run("kill", "-TERM", "1")
        pod.wait(has_restarted, "restarted")
        _, said = pod.run("/loadline", "--explain=json", "/service")
        explained = json.loads(said)
        yield equal((explained["memory"]["limit_bytes"], explained["memory"]["source"]),
                    (MEMORY, "/sys/fs/cgroup/memory/memory.stat"), f"{title}: v1 shows that of memory")
        yield equal(explained["cpu"]["limit_cpus"], None, f"{title}: v1 does not show that of CPU")
        yield equal(pod.variables("service"), [f"GOMEMLIMIT={GOMEMLIMIT}"], f"{title}: the service follows it")


def unchanged_image():
    """An init container, whose image has loadline alone, copies it into a volume."""
    title = "unchanged image"
    tools = {"name": "tools", "mountPath": "/tools"}
    copy = container("scratch", "--install", "/tools", name="loadline", volumeMounts=[tools])
    program = container("bare", command=["/tools/loadline", "--", "/service"], limits=LIMITS,
                        readinessProbe=PROBE, volumeMounts=[{**tools, "readOnly": True}])
    with Pod("unchanged", program, initContainers=[copy], volumes=[{"name": "tools", "emptyDir": {}}]) as pod:
        pod.wait(is_ready, "ready")
        yield equal(ask(pod), ANSWERS, f"{title}: four answers")


def command_replaces_the_entrypoint():
    with Pod("replaced", container("service", command=["/service"], limits=LIMITS, readinessProbe=PROBE)) as pod:
        pod.wait(is_ready, "ready")
        yield equal(pod.run("cat", "/proc/1/comm"), (0, "service\n"), "`command`: replaces the ENTRYPOINT")
        yield equal(pod.variables("service"), [], "`command`: without loadline in it, nothing is set")


class OfRuntimeClass(Pod):
    """A pod whose images are as they are. The runtime of its RuntimeClass is loadline-runtime."""

    def __init__(self, name, *containers, annotations=None, **spec):
        super().__init__(name, *containers, runtimeClassName="loadline", **spec)
        self.manifest["metadata"]["annotations"] = annotations or {}


def first_process(pod):
    """The command line and the Go variables of the first process of `app`."""
    identifier = pod.status()["containerID"].removeprefix("containerd://")
    pids = next((HIERARCHIES / "memory/kubepods").rglob(identifier)) / "cgroup.procs"
    process = pathlib.Path(f"/proc/{min(map(int, pids.read_text().split()))}")
    read = [(process / name).read_text(encoding="utf-8").split("\0")[:-1] for name in ("cmdline", "environ")]
    return read[0], sorted(entry for entry in read[1] if entry.startswith("GO"))


def runtime_class():
    title = "RuntimeClass"
    subprocess.run(["kubectl", "apply", f"--filename={TOP}/examples/kubernetes/runtimeclass/runtimeclass.yaml"],
                   check=True, capture_output=True, text=True)
    with OfRuntimeClass("runtime-class", container("bare", limits=LIMITS, readinessProbe=PROBE)) as pod:
        pod.wait(is_ready, "ready")
        yield equal(first_process(pod), (["/service"], SET), f"{title}: the service is PID 1, and has the variables")
        yield equal(ask(pod), ANSWERS, f"{title}: four answers of an unchanged scratch image")
        yield equal(pod.status()["restartCount"], 0, f"{title}: no restart")
    init = {"loadline.init": "true", "loadline.memory-ratio": "0.5"}
    with OfRuntimeClass("runtime-init", container("bare", limits=LIMITS, readinessProbe=PROBE),
                        annotations=init) as pod:
        pod.wait(is_ready, "ready")
        command, variables_of = first_process(pod)
        yield equal(command, ["/dev/loadline", "--", "/service"], f"{title}: an annotation adds the init")
        yield f"GOMEMLIMIT={MEMORY // 2}" in variables_of, f"{title}: an annotation tunes it: {variables_of}"


def limit_of_the_pod_outside():
    """As `limit_of_the_pod`, but from outside: there v1 shows the CPU quota of the pod too."""
    title = "RuntimeClass, limit of the pod"
    program = container("service", command=["/service"], readinessProbe=PROBE)
    with OfRuntimeClass("runtime-pod-limit", program, shareProcessNamespace=True) as pod:
        pod.wait(is_ready, "ready")
        (pod.cgroup("memory") / "memory.limit_in_bytes").write_text(str(MEMORY))
        (pod.cgroup("cpu") / "cpu.cfs_quota_us").write_text(str(int(CPUS * 100_000)))
        pod.run("sh", "-c", "kill -TERM $(pidof service)")
        pod.wait(has_restarted, "restarted")
        yield equal(first_process(pod), (["/service"], SET), f"{title}: memory and CPU quota count")
        yield equal(pod.run("sh", "-c", "tr '\\0' '\\n' </proc/1/environ | grep ^GO || :"), (0, ""),
                    f"{title}: the sandbox is left alone")


def default_runtime():
    title = "default runtime of containerd"
    node.make_loadline_the_default()
    with Pod("default-runtime", container("bare", limits=LIMITS, readinessProbe=PROBE)) as pod:
        pod.wait(is_ready, "ready")
        yield equal(first_process(pod), (["/service"], SET), f"{title}: the service is PID 1, and has the variables")
        yield equal(ask(pod), ANSWERS, f"{title}: four answers of an unchanged scratch image")


def with_ctr():
    """containerd's own client, which names the runtime for one container."""
    limits = ["--memory-limit", str(64 << 20), "--cpu-quota", "50000", "--cpu-period", "100000"]
    said = subprocess.run(
        ["ctr", "--namespace", "k8s.io", "run", "--rm", "--runc-binary", "/usr/local/bin/loadline-runc", *limits,
         "localhost/loadline:1", "with-ctr", "sh", "-c", "echo $GOMEMLIMIT $GOMAXPROCS"],
        check=True, capture_output=True, text=True, timeout=60).stdout
    yield equal(said.split(), list(variables(64 << 20, 0.5, len(os.sched_getaffinity(0))).values()),
                "ctr run --runc-binary: the program is given the variables")


class Watched:
    """A pod, as kube-state-metrics tells about it, without the limits, which have to come from the kubelet."""

    def __init__(self, pod):
        self.pod = pod

    def kube_state_metrics(self):
        import simulation
        status = self.pod.status()
        reason = status["lastState"].get("terminated", {}).get("reason")
        samples = simulation.kube_state_metrics("default", self.pod.name, "app", status["restartCount"], reason)
        return [sample for sample in samples if sample[0] != "kube_pod_container_resource_limits"]


@again_if_missed
def monitored():
    """examples/monitoring with the kubelet's own metrics. Only kube-state-metrics is simulated."""
    import dashboard
    import server
    import simulation
    title = "monitoring"
    with Pod("bare-monitored", container("bare", limits=LIMITS, readinessProbe=PROBE)) as pod, \
            Pod("monitored", container("service", limits=LIMITS, readinessProbe=PROBE)) as loaded, \
            tempfile.TemporaryDirectory() as scratch:
        pods = [pod, loaded]
        names = {it.name for it in pods}
        for it in pods:
            it.wait(is_ready, "ready")
        simulated = simulation.Server([Watched(it) for it in pods])
        targets = {"pods": [server.pod_target(it.address(), "default", it.name, "app") for it in pods],
                   "cadvisor": [{"targets": [KUBELET_READ_ONLY.removeprefix("http://")]}],
                   "kube-state-metrics": [{"targets": [simulated.address]}]}
        content = server.configuration(targets, simulated.address)
        binaries = LAB / "prometheus/usr/bin"
        with server.Prometheus(binaries, pathlib.Path(scratch), content, {"GoMemoryLimitUnset"}) as prometheus:
            simulated.alerts.wait_for("GoMemoryLimitUnset", pod.name)
            yield True, f"{title}: GoMemoryLimitUnset fires for the service bare"
            yield equal(ask(loaded), ANSWERS, f"{title}: under loadline, four answers")
            ask(pod, 2 * demo.REQUESTS)
            status = pod.wait(has_restarted, "restarted")
            yield equal(terminated(status, "reason", "exitCode"), ["OOMKilled", 137], f"{title}: it is OOM-killed")
            simulated.alerts.wait_for("ContainerOOMKilled", pod.name)
            yield True, f"{title}: ContainerOOMKilled fires for it"
            # The kubelet has that metric since 1.24.
            absent = {"container_oom_events_total"}
            # Rates need a while. A scrape comes each second.
            scrapes = (simulated.scrapes.get(timeout=simulation.PATIENCE) for _ in range(simulation.PATIENCE))
            for right, what in [*dashboard.cases(prometheus, "default", names, "app", absent, scrapes),
                                *dashboard.restarts(prometheus, "default", names, "app")]:
                yield right, f"{title}: {what}"
            about_loaded = {name for name, of in simulated.alerts.seen if of == loaded.name}
            yield equal(about_loaded, set(), f"{title}: no alert fires for the service under loadline")
        simulated.shutdown()


if __name__ == "__main__":
    suite.main("kubernetes", {"ip": "iproute2", "openssl": "openssl"}, [
        static_pod_post_mortem, static_pod,
        founding_case_bare, founding_case, post_mortem, child_is_killed, message_of_the_program,
        log_as_json, unchanged_image, command_replaces_the_entrypoint, restricted, shared_process_namespace, stopped, resized,
        limit_of_the_pod, monitored, runtime_class, limit_of_the_pod_outside, with_ctr, default_runtime,
    ], node.start, setup=[HERE / "build"],
       namespaces=["--cgroup", "--net", "--uts", "--ipc"])
