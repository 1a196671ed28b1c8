"""A node loses its power and gets it back: `hack/cluster node-kill` and `node-start` on real nodes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.nodes_cluster import NodesCluster, pod
from harness.residue import residue

from barecluster import cgroups
from barecluster.mounts import mounts_below
from barecluster.process import start_time

pytestmark = [pytest.mark.cluster, pytest.mark.proof, pytest.mark.timeout(1800)]
NOTICED_SECONDS = 20.0  # the grace period of 10 s, and as much again for a busy machine


@pytest.fixture(scope="module")
def cluster() -> Iterator[NodesCluster]:
    found = NodesCluster("power")
    if found.other_runs():
        pytest.skip("another cluster's nodes run: a machine has room for one")
    found.run("down", "--purge")
    found.run("up")
    yield found
    found.run("down", "--purge")


def within(seconds: float, what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)


def ready_status(cluster: NodesCluster, node: str) -> str:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return cluster.kubectl("get", "node", node, "-o", path)


def pids_of_node(cluster: NodesCluster, number: int) -> set[int]:
    """The containers' processes, and whatever names the node's folder: its daemons and shims."""
    node = cluster.settings.node(number)
    named = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if f"{node.home}/".encode() in path.read_bytes():
                named.add(int(path.parent.name))
    return named | cgroups.pids(node.cgroup)


def in_memory_of(cluster: NodesCluster, number: int) -> list[str]:
    """What a machine without power cannot have: mounts, control groups, an open link."""
    node = cluster.settings.node(number)
    found = mounts_below(Path("/proc/mounts").read_text(), node.home)
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{node.cgroup}")]
    link = Path("/sys/class/net", node.bridge)
    found += [path.name for path in link.glob("brif/*")]
    return found + ([link.name] if int((link / "flags").read_text(), 16) & 1 else [])


def test_a_node_dies_as_by_a_power_cut_and_comes_back(cluster: NodesCluster) -> None:
    cluster.start_pods(pod("stays", "node1"), pod("lost", "node2"))
    doomed = pids_of_node(cluster, 2)
    containers = cgroups.pids(cluster.settings.node(2).cgroup)
    assert len(containers) >= 2, "the sandbox and the container"
    assert len(doomed - containers) >= 3, "the kubelet, containerd and a shim"
    daemons = {cluster.pid(name) for name in ("kubelet-node1", "containerd-node1")}
    others = daemons | cgroups.pids(cluster.settings.node(1).cgroup)

    cluster.run("node-kill", "2")
    assert not [pid for pid in doomed if start_time(pid) is not None]
    assert in_memory_of(cluster, 2) == []
    assert all(start_time(pid) is not None for pid in others), "the other node lost nothing"
    assert cluster.kubectl("get", "pod", "lost", "-o", "jsonpath={.status.phase}") == "Running", (
        "nobody was told"
    )
    within(NOTICED_SECONDS, "node2 is not Ready", lambda: ready_status(cluster, "node2") == "Unknown")
    assert ready_status(cluster, "node1") == "True"
    assert "WITHOUT POWER" in cluster.run("status", code=1)
    assert "already" in cluster.run("node-kill", "node2")

    cluster.run("node-start", "2")
    assert ready_status(cluster, "node2") == "True"
    assert "blackhole" not in "".join(residue()["routes"])
    cluster.run("status")
    cluster.start_pods(pod("new", "node2"))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/lost", "--timeout=60s")
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}"
    assert cluster.kubectl("get", "pod", "lost", "-o", restarts) == "1", "started anew, as after a boot"
    cluster.run("node-start", "2")  # once more changes nothing
    cluster.kubectl("delete", "pod", "stays", "lost", "new", "--timeout=90s")


def test_the_start_waits_for_a_heartbeat_also_when_the_cut_was_not_noticed(cluster: NodesCluster) -> None:
    cluster.run("node-kill", "2")
    assert ready_status(cluster, "node2") == "True", "not noticed yet"
    began = datetime.now(UTC).replace(microsecond=0)
    cluster.run("node-start", "2")
    heartbeat = "jsonpath={.status.conditions[?(@.type=='Ready')].lastHeartbeatTime}"
    assert datetime.fromisoformat(cluster.kubectl("get", "node", "node2", "-o", heartbeat)) >= began
    cluster.start_pods(pod("at-once", "node2"))
    cluster.kubectl("delete", "pod", "at-once", "--timeout=90s")


def test_a_pod_that_may_not_restart_has_failed_after_the_cut(cluster: NodesCluster) -> None:
    once = pod("once", "node2")
    once["spec"]["restartPolicy"] = "Never"
    cluster.start_pods(once)
    os.kill(cluster.pid("containerd-node2"), signal.SIGKILL)  # its shims live on, and are not overlooked
    cluster.run("node-kill", "2")
    assert pids_of_node(cluster, 2) == set()
    cluster.run("node-start", "2")
    phase = ("get", "pod", "once", "-o", "jsonpath={.status.phase}")
    within(60, "the pod is Failed", lambda: cluster.kubectl(*phase) == "Failed")
    cluster.kubectl("delete", "pod", "once", "--timeout=90s")


def test_the_first_node_dies_without_taking_the_control_planes_address_along(cluster: NodesCluster) -> None:
    cluster.start_pods(pod("first", "node1"))
    cluster.run("node-kill", "1")
    within(NOTICED_SECONDS, "node1 is not Ready", lambda: ready_status(cluster, "node1") == "Unknown")
    cluster.start_pods(pod("second", "node2"))
    cluster.run("node-start", "1")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/first", "--timeout=60s")
    cluster.kubectl("delete", "pod", "first", "second", "--timeout=90s")


def test_what_does_not_exist_is_named(cluster: NodesCluster) -> None:
    assert "no node 7 in 'power'; its nodes: node1, node2" in cluster.run("node-kill", "7", code=1)
    assert "no node 7" in cluster.run("node-start", "7", code=1)


def test_up_and_down_take_a_dead_node_as_it_is(cluster: NodesCluster) -> None:
    cluster.run("node-kill", "2")
    cluster.run("up")
    cluster.run("status")
    cluster.start_pods(pod("a", "node1"), pod("b", "node2"))
    cluster.run("node-kill", "2")
    cluster.run("down")
    assert "'power' is down" in cluster.run("node-kill", "2", code=1)
    assert "'power' is down" in cluster.run("node-start", "2", code=1)
    left = {
        kind: {one for one in lines if "power" in one or "llmtrain2" in one or "10.244." in one}
        for kind, lines in residue().items()
    }
    assert not any(left.values()), left
