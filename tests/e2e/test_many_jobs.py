"""Many jobs at once, and ends that the kubelet and Python really cause."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from e2e.test_faults import delete
from e2e.test_hostile_cluster import OPERATOR, RESTRICTED, SYSTEM
from e2e.test_late_pod import cpu_of_most_of, queued
from harness.cluster import ROOT, Cluster, Namespace, Object, restarts, wait_for
from harness.light import SMALL, UNTIL_TOLD, light_manifest, tell

from testlayers import TRAINER_IMAGE

pytestmark = [pytest.mark.e2e, pytest.mark.proof, pytest.mark.timeout(900)]
TEN = [f"small-{number}" for number in range(10)]
GPU = "example.com/gpu"


def phases(namespace: Namespace, names: list[str]) -> set[str]:
    return {str(namespace.status(name).get("phase")) for name in names}


def install(*words: str) -> None:
    """An upgrade of the chart, as a person makes it."""
    done = subprocess.run(
        [str(ROOT / "hack" / "install"), *words], text=True, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def operators(cluster: Cluster) -> set[str]:
    pods = cluster.call("GET", f"{SYSTEM}?labelSelector={OPERATOR}")["items"]
    return {pod["metadata"]["uid"] for pod in pods}


def others_act(cluster: Cluster, before: set[str]) -> bool:
    now = operators(cluster)
    return bool(now) and not now & before


def test_ten_that_fit_start_together_and_live_through_an_upgrade(namespace: Namespace) -> None:
    """All ten run at the same moment: none ends before it is told to. Then the operator is replaced."""
    cluster = namespace.cluster
    for name in TEN:
        namespace.apply(light_manifest(name, UNTIL_TOLD))
    wait_for("all run", lambda: phases(namespace, TEN) == {"Running"}, 240)
    before = operators(cluster)
    install("--set", "queue.growSeconds=20", "--set-string", f"podAnnotations.version={uuid.uuid4()}")
    wait_for("others act now", partial(others_act, cluster, before), 120)
    pods = namespace.pods()
    assert len(pods) == len(TEN)
    tell(namespace, *TEN)
    for name in TEN:
        status = namespace.wait_phase(name, "Succeeded", 0, 120)
        assert restarts(status) == (0, 0, 0)
        assert len(status["attempts"]) == 1
    for name in TEN:
        delete(namespace, name)


def bare_pod(name: str, cpu: str) -> Object:
    """A pod as a gang's, made by nobody in particular."""
    container = {
        "name": "trainer",
        "image": TRAINER_IMAGE,
        "command": ["sleep", "3600"],
        "securityContext": RESTRICTED,
        "resources": {"requests": {"cpu": cpu}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def node_of(namespace: Namespace, name: str) -> str | None:
    found: str | None = namespace.cluster.call("GET", namespace.core("pods", name))["spec"].get("nodeName")
    return found


def unschedulable(namespace: Namespace, name: str) -> bool:
    conditions = namespace.cluster.call("GET", namespace.core("pods", name))["status"].get("conditions", [])
    return any((c["type"], c.get("reason")) == ("PodScheduled", "Unschedulable") for c in conditions)


def test_pods_of_two_such_gangs_made_one_by_one_wait_for_each_other(namespace: Namespace) -> None:
    """What gangs are let in whole for: each holds a node, and neither gets its second.

    `test_two_gangs_that_need_most_of_both_nodes_run_in_turn` has jobs of this size.
    """
    cluster = namespace.cluster
    cpu = cpu_of_most_of(cluster, "node1")
    names = [f"{gang}-{rank}" for rank in (0, 1) for gang in ("one", "two")]
    try:
        for name in names:
            cluster.call("POST", namespace.core("pods"), bare_pod(name, cpu))
            wait_for(
                f"the scheduler has seen {name}",
                lambda name=name: node_of(namespace, name) or unschedulable(namespace, name),  # type: ignore[misc]
            )
        assert {node_of(namespace, "one-0"), node_of(namespace, "two-0")} == {"node1", "node2"}
        assert unschedulable(namespace, "one-1")
        assert unschedulable(namespace, "two-1")
    finally:
        for name in names:
            cluster.kubectl("delete", "pod", name, "-n", namespace.name, "--ignore-not-found", check=False)


EATS = """
import os, time
held = []
while os.environ["LLMTRAIN_ATTEMPT"] == "0":
    if os.environ["RANK"] == "1":
        held.append(b"x" * (16 << 20))
    time.sleep(0.05)
"""


def test_a_rank_that_takes_more_memory_than_its_pod_has_is_named(namespace: Namespace) -> None:
    namespace.apply(light_manifest("eats", EATS, nodes=2))
    status = namespace.wait_phase("eats", "Succeeded", 1, 240)
    ended = status["attempts"][0]
    assert ended["failureClass"] == "OutOfMemory", ended
    assert ended["charge"] == "Application"
    assert "rank 1" in ended["message"]
    assert restarts(status) == (1, 1, 0)
    delete(namespace, "eats")


RAISES = '''
import os, pathlib, runpy
script = pathlib.Path(os.environ["TMPDIR"], "train.py")
script.write_text("""
import os, time
def step(batch):
    if os.environ["RANK"] == "1":
        raise KeyError(f"no column {batch!r}")
    time.sleep(600)
step("text")
""")
runpy.run_path(str(script), run_name="__main__")
'''


def test_an_exception_at_the_same_line_twice_ends_the_job_with_rank_and_line(namespace: Namespace) -> None:
    namespace.apply(light_manifest("raises", RAISES, nodes=2, recovery={"maxRestarts": 1}))
    status = namespace.wait_phase("raises", "Failed", 1, 240)
    failure = status["failure"]
    assert (failure["class"], failure["rank"]) == ("UserError", 1)
    assert "KeyError" in failure["message"]
    assert "no column 'text'" in failure["message"]
    assert 'train.py", line 5, in step' in failure["logTail"]
    assert [a["failureClass"] for a in status["attempts"]] == ["UserError", "UserError"]
    shown = namespace.cluster.kubectl("describe", "llmtrainingjob", "raises", "-n", namespace.name).stdout
    assert 'train.py", line 5' in shown
    delete(namespace, "raises")


@contextmanager
def tainted_node_with_gpus(cluster: Cluster, node: str) -> Iterator[None]:
    """That node has two devices that no plug-in of the kubelet's tells of, and is kept for who wants them."""
    path = f"/api/v1/nodes/{node}/status"

    def devices(amount: str | None) -> dict[str, Any]:
        return {"status": {"capacity": {GPU: amount}, "allocatable": {GPU: amount}}}

    cluster.merge(path, devices("2"))
    cluster.kubectl("taint", "node", node, f"{GPU}=present:NoSchedule")
    try:
        yield
    finally:
        cluster.kubectl("taint", "node", node, f"{GPU}-")
        cluster.merge(path, devices(None))


def test_a_job_that_tolerates_the_taint_gets_the_node_with_the_devices(namespace: Namespace) -> None:
    wants: dict[str, Any] = {"gpusPerNode": 1, "resources": {**SMALL, "gpuResource": GPU}}
    tolerates = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    with tainted_node_with_gpus(namespace.cluster, "node2"):
        namespace.apply(light_manifest("kept-off", UNTIL_TOLD, **wants))
        waits = wait_for("it is told why", lambda: queued(namespace, "kept-off"), 60)["waiting"]
        assert GPU in waits["message"], waits
        assert f"with taint {GPU}=present:NoSchedule, which is not tolerated" in waits["message"], waits
        namespace.apply(light_manifest("lands", UNTIL_TOLD, tolerations=tolerates, **wants))
        namespace.wait_phase("lands", "Running", 0, 120)
        [pod] = namespace.pods("llmtrain.dev/job=lands").values()
        assert pod["spec"]["nodeName"] == "node2"
        assert pod["spec"]["containers"][0]["resources"]["limits"][GPU] == "1"
        assert not namespace.pods("llmtrain.dev/job=kept-off")
        tell(namespace, "lands")
        namespace.wait_phase("lands", "Succeeded", 0, 120)
        for name in ("kept-off", "lands"):
            delete(namespace, name)
