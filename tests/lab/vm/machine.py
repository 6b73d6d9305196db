"""A virtual machine with Debian's cloud kernel: sets it up below target/lab, starts it, and runs scripts.

qemu emulates the processor (TCG), because nested KVM hangs on many machines. PID 1 of the machine is
loadline, which starts tests/lab/vm/init, which runs the scripts.
"""

import base64
import os
import pathlib
import platform
import re
import select
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent.parent
LAB = TOP / "target/lab/vm"
ARTIFACT = pathlib.Path(os.environ.get("LOADLINE_ARTIFACT", TOP / "target/artifact/loadline"))
RUNTIME = pathlib.Path(os.environ.get("LOADLINE_RUNTIME", TOP / "target/artifact/loadline-runtime"))
PACKAGES = LAB / "packages"
ROOT = LAB / "root"
INITRAMFS = LAB / "initramfs.cpio"
CONSOLE, TRANSCRIPT = LAB / "console.log", LAB / "transcript.log"

# Bytes of the disk.
DISK = 128 << 20
QEMU = "qemu-system-x86_64"
KERNEL = "linux-image-cloud-amd64"
# busybox for the scripts, unshare because it has --cgroup, runc, and the libraries of both.
USERLAND = ["busybox-static", "util-linux", "runc", "libseccomp2", "libc6"]
MULTIARCH = "lib/x86_64-linux-gnu"
MUSL = "x86_64-unknown-linux-musl"

sys.path.append(str(TOP / "examples"))
import demo


class CannotRun(Exception):
    """Something is missing and cannot be installed."""


class Broken(Exception):
    """The machine has stopped or hangs."""


def apt(action, *packages, directory=LAB):
    if subprocess.run([TOP / "tests/lab/apt", action, *packages], cwd=directory).returncode:
        raise CannotRun(f"apt cannot {action} {' '.join(packages)}")


def packages():
    """Unpacks Debian's packages, unless this was done before. They are not installed."""
    if PACKAGES.exists():
        return
    names = [KERNEL, *USERLAND]
    print(f"setup: unpacking Debian's {', '.join(names)} below target/lab", file=sys.stderr)
    new = LAB / "packages.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    apt("download", *names, directory=new)
    # The first is a meta package that depends on the newest kernel.
    meta, = new.glob(f"{KERNEL}_*.deb")
    depends = subprocess.run(["dpkg-deb", "--field", meta, "Depends"], check=True, text=True,
                             capture_output=True).stdout
    apt("download", depends.split()[0], directory=new)
    for package in new.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, new], check=True)
        package.unlink()
    for modules in [new / "lib/modules", new / "usr/lib/modules"]:
        shutil.rmtree(modules, ignore_errors=True)
    new.rename(PACKAGES)


def unpacked(*places):
    """A file of the packages. Newer releases of Debian have it below usr."""
    for place in [*places, *(f"usr/{place}" for place in places)]:
        if (PACKAGES / place).exists():
            return PACKAGES / place
    raise CannotRun(f"Debian's packages contain none of {', '.join(places)}")


def confine():
    """Builds examples/confine.rs as a static program."""
    if subprocess.run([TOP / "tests/lab/rust", "--plain"]).returncode:
        raise CannotRun("Rust's musl target is missing")
    target = LAB / "cargo"
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "--example", "confine", "--target", MUSL,
         "--target-dir", target, "--config", "profile.dev.debug=false",
         "--config", "profile.dev.strip=true"], cwd=TOP, check=True)
    return target / MUSL / "debug/examples/confine"


def initramfs(more):
    """Packs all files of the machine into one archive (initramfs, see the kernel documentation)."""
    service, _ = demo.build_service("1.19")
    resize, _ = demo.build_service("1.19", "resize")
    files = {
        "bin/busybox": unpacked("bin/busybox"),
        "tools/unshare": unpacked("bin/unshare"),
        "tools/runc": unpacked("sbin/runc", "bin/runc"),
        "lib64/ld-linux-x86-64.so.2": unpacked(f"{MULTIARCH}/ld-linux-x86-64.so.2"),
        f"{MULTIARCH}/libc.so.6": unpacked(f"{MULTIARCH}/libc.so.6"),
        f"{MULTIARCH}/libseccomp.so.2": unpacked(f"{MULTIARCH}/libseccomp.so.2"),
        "tools/loadline": ARTIFACT,
        "tools/loadline-runc": RUNTIME,
        "tools/service": service,
        "tools/resize": resize,
        "tools/confine": confine(),
        "tools/init": HERE / "init",
        "tools/inside.sh": HERE / "inside.sh",
        "tools/grow.awk": HERE / "grow.awk",
        **more,
    }
    shutil.rmtree(ROOT, ignore_errors=True)
    for directory in ["proc", "sys", "dev", "tmp"]:
        (ROOT / directory).mkdir(parents=True)
    for place, file in files.items():
        (ROOT / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, ROOT / place)
    (ROOT / "bin/sh").symlink_to("busybox")
    names = "\n".join(sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*")))
    with open(INITRAMFS, "wb") as archive:
        subprocess.run([ROOT / "bin/busybox", "cpio", "-o", "-H", "newc", "-R", "0:0"], cwd=ROOT,
                       input=names.encode(), stdout=archive, stderr=subprocess.DEVNULL, check=True)


def set_up(more=None):
    """Prepares the machine. `more` are additional files, by their path inside."""
    if platform.machine() != "x86_64":
        raise CannotRun(f"the kernel and the emulator are for x86_64, this is {platform.machine()}")
    LAB.mkdir(parents=True, exist_ok=True)
    if not shutil.which(QEMU):
        apt("install", "qemu-system-x86")
    packages()
    initramfs(more or {})


class Machine:
    """A running machine, with additional arguments of qemu for devices."""

    def __init__(self, *devices, cpus=2):
        kernel, = PACKAGES.glob("boot/vmlinuz-*")
        self.transcript = open(TRANSCRIPT, "w", encoding="utf-8")
        self.qemu = subprocess.Popen(
            # The kernel kills it if this process ends, in whatever way.
            ["setpriv", "--pdeathsig", "KILL", QEMU, "-accel", "tcg", "-cpu", "max", "-smp", str(cpus),
             "-m", "1024", "-nodefaults", "-display", "none", "-no-reboot",
             "-serial", f"file:{CONSOLE}", "-serial", "stdio",
             *devices,
             # A disk of zeros. Reading it fills the page cache.
             "-blockdev", f"null-co,node-name=zeros,size={DISK},read-zeroes=on",
             "-device", "nvme,drive=zeros,serial=zeros",
             "-kernel", kernel, "-initrd", INITRAMFS,
             # What follows `--` are the arguments of PID 1.
             "-append", "console=ttyS0 quiet panic=-1 rdinit=/tools/loadline -- /tools/init"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self._answer(180)
        except BaseException:
            self.close()
            raise

    def sh(self, script, patience=180):
        """Runs a script inside. Returns its exit code and its output."""
        script = f". /tools/inside.sh\nC=/sys/fs/cgroup\n{script}"
        print("\n".join(f"$ {line}" for line in script.splitlines()), file=self.transcript)
        begin = time.monotonic()
        self.qemu.stdin.write(base64.b64encode(script.encode()) + b"\n")
        self.qemu.stdin.flush()
        code, output = self._answer(patience)
        print(f"{output}[exit code {code}, {time.monotonic() - begin:.1f} s]", file=self.transcript)
        return code, output

    def _answer(self, patience):
        deadline = time.monotonic() + patience
        answer = b""
        while not (found := re.search(rb"\x1e(\d+)\n$", answer)):
            ready, _, _ = select.select([self.qemu.stdout], [], [],
                                        max(0, deadline - time.monotonic()))
            more = os.read(self.qemu.stdout.fileno(), 65536) if ready else b""
            answer += more
            if not more:
                print(answer.decode(errors="replace"), file=self.transcript)
                raise Broken("the machine ended" if ready else f"no answer within {patience} s")
        return int(found[1]), answer[:found.start()].decode(errors="replace")

    def ends(self, script, patience=180):
        """Runs a script that stops the machine. Returns the text of the console."""
        try:
            self.sh(script, patience)
        except Broken:
            self.qemu.wait(patience)
        return CONSOLE.read_text(errors="replace")

    def close(self):
        self.qemu.kill()
        self.qemu.wait()
        self.transcript.close()
