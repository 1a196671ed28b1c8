"""Kubernetes' own scheduler of gangs places real training by the chart's rights, and its PodGroup goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e.test_faults import delete
from e2e.test_many_jobs import install
from harness.cluster import Namespace, Object, restarts, wait_for
from harness.jobs import quick_manifest

pytestmark = [pytest.mark.e2e, pytest.mark.proof, pytest.mark.timeout(900)]
AS_BEFORE = ("--set", "queue.growSeconds=20")
GROUPS = "/apis/scheduling.k8s.io/v1beta1/namespaces/{}/podgroups/{}"


@pytest.fixture
def gangs(namespace: Namespace) -> Iterator[Namespace]:
    """The operator asks the scheduler for whole gangs meanwhile."""
    install("--set", "queue.provider=kubernetes", *AS_BEFORE)
    yield namespace
    install(*AS_BEFORE)


def group(namespace: Namespace, name: str) -> Object | None:
    return namespace.cluster.get(GROUPS.format(namespace.name, name))


def scheduled(namespace: Namespace, name: str) -> bool:
    """Whether the scheduler has placed the group as a whole."""
    conditions = (group(namespace, name) or {}).get("status", {}).get("conditions", [])
    return any((c["type"], c["status"]) == ("PodGroupInitiallyScheduled", "True") for c in conditions)


def test_a_gang_of_the_schedulers_trains_to_its_end(gangs: Namespace) -> None:
    gangs.apply(quick_manifest("native", 20, resources={"cpu": "500m", "memory": "1Gi"}))
    gangs.wait_phase("native", "Running", 0, 180)
    pods = gangs.pods("llmtrain.dev/job=native,llmtrain.dev/rank")
    assert [p["spec"]["schedulingGroup"] for p in pods.values()] == [{"podGroupName": "native-0"}] * 2
    wait_for("the scheduler tells of it", lambda: scheduled(gangs, "native-0"), 60)
    status = gangs.wait_phase("native", "Succeeded", 0, 300)
    assert (status["results"]["steps"], restarts(status)) == (20, (0, 0, 0))
    delete(gangs, "native")
    wait_for("its PodGroup is gone", lambda: group(gangs, "native-0") is None, 60)
