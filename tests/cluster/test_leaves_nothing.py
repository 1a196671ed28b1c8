"""A two-node cluster with running pods and dead parts, taken down: nothing may stay on the machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from harness.nodes_cluster import NodesCluster, pod
from harness.residue import added_since, residue

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


@pytest.fixture
def cluster() -> Iterator[NodesCluster]:
    found = NodesCluster("leaves-nothing")
    if found.other_runs():
        pytest.skip("another cluster's nodes run: a machine has room for one")
    found.run("down", "--purge")
    yield found
    found.run("down", "--purge")


def test_down_after_a_crash_leaves_nothing_and_keeps_the_images(cluster: NodesCluster) -> None:
    before = residue()
    cluster.run("up")
    cluster.start_pods(pod("on-node1", "node1"), pod("on-node2", "node2"))
    settings = cluster.settings
    (settings.volume / "result").write_text("kept")
    for name in ("kubelet-node1", "containerd-node2"):
        os.kill(cluster.pid(name), signal.SIGKILL)
    cluster.run("down")
    assert added_since(before) == {}
    assert (settings.volume / "result").read_text() == "kept"
    assert any((settings.node(1).home / "root").rglob("blobs/sha256/*")), "images stay for the next up"
    cluster.run("up")
    cluster.run("down", "--purge")
    assert added_since(before) == {}
    assert not settings.state.exists()
