"""Kubernetes' own scheduler places whole gangs by our PodGroups, or none of their pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.cluster import Namespace, Object, wait_for
from harness.jobs import complete, manifest
from harness.kubelet import FakeKubelet, FakeNode
from integration.conftest import Operator

from llmtrain_api import Outcome, TerminationMessage

GROUPS = "/apis/scheduling.k8s.io/v1beta1/namespaces/{}/podgroups"
ROOM = {"cpu": "3", "memory": "64Gi", "pods": "20", "ephemeral-storage": "100Gi"}
"""Of one node: a gang of two that ask for a CPU each, and half of another."""


class GroupOperator(Operator):
    """The operator beside a scheduler of gangs; room by quotas, so that it holds nobody back itself."""

    options = ("--provider=kubernetes",)


@pytest.fixture
def operator(namespace: Namespace, tmp_path: Path) -> Iterator[Operator]:
    running = GroupOperator(namespace, tmp_path)
    running.start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.kill()
    print(running.log.read_text()[-6000:])


@pytest.fixture
def node(namespace: Namespace) -> Iterator[FakeNode]:
    with FakeNode(namespace.cluster, namespace.name, ROOM) as found:
        yield found


@pytest.fixture(autouse=True)
def claim(namespace: Namespace) -> Iterator[None]:
    """The claim of the outputs: the scheduler places no pod whose claim has no volume."""
    size = {"storage": "1Gi"}
    meta = {"name": f"checkpoints-{namespace.name}"}
    volume = {
        "capacity": size,
        "accessModes": ["ReadWriteMany"],
        "hostPath": {"path": "/nowhere"},
        "storageClassName": "",
        "claimRef": {"namespace": namespace.name, "name": "checkpoints"},
    }
    wanted = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "volumeName": meta["name"],
        "resources": {"requests": size},
    }
    cluster = namespace.cluster
    cluster.call("POST", "/api/v1/persistentvolumes", {"metadata": meta, "spec": volume})
    claims = f"/api/v1/namespaces/{namespace.name}/persistentvolumeclaims"
    cluster.call("POST", claims, {"metadata": {"name": "checkpoints"}, "spec": wanted})
    yield
    cluster.call("DELETE", f"/api/v1/persistentvolumes/{meta['name']}")


def gang(namespace: Namespace, name: str) -> None:
    pool: dict[str, Any] = {"nodeSelector": {"pool": namespace.name}}
    namespace.apply(manifest(name, nodes=2, resources={"cpu": "1", "memory": "1Gi"}, **pool))


def bound(namespace: Namespace, job: str, attempt: int = 0) -> int:
    """How many ranks of an attempt have a node."""
    pods = namespace.pods()
    names = [f"{job}-{attempt}-{rank}" for rank in range(2)]
    return sum(bool(pods.get(name, {"spec": {}})["spec"].get("nodeName")) for name in names)


def group(namespace: Namespace, name: str) -> Object | None:
    return namespace.cluster.get(f"{GROUPS.format(namespace.name)}/{name}")


def going(namespace: Namespace, pod: str) -> bool:
    """Whether a pod is being deleted; nobody plays its kubelet, so it stays there."""
    return "deletionTimestamp" in namespace.pods()[pod]["metadata"]


def held_back(namespace: Namespace, name: str) -> bool:
    """Whether the scheduler has looked at the group, and found no room for all of it."""
    conditions = (group(namespace, name) or {}).get("status", {}).get("conditions", [])
    return any((c["type"], c["status"]) == ("PodGroupInitiallyScheduled", "False") for c in conditions)


def test_a_gang_without_room_for_all_has_no_pod_on_a_node(
    namespace: Namespace, operator: Operator, node: FakeNode
) -> None:
    gang(namespace, "first")
    wait_for("the first gang has its node", lambda: bound(namespace, "first") == 2, 60)
    assert namespace.pods()["first-0-0"]["spec"]["schedulingGroup"] == {"podGroupName": "first-0"}
    gang(namespace, "second")
    wait_for("the second is looked at", lambda: held_back(namespace, "second-0"), 60)
    assert bound(namespace, "second") == 0, "there is room for one of its two pods, and it is not taken"
    waits = wait_for("it is told", lambda: namespace.status("second").get("waiting"))
    assert waits["message"].startswith("pod second-0-"), waits
    kubelet = FakeKubelet(namespace)
    for rank, message in ((1, TerminationMessage(outcome=Outcome.COMPLETE)), (0, complete())):
        kubelet.end(f"first-0-{rank}", 0, message.model_dump_json(by_alias=True, exclude_none=True))
    namespace.wait_phase("first", "Succeeded", seconds=60)
    wait_for("the second gang has its node", lambda: bound(namespace, "second") == 2, 60)
    assert operator.process is not None
    assert node.name == namespace.name


def test_an_attempt_has_its_own_group(namespace: Namespace, operator: Operator, node: FakeNode) -> None:
    gang(namespace, "tiny")
    wait_for("the gang has its node", lambda: bound(namespace, "tiny") == 2, 60)
    kubelet = FakeKubelet(namespace)
    for rank in range(2):
        kubelet.run(f"tiny-0-{rank}")
    kubelet.end("tiny-0-1", 1)
    wait_for("the other pod goes", lambda: going(namespace, "tiny-0-0"), 60)
    namespace.cluster.call("DELETE", namespace.core("pods", "tiny-0-0"), {"gracePeriodSeconds": 0})
    wait_for("the old group goes", lambda: group(namespace, "tiny-0") is None, 60)
    wait_for("the next attempt has its node", lambda: bound(namespace, "tiny", 1) == 2, 60)
    assert group(namespace, "tiny-1") is not None
    assert operator.process is not None
    assert node.name == namespace.name
