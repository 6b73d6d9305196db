"""Pods of the suite: their manifests, and what Kubernetes says of them."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.request

from node import KUBELET_READ_ONLY, MANIFESTS, NODE, watch
from suite import HIERARCHIES

# Seconds in which a pod must get into a state. It takes a few seconds on an idle machine.
PATIENCE = 90
# The limits of the demo.
MEMORY, CPUS = 400 << 20, 0.5
LIMITS = {"memory": "400Mi", "cpu": "500m"}
# The service is ready when it answers.
PROBE = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5}


class NotSeen(LookupError):
    """A pod did not get into a state in time."""


def container(image, *args, name="app", limits=None, env=None, **more):
    """A container of a manifest. Without a CPU limit it asks for little of this machine."""
    variables = [{"name": name, "value": value} for name, value in (env or {}).items()]
    return {"name": name, "image": f"localhost/{image}:1", "imagePullPolicy": "Never", "args": list(args),
            "env": variables, "resources": {"limits": limits or {}}, **more}


class Pod:
    """A pod in the cluster, for a `with` block. The container that matters is named `app`."""

    def __init__(self, name, *containers, **spec):
        self.name = name
        self.manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                         "spec": {"nodeName": NODE, "terminationGracePeriodSeconds": 20,
                                  "containers": containers, **spec}}

    def __enter__(self):
        kubectl("apply", "--filename=-", input=json.dumps(self.manifest))
        return self

    def __exit__(self, *_):
        # A graceful deletion takes up to ten seconds more, the period in which the kubelet reports.
        kubectl("delete", "pod", self.name, "--ignore-not-found", "--force", "--grace-period=0")

    def changes(self):
        """Yields the status of `app` now, and whenever the pod changes."""
        for event in watch("namespaces/default/pods", self.name, PATIENCE):
            yield app(event["object"])

    def wait(self, condition, what):
        """Waits until the condition holds for the status of `app`. Returns that status."""
        return self.first(self.changes(), condition, what)

    def first(self, changes, condition, what):
        seen = {}
        for seen in changes:
            if seen and condition(seen):
                return seen
        raise NotSeen(f"{self.name}: not {what}: {json.dumps(seen)}\n{self.events()}")

    def delete(self):
        """Deletes the pod as kubectl does by itself, and waits until `app` has ended. Returns its status."""
        changes = self.changes()
        next(changes, None)
        kubectl("delete", "pod", self.name, "--wait=false")
        return self.first(changes, has_ended, "ended")

    def status(self):
        return app(json.loads(kubectl("get", "pod", self.name, "--output=json")))

    def address(self):
        return kubectl("get", "pod", self.name, "--output=jsonpath={.status.podIP}") + ":8080"

    def events(self):
        return kubectl("get", "events", f"--field-selector=involvedObject.name={self.name}", "--no-headers",
                       "--output=custom-columns=REASON:.reason,MESSAGE:.message")

    def logs(self, *options):
        return kubectl("logs", self.name, "--container=app", *options)

    def follow(self):
        """The log, as it comes."""
        return Output("kubectl", "logs", "--follow", self.name, "--container=app")

    def run(self, *command, container="app"):
        """Runs a command in the container. Returns its exit code and output, errors included."""
        finished = subprocess.run(
            ["kubectl", "exec", self.name, f"--container={container}", "--", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
        return finished.returncode, finished.stdout

    def variables(self, program):
        """The Go variables in the environment of a program in the container."""
        _, output = self.run("sh", "-c", f"tr '\\0' '\\n' </proc/$(pidof {program})/environ | grep ^GO || :")
        return sorted(output.split())

    def cgroup(self, controller):
        """The cgroup of the pod, which contains those of its containers."""
        identifier = self.status()["containerID"].removeprefix("containerd://")
        directory, = (HIERARCHIES / controller / "kubepods").rglob(identifier)
        return directory.parent


class StaticPod(Pod):
    """A pod of a file, which the kubelet runs by itself."""

    def __enter__(self):
        draft = MANIFESTS / f".{self.name}"
        draft.write_text(json.dumps(self.manifest))
        draft.rename(MANIFESTS / f"{self.name}.json")
        return self

    def __exit__(self, *_):
        (MANIFESTS / f"{self.name}.json").unlink()

    def pod(self):
        """What the kubelet says of the pod, as soon as it listens."""
        try:
            with urllib.request.urlopen(f"{KUBELET_READ_ONLY}/pods", timeout=PATIENCE) as answer:
                pods = json.load(answer)["items"] or []
        except urllib.error.URLError:
            return {}
        return next((pod for pod in pods if pod["metadata"]["name"] == f"{self.name}-{NODE}"), {})

    def wait(self, condition, what):
        """As for another pod. The kubelet alone cannot be watched."""
        deadline = time.monotonic() + PATIENCE
        while True:
            seen = app(self.pod())
            if seen and condition(seen):
                return seen
            if time.monotonic() > deadline:
                raise NotSeen(f"{self.name}: not {what}: {json.dumps(seen)}")
            time.sleep(0.1)

    def status(self):
        return app(self.pod())

    def address(self):
        return f"{self.pod()['status']['podIP']}:8080"


class Output:
    """What a command prints, as it comes. For a `with` block."""

    def __init__(self, *command):
        self.client = subprocess.Popen(["timeout", str(PATIENCE), *command], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.terminate()
        self.client.communicate()

    def line(self, pattern=""):
        """The next line that matches."""
        for line in self.client.stdout:
            if re.match(pattern, line):
                return line
        raise NotSeen(f"no line like {pattern!r} was printed")

    def rest(self):
        return self.client.stdout.read()


def kubectl(*arguments, **options):
    return subprocess.run(["kubectl", *arguments], check=True, capture_output=True, text=True,
                          timeout=PATIENCE, **options).stdout


def app(pod):
    """The status of the container `app`, as far as there is one."""
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return next((status for status in statuses if status["name"] == "app"), {})


def is_ready(status):
    return status["ready"]


def is_running(status):
    return "running" in status["state"]


def has_ended(status):
    return "terminated" in status["state"]


def has_restarted(status):
    """Whether it has ended once, and is ready again."""
    return status["restartCount"] > 0 and "terminated" in status["lastState"] and status["ready"]
