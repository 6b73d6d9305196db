#!/usr/bin/env python3
"""The examples for Kubernetes and Prometheus, as far as tools can check them without a server.

kubectl renders the kustomizations, kubernetes-validate compares the result and the manifests in the
documents with the API of Kubernetes 1.36 and the newest that it knows, and promtool runs the unit tests
of the rules. A manifest and a rule with a mistake must fail.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import checks
from checks import equal

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
KUBERNETES = TOP / "examples/kubernetes"
MONITORING = TOP / "examples/monitoring"
# The first version with image volumes for everybody.
OLDEST = "1.36"
CANNOT = 2


def setup(script, *arguments):
    """Runs a script that sets up a tool, and returns what it prints."""
    done = subprocess.run([TOP / "tests/lab" / script, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"manifests: not run: {script} failed")
        sys.exit(CANNOT)
    return pathlib.Path(done.stdout.strip())


KUBECTL = setup("kubectl")
PROMTOOL = setup("unpack", "prometheus", "usr/bin/prometheus", "usr/bin/promtool") / "usr/bin/promtool"
sys.path.insert(0, str(setup("kubernetes-validate")))
import kubernetes_validate  # noqa: E402
import yaml  # noqa: E402

VERSIONS = [OLDEST, kubernetes_validate.latest_version()]


def render(kustomization):
    """The objects of a kustomization."""
    done = subprocess.run([KUBECTL, "kustomize", kustomization], capture_output=True, text=True)
    if done.returncode or done.stderr:
        raise ValueError(f"{kustomization}: {done.stderr}")
    return list(yaml.safe_load_all(done.stdout))


def mistakes(manifest):
    """What a Kubernetes API server would not accept, or would warn about."""
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            yield f"Kubernetes {version}: {error}"


def valid(what, manifest):
    wrong = list(mistakes(manifest))
    return not wrong, f"{what}: {manifest['kind']} is valid" + "".join(f"\n{it}" for it in wrong)


def kustomizations():
    found = sorted(file.parent for file in KUBERNETES.glob("*/kustomization.yaml"))
    yield equal([it.name for it in found], ["base", "image-volume", "init-container", "runtimeclass"],
                "there are these kustomizations")
    pods = {}
    for directory in found:
        objects = render(directory)
        for manifest in objects:
            yield valid(directory.name, manifest)
        if directory.name == "runtimeclass":
            continue
        deployment, = (it for it in objects if it["kind"] == "Deployment")
        service, = (it for it in objects if it["kind"] == "Service")
        template = deployment["spec"]["template"]
        pods[directory.name] = pod = template["spec"]
        yield equal(service["spec"]["selector"], template["metadata"]["labels"],
                    f"{directory.name}: the Service selects the pods of the Deployment")
        yield equal(pod["containers"][0]["resources"]["limits"], {"memory": "400Mi", "cpu": "500m"},
                    f"{directory.name}: the limits are those of the demo")
        annotations = template["metadata"]["annotations"]
        ports = [str(port["containerPort"]) for port in pod["containers"][0]["ports"]]
        yield equal([annotations["prometheus.io/port"]], ports, f"{directory.name}: Prometheus uses its port")
        yield equal(list(unrestricted(pod)), [], f"{directory.name}: meets the Pod Security Standard `restricted`")

    service = pods["base"]["containers"][0]
    yield equal([service.get("command"), service["args"]], [None, ["/service"]],
                "base: the ENTRYPOINT of the image stays")
    for name in ("init-container", "image-volume"):
        service = pods[name]["containers"][0]
        volume, = pods[name]["volumes"]
        mount, = service["volumeMounts"]
        yield equal(service["command"], [f"{mount['mountPath']}/loadline", "--"],
                    f"{name}: the service is started by the loadline of the volume")
        yield equal(mount["name"], volume["name"], f"{name}: the service mounts the volume")
    init, = pods["init-container"]["initContainers"]
    mount, = init["volumeMounts"]
    yield equal(init["args"], ["--install", mount["mountPath"]],
                "init-container: loadline copies itself into the volume")
    volume, = pods["image-volume"]["volumes"]
    yield equal(volume["image"]["reference"], init["image"], "image-volume: it is the image of the init container")


def unrestricted(pod):
    """What the Pod Security Standard `restricted` forbids in a pod, for the fields that the examples use:
    https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    of_pod = pod.get("securityContext", {})
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        own = container.get("securityContext", {})
        context = {**of_pod, **own}
        rules = {
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities", {}).get("drop") == ["ALL"]
                            and not set(own["capabilities"].get("add", [])) - {"NET_BIND_SERVICE"},
            "runAsNonRoot": context.get("runAsNonRoot") is True,
            "runAsUser": context.get("runAsUser") != 0,
            "seccompProfile": context.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
        }
        yield from (f"{container['name']}: {rule}" for rule, kept in rules.items() if not kept)
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
               "projected", "secret"}
    for volume in pod.get("volumes", []):
        yield from (f"volume {volume['name']}: {kind}" for kind in volume.keys() - {"name"} - allowed)


def broken_manifests():
    """Mistakes that the checks above must find."""
    deployment, = (it for it in render(KUBERNETES / "base") if it["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"][0]["resources"]["limit"] = pod["containers"][0]["resources"].pop("limits")
    found = list(mistakes(deployment))
    yield len(found) == len(VERSIONS), f"a misspelt field is refused by each version: {len(found)} of {len(VERSIONS)}"
    del pod["containers"][0]["securityContext"]["capabilities"]
    yield equal(list(unrestricted(pod)), ["service: capabilities"], "a container with capabilities is found")


def documents():
    """Every manifest in the documents. Parts of one, and files that are not for kubectl, have no kind that
    the API knows."""
    count = 0
    for file in [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]:
        for block in re.findall(r"^```yaml\n(.*?)^```$", file.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            for manifest in yaml.safe_load_all(block):
                if isinstance(manifest, dict) and "kind" in manifest and is_for_kubectl(manifest):
                    count += 1
                    yield valid(file.name, manifest)
    yield count > 0, f"the documents contain {count} manifests"


def is_for_kubectl(manifest):
    return not manifest["apiVersion"].startswith(("kustomize.config.k8s.io/", "kubelet.config.k8s.io/"))


def node():
    """The schemas have no files of the kubelet, so this knows the words."""
    for file in sorted((KUBERNETES / "node").glob("*")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        yield equal(content, {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
                              "singleProcessOOMKill": True}, f"node: {file.name} sets singleProcessOOMKill")


def promtool(*arguments, directory=MONITORING):
    done = subprocess.run([PROMTOOL, *arguments], cwd=directory, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout.strip()


def rules():
    good, said = promtool("check", "rules", "rules.yaml")
    yield good, "rules.yaml is valid" if good else said
    good, said = promtool("test", "rules", "rules_test.yaml")
    yield good, "the unit tests of rules.yaml pass" if good else said

    source = (MONITORING / "rules.yaml").read_text(encoding="utf-8")
    group, = yaml.safe_load(source)["groups"]
    alerts = [rule for rule in group["rules"] if "alert" in rule]
    for rule in alerts:
        texts = rule["annotations"]
        yield texts.keys() == {"summary", "description"}, f"{rule['alert']} has a summary and a description"
    table = re.findall(r"^\| `([A-Z]\w+)` \|", (TOP / "docs/monitoring.md").read_text(encoding="utf-8"), re.MULTILINE)
    yield equal(table, [rule["alert"] for rule in alerts], "docs/monitoring.md lists the alerts")
    # Every rule counts: without it, or with another threshold, a unit test fails.
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "rules_test.yaml").write_bytes((MONITORING / "rules_test.yaml").read_bytes())
        for what, broken in mutants(group["rules"]):
            rules = {"groups": [{"name": group["name"], "rules": broken}]}
            (scratch / "rules.yaml").write_text(json.dumps(rules), encoding="utf-8")
            valid, said = promtool("check", "rules", "rules.yaml", directory=scratch)
            passes, _ = promtool("test", "rules", "rules_test.yaml", directory=scratch)
            yield valid and not passes, f"the unit tests fail {what}" + ("" if valid else f": {said}")


def mutants(rules):
    """The rules with one mistake each."""
    def changed(rule, **fields):
        return [{**it, **fields} if it is rule else it for it in rules]

    for rule in rules:
        name = rule.get("alert") or rule["record"]
        yield f"without {name}", [it for it in rules if it is not rule]
        if "for" in rule:
            yield f"if {name} fires at once", changed(rule, **{"for": "0s"})
        comparisons = list(re.finditer(r" (>|<|==) (?=[\d.(c])", rule["expr"]))
        for number, match in enumerate(comparisons, start=1):
            other = {">": "<=", "<": ">=", "==": "!="}[match[1]]
            expr = f"{rule['expr'][:match.start(1)]}{other}{rule['expr'][match.end(1):]}"
            yield f"if comparison {number} of {name} is the opposite", changed(rule, expr=expr)
        for number, match in enumerate(re.finditer(r'\{[a-z]+!?="[^"]*"\}', rule["expr"]), start=1):
            expr = rule["expr"][:match.start()] + rule["expr"][match.end():]
            yield f"if selector {number} of {name} is missing", changed(rule, expr=expr)


def main():
    return checks.run("manifests", (kustomizations, broken_manifests, node, documents, rules))


if __name__ == "__main__":
    sys.exit(main())
