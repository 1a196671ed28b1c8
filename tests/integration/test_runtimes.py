"""Runtimes on a real API server: what it fills in, refuses and keeps, and what jobs make of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness.bad_runtimes import BAD_RUNTIMES
from harness.cluster import ROOT, Cluster, Namespace, Refused, wait_for
from harness.jobs import manifest
from harness.kubelet import FakeKubelet
from integration.conftest import Operator

from llmtrain_api.runtimes import InvalidRuntime, parse_runtime

API = "/apis/llmtrain.dev/v1alpha1"


def path(namespace: Namespace, name: str = "") -> str:
    return f"{API}/namespaces/{namespace.name}/llmtrainingruntimes" + (f"/{name}" if name else "")


def runtime(name: str, kind: str = "LLMTrainingRuntime", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "llmtrain.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def of_cluster(cluster: Cluster, namespace: Namespace) -> Iterator[str]:
    """Name of a runtime of the cluster, which goes with the test."""
    name = f"rt-{namespace.name}"
    yield name
    cluster.kubectl("delete", "clusterllmtrainingruntime", name, "--ignore-not-found")


def waits(namespace: Namespace, reason: str) -> dict[str, Any] | None:
    waiting = namespace.status("tiny").get("waiting") or {}
    return waiting if waiting.get("reason") == reason else None


def condition(namespace: Namespace, kind: str, reason: str) -> dict[str, Any] | None:
    found = (c for c in namespace.status("tiny").get("conditions", []) if c["type"] == kind)
    return next((c for c in found if c["reason"] == reason), None)


def test_a_job_begins_with_its_runtime_and_keeps_it(
    cluster: Cluster, namespace: Namespace, operator: Operator, kubelet: FakeKubelet, of_cluster: str
) -> None:
    namespace.apply(manifest(runtime=of_cluster))
    waiting = wait_for("its runtime", lambda: waits(namespace, "RuntimeMissing"))
    assert of_cluster in waiting["message"]
    assert namespace.pods() == {}
    defaults = {
        "image": "registry.example.com/ml/trainer:7",
        "resources": {"memory": "8Gi"},
        "nodeSelector": {"pool": "a"},
    }
    kind = "ClusterLLMTrainingRuntime"
    cluster.call(
        "POST",
        f"{API}/clusterllmtrainingruntimes",
        runtime(of_cluster, kind, defaults=defaults, bounds={"maxNodes": 1}),
    )
    refused = wait_for("out of bounds", lambda: condition(namespace, "Accepted", "OutOfBounds"))
    assert "bounds.maxNodes" in refused["message"]
    one = f"{API}/clusterllmtrainingruntimes/{of_cluster}"
    cluster.merge(one, {"spec": {"bounds": {"maxNodes": 4}}})
    wait_for("attempt 0", lambda: namespace.status("tiny").get("attempt") == 0 or None)
    pods = wait_for("both pods", lambda: namespace.pods() if len(namespace.pods()) == 2 else None)
    for pod in pods.values():
        [trainer] = pod["spec"]["containers"]
        assert trainer["image"] == defaults["image"]
        # the API server has filled in nothing that would hide it
        assert trainer["resources"]["requests"]["memory"] == "8Gi"
        assert pod["spec"]["nodeSelector"] == {"pool": "a"}
    cluster.merge(one, {"spec": {"bounds": {"maxNodes": 1}, "defaults": {"image": "other:1"}}})
    wait_for("told", lambda: condition(namespace, "RuntimeChanged", "Changed"))
    kept = namespace.status("tiny")["runtime"]
    assert kept["spec"]["defaults"]["image"] == defaults["image"]
    assert len(namespace.pods()) == 2
    with pytest.raises(Refused, match="cannot change once an attempt has started"):
        cluster.merge(namespace.jobs_path("tiny"), {"spec": {"runtime": "another"}})
    assert operator.process is not None
    assert kubelet is not None


def test_the_status_cannot_be_brought_along(namespace: Namespace, operator: Operator) -> None:
    """Bounds that a tenant writes into a new job's status are none: the API server drops them."""
    document = manifest(runtime="missing")
    record = {"kind": "LLMTrainingRuntime", "name": "missing", "digest": "x", "spec": {}}
    namespace.apply({**document, "status": {"attempt": 0, "runtime": record}})
    wait_for("its runtime", lambda: waits(namespace, "RuntimeMissing"))
    assert namespace.pods() == {}
    assert operator.process is not None


@pytest.mark.parametrize("name", BAD_RUNTIMES)
def test_the_api_server_refuses_a_bad_runtime(empty_namespace: Namespace, name: str) -> None:
    bad = BAD_RUNTIMES[name]
    document = runtime("bad", **bad.spec)
    with pytest.raises(InvalidRuntime) as told:
        parse_runtime(document)
    assert any(one.startswith(bad.field) for one in told.value.mistakes), told.value.mistakes
    if bad.by_server:
        with pytest.raises(Refused):
            empty_namespace.cluster.call(
                "POST", path(empty_namespace) + "?dryRun=All&fieldValidation=Strict", document
            )


def test_the_examples_are_taken(cluster: Cluster) -> None:
    examples = sorted((ROOT / "examples").glob("runtime-*.yaml"))
    assert examples
    files = [word for example in examples for word in ("-f", str(example))]
    cluster.kubectl("apply", "--dry-run=server", "--validate=strict", *files)
