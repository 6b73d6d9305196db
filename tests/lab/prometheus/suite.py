#!/usr/bin/env python3
"""The alerts and the dashboard of examples/monitoring in a real Prometheus, which is Debian's.

It scrapes the demo's service in three pods: bare, under loadline, and with variables that are set by
hand to too much. The services, their cgroups, the limits and the OOM kills are real. What the kubelet and
kube-state-metrics would tell about them is simulated by simulation.py. The texts of the alerts must be those in
docs/monitoring.md.
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent.parent
ARTIFACT = pathlib.Path(os.environ.get("LOADLINE_ARTIFACT", TOP / "target/artifact/loadline"))
# The alerts that this waits for, and that wait for minutes otherwise.
AT_ONCE = {"GoMemoryLimitUnset", "GoMemoryLimitTooHigh", "GoThreadsAboveQuota"}
CANNOT = 2


def cannot(reason):
    print(f"prometheus: not run: {reason}")
    sys.exit(CANNOT)


def setup(script, *arguments):
    """Runs a script that sets up a tool, and returns what it prints."""
    done = subprocess.run([TOP / "tests/lab" / script, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        cannot(f"{script} failed")
    return pathlib.Path(done.stdout.strip())


BINARIES = setup("unpack", "prometheus", "usr/bin/prometheus", "usr/bin/promtool") / "usr/bin"
sys.path += [str(setup("kubernetes-validate")), str(TOP / "tests/lab")]
import dashboard  # noqa: E402
import server  # noqa: E402
import simulation  # noqa: E402
from checks import check, equal  # noqa: E402
from simulation import demo  # noqa: E402


def text(alert):
    """An alert as docs/monitoring.md shows it."""
    labels, texts = alert["labels"], alert["annotations"]
    paragraphs = [f"{labels['alertname']} ({labels['severity']})", texts["summary"], texts["description"]]
    return "\n".join(textwrap.fill(it, 100, break_on_hyphens=False) for it in paragraphs)


def documented(alert):
    blocks = re.findall(r"^```text\n(.*?)\n```$", (TOP / "docs/monitoring.md").read_text(encoding="utf-8"),
                        re.DOTALL | re.MULTILINE)
    name = alert["labels"]["alertname"]
    found = [block for block in blocks if block.startswith(f"{name} (")]
    return equal(found, [text(alert)], f"docs/monitoring.md shows the text of {name}")


def targets(pods, simulated):
    """What the discovery in a cluster would find."""
    def of_pod(address, name, **labels):
        return server.pod_target(address, simulation.NAMESPACE, name, simulation.CONTAINER, **labels)

    elsewhere = f"{simulation.ADDRESS}:1"
    return {
        "pods": [
            *(of_pod(pod.address, pod.name) for pod in pods),
            # These are dropped: another port of a pod, and a pod without the annotation.
            of_pod(elsewhere, pods[0].name, container_port_number="9000"),
            of_pod(elsewhere, "silent", annotation_prometheus_io_scrape=""),
        ],
        "cadvisor": [{"targets": [simulated]}],
        "kube-state-metrics": [{"targets": [simulated]}],
    }


def wait_for_scrapes(scrapes):
    """Waits until both parts of the simulation were scraped twice from now on."""
    while not scrapes.empty():
        scrapes.get()
    left = {"/metrics/cadvisor": 2, "/metrics": 2}
    while any(count > 0 for count in left.values()):
        left[scrapes.get(timeout=simulation.PATIENCE)] -= 1


def request_all(pod):
    """The requests of the demo. Returns whether each was answered, and stops at the first that was not."""
    answers = []
    for _ in range(demo.REQUESTS):
        answers.append(demo.get(pod.address)[1])
        if not answers[-1]:
            break
    return answers


def cases(scratch):
    service, go = demo.build_service("1.19")
    confine = demo.build_confine()
    small = [service, "-part", "100"]
    bare = simulation.Pod("bare", confine, [service])
    loaded = simulation.Pod("loadline", confine, [ARTIFACT, "-s", "--", service])
    # What the downward API of Kubernetes gives.
    by_hand = simulation.Pod("by-hand", confine, small, {"GOMEMLIMIT": f"{simulation.MEMORY_MIB}MiB", "GOMAXPROCS": "8"})
    pods = [bare, loaded, by_hand]
    names = {pod.name for pod in pods}

    with contextlib.ExitStack() as stack:
        for pod in pods:
            stack.callback(pod.stop)
            pod.start()
        simulated = simulation.Server(pods)
        stack.callback(simulated.shutdown)
        alerts = simulated.alerts
        content = server.configuration(targets(pods, simulated.address), simulated.address)
        prometheus = stack.enter_context(server.Prometheus(BINARIES, scratch, content, AT_ONCE))
        wait_for_scrapes(simulated.scrapes)

        active = [it["labels"] for it in prometheus.get("targets")["activeTargets"]]
        scraped = sorted(it["pod"] for it in active if it["job"] == "pods")
        yield equal(scraped, sorted(it.name for it in pods), "prometheus.yaml scrapes the pods with the annotation")

        alert = alerts.wait_for("GoMemoryLimitUnset", bare.name)
        yield True, f"GoMemoryLimitUnset fires for a service bare ({go})"
        yield documented(alert)
        alert = alerts.wait_for("GoMemoryLimitTooHigh", by_hand.name)
        yield True, "GoMemoryLimitTooHigh fires for GOMEMLIMIT=400MiB in a container of 400 MiB"
        yield documented(alert)
        alert = alerts.wait_for("GoThreadsAboveQuota", by_hand.name)
        yield True, "GoThreadsAboveQuota fires for 8 threads and half a CPU"
        yield documented(alert)

        answers = request_all(loaded)
        yield equal(answers, [True] * demo.REQUESTS, "under loadline, the service answers all requests")
        # The garbage collector runs at random times, so sometimes the heap stays just below the limit.
        for _ in range(demo.TRIES):
            killed = not request_all(bare)[-1]
            if killed:
                break
        yield killed, "bare, the service does not answer all requests"
        if killed:
            bare.wait()
            yield equal(bare.last_reason, "OOMKilled", "bare, the kernel kills it, and it is started again")
            alert = alerts.wait_for("ContainerOOMKilled", bare.name)
            yield True, "ContainerOOMKilled fires for it"
            yield documented(alert)

        grow = [sys.executable, "-c", f"bytearray({2 * simulation.MEMORY_MIB << 20})"]
        yield equal(by_hand.run(grow), -signal.SIGKILL, "the kernel kills a second process in a container")
        alert = alerts.wait_for("ContainerProcessOOMKilled", by_hand.name)
        yield True, "ContainerProcessOOMKilled fires for it"
        yield documented(alert)

        yield from dashboard.cases(prometheus, simulation.NAMESPACE, names, simulation.CONTAINER)
        yield from dashboard.restarts(prometheus, simulation.NAMESPACE, names, simulation.CONTAINER)
        alerts.take_all()
        about_loaded = {name for name, pod in alerts.seen if pod == loaded.name}
        yield equal(about_loaded, set(), "no alert fires for the service under loadline")
        wrong = {key for key in alerts.seen if key[0] in ("ContainerOOMKilled", "ContainerProcessOOMKilled")}
        yield equal(wrong, {("ContainerOOMKilled", bare.name), ("ContainerProcessOOMKilled", by_hand.name)},
                    "each OOM kill is one alert")


def main():
    # SIGTERM becomes an exception, so that everything is ended and the cgroups are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("prometheus: stopped by SIGTERM"))
    obstacle = demo.Confine(None).obstacle()
    if obstacle:
        cannot(obstacle)
    with tempfile.TemporaryDirectory(prefix="loadline-prometheus-") as scratch:
        return 0 if check("prometheus", "cases", cases(pathlib.Path(scratch))) else 1


if __name__ == "__main__":
    sys.exit(main())
