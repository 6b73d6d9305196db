"""A node of a cluster, simulated: pods that consist of a process in a cgroup, and an HTTP server that
tells about them what cAdvisor (in the kubelet) and kube-state-metrics would tell.

The cgroups, their limits and their counters are real. Names and labels are those of Kubernetes; what
starts a container again, and says why it ended, is this module. The server also takes the alerts, as an
Alertmanager does.
"""

import contextlib
import http.server
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent.parent
sys.path.append(str(TOP / "examples"))
import demo  # noqa: E402

# Seconds for an alert. It takes two or three on an idle machine.
PATIENCE = 120
NAMESPACE, CONTAINER = "shop", "service"
MEMORY_MIB, CPUS = demo.MEMORY_MIB, demo.CPUS
ADDRESS = "127.0.0.1"


class Pod:
    """A pod with one container: a service in a cgroup with the limits of the demo."""

    def __init__(self, name, confine, command, variables=()):
        self.name = name
        self.confine = confine
        self.command = command
        kept = {key: value for key, value in os.environ.items()
                if key not in ("GOGC", "GODEBUG", *demo.GO_VARIABLES)
                and not key.startswith(("LOADLINE_", "TINI_"))}
        self.environment = {**kept, **dict(variables)}
        self.address = f"{ADDRESS}:0"
        self.restarts = 0
        self.last_reason = None
        self.directories = {}

    def start(self):
        """Starts the container, at the address of the one before, and waits until it listens."""
        self.process = subprocess.Popen(
            [self.confine, "--memory", f"{MEMORY_MIB}MiB", "--cpus", str(CPUS), "--",
             *self.command, "-listen", self.address],
            env=self.environment, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "listening on " in line:
                self.address = line.split()[-1]
                break
        else:
            raise RuntimeError(f"{self.name} did not start")
        # So that it can go on writing messages.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.directories = cgroups(demo.last_descendant(self.process.pid))

    def wait(self):
        """Waits for the end of the container, and starts the next, as the kubelet does."""
        code = self.process.wait()
        self.directories = {}
        self.last_reason = "OOMKilled" if code == 128 + signal.SIGKILL else "Error"
        self.restarts += 1
        self.start()

    def stop(self):
        if hasattr(self, "process"):
            self.process.terminate()
            self.process.wait()

    def run(self, command):
        """Runs a command in the container, as `kubectl exec` does."""
        def enter():
            for directory in self.directories.values():
                (directory / "cgroup.procs").write_text("0")
            # The kernel takes this one first (proc_pid_oom_score_adj(5)).
            pathlib.Path("/proc/self/oom_score_adj").write_text("1000")

        return subprocess.run(command, preexec_fn=enter, stderr=subprocess.DEVNULL).returncode

    def cadvisor(self):
        """The metrics of the container, or none between two containers."""
        try:
            memory, cpu = self.directories["memory"], self.directories["cpu"]
            if (memory / "memory.max").exists():
                quota, period = (cpu / "cpu.max").read_text().split()
                oom_kills, limit = fields(memory / "memory.events")["oom_kill"], number(memory / "memory.max")
                usage, inactive = number(memory / "memory.current"), fields(memory / "memory.stat")["inactive_file"]
            else:
                quota, period = number(cpu / "cpu.cfs_quota_us"), number(cpu / "cpu.cfs_period_us")
                oom_kills = fields(memory / "memory.oom_control")["oom_kill"]
                limit, usage = number(memory / "memory.limit_in_bytes"), number(memory / "memory.usage_in_bytes")
                inactive = fields(memory / "memory.stat")["total_inactive_file"]
            throttling = fields(cpu / "cpu.stat")
            processes = (cpu / "cgroup.procs").read_text().split()
            used = sum(seconds(pid) for pid in processes)
        except (KeyError, OSError):
            return
        labels = {"container": CONTAINER, "id": f"/kubepods/{self.name}/{self.restarts}", "image": "service:1.0",
                  "name": f"{self.name}-{self.restarts}", "namespace": NAMESPACE, "pod": self.name}
        yield "container_spec_memory_limit_bytes", labels, limit
        yield "container_spec_cpu_quota", labels, quota
        yield "container_spec_cpu_period", labels, period
        yield "container_memory_working_set_bytes", labels, max(0, usage - inactive)
        yield "container_oom_events_total", labels, oom_kills
        yield "container_cpu_cfs_periods_total", labels, throttling["nr_periods"]
        yield "container_cpu_cfs_throttled_periods_total", labels, throttling["nr_throttled"]
        yield "container_cpu_usage_seconds_total", {**labels, "cpu": "total"}, used
        # The cgroup of the pod has neither container nor image.
        of_pod = {**labels, "container": "", "image": "", "name": "", "id": f"/kubepods/{self.name}"}
        yield "container_spec_memory_limit_bytes", of_pod, limit
        yield "container_oom_events_total", of_pod, oom_kills

    def kube_state_metrics(self):
        return kube_state_metrics(NAMESPACE, self.name, CONTAINER, self.restarts, self.last_reason)


def kube_state_metrics(namespace, pod, container, restarts, last_reason):
    """The metrics of a container with the limits of the demo."""
    labels = {"namespace": namespace, "pod": pod, "container": container, "uid": pod}
    yield "kube_pod_container_status_restarts_total", labels, restarts
    limits = "kube_pod_container_resource_limits"
    yield limits, {**labels, "resource": "memory", "unit": "byte"}, MEMORY_MIB << 20
    yield limits, {**labels, "resource": "cpu", "unit": "core"}, CPUS
    if last_reason:
        yield "kube_pod_container_status_last_terminated_reason", {**labels, "reason": last_reason}, 1


def cgroups(pid):
    """The directories of a process for memory and CPU, at the usual places."""
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers:
            found.update({name: pathlib.Path(f"/sys/fs/cgroup/{name}{path}") for name in controllers.split(",")})
        else:
            unified = pathlib.Path(f"/sys/fs/cgroup{path}")
    return {name: found.get(name) or unified for name in ("memory", "cpu")}


def number(file):
    return int(file.read_text())


def fields(file):
    return {name: int(value) for name, value in map(str.split, file.read_text().splitlines())}


def seconds(pid):
    """The CPU time of a process: utime and stime of proc_pid_stat(5)."""
    try:
        after_name = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def exposition(samples):
    """Samples in the text format of Prometheus."""
    lines = []
    for name, labels, value in samples:
        listed = ",".join(f'{key}="{it}"' for key, it in labels.items())
        lines.append(f"{name}{{{listed}}} {value}\n")
    return "".join(lines).encode()


class Alerts:
    """The alerts that have come in, by name and pod."""

    def __init__(self):
        self.incoming = queue.Queue()
        self.seen = {}

    def take_all(self):
        with contextlib.suppress(queue.Empty):
            while True:
                self.take(0)

    def take(self, timeout):
        alert = self.incoming.get(timeout=timeout)
        labels = alert["labels"]
        self.seen.setdefault((labels["alertname"], labels["pod"]), alert)

    def wait_for(self, name, pod):
        deadline = time.monotonic() + PATIENCE
        while (name, pod) not in self.seen:
            try:
                self.take(deadline - time.monotonic())
            except (queue.Empty, ValueError):
                raise TimeoutError(f"no alert {name} for {pod}, but {sorted(self.seen)}") from None
        return self.seen[name, pod]


class Server(http.server.ThreadingHTTPServer):
    """Answers scrapes about these pods, and takes alerts."""

    daemon_threads = True

    def __init__(self, pods):
        super().__init__((ADDRESS, 0), Handler)
        self.pods = pods
        self.alerts = Alerts()
        self.scrapes = queue.Queue()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"{ADDRESS}:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    """`/metrics/cadvisor` is the path of the kubelet, `/metrics` that of kube-state-metrics."""

    def do_GET(self):
        part = {"/metrics/cadvisor": "cadvisor", "/metrics": "kube_state_metrics"}[self.path]
        body = exposition(sample for pod in self.server.pods for sample in getattr(pod, part)())
        self.answer(body)
        self.server.scrapes.put(self.path)

    def do_POST(self):
        for alert in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            self.server.alerts.incoming.put(alert)
        self.answer(b"")

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""
