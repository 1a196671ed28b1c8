"""Clusters of `hack/cluster`, as benchmarks use them."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cluster_tool(*words: str) -> str:
    """`hack/cluster`, and what it prints."""
    command = [str(ROOT / "hack" / "cluster"), *words]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout


def enter(*named: str) -> dict[str, str]:
    """Take on the environment by which programs find a cluster; the variables of it."""
    exports = cluster_tool("env", *named)
    found = dict(re.findall(r'^export (\w+)="?([^"\n]+)"?', exports, re.MULTILINE))
    found["PATH"] = found["PATH"].replace("$PATH", os.environ["PATH"])
    os.environ |= found
    return found


@contextlib.contextmanager
def control_plane(name: str) -> Iterator[dict[str, str]]:
    """A control plane without nodes, entered, for as long as it is needed; see `enter`."""
    cluster_tool("up", "--name", name, "--control-plane-only")
    try:
        yield enter("--name", name)
    finally:
        cluster_tool("down", "--name", name)
