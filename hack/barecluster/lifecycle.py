"""Bringing an instance up and telling how it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from barecluster import api, build, control_plane, nodes, pki, toolchain, volume
from barecluster.console import ClusterError, say, step
from barecluster.locks import held
from barecluster.process import Processes
from barecluster.settings import Node, Settings, settings_for
from barecluster.shell import tail


def processes_of(settings: Settings) -> Processes:
    """The recorded processes of the instance."""
    return Processes(settings.run, settings.logs)


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """One command at a time changes an instance."""
    if os.geteuid() != 0:
        raise ClusterError("this needs root: it makes links, mounts and control groups")
    with held(settings.state.parent / f".{settings.name}.lock"):
        yield


def up(settings: Settings, node_count: int) -> None:
    """Have the control plane and at least `node_count` nodes run; nodes that are there stay."""
    with locked(settings):
        running = [node for node in settings.known_nodes() if is_node_up(settings, node)]
        count = max(node_count, max((node.number for node in running), default=0))
        wanted = [settings.node(number) for number in range(1, count + 1)]
        toolchain.install(settings.cache)
        settings.state.mkdir(parents=True, exist_ok=True)
        modules = build.CONTROL_PLANE + (build.NODES if wanted else ())
        built = [name for name in build.ALL if (settings.cache / "bin" / build.module(name).key).exists()]
        build.link(build.ensure(dict.fromkeys((*modules, *built)), settings.cache), settings.bin)
        _start(settings, wanted)
    say(f'up: {count} nodes. eval "$(hack/cluster --name {settings.name} env)" sets KUBECONFIG and PATH')


def _start(settings: Settings, wanted: list[Node]) -> None:
    processes = processes_of(settings)
    if not (settings.state / "etcd").exists():  # a new cluster: its logs, audit.log too, begin empty
        shutil.rmtree(settings.logs, ignore_errors=True)
    settings.logs.mkdir(exist_ok=True)
    settings.run.mkdir(exist_ok=True)
    pki.ensure(settings, wanted)
    if wanted:
        _refuse_second_cluster(settings)
        nodes.prepare(settings, wanted)
    control_plane.start(settings, processes, with_nodes=bool(wanted))
    if wanted:
        nodes.start(settings, processes, wanted)
        with step("volume"):
            volume.ensure(settings)


def is_node_up(settings: Settings, node: Node) -> bool:
    """True from `up` to `down`, also while the node's processes are dead."""
    return nodes.containerd_name(node) in processes_of(settings).names()


def is_node_off(processes: Processes, node: Node) -> bool:
    """Whether neither containerd nor the kubelet runs, as after a power cut."""
    return all(
        processes.pid(name) is None for name in (nodes.containerd_name(node), nodes.kubelet_name(node))
    )


def _refuse_second_cluster(settings: Settings) -> None:
    """Nodes use fixed addresses and the machine's one packet filter."""
    for other in settings.state.parent.glob("*/run/kubelet-*.json"):
        name = other.parents[1].name
        if name != settings.name and processes_of(settings_for(name)).pid(other.stem) is not None:
            raise ClusterError(f"the nodes of {name!r} run already: `hack/cluster --name {name} down` first")


def status(settings: Settings) -> bool:
    """Print how each part is; True when all that should run does and answers."""
    processes = processes_of(settings)
    names = processes.names()
    if not names:
        print(f"{settings.name}: down")
        return False
    kind = (
        "control plane and nodes"
        if any(name.startswith("kubelet") for name in names)
        else "control plane only"
    )
    print(f"{settings.name}: {kind}, {settings.server}, state in {settings.state}")
    well = [_process_status(settings, processes, name) for name in names]
    up_nodes = [node for node in settings.known_nodes() if is_node_up(settings, node)]
    well += [_node_status(settings, processes, node) for node in up_nodes]
    if up_nodes:
        claim = api.get(settings, "pvc", volume.CLAIM, "-n", volume.NAMESPACE) or {}
        phase = claim.get("status", {}).get("phase", "missing")
        print(f"  {'claim ' + volume.CLAIM:<24}{phase}, folder {settings.volume}")
        well.append(phase == "Bound")
    return all(well)


def _node_status(settings: Settings, processes: Processes, node: Node) -> bool:
    if is_node_off(processes, node):
        again = f"hack/cluster --name {settings.name} node-start {node.number}"
        print(f"  {node.name:<24}WITHOUT POWER ({again})")
        return False
    ready = nodes.is_ready(settings, node)
    print(f"  {node.name:<24}{'Ready' if ready else 'NOT READY'}")
    return ready


def _process_status(settings: Settings, processes: Processes, name: str) -> bool:
    pid = processes.pid(name)
    if pid is None:
        print(f"  {name:<24}ENDED (hack/cluster --name {settings.name} logs {name})")
        return False
    silent = name in control_plane.NAMES and not api.answers(control_plane.health_url(settings, name))
    print(f"  {name:<24}pid {pid}{', DOES NOT ANSWER' if silent else ''}")
    return not silent


def show_log(settings: Settings, name: str | None, lines: int) -> None:
    """Print the end of one log, or the logs' names."""
    if name is None:
        print("\n".join(sorted(path.stem for path in settings.logs.glob("*.log"))))
        return
    log = settings.logs / f"{name}.log"
    if not log.exists():
        raise ClusterError(f"no log {log}; `hack/cluster logs` lists them")
    print(tail(log, lines))
