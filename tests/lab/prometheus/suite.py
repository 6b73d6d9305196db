#!/usr/bin/env python3
"""The alerts and the dashboard of examples/monitoring in a real Prometheus, which is Debian's.

It scrapes the demo's service in three pods: bare, under loadline, and with variables that are set by
hand to too much. The services, their cgroups, the limits and the OOM kills are real. What the kubelet and
kube-state-metrics would tell about them is simulated by node.py. The texts of the alerts must be those in
docs/monitoring.md.
"""

import contextlib
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent.parent
ARTIFACT = pathlib.Path(os.environ.get("LOADLINE_ARTIFACT", TOP / "target/artifact/loadline"))
# Seconds for an alert. It takes two or three on an idle machine.
PATIENCE = 120
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
sys.path.append(str(setup("kubernetes-validate")))
import node  # noqa: E402
import server  # noqa: E402
from node import demo  # noqa: E402


def equal(found, expected, what):
    return found == expected, what if found == expected else f"{what}: {found}, expected {expected}"


class Alerts:
    """The alerts that have come in, by name and pod."""

    def __init__(self, incoming):
        self.incoming = incoming
        self.seen = {}

    def take(self, timeout):
        alert = self.incoming.get(timeout=timeout)
        labels = alert["labels"]
        self.seen.setdefault((labels["alertname"], labels["pod"]), alert)

    def wait_for(self, name, pod):
        deadline = time.monotonic() + PATIENCE
        while (name, pod.name) not in self.seen:
            try:
                self.take(deadline - time.monotonic())
            except (queue.Empty, ValueError):
                raise TimeoutError(f"no alert {name} for {pod.name}, but {sorted(self.seen)}") from None
        return self.seen[name, pod.name]


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
    def of_pod(address, pod, **labels):
        return {"targets": [address], "labels": {
            "__meta_kubernetes_namespace": node.NAMESPACE,
            "__meta_kubernetes_pod_name": pod,
            "__meta_kubernetes_pod_container_name": node.CONTAINER,
            "__meta_kubernetes_pod_container_port_number": "8080",
            "__meta_kubernetes_pod_annotation_prometheus_io_scrape": "true",
            "__meta_kubernetes_pod_annotation_prometheus_io_port": "8080",
            "__meta_kubernetes_pod_annotation_prometheus_io_path": "/metrics", **labels}}

    elsewhere = f"{node.ADDRESS}:1"
    return {
        "pods": [
            *(of_pod(pod.address, pod.name) for pod in pods),
            # These are dropped: another port of a pod, and a pod without the annotation.
            of_pod(elsewhere, pods[0].name, __meta_kubernetes_pod_container_port_number="9000"),
            of_pod(elsewhere, "silent", __meta_kubernetes_pod_annotation_prometheus_io_scrape=""),
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
        left[scrapes.get(timeout=PATIENCE)] -= 1


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
    bare = node.Pod("bare", confine, [service])
    loaded = node.Pod("loadline", confine, [ARTIFACT, "-s", "--", service])
    # What the downward API of Kubernetes gives.
    by_hand = node.Pod("by-hand", confine, small, {"GOMEMLIMIT": f"{node.MEMORY_MIB}MiB", "GOMAXPROCS": "8"})
    pods = [bare, loaded, by_hand]

    with contextlib.ExitStack() as stack:
        for pod in pods:
            stack.callback(pod.stop)
            pod.start()
        simulation = node.Server(pods)
        stack.callback(simulation.shutdown)
        alerts = Alerts(simulation.alerts)
        content = server.configuration(targets(pods, simulation.address), simulation.address)
        prometheus = stack.enter_context(server.Prometheus(BINARIES, scratch, content, AT_ONCE))
        wait_for_scrapes(simulation.scrapes)

        active = [it["labels"] for it in prometheus.get("targets")["activeTargets"]]
        scraped = sorted(it["pod"] for it in active if it["job"] == "pods")
        yield equal(scraped, sorted(it.name for it in pods), "prometheus.yaml scrapes the pods with the annotation")

        alert = alerts.wait_for("GoMemoryLimitUnset", bare)
        yield True, f"GoMemoryLimitUnset fires for a service bare ({go})"
        yield documented(alert)
        alert = alerts.wait_for("GoMemoryLimitTooHigh", by_hand)
        yield True, "GoMemoryLimitTooHigh fires for GOMEMLIMIT=400MiB in a container of 400 MiB"
        yield documented(alert)
        alert = alerts.wait_for("GoThreadsAboveQuota", by_hand)
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
            alert = alerts.wait_for("ContainerOOMKilled", bare)
            yield True, "ContainerOOMKilled fires for it"
            yield documented(alert)

        grow = [sys.executable, "-c", f"bytearray({2 * node.MEMORY_MIB << 20})"]
        yield equal(by_hand.run(grow), -signal.SIGKILL, "the kernel kills a second process in a container")
        alert = alerts.wait_for("ContainerProcessOOMKilled", by_hand)
        yield True, "ContainerProcessOOMKilled fires for it"
        yield documented(alert)

        yield from dashboard(prometheus, pods)
        with contextlib.suppress(queue.Empty):
            while True:
                alerts.take(0)
        about_loaded = {name for name, pod in alerts.seen if pod == loaded.name}
        yield equal(about_loaded, set(), "no alert fires for the service under loadline")
        wrong = {key for key in alerts.seen if key[0] in ("ContainerOOMKilled", "ContainerProcessOOMKilled")}
        yield equal(wrong, {("ContainerOOMKilled", bare.name), ("ContainerProcessOOMKilled", by_hand.name)},
                    "each OOM kill is one alert")


def dashboard(prometheus, pods):
    """Every query of the dashboard has data, as Grafana would ask for it."""
    content = json.loads((server.MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    names = "|".join(pod.name for pod in pods)
    values = {"namespace": node.NAMESPACE, "pod": f"({names})", "container": node.CONTAINER, "__rate_interval": "1m"}

    def filled_in(query):
        return re.sub(r"\$(\w+)", lambda it: values[it[1]], query)

    for variable in content["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", filled_in(variable["definition"])).groups()
            found = {it[label] for it in prometheus.get("series", **{"match[]": series}) if label in it}
            expected = {pod.name for pod in pods} if label == "pod" else {values[label]}
            yield equal(found, expected, f"the dashboard finds each {label}")
    count = 0
    for panel in content["panels"]:
        for target in panel["targets"]:
            count += 1
            query = filled_in(target["expr"])
            result = prometheus.query(query)
            what = f"dashboard, {panel['title']}, {target['legendFormat']}"
            good = result and all(value == value for _, value in result)
            yield good, f"{what}: {len(result)} series" + ("" if good else f" for {query}")
    yield count > 0, f"the dashboard has {count} queries"
    reasons = prometheus.query(filled_in(next(panel for panel in content["panels"] if panel["title"] ==
                                              "Restarts by reason")["targets"][0]["expr"]))
    yield (len(reasons) == 1 and reasons[0][0] == {"reason": "OOMKilled"} and reasons[0][1] > 0,
           f"the dashboard shows the restart with its reason: {reasons}")


def main():
    # SIGTERM becomes an exception, so that everything is ended and the cgroups are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("prometheus: stopped by SIGTERM"))
    obstacle = demo.Confine(None).obstacle()
    if obstacle:
        cannot(obstacle)
    passed = True
    with tempfile.TemporaryDirectory(prefix="loadline-prometheus-") as scratch:
        try:
            for good, what in cases(pathlib.Path(scratch)):
                print(f"{'ok' if good else 'FAILED'}: prometheus: {what}", flush=True)
                passed = passed and good
        except (OSError, RuntimeError, ValueError, LookupError, queue.Empty, subprocess.SubprocessError) as error:
            print(f"FAILED: prometheus: {error!r}")
            passed = False
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
