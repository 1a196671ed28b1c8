"""Taking an instance down so that nothing of it stays: process, mount, link, rule, cgroup."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from barecluster import cgroups, network, nodes
from barecluster.console import ClusterError, say, step
from barecluster.lifecycle import is_node_up, locked, processes_of
from barecluster.process import Processes
from barecluster.settings import Node, Settings
from barecluster.shell import attempt

_OF_ONE_LIFE = ("etcd", "pki", "run", "bin", "audit-policy.json", "kube-proxy.json", "Corefile")
_OF_ONE_NODE_LIFE = (
    "state",
    "runc",
    "kubelet",
    "pod-logs",
    "cni",
    "containerd.sock",
    "containerd.sock.ttrpc",
)
_CONTAINER_LOGS = Path("/var/log/containers")


def down(settings: Settings, *, purge: bool) -> None:
    """End everything; images on the nodes, logs and the volume stay unless purged."""
    with locked(settings):
        if settings.state.exists():
            _take_down(settings)
            if purge:
                _refuse_mounts(settings.state)
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
    cgroups.kill(node.cgroup)
    if (node.home / "containerd.toml").exists() and (settings.bin / "containerd").exists():
        client = nodes.start_containerd(settings, processes, node)  # only it can forget its containers
        client.remove_all()
    processes.stop([f"containerd-{node.name}"])
    _kill_shims(node)


def _clean_node(node: Node) -> None:
    _unmount_below(node.home)
    network.remove_pod_networks(node)
    network.remove_bridge(node)
    cgroups.remove(node.cgroup)
    for name in _OF_ONE_NODE_LIFE:
        _remove(node.home / name)


def _kill_shims(node: Node) -> None:
    """Shims outlive containerd by design; ours name our socket in their arguments."""
    deadline = time.monotonic() + 10
    while shims := [pid for pid in _pids() if _is_shim_of(pid, node)]:
        if time.monotonic() > deadline:
            raise ClusterError(f"container shims {shims} of {node.name} do not end, even by SIGKILL")
        for pid in shims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _is_shim_of(pid: int, node: Node) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return words[0].endswith("containerd-shim-runc-v2") and str(node.socket) in words


def mounts_below(mounts: str, folder: Path) -> list[str]:
    """From /proc/mounts, the mount points under the folder, deepest first."""
    points = [line.split()[1].replace("\\040", " ") for line in mounts.splitlines()]
    return sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True)


def _unmount_below(folder: Path) -> None:
    for point in mounts_below(Path("/proc/mounts").read_text(), folder):
        if attempt("umount", point) is None:
            attempt("umount", "--lazy", point)
    _refuse_mounts(folder)


def _refuse_mounts(folder: Path) -> None:
    """Removing files through a mount would remove what is mounted, the volume's content for one."""
    if left := mounts_below(Path("/proc/mounts").read_text(), folder):
        raise ClusterError(f"still mounted: {', '.join(left)}")


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
