#!/usr/bin/env python3
"""packaging/sbom.py SBOM: describes the released files beside SBOM, as CycloneDX: the hash of each, and what the
programs are linked from. That is the crates that Cargo resolves for them, Rust's standard library and musl.

The same files give the same bytes. All times are that of the commit, or SOURCE_DATE_EPOCH.
"""

import datetime
import hashlib
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tomllib
import uuid

import image
from image import TOP, output

sys.path.insert(0, output("tests/lab/pypi", "packaging/requirements.txt"))
from cyclonedx.model import HashAlgorithm, HashType  # noqa: E402
from cyclonedx.model.bom import Bom  # noqa: E402
from cyclonedx.model.component import Component, ComponentType  # noqa: E402
from cyclonedx.model.contact import OrganizationalContact  # noqa: E402
from cyclonedx.model.license import LicenseExpression  # noqa: E402
from cyclonedx.output import make_outputter  # noqa: E402
from cyclonedx.schema import OutputFormat, SchemaVersion  # noqa: E402
from packageurl import PackageURL  # noqa: E402

PROGRAMS = ["loadline", "loadline-runtime"]
# The names of architectures in packages, where they differ from those of container images.
PACKAGED = {"amd64": "x86_64", "arm64": "aarch64", "armv7": "armhf|armv7hl", "386": "i386|x86", "ppc64le": "ppc64el"}
AUTHORS = "The loadline authors"


def sha256(file):
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(file.read_bytes()).hexdigest())


def target_of(architecture):
    """What Rust calls an architecture, and the directory of its musl."""
    target, musl = output("make", "--no-print-directory", "--silent", "target", f"ARCH={architecture}").split()
    return target, TOP / musl


def crates(program, target):
    """The crates that are linked into a program: each as (name, version, license), with those that it uses."""
    tree = output("cargo", "tree", "--locked", "--package", program, "--target", target,
                  "--edges", "normal,no-proc-macro", "--prefix", "depth", "--no-dedupe", "--format", "|{p}|{l}")
    uses = {}
    above = []
    for line in tree.splitlines():
        depth, package, license = line.split("|")
        name, version, *_ = package.split()
        crate = (name, version.removeprefix("v"), license.replace("/", " OR "))
        uses.setdefault(crate, set())
        del above[int(depth):]
        if above:
            uses[above[-1]].add(crate)
        above.append(crate)
    return uses


def checksums():
    """The SHA-256 sums of the crates as they were downloaded, by name and version."""
    packages = tomllib.loads((TOP / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    return {(it["name"], it["version"]): it["checksum"] for it in packages if "checksum" in it}


def of_crate(crate, sums):
    name, version, license = crate
    checksum = sums.get((name, version))
    return Component(
        type=ComponentType.LIBRARY, name=name, version=version, bom_ref=f"crate:{name}@{version}",
        purl=PackageURL("cargo", None, name, version), licenses=[LicenseExpression(license)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [])


def of_standard_library():
    said = dict(line.split(": ") for line in output("rustc", "-vV").splitlines() if ": " in line)
    return Component(
        type=ComponentType.LIBRARY, name="rust-std", version=said["release"], bom_ref="rust-std",
        description=f"Rust's standard library with the crates that it contains, of the commit {said['commit-hash']}",
        cpe=f"cpe:2.3:a:rust-lang:rust:{said['release']}:*:*:*:*:*:*:*",
        licenses=[LicenseExpression("MIT OR Apache-2.0")])


def of_musl(directory):
    """The C library that Rust's target brings along, or Debian's. Its archive contains the version."""
    member = subprocess.run(["ar", "p", directory / "libc.a", "version.lo"], check=True, stdout=subprocess.PIPE).stdout
    version, = set(re.findall(rb"[\0-\x1f](\d+\.\d+\.\d+)\0", member))
    version = version.decode()
    purl = None
    if (directory / "version").exists():
        full = (directory / "version").read_text(encoding="utf-8").strip()
        purl = PackageURL("deb", "debian", "musl", full, {"arch": "source"})
    return Component(
        type=ComponentType.LIBRARY, name="musl", version=version, bom_ref=str(purl or f"musl@{version}"), purl=purl,
        cpe=f"cpe:2.3:a:musl-libc:musl:{version}:*:*:*:*:*:*:*", licenses=[LicenseExpression("MIT")])


def of_file(file, kind, version, **more):
    return Component(type=kind, name=file.name, version=version, bom_ref=file.name, hashes=[sha256(file)],
                     licenses=[LicenseExpression("MIT")], **more)


def digest(archive):
    with tarfile.open(archive) as files:
        return json.load(files.extractfile("index.json"))["manifests"][0]["digest"]


def program_in(package, programs, version):
    """The program that a package contains, by the names in the file's name. Packages of an older version may be left
    over. What follows a hyphen in a version is written in another way in each kind of package."""
    number = re.escape(version.partition("-")[0])
    fits = [it for it in programs if re.match(rf"{it[0]}[-_]{number}\D", package.name)
            and re.search(rf"[._]({it[1]}|{PACKAGED.get(it[1], it[1])})\.\w+$", package.name)]
    if len(fits) != 1:
        sys.exit(f"sbom: {package.name} is a package of no program in {package.parent}, or of another version")
    return programs[fits[0]]


def describe(dist):
    about = image.package()
    version = about["version"]
    root = Component(
        type=ComponentType.APPLICATION, name=about["name"], version=version, bom_ref=f"{about['name']}@{version}",
        description=about["description"], purl=PackageURL("cargo", None, about["name"], version),
        licenses=[LicenseExpression(about["license"])])
    bom = Bom(components=[])
    sums = checksums()
    known = {}
    uses = {}

    def add(component, needs):
        """Adds a component, or more of what it needs."""
        component = known.setdefault(component.bom_ref.value, component)
        uses.setdefault(component.bom_ref.value, {}).update((it.bom_ref.value, it) for it in needs)
        return component

    programs = {}
    for name in PROGRAMS:
        for file in sorted(dist.glob(f"{name}-linux-*")):
            architecture = file.name.removeprefix(f"{name}-linux-")
            target, musl = target_of(architecture)
            graph = crates(name, target)
            linked = {crate: of_crate(crate, sums) for crate in graph}
            for crate, needs in graph.items():
                add(linked[crate], [linked[it] for it in needs])
            libraries = [add(it, []) for it in (of_standard_library(), of_musl(musl))]
            programs[name, architecture] = add(
                of_file(file, ComponentType.APPLICATION, version), [*linked.values(), *libraries])
    released = [*programs.values()]
    for archive in dist.glob("loadline-image.tar"):
        purl = PackageURL("oci", None, "loadline", digest(archive))
        of_image = of_file(archive, ComponentType.CONTAINER, version, purl=purl)
        released.append(add(of_image, [it for (name, _), it in programs.items() if name == "loadline"]))
    for package in sorted(it for it in dist.iterdir() if it.suffix in (".deb", ".rpm", ".apk")):
        released.append(add(of_file(package, ComponentType.FILE, version), [program_in(package, programs, version)]))

    bom.components.update(known.values())
    bom.register_dependency(root, released)
    for reference, component in known.items():
        bom.register_dependency(component, uses[reference].values())
    bom.metadata.component = root
    bom.metadata.authors.add(OrganizationalContact(name=AUTHORS))
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(image.epoch(), datetime.timezone.utc)
    library = "cyclonedx-python-lib"
    bom.metadata.tools.components.add(Component(
        type=ComponentType.LIBRARY, name=library, version=importlib.metadata.version(library)))
    # Random by default. A document about other files needs another number.
    files = "".join(sorted(f"{it.name} {it.hashes[0].content}\n" for it in released))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{root.purl}\n{bom.metadata.timestamp}\n{files}")
    return bom, len(released)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.splitlines()[0])
    sbom = pathlib.Path(sys.argv[1])
    bom, count = describe(sbom.parent)
    if not count:
        sys.exit(f"sbom: {sbom.parent} contains no released file")
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    sbom.write_text(f"{text}\n", encoding="utf-8")
    print(f"{sbom}: {count} files, {len(bom.components) - count} libraries")


if __name__ == "__main__":
    main()
