"""The nodes' bridges, the kernel switches that routing needs, and packet filter rules; all can be undone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from barecluster.settings import POD_CIDR, Node
from barecluster.shell import attempt, run

OWN_CHAINS = ("KUBE-", "LLMTRAIN-")  # kube-proxy's and kubelet's, and those made here
_CNI_RESULTS = Path("/var/lib/cni/results")
_SWITCHES = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
_CHANGED_BY_KUBERNETES = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/conf/all/route_localnet",
)
_SYSCTL = Path("/proc/sys")


def save_switches(record: Path) -> None:
    """Write down the kernel's switches before the cluster changes them, once."""
    if record.exists():
        return
    if not (_SYSCTL / "net/bridge").exists():
        run("modprobe", "br_netfilter")
    files = {name: _SYSCTL / name for name in (*_SWITCHES, *_CHANGED_BY_KUBERNETES)}
    record.write_text(json.dumps({name: path.read_text() for name, path in files.items() if path.exists()}))


def turn_on_switches() -> None:
    """Let the machine route between the bridges, and let Services see bridged packets."""
    for name, value in _SWITCHES.items():
        (_SYSCTL / name).write_text(value)


def restore_switches(record: Path) -> None:
    """Give the kernel's switches the values they had."""
    if not record.exists():
        return
    for name, value in json.loads(record.read_text()).items():
        path = _SYSCTL / name
        if path.exists() and path.read_text() != value:
            path.write_text(value)
    record.unlink()


def create_bridge(node: Node) -> None:
    """Make the node's bridge with the node's address."""
    if attempt("ip", "link", "show", node.bridge) is None:
        run("ip", "link", "add", node.bridge, "type", "bridge")
    run("ip", "addr", "replace", f"{node.address}/24", "dev", node.bridge)
    run("ip", "link", "set", node.bridge, "up")
    _restore_route(node)


def remove_bridge(node: Node) -> None:
    """Remove the bridge."""
    if attempt("ip", "link", "show", node.bridge) is not None:
        run("ip", "link", "delete", node.bridge)
    _restore_route(node)


def cut(node: Node) -> None:
    """Let the node fall silent: its link goes down, and what is sent to its pods is lost without an answer.

    The first node's bridge stays, for the API server and CoreDNS have their address on it: only the links of
    its pods go down.
    """
    for link in _pod_links(node):
        attempt("ip", "link", "set", link, "down")
    if node.number > 1:
        attempt("ip", "link", "set", node.bridge, "down")
        run("ip", "route", "replace", "blackhole", node.subnet)


def _restore_route(node: Node) -> None:
    attempt("ip", "route", "delete", "blackhole", node.subnet)


def _pod_links(node: Node) -> list[str]:
    ports = Path("/sys/class/net", node.bridge, "brif")
    return [port.name for port in ports.iterdir()] if ports.exists() else []


def cni_config(node: Node) -> dict[str, Any]:
    """A bridge a node. No masquerading between nodes, or pods would see each other behind the gateway."""
    ipam = {
        "type": "host-local",
        "dataDir": str(node.home / "ipam"),
        "ranges": [[{"subnet": node.subnet}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": node.bridge,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": ipam,
    }
    return {"cniVersion": "1.0.0", "name": node.cgroup, "plugins": [bridge]}


def remove_pod_networks(node: Node) -> None:
    """Remove the network namespaces (and with them the links) that the node's pods had.

    The CNI library's own records tell which are this node's, also when its containerd is gone.
    """
    records = {path: Path(json.loads(path.read_text())["netns"]) for path in _CNI_RESULTS.glob("*")}
    own = {namespace for path, namespace in records.items() if path.name.startswith(f"{node.cgroup}-")}
    for namespace in own:
        if namespace.exists():
            attempt("umount", namespace)
            namespace.unlink(missing_ok=True)
    for path, namespace in records.items():
        if namespace in own:  # each pod's loopback link has a record too, which does not name the node
            path.unlink()
    for link in _pod_links(node):  # the kernel would remove them too, but later
        attempt("ip", "link", "delete", link)
    shutil.rmtree(node.home / "ipam", ignore_errors=True)


def add_rules() -> None:
    """Let pods cross from bridge to bridge whatever the policy is, and reach the outside by the machine."""
    script = [
        "*filter",
        ":LLMTRAIN-FORWARD - [0:0]",
        f"-A LLMTRAIN-FORWARD -s {POD_CIDR} -j ACCEPT",
        f"-A LLMTRAIN-FORWARD -d {POD_CIDR} -j ACCEPT",
        "-A FORWARD -j LLMTRAIN-FORWARD",
        "COMMIT",
        "*nat",
        ":LLMTRAIN-MASQUERADE - [0:0]",
        f"-A LLMTRAIN-MASQUERADE -s {POD_CIDR} ! -o llmtrain+ -j MASQUERADE",
        "-A POSTROUTING -j LLMTRAIN-MASQUERADE",
        "COMMIT",
    ]
    if "-A FORWARD -j LLMTRAIN-FORWARD" not in run("iptables-save"):
        run("iptables-restore", "--noflush", "-w", "10", stdin="\n".join(script) + "\n")


def remove_rules() -> None:
    """Remove the cluster's chains and the rules that jump to them; every other rule stays as it is."""
    for family in ("iptables", "ip6tables"):
        saved = attempt(f"{family}-save")
        if saved and (script := removal_script(saved)):
            run(f"{family}-restore", "--noflush", "-w", "10", stdin=script)


def removal_script(saved: str) -> str:
    """From what iptables-save printed, the iptables-restore input that removes our chains; empty for none."""
    script: list[str] = []
    for table, lines in _tables(saved):
        chains = [line[1:].split()[0] for line in lines if line.startswith(":")]
        own = [chain for chain in chains if chain.startswith(OWN_CHAINS)]
        rules = [line for line in lines if line.startswith("-A ") and _is_jump_to_own(line)]
        if own:
            deletions = ["-D" + line[2:] for line in rules]
            flushes = [f"{verb} {chain}" for verb in ("-F", "-X") for chain in own]
            script += [f"*{table}", *deletions, *flushes, "COMMIT"]
    return "\n".join(script) + "\n" if script else ""


def _is_jump_to_own(rule: str) -> bool:
    words = rule.split()
    target = words[words.index("-j") + 1] if "-j" in words else ""
    return target.startswith(OWN_CHAINS) and not words[1].startswith(OWN_CHAINS)


def _tables(saved: str) -> Iterable[tuple[str, list[str]]]:
    for block in saved.split("\nCOMMIT"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            yield lines[0].lstrip("*"), lines[1:]
