"""Starting nodes: bridge, control group, containerd, pause image, kubelet; then what all nodes share."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from barecluster import api, cgroups, components, network, node_config, pause
from barecluster.console import step
from barecluster.containerd import Containerd
from barecluster.process import Processes
from barecluster.settings import LOOPBACK, Node, Settings


def prepare(settings: Settings, nodes: list[Node]) -> None:
    """The machine's side: the API server needs the first bridge's address before it starts."""
    network.save_switches(settings.state / "switches.json")
    network.turn_on_switches()
    for node in nodes:
        network.create_bridge(node)
        cgroups.create(node.cgroup)
    network.add_rules()


def start(settings: Settings, processes: Processes, nodes: list[Node]) -> None:
    """Have every node Ready."""
    archive = pause.archive(settings.cache)
    with step(f"{len(nodes)} nodes"):
        for node in nodes:
            start_containerd(settings, processes, node)
        for node in nodes:
            _start_kubelet(settings, processes, node, archive)
        _start_shared(settings, processes)
        for node in nodes:
            what = f"{node.name} is Ready"
            processes.wait_until(kubelet_name(node), what, partial(is_ready, settings, node), 90)


def is_ready(settings: Settings, node: Node, since: datetime | None = None) -> bool:
    """What the node's Ready condition says, by a heartbeat at or after `since` if that is given."""
    return reports_ready(api.get(settings, "node", node.name) or {}, since)


def reports_ready(node: dict[str, Any], since: datetime | None) -> bool:
    """Whether this node object says Ready, by a heartbeat at or after `since`."""
    conditions = node.get("status", {}).get("conditions", [])
    ready = [one for one in conditions if one["type"] == "Ready" and one["status"] == "True"]
    return any(since is None or datetime.fromisoformat(one["lastHeartbeatTime"]) >= since for one in ready)


def start_containerd(settings: Settings, processes: Processes, node: Node) -> Containerd:
    """Have the node's containerd run and answer."""
    name = containerd_name(node)
    argv = [str(settings.bin / "containerd"), "-c", str(node.home / "containerd.toml")]
    path = {"PATH": f"{settings.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    files = {
        node.home / "containerd.toml": node_config.containerd_config(node),
        node.home / "cni" / "10-bridge.conflist": json.dumps(network.cni_config(node), indent=1),
    }
    processes.ensure(name, argv, files=files, env=path)
    client = Containerd(settings, node)
    processes.wait_until(name, f"the containerd of {node.name} answers", client.answers, 30)
    return client


def _start_kubelet(settings: Settings, processes: Processes, node: Node, archive: Path) -> None:
    client = Containerd(settings, node)
    if node_config.PAUSE_IMAGE not in client.images():
        client.import_archive(archive)
    files = {
        node.home / "kubelet.json": node_config.kubelet_config(settings, node),
        node.home / "resolv.conf": "",  # pods ask CoreDNS alone, with no search domain of the machine's
    }
    path = {"PATH": f"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{settings.bin}"}
    processes.ensure(kubelet_name(node), node_config.kubelet(settings, node), files=files, env=path)


def kubelet_name(node: Node) -> str:
    """The name of its kubelet's record and log."""
    return f"kubelet-{node.name}"


def containerd_name(node: Node) -> str:
    """The name of its containerd's record and log."""
    return f"containerd-{node.name}"


def _start_shared(settings: Settings, processes: Processes) -> None:
    config = settings.state / "kube-proxy.json"
    proxy = [str(settings.bin / "kube-proxy"), f"--config={config}", "--v=2"]
    processes.ensure("kube-proxy", proxy, files={config: components.proxy_config(settings)})
    corefile = settings.state / "Corefile"
    resolvers = components.parse_resolvers(Path("/etc/resolv.conf").read_text())
    dns = [str(settings.bin / "coredns"), "-conf", str(corefile)]
    processes.ensure("coredns", dns, files={corefile: components.corefile(settings, resolvers)})
    healthy = f"http://{LOOPBACK}:10256/livez"
    processes.wait_until("kube-proxy", "kube-proxy answers", lambda: api.answers(healthy), 60)
