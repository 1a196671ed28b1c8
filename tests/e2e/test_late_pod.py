"""A gang without room is queued without pods; one of which a pod is held waits, and nobody pays for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from e2e.test_faults import delete
from harness.cluster import Cluster, Namespace, restarts, wait_for
from harness.jobs import quick_manifest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

APART = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"llmtrain.dev/job": "late"}},
            }
        ]
    }
}
"""Never two pods of the job on one node."""


@contextmanager
def cordoned(cluster: Cluster, node: str) -> Iterator[None]:
    """No new pod comes to that node meanwhile."""
    cluster.kubectl("cordon", node)
    try:
        yield
    finally:
        cluster.kubectl("uncordon", node)


def cpu_of_most_of(cluster: Cluster, node: str) -> str:
    """A request that fits that node once, beside the system's pods, and not twice."""
    text = cluster.call("GET", f"/api/v1/nodes/{node}")["status"]["allocatable"]["cpu"]
    milli = int(text[:-1]) if text.endswith("m") else 1000 * int(text)
    return f"{milli * 6 // 10}m"


@pytest.mark.proof
def test_a_late_pod_is_waited_for_told_and_costs_no_restart(namespace: Namespace) -> None:
    cluster = namespace.cluster
    with cordoned(cluster, "node2"):
        # a rule over pods, which the operator's ledger does not look at
        small = {"cpu": "500m", "memory": "1Gi"}
        namespace.apply(
            quick_manifest("late", 20, resources=small, podTemplate={"spec": {"affinity": APART}})
        )
        status = wait_for("the late pod is told", lambda: waits_for_room(namespace), 90)
        assert "late-0-" in status["waiting"]["message"]
        assert "anti-affinity" in status["waiting"]["message"]
        assert "1 node(s) were unschedulable" in status["waiting"]["message"]
        [early] = wait_for("the other pod runs", lambda: running(namespace), 90)
        # both ways of waiting, for node 0 and for all others, are told in the log
        wait_for("the early pod waits", lambda: "waiting for" in log_of(namespace, early), 120)
        assert running(namespace) == [early]
        status = namespace.status("late")
        assert (status["phase"], status["attempt"], restarts(status)) == ("Starting", 0, (0, 0, 0))
        assert status["waiting"]["reason"] == "Unschedulable"
    status = namespace.wait_phase("late", "Succeeded", 0, 240)
    assert restarts(status) == (0, 0, 0)
    assert "waiting" not in status
    delete(namespace, "late")


def test_a_gang_without_room_is_queued_and_has_no_pods(namespace: Namespace) -> None:
    cluster = namespace.cluster
    with cordoned(cluster, "node2"):
        namespace.apply(
            quick_manifest(
                "roomless", 20, resources={"cpu": cpu_of_most_of(cluster, "node1"), "memory": "1Gi"}
            )
        )
        status = wait_for("it is queued", lambda: queued(namespace, "roomless"), 90)
        assert (
            "1 of 2 pods" in status["waiting"]["message"] or "hold 1 of them" in status["waiting"]["message"]
        )
        assert not namespace.pods("llmtrain.dev/job=roomless")
    status = namespace.wait_phase("roomless", "Succeeded", 0, 240)
    assert restarts(status) == (0, 0, 0)
    delete(namespace, "roomless")


@pytest.mark.proof
def test_two_gangs_that_need_most_of_both_nodes_run_in_turn(namespace: Namespace) -> None:
    """Pod by pod they would take one node each, and wait for the other's for ever."""
    resources = {"cpu": cpu_of_most_of(namespace.cluster, "node1"), "memory": "1Gi"}
    for name in ("one", "two"):
        namespace.apply(quick_manifest(name, 20, resources=resources))
    waits = wait_for("one of them queues", lambda: queued(namespace, "two"), 90)["waiting"]
    assert (waits["reason"], waits["position"]) == ("WaitingForCapacity", 1)
    assert "of 2 pods would find a node" in waits["message"]
    assert not namespace.pods("llmtrain.dev/job=two")
    for name in ("one", "two"):
        status = namespace.wait_phase(name, "Succeeded", 0, 300)
        assert restarts(status) == (0, 0, 0)
    for name in ("one", "two"):
        delete(namespace, name)


def queued(namespace: Namespace, name: str) -> dict[str, Any] | None:
    status = namespace.status(name)
    return status if status.get("phase") == "Queued" and status.get("waiting") else None


def waits_for_room(namespace: Namespace) -> dict[str, dict[str, str]] | None:
    status = namespace.status("late")
    return status if status.get("waiting", {}).get("reason") == "Unschedulable" else None


def running(namespace: Namespace) -> list[str]:
    pods = namespace.pods("llmtrain.dev/job=late")
    return [name for name, pod in pods.items() if pod["status"].get("phase") == "Running"]


def log_of(namespace: Namespace, pod: str) -> str:
    return namespace.cluster.kubectl("logs", "-n", namespace.name, pod).stdout
