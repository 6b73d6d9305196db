#!/usr/bin/env python3
"""loadline in pods of a real Kubernetes node: what the kubelet and kubectl say of them."""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "containers"), str(HERE.parent.parent.parent / "examples")]

import demo
import suite
from container import equal, matches, variables
from node import CONTAINERD, NODE, PARTS, Node
from pods import (CPUS, LIMITS, MEMORY, PROBE, Output, Pod, StaticPod, container, has_ended, has_restarted,
                  is_ready, is_running)
from suite import TOP

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


def documented(name):
    """Runs the command of a transcript in the documentation, and compares what it prints. That is kept below
    target/lab too, to be copied from there. `...` stands for what differs from run to run."""
    blocks = re.findall(rf"^```text\n\$ (kubectl describe pod {name} .*)\n([^`]*)^```$",
                        DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    command, expected = blocks[0] if blocks else (f"kubectl describe pod {name}", None)
    said = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
    said = re.sub(r"((?:Started|Finished): +).*|(peak )[\d.]+", r"\1\2...", said)
    (PARTS / f"describe-{name}.txt").write_text(f"$ {command}\n{said}")
    yield equal(said, expected, f"{name}: {DOCUMENT.name} shows what `kubectl describe` prints")


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
        yield from documented("bare")


def founding_case():
    title = "under loadline"
    with Pod("service", container("service", limits=LIMITS, readinessProbe=PROBE)) as pod:
        pod.wait(is_ready, "ready")
        yield equal(ask(pod), ANSWERS, f"{title}: four answers")
        yield equal(pod.variables("service"), SET, f"{title}: the service is given the variables")
        code, said = pod.run("/loadline", "--explain", "/service")
        yield (code == 0 and all(f"{name}  {value}" in said for name, value in VARIABLES.items()),
               f"{title}: kubectl exec POD -- /loadline --explain /service: exit code {code}")
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
        yield from documented("post-mortem")


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


if __name__ == "__main__":
    suite.main("kubernetes", {"ip": "iproute2", "openssl": "openssl"}, [
        static_pod_post_mortem, static_pod,
        founding_case_bare, founding_case, post_mortem, child_is_killed, message_of_the_program,
        unchanged_image, command_replaces_the_entrypoint, restricted, shared_process_namespace, stopped, resized,
        limit_of_the_pod,
        # Here go further recipes of docs/kubernetes.md, such as other ways to get loadline into a pod, or to
        # look into one that runs.
    ], node.start, setup=HERE / "build",
       namespaces=["--cgroup", "--net", "--uts", "--ipc"])
