"""A Prometheus server with the rules and the configuration of examples/monitoring."""

import json
import pathlib
import re
import subprocess
import threading
import urllib.parse
import urllib.request

import yaml

TOP = pathlib.Path(__file__).resolve().parent.parent.parent.parent
MONITORING = TOP / "examples/monitoring"
# Seconds between two scrapes and between two evaluations, and until an alert fires that is not to wait.
INTERVAL = "1s"
# How a cluster is found and trusted. Debian's Prometheus has no discovery for Kubernetes.
OF_A_CLUSTER = ("kubernetes_sd_configs", "scheme", "authorization", "tls_config")


def configuration(targets, alertmanager, changes=None):
    """prometheus.yaml, with these targets in place of those in a cluster. Each has the labels that the
    discovery in a cluster gives it (`__meta_kubernetes_...`), so that its own relabeling applies.

    `changes` are fields of jobs.
    """
    content = yaml.safe_load((MONITORING / "prometheus.yaml").read_text(encoding="utf-8"))
    content["global"].update(scrape_interval=INTERVAL, evaluation_interval=INTERVAL)
    content["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    for job in content["scrape_configs"]:
        for field in OF_A_CLUSTER:
            job.pop(field, None)
        job["static_configs"] = targets.get(job["job_name"], [])
        job.update((changes or {}).get(job["job_name"], {}))
    return content


def pod_target(address, namespace, pod, container, **labels):
    """A pod with the annotations of examples/monitoring, as the discovery in a cluster finds it. `labels`
    take the place of others."""
    found = {
        "container_name": container, "container_port_number": "8080",
        "annotation_prometheus_io_scrape": "true", "annotation_prometheus_io_port": "8080",
        "annotation_prometheus_io_path": "/metrics", **labels}
    return {"targets": [address], "labels": {
        "__meta_kubernetes_namespace": namespace, "__meta_kubernetes_pod_name": pod,
        **{f"__meta_kubernetes_pod_{name}": value for name, value in found.items()}}}


def rules(at_once):
    """rules.yaml, but these alerts need not wait for minutes."""
    content = yaml.safe_load((MONITORING / "rules.yaml").read_text(encoding="utf-8"))
    for group in content["groups"]:
        for rule in group["rules"]:
            if rule.get("alert") in at_once:
                rule["for"] = INTERVAL
    return content


class Prometheus:
    """A server that runs inside a `with` block, with its files in the directory `home`."""

    def __init__(self, binaries, home, content, at_once):
        self.home = home
        for name, part in (("prometheus.yaml", content), ("rules.yaml", rules(at_once))):
            (home / name).write_text(json.dumps(part), encoding="utf-8")
        subprocess.run([binaries / "promtool", "check", "config", "prometheus.yaml"], cwd=home, check=True,
                       stdout=subprocess.DEVNULL)
        self.command = [binaries / "prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
                        "--web.listen-address=127.0.0.1:0"]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, cwd=self.home, stderr=subprocess.PIPE, text=True)
        said = []
        for line in self.process.stderr:
            said.append(line)
            if listening := re.search(r'msg="Listening on" address=(\S+)', line):
                self.address = listening[1]
            if "Server is ready to receive web requests" in line:
                break
        else:
            raise RuntimeError(f"Prometheus did not start: {''.join(said)}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def get(self, path, **parameters):
        """What a part of the HTTP API answers: https://prometheus.io/docs/prometheus/latest/querying/api/"""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """The labels and values of an instant query."""
        return [(it["metric"], float(it["value"][1])) for it in self.get("query", query=expression)["result"]]
