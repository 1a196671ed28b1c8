"""The cluster's programs, built from Go modules and kept in the cache until their module changes.

Each program has a module of its own under modules/: in one module their requirements would fight. tools.go
names the main packages, or main.go is the only one; go.mod and go.sum pin every source. What the Go command
downloads and compiles on the way, ten times as much as the programs, is removed once they are there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from barecluster.console import ClusterError, step
from barecluster.locks import held
from barecluster.shell import attempt, run_logged
from barecluster.toolchain import go_command

MODULES = Path(__file__).parent / "modules"
CONTROL_PLANE = ("etcd", "kubernetes")
NODES = ("containerd", "coredns")
ALL = ("kubernetes", "etcd", "containerd", "coredns", "helm")
ON_DEMAND = ("kueue", "prometheus", "registry")
"""Built only where they are asked for by name."""

_VERSION_VARIABLES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly -buildvcs=false -modcacherw",
    "GOTOOLCHAIN": "local",
}
_GO_CACHES = {"GOMODCACHE": "modules", "GOCACHE": "objects"}


@dataclass(frozen=True)
class Module:
    """One folder under modules/."""

    name: str
    folder: Path

    @property
    def packages(self) -> list[str]:
        """The main packages that tools.go names; the module's own where that is one."""
        if (self.folder / "main.go").exists():
            return ["."]
        return re.findall(r'^\s*_ "(\S+)"$', (self.folder / "tools.go").read_text(), re.MULTILINE)

    @property
    def programs(self) -> list[str]:
        """The built programs' names."""
        if self.packages == ["."]:
            return [self.name]
        return [program_name(package) for package in self.packages]

    @property
    def flags(self) -> list[str]:
        """The build's flags; without -X a Kubernetes program calls itself v0.0.0."""
        linker = ["-s", "-w"]
        version = re.search(r"^\s*(?:require )?k8s\.io/kubernetes (v\S+)", self._go_mod(), re.MULTILINE)
        if version:
            linker += [f"-X {package}.gitVersion={version[1]}" for package in _VERSION_VARIABLES]
        return ["-trimpath", "-ldflags", " ".join(linker)]

    @property
    def key(self) -> str:
        """The name of the folder in the cache: changes when anything that decides the programs does."""
        digest = hashlib.sha256(" ".join(self.flags).encode())
        others = sorted(path.name for end in ("*.go", "*.txt") for path in self.folder.glob(end))
        for name in ("go.mod", "go.sum", *others):
            digest.update(b"\0" + (self.folder / name).read_bytes())
        return f"{self.name}-{digest.hexdigest()[:16]}"

    def _go_mod(self) -> str:
        return (self.folder / "go.mod").read_text()


def program_name(package: str) -> str:
    """How `go build` names a main package's program: its last element that is not a major version."""
    words = [word for word in package.split("/") if not re.fullmatch(r"v[0-9]+", word)]
    return words[-1]


def module(name: str) -> Module:
    """The module of this name."""
    if name not in ALL + ON_DEMAND:
        raise ClusterError(f"no module {name!r}: {', '.join(ALL + ON_DEMAND)}")
    return Module(name, MODULES / name)


def ensure(names: Iterable[str], cache: Path) -> list[Path]:
    """Have the named modules built; the folders with their programs."""
    modules = [module(name) for name in names]
    if _missing(modules, cache):
        with held(cache / "bin" / "build.lock"):  # whoever waited here may find all of it built
            if missing := _missing(modules, cache):
                _build_all(missing, cache)
    return [cache / "bin" / one.key for one in modules]


def _missing(modules: Iterable[Module], cache: Path) -> list[Module]:
    return [one for one in modules if not (cache / "bin" / one.key).exists()]


def _build_all(missing: list[Module], cache: Path) -> None:
    go = go_command(cache)
    environment = {**_ENVIRONMENT, **go_caches(os.environ, cache)}
    # The compiler is short of cores, not of network: the next modules' sources come meanwhile.
    with ThreadPoolExecutor(1) as background:
        for later in missing[1:]:
            words = (go, "-C", later.folder, "mod", "download")
            background.submit(attempt, *words, env=environment, timeout=900)
        for one in missing:
            _build(one, go, cache, environment)
    for folder in own_go_caches(environment, cache):
        shutil.rmtree(folder)


def go_caches(environ: Mapping[str, str], cache: Path) -> dict[str, str]:
    """Where Go's sources and objects go during a build: the caller's folders, else our own."""
    own = cache / "go-build"
    return {name: environ.get(name) or str(own / folder) for name, folder in _GO_CACHES.items()}


def own_go_caches(environment: Mapping[str, str], cache: Path) -> list[Path]:
    """Those of these folders that are ours to remove, as far as they exist."""
    folders = [Path(environment[name]) for name in _GO_CACHES]
    return [folder for folder in folders if folder.is_relative_to(cache / "go-build") and folder.exists()]


def _build(one: Module, go: Path, cache: Path, environment: Mapping[str, str]) -> None:
    target = cache / "bin" / one.key
    partial = cache / "bin" / f"{one.key}.partial"
    with step(f"go build {one.name} ({', '.join(one.programs)})"):
        shutil.rmtree(partial, ignore_errors=True)
        words = ("nice", "-n", "5", str(go), "build", *one.flags, "-o", f"{partial}/", *one.packages)
        log = cache / "logs" / f"build-{one.name}.log"
        run_logged(words, log, env=environment, cwd=one.folder, timeout=3000)
    _take_files(one, go, environment, partial)
    absent = [name for name in one.programs if not (partial / name).exists()]
    if absent:
        raise ClusterError(f"go build {one.name} left no {', '.join(absent)}")
    partial.rename(target)


def _take_files(one: Module, go: Path, environment: Mapping[str, str], into: Path) -> None:
    """Keep what files.txt names beside the programs: a module and a pattern a line."""
    listing = one.folder / "files.txt"
    for line in listing.read_text().splitlines() if listing.exists() else ():
        source, pattern = line.split()
        words = (str(go), "-C", str(one.folder), "list", "-m", "-f", "{{.Dir}}", source)
        home = attempt(*words, env=environment)
        if not home:
            raise ClusterError(f"go list -m {source} does not tell where it is")
        for path in Path(home.strip()).glob(pattern):
            (into / "files").mkdir(exist_ok=True)
            shutil.copyfile(path, into / "files" / path.name)


def link(folders: Iterable[Path], into: Path) -> None:
    """Make `into` a folder of links to the programs, under the names that people know them by."""
    into.mkdir(parents=True, exist_ok=True)
    for program in (program for folder in folders for program in folder.iterdir()):
        alias = into / {"server": "etcd"}.get(program.name, program.name)
        partial = into / f".{alias.name}.partial"
        partial.unlink(missing_ok=True)
        partial.symlink_to(program)
        partial.rename(alias)
