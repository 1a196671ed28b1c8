"""Taking an instance down so that nothing of it stays: process, mount, link, rule, cgroup."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from barecluster import cgroups, network, nodes, power
from barecluster.console import say, step
from barecluster.lifecycle import is_node_up, locked, processes_of
from barecluster.mounts import refuse_mounts
from barecluster.process import Processes
from barecluster.settings import Node, Settings

_OF_ONE_LIFE = ("etcd", "pki", "run", "bin", "audit-policy.json", "kube-proxy.json", "Corefile")
_OF_ONE_NODE_LIFE = ("kubelet", "pod-logs", "cni")
_CONTAINER_LOGS = Path("/var/log/containers")


def down(settings: Settings, *, purge: bool) -> None:
    """End everything; images on the nodes, logs and the volume stay unless purged."""
    with locked(settings):
        if settings.state.exists():
            _take_down(settings)
            if purge:
                refuse_mounts(settings.state)
                shutil.rmtree(settings.state)
    say(
        "down"
        + (
            ", and its state removed"
            if purge
            else f"; {settings.volume} stays"
            if settings.volume.exists()
            else ""
        )
    )


def _take_down(settings: Settings) -> None:
    processes = processes_of(settings)
    running = [node for node in settings.known_nodes() if is_node_up(settings, node)]
    # Nothing that would start containers anew may live on while they are removed.
    kubelets = [name for name in processes.names() if name.startswith("kubelet-")]
    processes.stop([*kubelets, "kube-proxy", "coredns", "scheduler", "controller-manager"])
    if running:
        with step(f"containers of {len(running)} nodes"):
            for node in running:
                _remove_containers(settings, processes, node)
    processes.stop(["apiserver"], grace_seconds=3)  # it would wait for open watches
    processes.stop(["etcd"])
    for node in settings.known_nodes():
        _clean_node(node)
    if running:
        network.remove_rules()
    network.restore_switches(settings.state / "switches.json")
    processes.stop(processes.names())
    for name in _OF_ONE_LIFE:
        _remove(settings.state / name)
    _remove_dangling_logs(settings.state)


def _remove_containers(settings: Settings, processes: Processes, node: Node) -> None:
    power.kill_all(node.cgroup, partial(cgroups.pids, node.cgroup))
    if (node.home / "containerd.toml").exists() and (settings.bin / "containerd").exists():
        client = nodes.start_containerd(settings, processes, node)  # only it can forget its containers
        client.remove_all()
    processes.stop([nodes.containerd_name(node)])
    power.kill_all(f"the shims of {node.name}", partial(power.shims_of, node))


def _clean_node(node: Node) -> None:
    power.forget_memory(node)
    network.remove_bridge(node)
    for name in _OF_ONE_NODE_LIFE:
        _remove(node.home / name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_dangling_logs(state: Path) -> None:
    """The kubelet links every container's log from a folder that is the same for all kubelets."""
    if _CONTAINER_LOGS.exists():
        for link in _CONTAINER_LOGS.iterdir():
            if link.is_symlink() and str(link.readlink()).startswith(f"{state}/"):
                link.unlink()
