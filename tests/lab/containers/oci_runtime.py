#!/usr/bin/env python3
"""loadline-runtime as the OCI runtime of Docker, Podman and runc's own bundles: the images are as they are."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import docker
import podman
import suite
from container import CPUS, LIMITS, MEMORY, STATUS, equal, variables
from docker import Docker, build_image, docker as run_docker, start_daemon
from podman import Podman
from suite import CGROUP, HIERARCHIES, HOME, INSIDE, LOADLINE, RUNTIME, TOP

# Where an administrator puts them.
BIN = pathlib.Path("/usr/local/bin")
INSTALLED, LINK = BIN / "loadline-runtime", BIN / "loadline-runc"
SETTINGS = pathlib.Path("/etc/loadline/runtime.toml")
# loadline-runtime counts the CPUs of the cgroups, so this suite must not be bound to fewer.
ALLOWED = len(os.sched_getaffinity(0))
EXPECTED = variables(MEMORY, CPUS, ALLOWED)
# What identifies a container, and differs from one to the next.
IDENTITY = re.compile(r"[0-9a-f]{64}|[0-9a-f]{12}|\b\d+:\d+\b|master:\d+ |(?:lower|upper|work)dir=\S+")


class Plain(Docker):
    """`docker run` of an image without loadline."""

    image = "without-loadline"
    init = "/inside"


class PlainPodman(Podman):
    """`podman run` of an image without loadline and without an init."""

    runtime = LINK

    def run_command(self):
        command = [it for it in super().run_command() if it != "--init" and not str(it).startswith("--init-path")]
        command[command.index("--runtime=runc")] = f"--runtime={self.runtime}"
        return command


def install(*arguments):
    return subprocess.run([INSTALLED, "install", *arguments], check=True, capture_output=True, text=True).stdout


def prepare():
    shutil.copy(RUNTIME, INSTALLED)
    shutil.copy(LOADLINE, BIN / "loadline")
    install("--docker", "--default", "--write")
    start_daemon(HOME)
    build_image("without-loadline", [INSIDE], 'CMD ["/inside"]')
    # Docker's client takes its configuration from there, and so does Podman.
    (HOME / "config").mkdir(exist_ok=True)
    (HOME / "config/config.json").write_text("{}", encoding="utf-8")
    podman.prepare()


def seen(container):
    """What the kernel shows of the container's first process, without what differs in each container."""
    process = pathlib.Path(f"/proc/{container.pid()}")

    def text(name):
        return IDENTITY.sub("...", (process / name).read_text(encoding="utf-8"))

    mounts = [line.split(" ", 3)[3] for line in text("mountinfo").splitlines()]
    status = re.findall(r"^(?:Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp|Cpus_allowed|NSpid):.*", text("status"), re.MULTILINE)
    return {"environ": sorted(text("environ").split("\0")), "cmdline": text("cmdline"), "limits": text("limits"),
            "mounts": sorted(mounts), "cgroup": text("cgroup"), "root": sorted(os.listdir(process / "root")),
            "status": [line for line in status if not line.startswith("NSpid")], "dev": sorted(os.listdir(process / "root/dev")),
            "namespaces": sorted(os.listdir(process / "ns"))}


def unchanged_image():
    title = "Docker, default runtime"
    with Plain(*LIMITS) as container, Plain("--runtime=runc", *LIMITS) as bare:
        yield equal(container.report["PID"], 1, f"{title}: the program is PID 1")
        yield equal(container.report["Environment"], EXPECTED, f"{title}: it is given the variables")
        yield equal(bare.report["Environment"], {}, f"{title}: with runc it is not")
        with_it, without = seen(container), seen(bare)
        added = [f"{name}={value}" for name, value in EXPECTED.items()]
        yield equal(sorted(set(with_it["environ"]) - set(without["environ"])), sorted(added),
                    f"{title}: the environment has these more")
        for part in sorted(set(with_it) - {"environ"}):
            yield equal(with_it[part], without[part], f"{title}: the same {part}")
        yield equal(container.execute("/inside", "grow", "1").returncode, 0, f"{title}: docker exec works")
        yield equal(container.stop(), (["terminated"], STATUS), f"{title}: the program exits as usual")


def values_that_are_set():
    title = "values that are set"
    with Plain("--env=GOMEMLIMIT=48MiB", "--env=GOMAXPROCS=2", *LIMITS) as container:
        yield equal(container.report["Environment"], {"GOMEMLIMIT": "48MiB", "GOMAXPROCS": "2"}, f"{title}: stay")
    with Plain("--env=LOADLINE_MEMORY_RATIO=0.5", *LIMITS) as container:
        yield equal(container.report["Environment"]["GOMEMLIMIT"], str(MEMORY // 2), f"{title}: tune it")
    with Plain("--env=LOADLINE_MEMORY=off", "--env=LOADLINE_CPU=off", *LIMITS) as container:
        yield equal(container.report["Environment"], {}, f"{title}: switch it off")
    with Plain() as container:
        yield equal(container.report["Environment"], {}, "no limits: nothing is set")


def limit_of_the_pod():
    """Of CPU, v1 shows nothing of an ancestor inside, and neither does v2 with a cgroup namespace."""
    title = "limits of the cgroup above"
    parent = f"{CGROUP}/pod"
    for controller, file, value in [("memory", "memory.limit_in_bytes", 2 * MEMORY),
                                    ("cpu", "cpu.cfs_quota_us", 50_000)]:
        (HIERARCHIES / controller / parent).mkdir(parents=True)
        (HIERARCHIES / controller / parent / file).write_text(str(value))
    above = [f"--cgroup-parent=/{parent}", "--cgroupns=private"]
    with Plain(*above) as container:
        yield equal(container.report["Environment"], variables(2 * MEMORY, 0.5, ALLOWED),
                    f"{title}: count for a container without limits")
    with Plain(*above, "--memory=64m") as container:
        yield equal(container.report["Environment"], variables(MEMORY, 0.5, ALLOWED), f"{title}: the lower one counts")


def restarted():
    title = "docker update and restart"
    with Plain(*LIMITS) as container:
        run_docker("update", "--memory=96m", "--memory-swap=96m", "--cpus=1.5", container.name)
        run_docker("restart", container.name)
        environment = pathlib.Path(f"/proc/{container.pid()}/environ").read_text(encoding="utf-8").split("\0")
        yield ("GOMEMLIMIT=80530636" in environment and not [it for it in environment if it.startswith("GOMAXPROCS")],
               f"{title}: it is decided anew: {[it for it in environment if it.startswith('GO')]}")


def with_podman():
    title = "Podman"
    with PlainPodman(*LIMITS) as container:
        yield equal(container.report["PID"], 1, f"{title}: the program is PID 1")
        yield equal(container.report["Environment"], EXPECTED, f"{title}: it is given the variables")
    with PlainPodman("--read-only", "--annotation=loadline.memory-ratio=0.5", *LIMITS) as container:
        yield equal(container.report["Environment"]["GOMEMLIMIT"], str(MEMORY // 2), f"{title}: an annotation tunes it")


def with_an_init():
    title = "loadline.init=true"
    for options in ([], ["--read-only"], ["--pid=host"], ["--user=65534"]):
        with PlainPodman("--annotation=loadline.init=true", *options, *LIMITS) as container:
            what = f"{title} {' '.join(options)}"
            command = pathlib.Path(f"/proc/{container.pid()}/cmdline").read_text(encoding="utf-8").split("\0")[:-1]
            adopts = ["-s"] if "--pid=host" in options else []
            yield equal(command, ["/dev/loadline", *adopts, "--", "/inside"], f"{what}: the container's first process")
            yield equal(container.report["Environment"], EXPECTED, f"{what}: the program is given the variables")
            if "--pid=host" not in options:
                yield equal(container.report["Parent"], 1, f"{what}: loadline is PID 1")
    SETTINGS.parent.mkdir(exist_ok=True)
    SETTINGS.write_text('init = true\nmemory-ratio = "50%"\n', encoding="utf-8")
    try:
        with Plain(*LIMITS) as container:
            yield equal((container.report["Parent"], container.report["Environment"]["GOMEMLIMIT"]),
                        (1, str(MEMORY // 2)), f"{SETTINGS}: every container of Docker gets an init and a ratio")
            changed = run_docker("diff", container.name).split()
            yield equal(changed, [], f"{SETTINGS}: nothing is left in the container's file system")
    finally:
        SETTINGS.unlink()


def bundle(name, change=lambda spec: None):
    """A bundle of `runc spec` with the program, and without a terminal."""
    directory = HOME / "bundles" / name
    (directory / "rootfs").mkdir(parents=True)
    shutil.copy(INSIDE, directory / "rootfs")
    subprocess.run(["runc", "spec", "--bundle", directory], check=True)
    spec = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    spec["process"].update(terminal=False, args=["/inside"])
    spec["linux"]["cgroupsPath"] = f"/{CGROUP}/{name}"
    spec["linux"]["resources"] = {"memory": {"limit": MEMORY}, "cpu": {"quota": int(CPUS * 100_000), "period": 100_000}}
    change(spec)
    (directory / "config.json").write_text(json.dumps(spec), encoding="utf-8")
    return directory


def passed_on():
    """All other calls are runc's, and so is the order of the arguments."""
    for arguments in (["--version"], ["--help"], ["list"], ["state", "none"], ["nope"]):
        ours, theirs = (subprocess.run([runtime, *arguments], capture_output=True, text=True, cwd=HOME)
                        for runtime in (LINK, "runc"))
        times = re.compile(r'time="[^"]*"')
        said = [times.sub("", it.stdout.replace("loadline-runc", "runc") + it.stderr) for it in (ours, theirs)]
        yield (ours.returncode == theirs.returncode and said[0].splitlines()[-1:] == said[1].splitlines()[-1:],
               f"runc {' '.join(arguments)}: the same exit code {ours.returncode} and output")
    directory = bundle("after")
    call = [LINK, "run", f"{CGROUP}-after", "--bundle", directory]
    ran = subprocess.Popen(call, stdout=subprocess.PIPE, text=True, cwd=HOME)
    report = json.loads(ran.stdout.readline() or "{}")
    subprocess.run([LINK, "kill", f"{CGROUP}-after", "TERM"])
    yield equal((report.get("Environment"), ran.wait()), (EXPECTED, STATUS), "runc run ID --bundle DIR: is given the variables")


def never_in_the_way():
    """Absurd bundles reach the runtime as they are. Here a script stands for it, which copies what it gets."""
    title = "never in the way"
    copier = HOME / "copier"
    copier.write_text('#!/bin/sh\nwhile [ "$1" != --bundle ]; do shift; done\ncp "$2/config.json" "$COPY"\n')
    copier.chmod(0o755)
    good = (bundle("good") / "config.json").read_bytes()
    cases = {
        "empty": b"", "no JSON": b"{", "invalid UTF-8": good.replace(b"/inside", b"/ins\xffide"),
        "100 MB": good[:-1] + b"," + b'"x":"' + b"y" * (100 << 20) + b'"}',
        "deep nesting": b"[" * 1_000_000, "a key twice": good[:-1] + b', "process": {"args": ["/inside"]}}',
        "no arguments": good.replace(b'["/inside"]', b"[]"), "null": b"null",
        "a number that is none": good.replace(b'"limit": ', b'"limit": 1e999, "x": '),
    }
    for name, content in cases.items():
        directory = HOME / "bundles" / name.replace(" ", "-")
        directory.mkdir()
        config = directory / "config.json"
        config.write_bytes(content)
        config.chmod(0o640)
        copy = HOME / "copy.json"
        log = directory / "log"
        # Neither needs much memory: this bounds the address space.
        call = ["prlimit", f"--as={256 << 20}", LINK, "--runtime", copier, "--log", log, "create", "--bundle", directory,
                "id"]
        done = subprocess.run(call, env={**os.environ, "COPY": str(copy)}, capture_output=True, text=True)
        same = copy.read_bytes() == content == config.read_bytes() and config.stat().st_mode & 0o777 == 0o640
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        yield (done.returncode == 0 and same and len(lines) == 1 and done.stderr == "",
               f"{title}: {name}: {lines} {done.stderr}")
    # These can be read, and are as large as they can be.
    for name, change in {
        "a long PATH": lambda spec: spec["process"].update(args=["x" * 250], env=["PATH=" + ":" * 120_000]),
        "many variables": lambda spec: spec["process"].update(env=["A=1"] * 400_000),
    }.items():
        directory = bundle(name.replace(" ", "-"), change)
        call = ["prlimit", f"--as={256 << 20}", LINK, "--runtime", copier, "create", "--bundle", directory, "id"]
        copy.unlink()
        done = subprocess.run(call, env={**os.environ, "COPY": str(copy)}, capture_output=True, text=True)
        got = [it for it in json.loads(copy.read_bytes())["process"]["env"] if it.startswith("GO")]
        yield (done.returncode == 0 and got == [f"{name}={value}" for name, value in EXPECTED.items()],
               f"{title}: {name}: {got} {done.stderr}")
    # To read it would take for ever.
    directory = HOME / "bundles/fifo"
    directory.mkdir()
    os.mkfifo(directory / "config.json")
    call = [LINK, "--runtime", "/bin/true", "create", "--bundle", directory, "id"]
    done = subprocess.run(call, capture_output=True, text=True)
    yield (done.returncode == 0 and "no decision within 2000 ms" in done.stderr,
           f"{title}: a configuration that cannot be read to its end: {done.stderr.strip()}")
    directory = bundle("read-only")
    before = (directory / "config.json").read_bytes()
    subprocess.run(["mount", "--bind", "-o", "ro", directory, directory], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True)
    call = [LINK, "--runtime", copier, "create", "--bundle", directory, "id"]
    done = subprocess.run(call, env={**os.environ, "COPY": str(HOME / "copy.json")}, capture_output=True, text=True)
    subprocess.run(["umount", directory], check=True)
    yield (done.returncode == 0 and (HOME / "copy.json").read_bytes() == before and "cannot write" in done.stderr,
           f"{title}: a bundle on a read-only file system: {done.stderr.strip()}")


def not_executed():
    """containerd shows the last error in the log if the runtime fails."""
    title = "a runtime that is not there"
    directory = bundle("not-executed")
    log = directory / "log.json"
    call = [LINK, "--runtime", "/none", "--log", log, "--log-format", "json", "create", "--bundle", directory, "id"]
    done = subprocess.run(call, capture_output=True, text=True)
    last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    yield equal((done.returncode, last["level"]), (1, "error"), f"{title}: the log has an error")
    yield equal(done.stderr, f"{last['msg']}\n", f"{title}: standard error has the same")


def nobody_reads():
    """Standard error is a pipe without a reader, or full. There is something to say, and then runc is to run."""
    for title in ("nobody reads standard error", "standard error is full"):
        reader, writer = os.pipe()
        if title.startswith("nobody"):
            os.close(reader)
        else:
            os.set_blocking(writer, False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(writer, b"x")
            os.set_blocking(writer, True)
        call = [LINK, "--runtime", "/bin/echo", "create", "--bundle", "/none", "id"]
        done = subprocess.run(call, stdout=subprocess.PIPE, stderr=writer, text=True, timeout=60)
        os.close(writer)
        yield equal((done.returncode, done.stdout), (0, "create --bundle /none id\n"), f"{title}: the runtime is executed")


def without_root():
    """As rootless engines call it: another user, whose bundle it is."""
    title = "another user"
    directory = bundle("rootless")
    for path in (directory, directory / "config.json"):
        os.chown(path, 65534, 65534)
    call = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", LINK, "--runtime", "/bin/true", "create",
            "--bundle", directory, "id"]
    done = subprocess.run(call, capture_output=True, text=True)
    spec = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    got = [it for it in spec["process"]["env"] if it.startswith("GO")]
    yield equal((done.returncode, done.stderr, got), (0, "", [f"{name}={value}" for name, value in EXPECTED.items()]),
                f"{title}: its bundle is edited")
    owner = (directory / "config.json").stat()
    yield equal((owner.st_uid, owner.st_gid), (65534, 65534), f"{title}: the file is still its own")


def opens_nothing_else():
    """Of the host it reads files of /proc, cgroups, the list of online CPUs, its settings and the bundle."""
    for name in ("link", "script"):
        yield from opens_nothing_else_for(name)


def opens_nothing_else_for(name):
    title = f"what it opens for a {name}"
    directory = bundle(f"traced-{name}", lambda spec: spec["process"].update(args=[name], env=["PATH=/a:/bin"]))
    (directory / "rootfs/bin").mkdir()
    (directory / "rootfs/bin/link").symlink_to("../../../../../../../etc/shadow")
    # Its interpreter is a file of the container, where it means another one.
    script = directory / "rootfs/bin/script"
    script.write_text("#!/etc/shadow\n")
    script.chmod(0o755)
    trace = HOME / "trace"
    subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=open,openat,openat2,execve,readlink,stat,access",
                    LINK, "--runtime", "/bin/true", "create", "--bundle", directory, "id"], check=True)
    calls = trace.read_text(encoding="utf-8")
    opened = set(re.findall(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]*)"', calls.partition('execve("/bin/true"')[0]))
    allowed = re.compile(rf"{re.escape(str(directory))}/(\.?config\.json.*|rootfs|\.?)?|/proc/self/.*|/sys/fs/cgroup/.*|"
                         rf"{SETTINGS}|/proc/meminfo|/sys/devices/system/cpu/online")
    strange = sorted(path for path in opened if not allowed.fullmatch(path))
    yield equal(strange, [], f"{title}: {len(opened)} files, all of the bundle, of cgroups or its own")
    in_root = re.findall(r'openat2\((\d+), "([^"]*)".*?resolve=([A-Z_|]+)', calls)
    yield (in_root and all("RESOLVE_IN_ROOT" in how for _, _, how in in_root),
           f"{title}: paths of the image are looked up inside its root: {in_root}")
    yield "shadow" not in calls, f"{title}: the host's file of that name is not"


def explained():
    title = "loadline-runtime explain"
    directory = bundle("explained")
    said = subprocess.run([INSTALLED, "explain", "--json", directory], check=True, capture_output=True, text=True)
    plan = json.loads(said.stdout)
    decided = {"GOMEMLIMIT": plan["memory"]["GOMEMLIMIT"], "GOMAXPROCS": plan["cpu"]["GOMAXPROCS"]}
    yield equal({name: value for name, value in decided.items() if value}, EXPECTED, f"{title}: the variables")
    bound = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0))), INSTALLED, "explain", "--json", directory]
    said = subprocess.run(bound, check=True, capture_output=True, text=True)
    yield equal(json.loads(said.stdout), plan, f"{title}: the same if the engine is bound to one CPU")
    call = ["run", "--bundle", directory, f"{CGROUP}-explained"]
    ran = subprocess.Popen([LINK, *call], stdout=subprocess.PIPE, text=True)
    report = json.loads(ran.stdout.readline())
    subprocess.run([LINK, "kill", f"{CGROUP}-explained", "TERM"], check=True)
    yield equal(report["Environment"], EXPECTED, f"{title}: what the program gets from runc run")
    yield equal(ran.wait(), STATUS, f"{title}: the exit code is the program's")
    directory = bundle("annotated", lambda spec: spec.update(annotations={"loadline.nope": "1"}))
    said = subprocess.run([INSTALLED, "explain", directory], capture_output=True, text=True)
    yield equal(said.stderr, "loadline-runtime: annotation loadline.nope: there is no such setting\n",
                f"{title}: what is wrong with an annotation")


def installed_by_a_daemonset():
    """The containers of examples/kubernetes/runtimeclass/daemonset.yaml, with a directory for the node's files."""
    title = "DaemonSet"
    dist = HOME / "dist"
    dist.mkdir()
    for file, name in ((LOADLINE, "loadline"), (RUNTIME, "loadline-runtime")):
        shutil.copy(file, dist / f"{name}-linux-amd64")
    examples = TOP / "examples/kubernetes/runtimeclass"
    run_docker("build", "--quiet", "--network=none", "--build-arg=TARGETARCH=amd64", "--tag=loadline-runtime",
               f"--file={examples}/Dockerfile", str(dist))
    node = HOME / "node"
    (node / "etc/containerd").mkdir(parents=True)
    (node / "usr/local/bin").mkdir(parents=True)
    text = (examples / "daemonset.yaml").read_text(encoding="utf-8")
    commands = [json.loads(it) for it in re.findall(r"^ +command: (\[.*\])$", text, re.MULTILINE)]
    for _ in range(2):
        for command in commands:
            volumes = [f"--volume={node}/{it}:/host/{it}" for it in ("usr/local/bin", "etc/containerd")]
            run_docker("run", "--rm", "--network=none", *volumes, "loadline-runtime", *command)
    files = sorted(str(it.relative_to(node)) for it in node.rglob("*") if not it.is_dir())
    yield equal(files, ["etc/containerd/config.toml", *(f"usr/local/bin/{it}" for it in
                        ("loadline", "loadline-runc", "loadline-runtime"))], f"{title}: the files of the node")
    yield equal((node / "usr/local/bin/loadline-runtime").read_bytes(), RUNTIME.read_bytes(), f"{title}: the program is copied")
    config = (node / "etc/containerd/config.toml").read_text(encoding="utf-8")
    yield 'BinaryName = "/usr/local/bin/loadline-runc"' in config, f"{title}: the handler names the path on the node"


def uninstalled():
    title = "install and uninstall"
    daemon = pathlib.Path("/etc/docker/daemon.json")
    before = daemon.read_text(encoding="utf-8")
    install("--docker", "--default", "--write")
    yield equal(daemon.read_text(encoding="utf-8"), before, f"{title}: a second time changes nothing")
    subprocess.run([INSTALLED, "uninstall", "--docker", "--write"], check=True, capture_output=True)
    left = json.loads(daemon.read_text(encoding="utf-8")) if daemon.exists() else {}
    yield "loadline" not in json.dumps(left), f"{title}: nothing is left in daemon.json: {left}"
    yield LINK.is_symlink(), f"{title}: the link is there"


if __name__ == "__main__":
    suite.main("oci-runtime", {"dockerd": "docker.io", "docker": "docker-cli", "podman": "podman", "runc": "runc",
                               "strace": "strace"}, [
        unchanged_image, values_that_are_set, limit_of_the_pod, restarted, with_podman, with_an_init, passed_on,
        never_in_the_way, not_executed, nobody_reads, without_root, opens_nothing_else, explained,
        installed_by_a_daemonset, uninstalled], prepare)
