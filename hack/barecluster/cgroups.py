"""Control groups for nodes that share a machine: one group a node, under cgroup v1 or v2."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from barecluster.console import ClusterError

_COPIED = ("cpuset.cpus", "cpuset.mems")  # a new v1 cpuset is empty, and nothing can run in it
_WANTED = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")


@dataclass(frozen=True)
class Hierarchies:
    """Where control groups are mounted: many folders with v1 (controllers beside each other), one with v2.

    In the hybrid layout a v2 folder without controllers lies beside v1's, and runtimes make groups there too.
    """

    unified: bool
    roots: tuple[Path, ...]
    beside: tuple[Path, ...] = ()


def parse_mounts(mounts: str) -> Hierarchies:
    """Read /proc/mounts; where v1 controllers are mounted (the hybrid layout too) the kubelet uses v1."""
    rows = [line.split() for line in mounts.splitlines()]
    version1 = [Path(row[1]) for row in rows if row[2] == "cgroup"]
    version2 = [Path(row[1]) for row in rows if row[2] == "cgroup2"]
    if version1:
        return Hierarchies(False, tuple(version1), tuple(version2))
    if version2:
        return Hierarchies(True, (version2[0],))
    raise ClusterError("no control groups are mounted under /sys/fs/cgroup")


def detect() -> Hierarchies:
    """What this machine has."""
    return parse_mounts(Path("/proc/mounts").read_text())


def create(name: str) -> None:
    """Make the group `name` in every hierarchy; the kubelet wants its cgroupRoot to exist."""
    found = detect()
    if found.unified:
        _enable_controllers(found.roots[0])
    for root in found.roots:
        (root / name).mkdir(exist_ok=True)
        for file in _COPIED:
            if not found.unified and (root / file).exists():
                (root / name / file).write_text((root / file).read_text())


def _enable_controllers(root: Path) -> None:
    here = (root / "cgroup.controllers").read_text().split()
    try:
        for controller in _WANTED:
            if controller in here:
                (root / "cgroup.subtree_control").write_text(f"+{controller}")
    except (
        OSError
    ) as error:  # not the real root (a container): it holds processes, so cannot have controllers
        raise ClusterError(f"cannot hand cgroup controllers to the nodes from {root}: {error}") from error


def remove(name: str) -> None:
    """Remove the group and all below it."""
    found = detect()
    for root in (*found.roots, *found.beside):
        for folder, _, _ in os.walk(root / name, topdown=False):
            _remove_folder(Path(folder))


def _remove_folder(folder: Path) -> None:
    for _ in range(50):  # the kernel may take a moment to let go of a group whose last process just ended
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise ClusterError(f"cannot remove the control group {folder}")


def pids(name: str) -> set[int]:
    """Every process in the group and below: the containers of one node."""
    found: set[int] = set()
    for root in detect().roots:
        for folder, _, _ in os.walk(root / name):
            try:
                found.update(int(pid) for pid in Path(folder, "cgroup.procs").read_text().split())
            except FileNotFoundError:
                continue
    return found - {0}
