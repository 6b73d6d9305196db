#!/usr/bin/env python3
"""loadline in containers of Docker, with a separate daemon for the suite."""

import contextlib
import json
import os
import pathlib
import pty
import shutil
import signal
import socket
import subprocess
import sys

import suite
from container import (CPU_OPTIONS, CPUS, LIMITS, MEMORY, MEMORY_OPTIONS, STATUS, Container, check,
                       check_explained, equal, found, matches, variables)
from suite import CGROUP, HOME, INSIDE, LAB, LOADLINE, PATIENCE, TOP

DAEMON_JSON = TOP / "examples/docker/daemon.json"


class Docker(Container):
    """`docker run` without a network, because the daemon creates none."""

    image = "with-loadline"

    def run_command(self):
        return ["docker", "run", "--rm", "--network=none", "--name", self.name, *self.options,
                self.image]

    def exec_command(self, command):
        return ["docker", "exec", self.name, *command]

    def kill_command(self, signal_name):
        return ["docker", "kill", "--signal", signal_name, self.name]

    def stop_command(self):
        return ["docker", "stop", self.name]

    def pid(self):
        return int(docker("inspect", "--format={{.State.Pid}}", self.name))


class DockerInit(Docker):
    """`docker run --init` with an image that does not contain loadline."""

    image = "without-loadline"
    init = "/sbin/docker-init"

    def __init__(self, *options):
        super().__init__("--init", *options)


class Unasked(Docker):
    """`docker run` without `--init` and with an image that does not contain loadline."""

    image = "without-loadline"
    init = "/sbin/docker-init"


def docker(*arguments):
    finished = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True)
    return finished.stdout.strip()


def start_daemon(home, *options):
    """Starts dockerd, waits for the notification that it also sends to systemd, and makes it the daemon of
    the client."""
    home.mkdir(exist_ok=True)
    # Every client has the classic builder, but not every client has BuildKit.
    os.environ.update(DOCKER_HOST=f"unix://{home}/docker.sock", DOCKER_CONFIG=str(HOME / "config"),
                      DOCKER_BUILDKIT="0")
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(str(home / "ready.sock"))
    ready.settimeout(PATIENCE)
    with open(home / "dockerd.log", "w", encoding="utf-8") as log:
        daemon = subprocess.Popen(
            ["dockerd", "--host", os.environ["DOCKER_HOST"], "--data-root", home / "docker",
             "--exec-root", home / "exec", "--pidfile", home / "pid",
             "--storage-driver=overlay2", "--iptables=false", "--ip6tables=false", "--bridge=none",
             f"--cgroup-parent=/{CGROUP}", *options],
            env={**os.environ, "NOTIFY_SOCKET": str(home / "ready.sock")}, stdout=log, stderr=log)
    try:
        while b"READY=1" not in ready.recv(4096):
            pass
    except TimeoutError:
        sys.exit((home / "dockerd.log").read_text(encoding="utf-8"))
    return daemon


def build_image(name, files, *lines, to="/"):
    """Builds an image FROM scratch of these files."""
    context = HOME / "contexts" / name
    context.mkdir(parents=True)
    for file in files:
        shutil.copy(file, context)
    names = " ".join(pathlib.Path(file).name for file in files)
    (context / "Dockerfile").write_text("\n".join(["FROM scratch", f"COPY {names} {to}", *lines, ""]))
    docker("build", "--quiet", "--network=none", "--tag", name, str(context))


def prepare():
    start_daemon(HOME, "--init-path", LOADLINE)
    build_image("with-loadline", [LOADLINE, INSIDE], 'ENTRYPOINT ["/loadline", "--"]', 'CMD ["/inside"]')
    build_image("without-loadline", [INSIDE], 'CMD ["/inside"]')
    for image in ("with-loadline", "without-loadline"):
        docker("save", "--output", str(HOME / f"{image}.tar"), image)
    build_image("resize", [LOADLINE, LAB / "resize"],
                'ENTRYPOINT ["/loadline", "--on-resize=signal:USR1", "--"]', 'CMD ["/resize"]')


def no_limits():
    with Docker() as container:
        yield from check("no limits", container,
                         fixture=("v1_docker_without_limits", "Docker on cgroup v1, no limit."))


def memory_alone():
    with Docker(*MEMORY_OPTIONS) as container:
        yield from check("-m", container, memory=found()["memory"])


def cpus_alone():
    with Docker(*CPU_OPTIONS) as container:
        yield from check("--cpus", container, cpus=found()["cpus"])


def one_cpu_of_a_set():
    with Docker("--cpuset-cpus=0") as container:
        yield from check("--cpuset-cpus", container, allowed=1)


def host_cgroup_namespace():
    with Docker("--cgroupns=host", *LIMITS) as container:
        yield from check("--cgroupns host", container, **found(), fixture=(
            "v1_docker_host_cgroupns", "Docker on cgroup v1, `--cgroupns host -m 64m --cpus 0.5`."))


def private_cgroup_namespace():
    with Docker("--cgroupns=private", *LIMITS) as container:
        yield from check("--cgroupns private", container, **found(), fixture=(
            "v1_docker_private_cgroupns",
            "Docker on cgroup v1, `--cgroupns private -m 64m --cpus 0.5`."))


def read_only():
    with Docker("--read-only", *LIMITS) as container:
        yield from check("--read-only", container, **found())


def another_user():
    with Docker("--user=65534", *LIMITS) as container:
        yield equal(container.report["UID"], 65534, "--user: it is that user")
        yield from check("--user", container, **found())


def no_capabilities():
    with Docker("--cap-drop=ALL", "--security-opt=no-new-privileges", *LIMITS) as container:
        yield from check("--cap-drop ALL, no-new-privileges", container, **found())


def host_pids():
    with Docker("--pid=host", *LIMITS) as container:
        yield container.report["Parent"] > 1, "--pid host: loadline is not PID 1"
        yield from check("--pid host", container, **found(), fixture=(
            "v1_docker_host_pids", "Docker on cgroup v1, `--pid host -m 64m --cpus 0.5`."))


def init_of_the_daemon():
    with DockerInit(*LIMITS) as container:
        yield equal(container.report["Parent"], 1, "--init: loadline is PID 1")
        yield from check("--init", container, **found(), fixture=(
            "v1_docker_init", "Docker on cgroup v1, `--init -m 64m --cpus 0.5`."))


def inspected():
    title = "docker exec, --inspect"
    expected = variables(MEMORY, CPUS, len(os.sched_getaffinity(0)))
    given = {"GOMEMLIMIT": None, "GOMAXPROCS": None, "GODEBUG": None, **expected}
    for container in (Docker("--env=LOADLINE_CPU_MIN=1", *LIMITS), DockerInit("--env=LOADLINE_CPU_MIN=1", *LIMITS)):
        with container:
            said = inspection(container.execute(container.init, "--inspect=json"))
            yield equal(said["given"], given, f"{title}: what the program was given")
            yield equal((said["init"]["command"], said["init"]["variables"]),
                        ([container.init, "--", "/inside"], ["LOADLINE_CPU_MIN=1"]), f"{title}: by which options")
            yield equal((said["init"]["pid"], said["restart_would_change"]), (1, False), f"{title}: of PID 1")
            yield 0 < said["usage"]["memory_bytes"] <= MEMORY, f"{title}: what it uses"
            # Others see it by another ID, and are in another cgroup.
            beside = ["docker", "run", "--rm", "--network=none", f"--pid=container:{container.name}",
                      "--entrypoint=/loadline", "with-loadline", "--inspect=json"]
            outside = [LOADLINE, "--inspect=json", str(container.pid())]
            for where, command in (("another container", beside), ("the host", outside)):
                seen = inspection(subprocess.run(command, capture_output=True, text=True))
                yield equal([seen["given"], *limits(seen)], [given, *limits(said)], f"{title}: the same from {where}")
            resize(container, 96, 0.5)
            said = inspection(container.execute(container.init, "--inspect=json"))
            yield equal((said["restart_would_change"], said["now"]["memory"]["GOMEMLIMIT"], said["given"]),
                        (True, str((96 << 20) * 8 // 10), given), f"{title}: what a restart would change")


class BehindAnInit(Docker):
    """loadline starts an init that it knows, and that starts the program. The host has no such program."""

    def run_command(self):
        return [*super().run_command(), "/loadline", "--", "/inside"]


def inspected_behind_an_init():
    title = "--inspect, behind an init"
    with BehindAnInit(*LIMITS) as container:
        within = inspection(container.execute(container.init, "--inspect=json"))["now"]["program"]
        yield within["go_version"] is not None, f"{title}: the program's version of Go"
        outside = subprocess.run([LOADLINE, "--inspect=json", str(container.pid())], capture_output=True, text=True)
        seen = inspection(outside)["now"]["program"]
        yield equal(*([it["starts"], it["go_version"]] for it in (seen, within)), f"{title}: the same from the host")


def inspection(finished):
    """The output of `--inspect=json`."""
    finished.check_returncode()
    return json.loads(finished.stdout)


def limits(inspected):
    """The limits in an inspection, and their files."""
    now = inspected["now"]
    return [[now["memory"][key] for key in ("limit_bytes", "source")],
            [now["cpu"][key] for key in ("limit_cpus", "source")]]


def version_for_the_daemon():
    says = subprocess.run([LOADLINE, "--version"], check=True, capture_output=True, text=True).stdout
    yield equal(docker("info", "--format={{.InitCommit.ID}}"), says.strip().split("git.")[-1],
                "--init: `docker info` tells the commit of loadline")


@contextlib.contextmanager
def daemon_json():
    """Another daemon for the client, with examples/docker/daemon.json, and loadline where that says."""
    shutil.copy(LOADLINE, json.loads(DAEMON_JSON.read_text(encoding="utf-8"))["init-path"])
    first = os.environ["DOCKER_HOST"]
    daemon = start_daemon(HOME / "configured", "--config-file", DAEMON_JSON)
    try:
        yield
    finally:
        os.environ["DOCKER_HOST"] = first
        daemon.terminate()
        daemon.wait()


def init_of_every_container():
    with daemon_json():
        for image in ("with-loadline", "without-loadline"):
            subprocess.run(["docker", "load", "--quiet", "--input", HOME / f"{image}.tar"], check=True,
                           stdout=subprocess.DEVNULL)
        with Unasked(*LIMITS) as container:
            yield equal(container.report["Parent"], 1, "daemon.json: loadline is PID 1")
            yield from check("daemon.json", container, **found())
        with Unasked("--init=false", *LIMITS) as container:
            yield equal(container.report["PID"], 1, "daemon.json, --init=false: the program is PID 1")
            yield equal(container.report["Environment"], {}, "daemon.json, --init=false: it gets no variables")
        yield from check_composed("daemon.json, compose.yaml")


def composed():
    yield from check_composed("compose.yaml")


# The images and the network of the suite in place of those in examples/compose.yaml.
OVERRIDE = """
services:
  service: {image: with-loadline, command: ["/inside"], network_mode: none}
  unchanged: {image: without-loadline, network_mode: none}
"""


def check_composed(title):
    """examples/compose.yaml. With the first daemon, `init: true` matters, and with that of daemon.json,
    `init: false`."""
    override = HOME / "override.yaml"
    override.write_text(OVERRIDE, encoding="utf-8")
    compose = ["docker-compose", "--no-ansi", "--project-name", "lab", "--file", TOP / "examples/compose.yaml",
               "--file", override]
    subprocess.run([*compose, "up", "--detach", "--no-build"], check=True, capture_output=True, text=True)
    limit = 400 << 20
    for service in ("service", "unchanged"):
        name = docker("ps", "--quiet", "--filter", f"label=com.docker.compose.service={service}")
        with subprocess.Popen(["docker", "logs", "--follow", name], stdout=subprocess.PIPE, text=True) as logs:
            report = json.loads(logs.stdout.readline())
            logs.kill()
        yield equal(report["Environment"], variables(limit, CPUS, len(os.sched_getaffinity(0))),
                    f"{title}, {service}: the program is given the variables")
        yield equal(report["Parent"], 1, f"{title}, {service}: loadline is PID 1")
    stopped = subprocess.run([*compose, "down"], check=True, capture_output=True, text=True)
    yield "ERROR" not in stopped.stderr, f"{title}: docker-compose stops it"


def termination_message():
    """The kubelet mounts an empty file as the termination log, which an OOM-killed program leaves empty."""
    log = HOME / "termination-log"
    log.touch()
    run = ["docker", "run", "--rm", "--network=none", f"--volume={log}:/dev/termination-log",
           *MEMORY_OPTIONS, "with-loadline", "/inside"]
    killed = subprocess.run([*run, "grow", str(4 * MEMORY)], capture_output=True, text=True)
    left = log.read_text(encoding="utf-8")
    yield equal(killed.returncode, 128 + signal.SIGKILL, "termination message: the program is killed")
    yield from check_explained("termination message", left, "the program", MEMORY)
    yield equal(killed.stderr, left, "termination message: the same on stderr")


def every_signal():
    with Docker() as container:
        for name, said in [("HUP", "hangup"), ("USR1", "user defined signal 1"), ("QUIT", "quit"),
                           ("WINCH", "window changed"), ("RTMIN+3", "signal 37")]:
            container.kill(name)
            yield equal(container.line(), said, f"docker kill -s {name}: reaches the program")
        container.kill("KILL")
        yield equal(container.client.wait(), 137, "docker kill -s KILL: ends it all")


def terminal():
    """Ctrl-C sends SIGINT to the foreground processes of the terminal of the container."""
    yield from check_interrupted("-t", Docker("--interactive", "--tty"))
    yield from check_interrupted("--init -t", DockerInit("--interactive", "--tty"))


def check_interrupted(title, container):
    screen, keyboard = pty.openpty()
    client = subprocess.Popen(container.run_command(), stdin=keyboard, stdout=keyboard, stderr=keyboard)
    os.close(keyboard)
    with os.fdopen(screen, "r+b", buffering=0) as screen:
        report = screen.readline()
        screen.write(b"\x03")
        said = b""
        try:
            while part := screen.read(4096):
                said += part
        except OSError:
            pass  # EIO: no process holds the other side any more (pty(7)).
    yield json.loads(report)["Foreground"], f"{title}: the program is in the foreground"
    yield b"interrupt" in said, f"{title}: Ctrl-C reaches the program: {report + said}"
    yield equal(client.wait(), STATUS, f"{title}: the status is the program's")


class Resized(Docker):
    """A container whose limits change. Messages of loadline go to stdout too."""

    stderr = subprocess.STDOUT

    def __init__(self, on_resize, image="with-loadline"):
        super().__init__(f"--env=LOADLINE_ON_RESIZE={on_resize}", *LIMITS)
        self.image = image


def resize(container, mebibytes, cpus):
    docker("update", f"--memory={mebibytes}m", f"--memory-swap={mebibytes}m", f"--cpus={cpus}",
           container.name)


def changed(memory, cpus, ending):
    """A pattern for the message about these limits, with any reasons."""
    return (rf"loadline: limits changed: memory {memory} MiB, CPU {cpus}; a restart would give "
            rf"GOMEMLIMIT={(memory << 20) * 8 // 10} \(.*\); GOMAXPROCS.* \(.*\); {ending}")


def resized():
    title = "docker update, --on-resize=log"
    with Resized("log") as container:
        resize(container, 96, 1.5)
        yield matches(changed(96, 1.5, "the program keeps its values"), container.line(), f"{title}: it is reported")
        for cpus, ending in ((0.9, "the program keeps its values"), (0.6, "the program is not affected")):
            docker("update", f"--cpus={cpus}", container.name)
            yield matches(f"loadline: limits changed: CPU {cpus}; .*; {ending}",
                          container.line(), f"{title}: {cpus} CPUs, {ending}")
        yield equal(container.stop(), (["terminated"], STATUS), f"{title}: the program exits as usual")


def resized_for_go():
    """examples/resize asks loadline for the new GOMEMLIMIT."""
    title = "docker update, --on-resize=signal"
    with Resized("ignore", "resize") as container:
        yield matches(".* memory limit 51 MiB", container.first_line, f"{title}: a limit at the start")
        resize(container, 96, 1.5)
        yield matches(changed(96, 1.5, "sending SIGUSR1 to the program"), container.line(), f"{title}: it is reported")
        yield matches(".* memory limit 76 MiB, was 51 MiB", container.line(), f"{title}: Go follows it")
        yield equal(container.stop()[1], 128 + signal.SIGTERM, f"{title}: SIGTERM ends it, as any Go program")


def resized_to_end():
    title = "docker update, --on-resize=exit"
    with Resized("exit") as container:
        resize(container, 96, 1.5)
        # One line is from the init and one from the program. Either may come first.
        said, program = sorted([container.line(), container.line()])
        yield matches(changed(96, 1.5, "asking the program to exit"), said, f"{title}: it is reported")
        yield equal(program, "terminated", f"{title}: by SIGTERM")
        yield equal(container.client.wait(), STATUS, f"{title}: the status is the program's")


def resized_and_ignored():
    """The reports at the end contain the limits at the start too."""
    with Docker("--env=TINI_VERBOSITY=2", *LIMITS) as container:
        resize(container, 96, 1.5)
        container.execute(container.init, "--", "/inside", "grow", str(4 * MEMORY))
        container.stop()
        said = container.said_by_init()
    for what, part in [
            ("the OOM report",
             r'limit 96 MiB in "/sys/fs/cgroup/memory/memory.limit_in_bytes" \(64 MiB at start\), '),
            ("the memory part of the summary", "; memory limit 96 MiB; memory limit at start 64 MiB; "),
            ("the CPU part of the summary", "; CPU limit 1.5; CPU limit at start 0.5; ")]:
        yield matches(f".*{part}.*", said, f"docker update, ignored: {what} has both limits")


def memory_is_not_watched():
    """cgroup v1 has no notifications for it."""
    with Docker("--env=LOADLINE_MEMORY_WARN=1", *LIMITS) as container:
        yield equal(container.stop(), (["terminated"], STATUS), "--memory-warn: the program runs")
        yield equal(container.said_by_init(),
                    "loadline: cannot watch the cgroup for --memory-warn: No such file or directory; it requires "
                    "cgroup v2", "--memory-warn: a message says that it requires v2")


class Service(Docker):
    """An image with examples/service, which logs to stderr."""

    stderr = subprocess.STDOUT

    def __init__(self, image):
        super().__init__("--memory=400m", "--memory-swap=400m", "--cpus=0.5")
        self.image = image


class Leaving(Docker):
    """A container whose program starts a daemon and exits. The daemon exits on SIGTERM."""

    def __init__(self, *options):
        super().__init__("--env=LOADLINE_DRAIN=1h", *options)

    def run_command(self):
        return [*super().run_command(), "/inside", "leave"]


def drained():
    with Leaving() as container:
        yield from check_drained("--drain", container)


def drained_among_the_processes_of_the_host():
    with subprocess.Popen([INSIDE], stdout=subprocess.PIPE, text=True) as stranger:
        stranger.stdout.readline()
        with Leaving("--pid=host") as container:
            daemon = container.report["PID"]
            yield from check_drained("--drain, --pid host", container)
        yield not os.path.exists(f"/proc/{daemon}"), "--drain, --pid host: the daemon is gone"
        yield equal(stranger.poll(), None, "--drain, --pid host: a process of the host still runs")
        stranger.terminate()
        yield equal(stranger.stdout.read().split(), ["terminated"],
                    "--drain, --pid host: it got no other signal")


def check_drained(title, container):
    yield equal(container.line(), "terminated", f"{title}: the daemon gets SIGTERM")
    yield equal(container.client.wait(), STATUS, f"{title}: the status is the program's")
    yield equal(container.said_by_init(), "", f"{title}: there are no messages")


def drained_of_what_was_executed():
    """A process of `docker exec` is not a child of the init."""
    title = "--drain, docker exec"
    with Docker("--env=LOADLINE_DRAIN=1h") as container:
        other = subprocess.Popen(container.exec_command(["/inside"]), stdout=subprocess.PIPE, text=True)
        other.stdout.readline()
        yield equal(container.stop(), (["terminated"], STATUS), f"{title}: the program is stopped")
        yield equal(other.communicate()[0].split(), ["terminated"], f"{title}: the other process is stopped too")
        yield equal(other.returncode, STATUS, f"{title}: it keeps its own exit code")


def image_of_loadline():
    """examples/kubernetes/Dockerfile, with `dist` as `make release` leaves it."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    dist = HOME / "dist"
    dist.mkdir()
    shutil.copy(LOADLINE, dist / f"loadline-linux-{architecture}")
    docker("build", "--quiet", "--network=none", "--file", str(TOP / "examples/kubernetes/Dockerfile"),
           f"--build-arg=TARGETARCH={architecture}", "--tag", "loadline", str(dist))
    says = subprocess.run([LOADLINE, "--version"], check=True, capture_output=True, text=True).stdout
    yield equal(docker("run", "--rm", "--network=none", "loadline", "--version"), says.strip(),
                "examples/kubernetes/Dockerfile: the image runs loadline with the given options")
    tools = HOME / "tools"
    tools.mkdir()
    docker("run", "--rm", "--network=none", "--volume", f"{tools}:/tools", "loadline", "--install", "/tools")
    installed = tools / "loadline"
    yield equal((installed.read_bytes() == pathlib.Path(LOADLINE).read_bytes(), installed.stat().st_mode & 0o7777),
                (True, 0o755), "--install copies loadline into a volume, from an image without cp")


def check_service(title, container):
    yield "listening on" in container.first_line, f"{title}: starts: {container.first_line}"
    init = container.pid()
    entry = pathlib.Path(f"/proc/{init}/comm").read_text(encoding="utf-8").strip()
    yield equal(entry, "loadline", f"{title}: the entry point is loadline")
    child = pathlib.Path(f"/proc/{init}/task/{init}/children").read_text(encoding="utf-8").strip()
    environment = pathlib.Path(f"/proc/{child}/environ").read_text(encoding="utf-8").split("\0")
    set_by_loadline = sorted(entry for entry in environment if entry.startswith("GO"))
    yield equal(set_by_loadline, ["GOMAXPROCS=1", f"GOMEMLIMIT={(400 << 20) * 8 // 10}"],
                f"{title}: the service is given the variables")
    yield equal(os.stat(f"/proc/{child}").st_uid, 65532, f"{title}: it is not root")
    get = ("import urllib.request as r; "
           "print(len(r.urlopen('http://127.0.0.1:8080/projects/canal/rows').read()))")
    answer = subprocess.run(["nsenter", f"--target={init}", "--net", sys.executable, "-c", get],
                            check=True, capture_output=True, text=True).stdout
    yield int(answer) > 0, f"{title}: answers a request with {answer.strip()} bytes"
    yield equal(container.stop()[1], 128 + signal.SIGTERM, f"{title}: SIGTERM ends it, as any Go program")


if __name__ == "__main__":
    suite.main("docker", {"dockerd": "docker.io", "docker": "docker-cli",
                          "docker-compose": "docker-compose"}, [
        no_limits, memory_alone, cpus_alone, one_cpu_of_a_set, host_cgroup_namespace,
        private_cgroup_namespace, read_only, another_user, no_capabilities, host_pids,
        init_of_the_daemon, inspected, inspected_behind_an_init, version_for_the_daemon, init_of_every_container,
        composed, every_signal,
        drained, drained_among_the_processes_of_the_host, drained_of_what_was_executed,
        termination_message, terminal, image_of_loadline,
        resized, resized_for_go, resized_to_end, resized_and_ignored, memory_is_not_watched,
    ], prepare)
