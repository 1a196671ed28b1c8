"""The API server is away for five minutes while a gang trains: it trains on, and its status catches up."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from e2e.test_faults import delete
from e2e.test_hostile_cluster import OPERATOR, SYSTEM, cluster_tool, operator_is_up
from harness.cluster import Cluster, Namespace, restarts, shared_volume, wait_for
from harness.jobs import quick_manifest
from harness.nodes_cluster import NodesCluster

from barecluster.settings import DEFAULT_NAME

pytestmark = [pytest.mark.e2e, pytest.mark.proof, pytest.mark.timeout(1500)]
AWAY_SECONDS = 300.0
STEPS = 1_000_000
"""More than there is time for."""


def operator_pods(cluster: Cluster) -> dict[str, int]:
    """Restarts of the operator's containers, by the pods' UIDs."""
    pods = cluster.call("GET", f"{SYSTEM}?labelSelector={OPERATOR}")["items"]
    return {
        pod["metadata"]["uid"]: sum(c["restartCount"] for c in pod["status"].get("containerStatuses", []))
        for pod in pods
    }


def steps_done(metrics: Path) -> int:
    """Lines of the trainer's own record, one a step."""
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


def test_training_goes_on_and_the_status_catches_up(namespace: Namespace) -> None:
    cluster = namespace.cluster
    wait_for("the operator is up", lambda: operator_is_up(cluster), 60)
    metrics = shared_volume(cluster) / namespace.name / "goes-on" / "logs" / "attempt-0" / "metrics.jsonl"
    namespace.apply(quick_manifest("goes-on", STEPS))
    namespace.wait_phase("goes-on", "Running", 0, 180)
    wait_for("it trains", lambda: steps_done(metrics), 240)
    before = operator_pods(cluster)
    os.kill(NodesCluster(DEFAULT_NAME).pid("apiserver"), signal.SIGKILL)
    began, first = time.monotonic(), steps_done(metrics)
    try:
        wait_for("five minutes are over", lambda: time.monotonic() - began > AWAY_SECONDS, AWAY_SECONDS + 30)
        last = steps_done(metrics)
    finally:
        cluster_tool("up")
    assert last > first, "training stood still"
    told = f"the status tells of step {last}"
    wait_for(told, lambda: (namespace.status("goes-on").get("progress") or {}).get("step", 0) >= last, 240)
    status = namespace.status("goes-on")
    assert (status["phase"], status["attempt"], restarts(status)) == ("Running", 0, (0, 0, 0))
    assert not [c for c in status["conditions"] if (c["type"], c["status"]) == ("ReportingLost", "True")]
    assert operator_pods(cluster) == before, "the operator was restarted"
    delete(namespace, "goes-on")
