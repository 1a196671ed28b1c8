"""What a cluster could leave on a machine, as sets of lines: for tests that compare before and after."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

Residue = dict[str, set[str]]


def residue() -> Residue:
    """Everything of the kinds that hack/cluster makes, whoever made it."""
    return {
        "processes": _processes(),
        "mounts": {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()},
        "links": {path.name for path in Path("/sys/class/net").iterdir()},
        "routes": _routes(),
        "namespaces": {path.name for path in Path("/run/netns").glob("*")},
        "rules": _rules("iptables-save") | _rules("ip6tables-save"),
        "cgroups": {str(path) for path in Path("/sys/fs/cgroup").glob("**/llmtrain*")},
        "sockets": {path.name for path in Path("/run/containerd").glob("**/*")},
        "cni": {path.name for path in Path("/var/lib/cni").glob("**/*") if path.is_file()},
        "container logs": {path.name for path in Path("/var/log/containers").glob("*")},
    }


def added_since(before: Residue, belongs: Callable[[str], bool] = lambda _: True) -> Residue:
    """What is here now and was not before; waits a little for the kernel to finish removing."""
    deadline = time.monotonic() + 5
    while True:
        now = residue()
        added = {kind: {one for one in now[kind] - before[kind] if belongs(one)} for kind in now}
        if not any(added.values()) or time.monotonic() > deadline:
            return {kind: lines for kind, lines in added.items() if lines}
        time.sleep(0.2)


def _processes() -> set[str]:
    programs = ("kube", "etcd", "containerd", "coredns", "pause")
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if Path(words[0]).name.startswith(programs):
            found.add(f"{path.parent.name} {' '.join(words)[:200]}")
    return found


def _routes() -> set[str]:
    saved = subprocess.run(["ip", "route", "show"], capture_output=True, text=True, check=True).stdout
    return {line.strip() for line in saved.splitlines()}


def _rules(command: str) -> set[str]:
    saved = subprocess.run([command], capture_output=True, text=True, check=False).stdout
    return {
        f"{command} {line}" for line in saved.splitlines() if line.startswith(("-A", ":KUBE", ":LLMTRAIN"))
    }
