"""Where an instance of the cluster lies and which addresses and ports it uses. Nothing is touched."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from barecluster.console import ClusterError

DEFAULT_NAME = "demo"
MAX_NODES = 9
CLUSTER_DOMAIN = "cluster.local"
POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
KUBERNETES_SERVICE_IP = "10.96.0.1"
LOOPBACK = "127.0.0.1"
REPOSITORY = Path(__file__).resolve().parents[2]

_FIRST_PORT, _PORTS_PER_SLOT, _SLOTS = 20000, 10, 999  # below the NodePorts and the ephemeral ports
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


@dataclass(frozen=True)
class Ports:
    """The ports of one control plane, all on the loopback address except the API server's."""

    apiserver: int
    etcd: int
    etcd_peer: int
    controller_manager: int
    scheduler: int


@dataclass(frozen=True)
class Node:
    """One kubelet with its containerd: number 1 is node1 and owns 10.244.0.0/24."""

    number: int
    home: Path
    cgroup: str

    @property
    def name(self) -> str:
        """The node's name in the API."""
        return f"node{self.number}"

    @property
    def bridge(self) -> str:
        """The network link that the node's pods hang on."""
        return f"llmtrain{self.number}"

    @property
    def address(self) -> str:
        """The bridge's address, which is also the node's: nothing depends on the machine's own network."""
        return f"10.244.{self.number - 1}.1"

    @property
    def subnet(self) -> str:
        """The node's share of the pod addresses."""
        return f"10.244.{self.number - 1}.0/24"

    @property
    def kubelet_port(self) -> int:
        """Where the API server reaches the kubelet."""
        return 10250 + 10 * (self.number - 1)

    @property
    def health_port(self) -> int:
        """Where the kubelet tells its health, on the loopback address."""
        return 10248 + 10 * (self.number - 1)

    @property
    def socket(self) -> Path:
        """The containerd's socket."""
        return self.home / "containerd.sock"


@dataclass(frozen=True)
class Settings:
    """One named instance: its folders, ports and nodes."""

    name: str
    state: Path
    cache: Path

    @property
    def ports(self) -> Ports:
        """The well-known ports for the default name, a block chosen by the name's hash for any other."""
        if self.name == DEFAULT_NAME:
            return Ports(6443, 12379, 12380, 10257, 10259)
        base = _FIRST_PORT + _PORTS_PER_SLOT * (zlib.crc32(self.name.encode()) % _SLOTS)
        return Ports(base, base + 1, base + 2, base + 3, base + 4)

    @property
    def server(self) -> str:
        """The API server's URL as seen from this machine."""
        return f"https://{LOOPBACK}:{self.ports.apiserver}"

    @property
    def pki(self) -> Path:
        """Keys, certificates and kubeconfigs."""
        return self.state / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.pki / "admin.kubeconfig"

    @property
    def logs(self) -> Path:
        """One file a process, and audit.log."""
        return self.state / "logs"

    @property
    def run(self) -> Path:
        """Records of the running processes."""
        return self.state / "run"

    @property
    def bin(self) -> Path:
        """Links to the built programs: one folder for PATH."""
        return self.state / "bin"

    @property
    def volume(self) -> Path:
        """The host folder behind the claim `checkpoints`."""
        return self.state / "volume"

    def node(self, number: int) -> Node:
        """The node with this number, from 1."""
        if not 1 <= number <= MAX_NODES:
            raise ClusterError(f"a cluster has 1 to {MAX_NODES} nodes, not {number}")
        return Node(number, self.state / f"node{number}", f"llmtrain-{self.name}-node{number}")

    def known_nodes(self) -> list[Node]:
        """The nodes that were ever started and not purged since."""
        found = (re.fullmatch(r"node([1-9])", path.name) for path in self.state.glob("node*"))
        return [self.node(number) for number in sorted(int(match[1]) for match in found if match)]


def state_root(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder that holds every instance's state."""
    return Path(environ.get("LLMTRAIN_STATE") or "/var/lib/llmtrain").absolute()


def cache_root(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of what is slow to make and the same for every instance: programs and images."""
    if chosen := environ.get("LLMTRAIN_CACHE"):
        return Path(chosen).absolute()
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or "/root") / ".cache")
    return Path(base).absolute() / "llmtrain"


def settings_for(name: str, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the instance `name`."""
    if not _NAME.fullmatch(name):
        raise ClusterError(f"--name {name!r}: at most 20 of a-z, 0-9 and '-', a letter first")
    return Settings(name, state_root(environ) / name, cache_root(environ))
