"""Losing one node as by a power cut, and starting it again as after one.

A power cut ends every process at once and tells nobody: the links fall silent before anything dies, so that
no peer sees a connection closed, and the API server gets no last report. What only memory held (processes,
mounts, network namespaces, control groups) is gone; what lay on the disk (images, containers' records, the
kubelet's folder) is there when the node starts again.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from barecluster import cgroups, lifecycle, network, nodes
from barecluster.console import ClusterError, say
from barecluster.mounts import unmount_below
from barecluster.process import Processes
from barecluster.settings import Node, Settings

_ONLY_IN_MEMORY = ("state", "runc", "containerd.sock", "containerd.sock.ttrpc")


def kill(settings: Settings, number: int) -> None:
    """Cut the power of one node; cutting it again changes nothing."""
    with lifecycle.locked(settings):
        node, processes = _existing_node(settings, number), lifecycle.processes_of(settings)
        was_off = lifecycle.is_node_off(processes, node)
        network.cut(node)
        kill_all(node.name, partial(pids_of, processes, node))
        forget_memory(node)
    again = f"`hack/cluster --name {settings.name} node-start {number}` starts it again"
    say(f"{node.name} {'was without power already' if was_off else 'lost its power'}; {again}")


def start(settings: Settings, number: int) -> None:
    """Have one node run and be Ready again; a node that runs stays as it is."""
    with lifecycle.locked(settings):
        node, processes = _existing_node(settings, number), lifecycle.processes_of(settings)
        # heartbeats carry whole seconds: one of the second in which this began may be from before the cut
        after = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
        nodes.prepare(settings, [node])
        nodes.start(settings, processes, [node])
        # a cut that the API server did not notice yet leaves the node Ready there: a new heartbeat counts
        ready = partial(nodes.is_ready, settings, node, since=after)
        processes.wait_until(nodes.kubelet_name(node), f"{node.name} reports that it is Ready", ready, 90)
    say(f"{node.name} is Ready")


def _existing_node(settings: Settings, number: int) -> Node:
    names = lifecycle.processes_of(settings).names()
    if not names:
        raise ClusterError(f"{settings.name!r} is down: `hack/cluster --name {settings.name} up` first")
    there = [node for node in settings.known_nodes() if lifecycle.is_node_up(settings, node)]
    for node in there:
        if node.number == number:
            return node
    known = ", ".join(node.name for node in there) or "none, it is a control plane alone"
    raise ClusterError(f"no node {number} in {settings.name!r}; its nodes: {known}")


def pids_of(processes: Processes, node: Node) -> list[int]:
    """Every process of the node, those first that could tell of the death of the others."""
    daemons = (nodes.kubelet_name(node), nodes.containerd_name(node))
    groups = [pid for name in daemons if (pid := processes.pid(name)) is not None]
    started = [pid for leader in groups for pid in _session(leader)]  # network plugins, runc
    return list(dict.fromkeys([*groups, *started, *shims_of(node), *cgroups.pids(node.cgroup)]))


def kill_all(whose: str, remaining: Callable[[], Iterable[int]], seconds: float = 10) -> None:
    """SIGKILL all that remain, over and over: one may start another before its turn comes."""
    deadline = time.monotonic() + seconds
    while pids := list(remaining()):
        if time.monotonic() > deadline:
            raise ClusterError(f"processes {sorted(pids)} of {whose} do not end, even by SIGKILL")
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def forget_memory(node: Node) -> None:
    """Take away what a machine without power does not have: mounts, namespaces, groups, sockets."""
    unmount_below(node.home)
    network.remove_pod_networks(node)
    cgroups.remove(node.cgroup)
    for name in _ONLY_IN_MEMORY:
        path = node.home / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def shims_of(node: Node) -> list[int]:
    """Shims outlive containerd by design; ours name our socket in their arguments."""
    return [pid for pid in _all_pids() if _is_shim_of(pid, node)]


def _session(leader: int) -> list[int]:
    found = []
    for pid in _all_pids():
        try:
            if os.getsid(pid) == leader:
                found.append(pid)
        except ProcessLookupError:
            continue
    return found


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _is_shim_of(pid: int, node: Node) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return words[0].endswith("containerd-shim-runc-v2") and str(node.socket) in words
