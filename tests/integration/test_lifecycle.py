"""Jobs from apply to the end on a real API server, with the kubelet's part played by the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness.cluster import Namespace, Refused, restarts, wait_for
from harness.jobs import FACTS, complete, manifest
from harness.kubelet import FakeKubelet
from harness.podwatch import PodWatch
from integration.conftest import Operator

COMPLETE = complete().model_dump_json(by_alias=True, exclude_none=True)
BOOM = json.dumps({"outcome": "Failed", "failureClass": "UserError", "message": "boom", "checkpointStep": 10})
CASCADE = json.dumps({"outcome": "Failed", "cascade": True, "message": "connection closed by peer"})


def bring_up(namespace: Namespace, kubelet: FakeKubelet, attempt: int = 0, name: str = "tiny") -> None:
    names = [f"{name}-{attempt}-{rank}" for rank in (0, 1)]
    namespace.wait_pods(*names)
    for pod in names:
        kubelet.run(pod)
    namespace.wait_phase(name, "Running", attempt)


def finish(
    namespace: Namespace, kubelet: FakeKubelet, attempt: int = 0, name: str = "tiny"
) -> dict[str, Any]:
    kubelet.end(f"{name}-{attempt}-1", 0, '{"outcome": "Complete"}')
    kubelet.end(f"{name}-{attempt}-0", 0, COMPLETE)
    return namespace.wait_phase(name, "Succeeded", attempt)


def test_a_job_succeeds_and_the_object_tells_it(
    namespace: Namespace, operator: Operator, kubelet: FakeKubelet, audit: Path
) -> None:
    namespace.apply(manifest())
    bring_up(namespace, kubelet)
    running = namespace.cluster.kubectl("get", "llmjob", "-n", namespace.name).stdout
    assert "Running" in running
    assert "2/2" in running
    status = finish(namespace, kubelet)
    assert status["results"]["perplexity"] == 13.5
    assert status["restarts"]["total"] == 0
    assert status["resolved"]["image"] == "trainer:test"
    namespace.cluster.kubectl(
        "wait", "--for=condition=Complete", "llmjob/tiny", "-n", namespace.name, "--timeout=5s"
    )
    assert len(namespace.pod_creates(audit)) == 2
    told = namespace.cluster.kubectl("get", "events", "-n", namespace.name, "-o", "name").stdout
    described = namespace.cluster.kubectl("describe", "llmjob", "tiny", "-n", namespace.name).stdout
    assert told
    assert "attempt 0 begins" in described
    assert operator.stop() == 0, "SIGTERM ends it cleanly"


def test_a_failed_rank_restarts_the_gang_once_the_old_pods_are_gone(
    namespace: Namespace, operator: Operator, kubelet: FakeKubelet, audit: Path
) -> None:
    watch = PodWatch(namespace)
    namespace.apply(manifest())
    bring_up(namespace, kubelet)
    kubelet.end("tiny-0-1", 1, BOOM)
    kubelet.end("tiny-0-0", 1, CASCADE)
    restarting = namespace.wait_phase("tiny", "Restarting", 1)
    assert restarting["failure"]["message"] == "boom"
    assert restarting["failure"]["rank"] == 1
    assert restarting["checkpoint"]["step"] == 10
    bring_up(namespace, kubelet, 1)
    status = finish(namespace, kubelet, 1)
    assert restarts(status) == (1, 1, 0)
    assert [a["number"] for a in status["attempts"]] == [0, 1]
    assert watch.check() == 4
    assert len(namespace.pod_creates(audit)) == 4
    assert operator.process is not None


@pytest.mark.parametrize("rank", [0, 1])
def test_a_force_deleted_pod_restarts_the_gang(
    namespace: Namespace, operator: Operator, kubelet: FakeKubelet, rank: int
) -> None:
    namespace.apply(manifest())
    bring_up(namespace, kubelet)
    namespace.cluster.kubectl(
        "delete", "pod", f"tiny-0-{rank}", "-n", namespace.name, "--force", "--grace-period=0"
    )
    namespace.wait_phase("tiny", "Restarting", 1)
    bring_up(namespace, kubelet, 1)
    status = finish(namespace, kubelet, 1)
    assert restarts(status) == (1, 0, 1)
    assert operator.process is not None


def test_the_budget_ends_the_job_with_the_reason(
    namespace: Namespace, operator: Operator, kubelet: FakeKubelet
) -> None:
    namespace.apply(manifest(recovery={"maxRestarts": 0}))
    bring_up(namespace, kubelet)
    kubelet.end("tiny-0-0", 1, BOOM)
    status = namespace.wait_phase("tiny", "Failed", 0)
    assert status["failure"]["message"] == "boom"
    assert "recovery.maxRestarts" in status["failure"]["hint"]
    wait_for(
        "the other rank is taken down", lambda: set(namespace.pods()) == {"tiny-0-0"} or None
    )  # and the root cause's pod stays
    assert operator.process is not None


def test_the_operator_may_die_while_a_job_starts_runs_and_restarts(
    namespace: Namespace, operator: Operator, kubelet: FakeKubelet, audit: Path
) -> None:
    namespace.apply(manifest())
    wait_for("attempt 0 on record", lambda: namespace.status("tiny").get("attempt") == 0 or None)
    operator.kill()  # while it starts
    operator.start()
    bring_up(namespace, kubelet)
    operator.kill()  # while it runs, and a rank fails unseen
    kubelet.end("tiny-0-1", 1, BOOM)
    kubelet.end("tiny-0-0", 1, CASCADE)
    operator.start()
    namespace.wait_phase("tiny", "Restarting", 1)
    operator.kill()  # while it restarts
    operator.start()
    bring_up(namespace, kubelet, 1)
    operator.kill()  # and the end is unseen
    kubelet.end("tiny-1-1", 0, '{"outcome": "Complete"}')
    kubelet.end("tiny-1-0", 0, COMPLETE)
    operator.start()
    status = namespace.wait_phase("tiny", "Succeeded", 1)
    assert status["restarts"]["total"] == 1
    assert len(namespace.pod_creates(audit)) == 2 * 2


def edit(namespace: Namespace, **spec: Any) -> None:
    """Set fields of the job's spec; None takes one away."""
    namespace.cluster.merge(namespace.jobs_path("tiny"), {"spec": spec})


def runs_before_the_gang(
    namespace: Namespace, kubelet: FakeKubelet, name: str, told: dict[str, Any] | None = None
) -> None:
    """Until that pod is there; then it ends well, if what it says in the end is given."""
    wait_for(f"pod {name}", lambda: name in namespace.pods() or None)
    kubelet.run(name)
    if told is not None:
        kubelet.end(name, 0, json.dumps({"outcome": "Complete"} | told))


def gang_succeeds(namespace: Namespace, kubelet: FakeKubelet) -> None:
    """Beside the pods that ran before it."""
    gang = {"tiny-0-0", "tiny-0-1"}
    wait_for("the gang", lambda: gang <= set(namespace.pods()) or None)
    for pod in gang:
        kubelet.run(pod)
    namespace.wait_phase("tiny", "Running", 0)
    finish(namespace, kubelet)


def test_a_model_is_looked_at_and_data_are_prepared_before_the_gang(
    namespace: Namespace, operator: Operator, kubelet: FakeKubelet, audit: Path
) -> None:
    namespace.apply(manifest(model={"name": "somebody/some-model"}, prepare={"nodes": 1}))
    runs_before_the_gang(namespace, kubelet, "tiny-inspect-0")
    operator.kill()  # and its end is unseen
    kubelet.end("tiny-inspect-0", 0, json.dumps({"outcome": "Complete", "facts": FACTS}))
    operator.start()
    runs_before_the_gang(namespace, kubelet, "tiny-prepare-1")
    assert "Preparing" in namespace.cluster.kubectl("get", "llmjob", "-n", namespace.name).stdout
    assert namespace.status("tiny")["resolved"]["model"]["revision"] == FACTS["revision"]
    # an edit is taken as long as no attempt has begun; what was found of another model is forgotten
    edit(namespace, model={"name": "somebody/another-model"})
    runs_before_the_gang(namespace, kubelet, "tiny-inspect-2", {"facts": FACTS})
    runs_before_the_gang(namespace, kubelet, "tiny-prepare-3", {})
    gang_succeeds(namespace, kubelet)
    assert len(namespace.pod_creates(audit)) == 4 + 2
    assert operator.process is not None


def test_a_model_that_does_not_fit_is_refused_and_another_taken(
    namespace: Namespace, operator: Operator, kubelet: FakeKubelet
) -> None:
    namespace.apply(manifest(model={"name": "somebody/some-model"}, parallelism={"tensor": 2}))
    odd = FACTS | {"shape": FACTS["shape"] | {"heads": 3, "kvHeads": 3}}
    runs_before_the_gang(namespace, kubelet, "tiny-inspect-0", {"facts": odd})
    refused = ("wait", "--for=condition=Accepted=False", "llmjob/tiny")
    namespace.cluster.kubectl(*refused, "-n", namespace.name, "--timeout=20s")
    accepted = next(c for c in namespace.status("tiny")["conditions"] if c["type"] == "Accepted")
    assert "tensor 2 does not divide num_attention_heads of its config.json 3" in accepted["message"]
    edit(namespace, model={"name": "builtin://tiny-llama"}, parallelism=None)
    gang_succeeds(namespace, kubelet)
    assert operator.process is not None


def test_deleting_the_job_removes_every_child_and_it_may_be_applied_again_at_once(
    namespace: Namespace, operator: Operator, kubelet: FakeKubelet
) -> None:
    kubelet.linger = 3.0
    first = namespace.apply(manifest())["metadata"]["uid"]
    bring_up(namespace, kubelet)
    namespace.cluster.call("DELETE", namespace.jobs_path("tiny"))
    second = namespace.apply(manifest())["metadata"]["uid"]
    waiting = wait_for("the name conflict is told", lambda: namespace.status("tiny").get("waiting"), 15)
    assert waiting["reason"] == "NameConflict"
    # the garbage collector of a young cluster learns of the kinds of custom resources once in 30 s
    wait_for("pods of the second job", lambda: _owned_by(namespace, second) == 2 or None, 90)
    assert _owned_by(namespace, first) == 0
    for resource in ("pods", "services", "configmaps"):
        path = namespace.core(resource) + f"?labelSelector=llmtrain.dev/job-uid={first}"
        assert namespace.cluster.call("GET", path)["items"] == []
    bring_up(namespace, kubelet)
    assert finish(namespace, kubelet)["restarts"]["total"] == 0
    assert operator.process is not None


def _owned_by(namespace: Namespace, uid: str) -> int:
    return len(namespace.pods(f"llmtrain.dev/job-uid={uid}"))


def test_a_quota_is_waited_for_and_a_limit_range_is_not(
    namespace: Namespace, operator: Operator, kubelet: FakeKubelet
) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"pods": "0"}},
    }
    namespace.cluster.call("POST", namespace.core("resourcequotas"), quota)
    path = namespace.core("resourcequotas", "q")
    wait_for(
        "the quota is counted", lambda: (namespace.cluster.get(path) or {}).get("status", {}).get("hard")
    )
    namespace.apply(manifest())
    waiting = wait_for("the quota is told", lambda: namespace.status("tiny").get("waiting"))
    assert waiting["reason"] == "QuotaExceeded"
    assert "quota q: pods 2 needed, 0 left of 0" in waiting["message"]
    assert namespace.status("tiny")["phase"] == "Queued"
    namespace.cluster.call("DELETE", path)
    bring_up(namespace, kubelet)
    limits = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "l"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]},
    }
    namespace.cluster.call("POST", namespace.core("limitranges"), limits)
    namespace.apply(manifest("big"))
    status = namespace.wait_phase("big", "Failed")
    assert status["failure"]["class"] == "ConfigError"
    assert "maximum memory usage" in status["failure"]["message"]
    assert operator.process is not None


def test_kubectl_scale_edits_the_nodes_of_an_elastic_job(namespace: Namespace, operator: Operator) -> None:
    namespace.apply(manifest(nodes=2, minNodes=2))
    wait_for("attempt 0", lambda: namespace.status("tiny").get("attempt") == 0 or None)
    scale = namespace.cluster.call("GET", f"{namespace.jobs_path('tiny')}/scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (2, 2)
    uid = namespace.cluster.call("GET", namespace.jobs_path("tiny"))["metadata"]["uid"]
    assert scale["status"]["selector"] == f"llmtrain.dev/job-uid={uid}"

    def scaled(nodes: int) -> str:
        words = ("-n", namespace.name, "scale", "llmjob", "tiny", f"--replicas={nodes}")
        return namespace.cluster.kubectl(*words, check=False).stderr

    assert "minNodes must be at most nodes" in scaled(1)
    assert not scaled(3)
    assert namespace.cluster.call("GET", namespace.jobs_path("tiny"))["spec"]["nodes"] == 3
    wanted = wait_for("the edit is told", lambda: namespace.status("tiny")["workers"].get("wanted"))
    assert (wanted, operator.process is not None) == (3, True)
    with pytest.raises(Refused, match="cannot change once an attempt has started"):
        namespace.cluster.merge(namespace.jobs_path("tiny"), {"spec": {"minNodes": 1}})
