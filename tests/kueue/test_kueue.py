"""Kueue itself lets a job in, takes its room back for a more urgent one, and gives it room again."""

from __future__ import annotations

from harness.cluster import Namespace, Object, wait_for
from harness.jobs import complete, manifest
from harness.kubelet import FakeKubelet
from harness.kueue import condition, make_queue, urgent_class, workload
from integration.conftest import Operator

from llmtrain_api import Outcome, TerminationMessage

DONE = TerminationMessage(outcome=Outcome.COMPLETE)


def pool(name: str) -> Object:
    """Nodes that are labelled, and tainted, with the name of their pool."""
    taint = {"key": "pool", "operator": "Equal", "value": name, "effect": "NoSchedule"}
    return {"nodeLabels": {"pool": name}, "tolerations": [taint]}


def bring_up(namespace: Namespace, kubelet: FakeKubelet, job: str, attempt: int) -> None:
    names = [f"{job}-{attempt}-{rank}" for rank in (0, 1)]
    wait_for(f"pods of {job}", lambda: set(names) <= set(namespace.pods()) or None, 60)
    for name in names:
        bound = f"{name} has a node"
        wait_for(bound, lambda name=name: namespace.pods()[name]["spec"].get("nodeName"))  # type: ignore[misc]
        kubelet.run(name)
    namespace.wait_phase(job, "Running", attempt, 60)


def finish(namespace: Namespace, kubelet: FakeKubelet, job: str, attempt: int) -> None:
    for rank, message in ((1, DONE), (0, complete())):
        text = message.model_dump_json(by_alias=True, exclude_none=True)
        kubelet.end(f"{job}-{attempt}-{rank}", 0, text)
    namespace.wait_phase(job, "Succeeded", seconds=60)


def test_let_in_preempted_and_back(namespace: Namespace, operator: Operator, kubelet: FakeKubelet) -> None:
    make_queue(namespace, 2, pool(namespace.name))
    with urgent_class(namespace) as urgent:
        namespace.apply(manifest("tiny", nodes=2, queueName="team"))
        bring_up(namespace, kubelet, "tiny", 0)
        spec = namespace.pods()["tiny-0-0"]["spec"]
        assert spec["nodeSelector"] == {"pool": namespace.name}
        assert any(t.get("key") == "pool" for t in spec["tolerations"])
        assert namespace.status("tiny")["placement"]["workload"] == "tiny-0"
        wait_for("Kueue hears that it is up", lambda: condition(namespace, "tiny-0", "PodsReady"))

        namespace.apply(manifest("urgent", nodes=2, queueName="team", priorityClassName=urgent))
        namespace.wait_phase("tiny", "Queued", 1, 60)
        ended = namespace.status("tiny")["attempts"][0]
        assert (ended["reason"], ended["charge"]) == ("Preempted", "Nobody")
        assert "Kueue evicted Workload tiny-0" in events(namespace, "Preempted")
        bring_up(namespace, kubelet, "urgent", 0)
        assert workload(namespace, "tiny-0") is None
        assert not [name for name in namespace.pods() if name.startswith("tiny-")]
        wait_for("Kueue's own words", lambda: _says(namespace, "insufficient unused quota for cpu"))

        finish(namespace, kubelet, "urgent", 0)
        wait_for("Kueue hears of its end", lambda: condition(namespace, "urgent-0", "Finished"))
        bring_up(namespace, kubelet, "tiny", 1)
        finish(namespace, kubelet, "tiny", 1)
        assert namespace.status("tiny")["restarts"]["total"] == 0
    assert operator.process is not None


def events(namespace: Namespace, reason: str) -> str:
    """What Events of that reason say."""
    found = namespace.cluster.call("GET", namespace.core("events"))["items"]
    return " ".join(event["message"] for event in found if event["reason"] == reason)


def _says(namespace: Namespace, text: str) -> bool:
    return text in namespace.status("tiny").get("waiting", {}).get("message", "")
