"""A Kubernetes node in the namespaces of the suite: containerd, the kubelet, etcd and the API server.

There is no scheduler, because the pods name their node, and there are no controllers. The node has a network
of its own, without a way out.
"""

import json
import os
import pathlib
import select
import shutil
import socket
import ssl
import subprocess
import time
import urllib.parse
import urllib.request

import images
from suite import HIERARCHIES, HOME, LAB, LOADLINE, RUNTIME

PARTS = LAB / "kubernetes"
PACKAGES, PROGRAMS = PARTS / "packages", PARTS / "bin"
# What the daemons say stays there after the suite.
LOGS = PARTS / "logs"
NODE = "node1"
ADDRESS, NETWORK = "10.88.0.1", "10.88.0.0/24"
CONTAINERD = HOME / "containerd.sock"
KUBECONFIG = HOME / "kubeconfig"
MANIFESTS = HOME / "manifests"
SERVER, TOKEN = "https://127.0.0.1:6443", "lab"
KUBELET_READ_ONLY = "http://127.0.0.1:10255"
# Seconds until a daemon is ready. It takes less than ten seconds on an idle machine.
PATIENCE = 300

# Of busybox.
COMMANDS = ["cat", "cp", "dd", "grep", "kill", "mkfifo", "pidof", "sh", "sleep", "tr"]

# What the kubelet would write to /proc/sys, for the whole machine. It gets files of its own there.
SYSCTLS = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
           "kernel/keys/root_maxkeys": 1_000_000, "kernel/keys/root_maxbytes": 25_000_000}

# An administrator puts these there.
INSTALLED, INIT = pathlib.Path("/usr/local/bin/loadline-runtime"), pathlib.Path("/usr/local/bin/loadline")
CONTAINERD_FILE = pathlib.Path("/etc/containerd/config.toml")

# containerd may not be allowed to raise the priority of the pause program (CAP_SYS_RESOURCE).
CONTAINERD_CONFIG = f"""
version = 2
root = "{HOME}/containerd"
state = "{HOME}/containerd-state"
[grpc]
  address = "{CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PACKAGES}/usr/lib/cni"
    conf_dir = "{HOME}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""

CNI_CONFIG = {
    "cniVersion": "0.4.0", "name": "lab", "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False,
        "ipam": {"type": "host-local", "dataDir": f"{HOME}/cni-state",
                 "ranges": [[{"subnet": NETWORK, "gateway": ADDRESS}]]}}]}

KUBELET_CONFIG = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
    "staticPodPath": str(MANIFESTS), "volumePluginDir": f"{HOME}/plugins", "readOnlyPort": 10255,
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"}, "cgroupDriver": "cgroupfs", "failSwapOn": False,
    # The disk and the memory of this machine are not the suite's business.
    "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    "imageGCHighThresholdPercent": 100}

KUBECONFIG_CONTENT = {
    "apiVersion": "v1", "kind": "Config", "current-context": "lab",
    "clusters": [{"name": "lab", "cluster": {"server": SERVER, "insecure-skip-tls-verify": True}}],
    "users": [{"name": "lab", "user": {"token": TOKEN}}],
    "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}]}


class Broken(Exception):
    """A part of the node does not work, so no case can run."""


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE, **options)


class Daemon:
    """A daemon that tells systemd when it is ready (sd_notify(3)), as all of these do."""

    def __init__(self, name, *arguments):
        self.name = name
        self.log = LOGS / f"{name}.log"
        address = HOME / f"{name}.ready"
        address.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(address))
        self.begin = time.monotonic()
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([name, *arguments], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, "NOTIFY_SOCKET": str(address)})

    def wait(self):
        """Waits until the daemon is ready."""
        ended = os.pidfd_open(self.process.pid)
        message = b""
        while b"READY=1" not in message:
            left = PATIENCE - (time.monotonic() - self.begin)
            ready, _, _ = select.select([self.socket, ended], [], [], max(left, 0))
            if self.socket not in ready:
                why = f"ended with {self.process.wait()}" if ready else f"is not ready after {PATIENCE} seconds"
                log = "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-20:])
                raise Broken(f"{self.name} {why}:\n{log}")
            message = self.socket.recv(4096)
        os.close(ended)
        print(f"setup: kubernetes: {self.name} was ready within {time.monotonic() - self.begin:.1f} s", flush=True)
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)


class Node:
    """The daemons, of which there is one each."""

    containerd = kubelet = etcd = api_server = None

    def start(self):
        """Starts the kubelet alone, which runs static pods. The others get ready meanwhile."""
        shutil.rmtree(LOGS, ignore_errors=True)
        LOGS.mkdir()
        prepare_environment()
        prepare_cgroups()
        prepare_sysctls()
        run("mount", "--make-rshared", "/")
        prepare_network()
        save_images()
        self.start_control_plane()
        CONTAINERD_FILE.parent.mkdir(exist_ok=True)
        CONTAINERD_FILE.write_text(CONTAINERD_CONFIG)
        shutil.copy(RUNTIME, INSTALLED)
        shutil.copy(LOADLINE, INIT)
        run(INSTALLED, "install", "--containerd", "--write")
        self.start_containerd()
        run("ctr", "--namespace", "k8s.io", "images", "import", HOME / "images.tar")
        MANIFESTS.mkdir()
        (HOME / "plugins").mkdir()
        (HOME / "kubelet.json").write_text(json.dumps(KUBELET_CONFIG))
        self.start_kubelet()

    def start_containerd(self):
        self.containerd = Daemon("containerd", "--config", CONTAINERD_FILE).wait()

    def make_loadline_the_default(self):
        """Makes loadline-runtime the runtime of every container."""
        run(INSTALLED, "install", "--containerd", "--default", "--write")
        self.containerd.stop()
        self.start_containerd()

    def start_kubelet(self, *options):
        self.kubelet = Daemon(
            "kubelet", "--config", HOME / "kubelet.json", "--root-dir", HOME / "kubelet",
            "--cert-dir", HOME / "kubelet-certificates", "--hostname-override", NODE,
            "--container-runtime", "remote", "--container-runtime-endpoint", f"unix://{CONTAINERD}",
            # From there cAdvisor has the names of containers. Its metrics are new every second, not every ten.
            "--containerd", CONTAINERD, "--housekeeping-interval", "1s",
            *options).wait()

    def start_control_plane(self):
        KUBECONFIG.write_text(json.dumps(KUBECONFIG_CONTENT))
        (HOME / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
        key = HOME / "service-accounts.key"
        run("openssl", "genrsa", "-out", key, "2048")
        self.etcd = Daemon("etcd", "--data-dir", HOME / "etcd")
        self.api_server = Daemon(
            "kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379", "--cert-dir", HOME / "api-certificates",
            "--secure-port", "6443", "--bind-address", "127.0.0.1", "--token-auth-file", HOME / "tokens.csv",
            "--authorization-mode", "AlwaysAllow", "--disable-admission-plugins", "ServiceAccount",
            "--service-account-issuer", SERVER, "--service-account-key-file", key,
            "--service-account-signing-key-file", key, "--service-cluster-ip-range", "10.96.0.0/24")

    def join(self):
        """Starts the kubelet again, as the node of a cluster."""
        self.etcd.wait()
        self.api_server.wait()
        # It creates this one by itself, a moment later.
        if not next(watch("namespaces", "default"), None):
            raise Broken("there is no default namespace")
        self.kubelet.stop()
        self.start_kubelet("--kubeconfig", KUBECONFIG)


def watch(resource, name, patience=PATIENCE):
    """Yields the events of a resource: what it is at first, and each change."""
    query = urllib.parse.urlencode({"watch": 1, "fieldSelector": f"metadata.name={name}",
                                    "timeoutSeconds": patience})
    request = urllib.request.Request(f"{SERVER}/api/v1/{resource}?{query}",
                                     headers={"Authorization": f"Bearer {TOKEN}"})
    # The server has made its certificate itself.
    unverified = ssl._create_unverified_context()
    with urllib.request.urlopen(request, context=unverified, timeout=patience + 10) as events:
        yield from map(json.loads, events)


def prepare_environment():
    path = [PROGRAMS, PACKAGES / "usr/bin", PACKAGES / "usr/sbin", os.environ["PATH"]]
    os.environ.update(PATH=":".join(map(str, path)), HOME=str(HOME), KUBECONFIG=str(KUBECONFIG),
                      CONTAINERD_ADDRESS=str(CONTAINERD))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]


def prepare_cgroups():
    """Mounts the hierarchies of v1 as the cgroup namespace shows them, with the suite's cgroup as the root."""
    run("mount", "-t", "tmpfs", "-o", "mode=755", "none", HIERARCHIES)
    for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, _ = line.split(":", 2)
        if controllers:
            directory = HIERARCHIES / controllers.removeprefix("name=")
            directory.mkdir()
            kind = controllers if controllers[:5] != "name=" else f"none,{controllers}"
            run("mount", "-t", "cgroup", "-o", kind, "none", directory)
            for controller in controllers.split(",") if "," in controllers else []:
                (HIERARCHIES / controller).symlink_to(directory)


def prepare_sysctls():
    for name, value in SYSCTLS.items():
        file = HOME / name.replace("/", ".")
        file.write_text(f"{value}\n")
        run("mount", "--bind", file, f"/proc/sys/{name}")


def prepare_network():
    # The kubelet looks up the name of the node, and for half a minute what no name server answers.
    pathlib.Path("/etc/hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS} {NODE}\n")
    pathlib.Path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    socket.sethostname(NODE)
    for command in ["link set lo up", "link add cni0 type bridge", f"address add {ADDRESS}/24 dev cni0",
                    "link set cni0 up",
                    # The kubelet wants a default route. At 169.254 it looks for the services of clouds.
                    "route add default via 10.88.0.254", "route add unreachable 169.254.0.0/16"]:
        run("ip", *command.split())
    (HOME / "cni").mkdir()
    (HOME / "cni/lab.conflist").write_text(json.dumps(CNI_CONFIG))


def save_images():
    busybox = {"/bin/busybox": PACKAGES / "bin/busybox"}
    commands = {f"/bin/{command}": "busybox" for command in COMMANDS}
    service = {"/service": LAB / "service"}
    loadline = {"/loadline": LOADLINE, "/resize": LAB / "resize"}
    images.save(HOME / "images.tar", [
        images.Image("localhost/pause:1", {"/pause": PROGRAMS / "pause"}, entrypoint=["/pause"]),
        # The service as it is, and with loadline.
        images.Image("localhost/bare:1", service, entrypoint=["/service"]),
        images.Image("localhost/service:1", {**service, **loadline, **busybox}, commands,
                     entrypoint=["/loadline", "--"], command=["/service"]),
        images.Image("localhost/loadline:1", {**loadline, **busybox}, commands),
        images.Image("localhost/scratch:1", {"/loadline": LOADLINE}, entrypoint=["/loadline"]),
    ])
