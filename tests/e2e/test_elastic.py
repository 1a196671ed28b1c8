"""A gang that may be smaller, on two real kubelets: a node loses its power, and comes back."""

from __future__ import annotations

import pytest
from e2e.test_faults import committed_by, delete
from e2e.test_hostile_cluster import cluster_tool, move_operator_to, node_ready, until_checkpoint
from harness.cluster import Namespace, restarts, shared_volume, wait_for
from harness.jobs import quick_manifest

pytestmark = [pytest.mark.e2e, pytest.mark.proof, pytest.mark.timeout(1200)]
ONE_A_NODE = {"cpu": "1100m", "memory": "1Gi"}
"""Two of these do not fit on a node of two cores."""


def test_it_goes_on_with_one_node_and_grows_back_when_the_other_returns(namespace: Namespace) -> None:
    cluster = namespace.cluster
    output = shared_volume(cluster) / namespace.name / "elastic"
    move_operator_to(cluster, "node1", "node2")
    namespace.apply(quick_manifest("elastic", 100_000, minNodes=1, resources=ONE_A_NODE))
    until_checkpoint(namespace, "elastic")
    assert {p["spec"]["nodeName"] for p in namespace.pods().values()} == {"node1", "node2"}
    cluster_tool("node-kill", "2")
    try:
        namespace.wait_phase("elastic", "Running", 1, 400)
        wait_for("a checkpoint of one node", lambda: committed_by(output, 1), 180)
        status = namespace.status("elastic")
        assert [a.get("nodes") for a in status["attempts"]] == [2, 1]
        assert status["attempts"][0]["failureClass"] == "Infrastructure"
        assert status["workers"]["desired"] == 1
    finally:
        cluster_tool("node-start", "2")
    wait_for("node2 is Ready again", lambda: node_ready(cluster, "node2"), 120)
    status = namespace.wait_phase("elastic", "Running", 2, 400)
    wait_for("a checkpoint of two nodes", lambda: committed_by(output, 2), 180)
    attempts = namespace.status("elastic")["attempts"]
    assert [a.get("nodes") for a in attempts] == [2, 1, 2]
    assert attempts[1]["reason"] == "Resized"
    assert restarts(status) == (1, 0, 1), "growing costs nobody a restart"
    delete(namespace, "elastic")
