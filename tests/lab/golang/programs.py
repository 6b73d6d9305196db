"""The Go programs of the suite, built with different toolchains below target/lab/golang."""

import concurrent.futures
import dataclasses
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent.parent
LAB = TOP / "target/lab"
HOME = LAB / "golang"
PROXY = HOME / "proxy"
CPUS = HOME / "cpus"
LOADLINE = pathlib.Path(os.environ.get("LOADLINE_ARTIFACT", TOP / "target/artifact/loadline"))
CANNOT = 2

TOOLCHAINS = ["1.19", "1.21", "1.24", "1.25", "1.26", "1.27"]
NEWEST = TOOLCHAINS[-1]
AUTOMAXPROCS = "go.uber.org/automaxprocs"
AUTOMEMLIMIT = "github.com/KimMachineGun/automemlimit"
# The version that Debian ships.
AUTOMAXPROCS_VERSION = "v1.4.0"


class Cannot(Exception):
    """This machine cannot run the suite."""


def minor(version):
    """The y of Go 1.y."""
    return int(version.split(".")[1])


@dataclasses.dataclass(frozen=True)
class Program:
    """The program `seen`, built in one way."""

    toolchain: str
    # The language version in go.mod.
    language: str = ""
    kind: str = ""
    flags: tuple = ()
    cgo: bool = False
    # Whether to build a file instead of a package.
    file: bool = False
    # `//go:debug` lines that are added to the source.
    debug: tuple = ()
    # Modules that are imported: (path, version, where the build finds it).
    modules: tuple = ()

    @property
    def name(self):
        parts = [f"go{self.toolchain}", self.kind]
        if self.language != self.toolchain:
            parts.append(f"for{self.language}")
        return "-".join(filter(None, parts))

    @property
    def path(self):
        return HOME / "bin" / self.name

    @property
    def minor(self):
        return minor(self.toolchain)

    @property
    def follows(self):
        """Whether this runtime follows its quota by default (runtime/proc.go, `defaultGOMAXPROCS` of
        Go 1.25; the language version of go.mod decides the defaults of `containermaxprocs` and
        `updatemaxprocs`)."""
        if any(line.startswith("containermaxprocs=") for line in self.debug):
            return "containermaxprocs=1" in self.debug
        return self.minor >= 25 and minor(self.language) >= 25

    @property
    def updates(self):
        """Whether it also follows changes of the quota."""
        return "updatemaxprocs=0" not in self.debug and self.follows


def toolchain(version):
    """The path of the go command."""
    found = subprocess.run([TOP / "tests/lab/go", version], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise Cannot(f"Go {version} cannot be installed")
    return pathlib.Path(found.stdout.strip())


def programs():
    """All programs: each toolchain with its own language version and with an old one, and build options
    that change the contents of the file."""
    for version in TOOLCHAINS:
        yield Program(version, version)
        if minor(version) > 21:
            yield Program(version, "1.21")
        yield Program(version, version, "stripped", flags=("-ldflags=-s -w",))
    yield Program("1.25", "1.24")
    yield Program("1.19", "1.19", "pie", flags=("-buildmode=pie",))
    yield Program(NEWEST, NEWEST, "pie", flags=("-buildmode=pie",))
    yield Program("1.21", "1.21", "trimpath", flags=("-trimpath",))
    yield Program(NEWEST, "1.21", "trimpath", flags=("-trimpath",))
    yield Program("1.24", "1.24", "cgo", cgo=True)
    yield Program(NEWEST, "1.21", "cgo-pie-stripped", cgo=True,
                  flags=("-buildmode=pie", "-ldflags=-s -w"))
    yield Program("1.25", "1.21", "file", file=True)
    yield Program(NEWEST, NEWEST, "file", file=True)
    yield Program(NEWEST, NEWEST, "fixed", debug=("containermaxprocs=0",))
    yield Program(NEWEST, NEWEST, "once", debug=("updatemaxprocs=0",))
    yield Program(NEWEST, "1.21", "asked", debug=("containermaxprocs=1", "updatemaxprocs=1"))
    for version in ("1.21", NEWEST):
        yield Program(version, "1.21", "maxprocs",
                      modules=((AUTOMAXPROCS, AUTOMAXPROCS_VERSION, "proxy"),))
        yield Program(version, "1.21", "memlimit", modules=((AUTOMEMLIMIT, "v0.7.4", "proxy"),))
    yield Program(NEWEST, "1.21", "memlimit-newer", modules=((AUTOMEMLIMIT, "v0.7.5", "proxy"),))
    yield Program("1.21", "1.21", "vendored", modules=((AUTOMAXPROCS, "v1.6.0", "vendor"),
                                                       (AUTOMEMLIMIT, "v0.6.1", "vendor")))
    yield Program("1.21", "1.21", "replaced", modules=((AUTOMAXPROCS, "v1.6.0", "replace"),
                                                       (AUTOMEMLIMIT, "v0.6.1", "replace")))


def build_all():
    """Sets up the toolchains and builds all programs, two toolchains at a time."""
    HOME.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-Wall", "-Wextra", "-O1", "-o", CPUS, HERE / "cpus.c"], check=True)
    fill_proxy()
    built = list(programs())
    assert len({program.name for program in built}) == len(built)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(functools.partial(build_with, built), TOOLCHAINS))
    return built


def build_with(built, version):
    go = toolchain(version)
    for program in built:
        if program.toolchain == version:
            build(go, program)


def build(go, program):
    module = HOME / "src" / program.name
    shutil.rmtree(module, ignore_errors=True)
    module.mkdir(parents=True)
    source = (HERE / "seen/main.go").read_text(encoding="utf-8")
    directives = "".join(f"//go:debug {line}\n" for line in program.debug)
    (module / "main.go").write_text(source.replace("package main", f"{directives}package main"),
                                    encoding="utf-8")
    imports = [f'import _ "{path}"\n' for path, *_ in program.modules]
    if program.cgo:
        imports.append('import "C"\n')
    if imports:
        (module / "imports.go").write_text("package main\n\n" + "".join(imports), encoding="utf-8")
    (module / "go.mod").write_text(go_mod(program, module), encoding="utf-8")

    vendored = any(how == "vendor" for *_, how in program.modules)
    environment = {
        **os.environ, "GOCACHE": str(LAB / "go-cache"), "GOPATH": str(HOME / "path"), "GOENV": "off",
        "GOTOOLCHAIN": "local", "GOPROXY": PROXY.as_uri(), "GOSUMDB": "off", "GOWORK": "off",
        "GOFLAGS": f"-mod={'vendor' if vendored else 'mod'} -modcacherw",
        "CGO_ENABLED": str(int(program.cgo)),
    }
    command = [go, "build", "-buildvcs=false", "-p=1", *program.flags, "-o", program.path,
               "main.go" if program.file else "."]
    finished = subprocess.run(command, cwd=module, env=environment, text=True, capture_output=True)
    if finished.returncode:
        sys.exit(f"FAILED: golang: {program.name} cannot be built: {finished.stderr}")


def go_mod(program, module):
    """Returns the text of go.mod. Writes other files that it needs below the module."""
    lines = [f"module example/{program.kind or 'seen'}", f"go {program.language}"]
    vendor = []
    for path, version, how in program.modules:
        lines.append(f"require {path} {version}")
        if how == "proxy":
            continue
        copy = module / ("vendor" if how == "vendor" else "replaced") / path
        copy.mkdir(parents=True)
        (copy / "nothing.go").write_text(f"package {path.rpartition('/')[2]}\n", encoding="utf-8")
        if how == "replace":
            lines.append(f"replace {path} => ./replaced/{path}")
            (copy / "go.mod").write_text(f"module {path}\ngo 1.18\n", encoding="utf-8")
        else:
            vendor += [f"# {path} {version}", "## explicit; go 1.18", path]
    if vendor:
        (module / "vendor/modules.txt").write_text("\n".join([*vendor, ""]), encoding="utf-8")
    return "\n".join([*lines, ""])


def fill_proxy():
    """Writes the modules in the layout of a module proxy (go.dev/ref/mod, "GOPROXY protocol"): the real
    automaxprocs of Debian, and empty packages for automemlimit, which no registry here has."""
    package = HOME / "automaxprocs"
    if not package.exists():
        new = HOME / "automaxprocs.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        if subprocess.run([TOP / "tests/lab/apt", "download", "golang-uber-automaxprocs-dev"],
                          cwd=new).returncode:
            raise Cannot("Debian's golang-uber-automaxprocs-dev cannot be downloaded")
        for file in new.glob("*.deb"):
            if AUTOMAXPROCS_VERSION[1:] not in file.name:
                raise Cannot(f"Debian's automaxprocs has another version: {file.name}")
            subprocess.run(["dpkg-deb", "--extract", file, new], check=True)
            file.unlink()
        new.rename(package)
    source = package / "usr/share/gocode/src" / AUTOMAXPROCS
    add_to_proxy(AUTOMAXPROCS, AUTOMAXPROCS_VERSION, {
        str(file.relative_to(source)): file.read_text(encoding="utf-8")
        for file in source.rglob("*.go") if not file.name.endswith("_test.go")})
    for version in ("v0.7.4", "v0.7.5"):
        add_to_proxy(AUTOMEMLIMIT, version, {"nothing.go": "package automemlimit\n"})


def add_to_proxy(path, version, files):
    # Capital letters are escaped (go.dev/ref/mod, "Module paths and versions").
    escaped = "".join(f"!{c.lower()}" if c.isupper() else c for c in path)
    directory = PROXY / escaped / "@v"
    directory.mkdir(parents=True, exist_ok=True)
    go_mod = f"module {path}\n\ngo 1.18\n"
    (directory / f"{version}.mod").write_text(go_mod, encoding="utf-8")
    (directory / f"{version}.info").write_text(f'{{"Version": "{version}"}}', encoding="utf-8")
    with zipfile.ZipFile(directory / f"{version}.zip", "w") as archive:
        for name, text in {"go.mod": go_mod, **files}.items():
            # ZipInfo has a fixed time, so that the archive is the same each time.
            archive.writestr(zipfile.ZipInfo(f"{path}@{version}/{name}"), text)
