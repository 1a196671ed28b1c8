"""Kueue lets real training in, has it save and go for a more urgent job, and it goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e.test_faults import committed, delete
from harness.cluster import Namespace, Object, restarts, shared_volume, wait_for
from harness.jobs import quick_manifest
from harness.kueue import condition, make_queue, remove_queue, urgent_class, workload
from harness.podwatch import PodWatch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
STEPS = 600
HALF = {"cpu": "500m", "memory": "1Gi"}
"""Of what a node of the gang asks for: the nodes have room for two such gangs, the queue for one."""
NEVER = {"everySteps": 1_000_000, "keep": 1000}
"""No checkpoint but those of an attempt's end: who saved the others is beyond doubt."""


@pytest.fixture
def queue(team: Namespace) -> Iterator[Namespace]:
    make_queue(team, 1, {"nodeLabels": {"kubernetes.io/os": "linux"}})
    yield team
    team.cluster.kubectl("delete", "llmtrainingjobs", "--all", "-n", team.name)
    remove_queue(team)


def job(name: str, steps: int, **spec: object) -> Object:
    found = quick_manifest(name, steps, queueName="team", resources=HALF, **spec)
    found["spec"]["checkpoint"] = NEVER
    return found


def test_real_training_is_let_in_preempted_with_its_steps_and_let_in_again(queue: Namespace) -> None:
    output = shared_volume(queue.cluster) / queue.name / "patient"
    watch = PodWatch(queue, 600)
    queue.apply(job("patient", STEPS))
    queue.wait_phase("patient", "Running", 0, 180)
    pods = queue.pods("llmtrain.dev/job=patient,llmtrain.dev/rank")
    assert {p["spec"]["nodeName"] for p in pods.values()} == {"node1", "node2"}
    assert all(p["spec"]["nodeSelector"]["kubernetes.io/os"] == "linux" for p in pods.values())
    wait_for("Kueue hears that it is up", lambda: condition(queue, "patient-0", "PodsReady"), 60)
    steps = output / "logs" / "attempt-0" / "metrics.jsonl"
    wait_for("it trains", lambda: steps.exists() and steps.read_text(), 240)
    assert not committed(output)

    with urgent_class(queue) as urgent:
        queue.apply(job("urgent", 40, priorityClassName=urgent))
        queue.wait_phase("patient", "Queued", 1, 120)
        [saved] = committed(output)
        assert 0 < saved["step"] < STEPS
        ended = queue.status("patient")["attempts"][0]
        assert (ended["reason"], ended["charge"]) == ("Preempted", "Nobody")
        assert "Kueue evicted Workload patient-0" in ended["message"]
        wait_for("Kueue's own words", lambda: "quota" in waits(queue, "patient"), 60)
        status = queue.wait_phase("urgent", "Succeeded", 0, 500)
        assert (status["results"]["steps"], restarts(status)) == (40, (0, 0, 0))
        wait_for("Kueue hears of its end", lambda: condition(queue, "urgent-0", "Finished"), 60)

    status = queue.wait_phase("patient", "Succeeded", 1, 700)
    assert status["attempts"][1]["resumedStep"] == saved["step"]
    assert status["results"]["steps"] == STEPS
    assert restarts(status) == (0, 0, 0)
    assert workload(queue, "patient-0") is None
    left_before(watch, "patient-0-", "urgent-0-")
    for name in ("patient", "urgent"):
        delete(queue, name)


def waits(namespace: Namespace, name: str) -> str:
    return str(namespace.status(name).get("waiting", {}).get("message"))


def left_before(watch: PodWatch, earlier: str, later: str) -> None:
    """No pod of the later gang was there before the last one of the earlier had gone."""
    gone = [
        n for n, (kind, pod, _) in enumerate(watch.lines) if kind == "DELETED" and pod.startswith(earlier)
    ]
    made = [n for n, (kind, pod, _) in enumerate(watch.lines) if kind == "ADDED" and pod.startswith(later)]
    assert len(gone) == len(made) == 2, watch.lines
    assert max(gone) < min(made), watch.lines
