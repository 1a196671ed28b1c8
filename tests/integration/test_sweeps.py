"""A sweep before a real API server: its trials are jobs of its own, and its winner is in `kubectl get`."""

from __future__ import annotations

from typing import Any

import pytest
from harness.cluster import Namespace, Object, Refused, wait_for
from harness.jobs import manifest
from integration.conftest import Operator

SWEEPS = "/apis/llmtrain.dev/v1alpha1/namespaces/{}/llmtrainingsweeps"
LOG_OF_NOTHING = {"field": "training.seed", "min": 0, "max": 1, "scale": "log"}
ANN = {"name": "ann", "dataset": {"name": "builtin://python-stdlib"}}
RATES = {"field": "training.learningRate", "values": [0.01, 0.02, 0.03]}


def sweep(**fields: Any) -> Object:
    spec = {"job": manifest(nodes=1)["spec"], "parameters": [RATES], "parallel": 2, **fields}
    head = {"apiVersion": "llmtrain.dev/v1alpha1", "kind": "LLMTrainingSweep", "metadata": {"name": "rates"}}
    return {**head, "spec": {name: value for name, value in spec.items() if value is not None}}


def status(namespace: Namespace) -> Object:
    found = namespace.cluster.get(f"{SWEEPS.format(namespace.name)}/rates") or {}
    told: Object = found.get("status", {})
    return told


def succeed(namespace: Namespace, name: str, loss: float) -> None:
    """What ranks would bring about."""
    done = {"phase": "Succeeded", "results": {"steps": 1, "evalLoss": loss}}
    namespace.cluster.merge(namespace.jobs_path(name) + "/status", {"status": done})


def test_trials_are_jobs_of_the_sweep_and_the_best_is_told(namespace: Namespace, operator: Operator) -> None:
    namespace.cluster.call("POST", SWEEPS.format(namespace.name), sweep())
    wait_for("two trials run", lambda: status(namespace).get("summary") == "0/3", 60)
    job = wait_for("the first job", lambda: namespace.cluster.get(namespace.jobs_path("rates-0")))
    assert job["spec"]["training"]["learningRate"] == 0.01
    assert job["metadata"]["ownerReferences"][0]["kind"] == "LLMTrainingSweep"
    wait_for("the second job", lambda: namespace.cluster.get(namespace.jobs_path("rates-1")))
    assert namespace.cluster.get(namespace.jobs_path("rates-2")) is None, "two at a time"
    succeed(namespace, "rates-0", 2.0)
    wait_for("the third job", lambda: namespace.cluster.get(namespace.jobs_path("rates-2")), 60)
    operator.kill()
    succeed(namespace, "rates-1", 1.5)
    succeed(namespace, "rates-2", 1.75)
    operator.start()
    wait_for("it is over", lambda: status(namespace).get("phase") == "Succeeded", 90)
    table = namespace.cluster.kubectl("get", "llmsweep", "rates", "-n", namespace.name).stdout.split("\n")
    assert table[0].split() == ["NAME", "PHASE", "TRIALS", "BEST", "VALUE", "AGE"]
    assert table[1].split()[:5] == ["rates", "Succeeded", "3/3", "rates-1", "1.5"]
    namespace.cluster.call("DELETE", f"{SWEEPS.format(namespace.name)}/rates")
    wait_for("its jobs go", lambda: namespace.cluster.get(namespace.jobs_path("rates-1")) is None, 90)


def test_adapters_are_jobs_and_one_that_fails_leaves_the_others(
    namespace: Namespace, operator: Operator
) -> None:
    adapters = [{**ANN, "name": name} for name in ("ann", "bob")]
    job = {**manifest(nodes=1)["spec"], "model": {"name": "pvc://models/base", "adapter": {"rank": 8}}}
    asked = sweep(parameters=None, adapters=adapters, job=job)
    namespace.cluster.call("POST", SWEEPS.format(namespace.name), asked)
    found = wait_for("the first job", lambda: namespace.cluster.get(namespace.jobs_path("rates-ann")), 60)
    assert found["spec"]["output"]["merged"] is False
    assert found["spec"]["output"]["uri"].endswith("/ann")
    wait_for("the second job", lambda: namespace.cluster.get(namespace.jobs_path("rates-bob")), 60)
    uri = found["spec"]["output"]["uri"]
    adapter = {"weights": "a" * 64, "data": "b" * 64}
    results = {"steps": 1, "evalLoss": 2.5, "exportUri": f"{uri}/export", "adapter": adapter}
    done = {"phase": "Succeeded", "results": results}
    namespace.cluster.merge(namespace.jobs_path("rates-ann") + "/status", {"status": done})
    failed = {"phase": "Failed", "failure": {"class": "UserError", "message": "no text in it"}}
    namespace.cluster.merge(namespace.jobs_path("rates-bob") + "/status", {"status": failed})
    wait_for("it is over", lambda: status(namespace).get("phase") == "Succeeded", 90)
    ann, bob = status(namespace)["trials"]
    assert (ann["value"], ann["adapter"]["uri"]) == (2.5, f"{uri}/export/adapter")
    assert (bob["phase"], bob["message"], bob.get("adapter")) == ("Failed", "no text in it", None)
    table = namespace.cluster.kubectl("get", "llmsweep", "rates", "-n", namespace.name).stdout.split("\n")
    assert table[1].split()[:5] == ["rates", "Succeeded", "2/2,", "1", "failed"]
    assert operator.process is not None


def test_a_mistake_in_a_job_is_told_and_makes_none(namespace: Namespace, operator: Operator) -> None:
    wrong = {"field": "training.learnRate", "values": [1]}
    namespace.cluster.call("POST", SWEEPS.format(namespace.name), sweep(parameters=[wrong]))
    message = wait_for("it is told", lambda: status(namespace).get("message"), 60)
    assert "spec.job.training.learnRate" in message
    assert namespace.cluster.get(namespace.jobs_path("rates-0")) is None
    assert operator.process is not None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parameters": [{"field": "training.seed", "min": 1, "max": 3}]}, "search: random"),
        ({"trials": 3}, "trials is for search: random"),
        (
            {"parameters": [{"field": "training.seed", "min": 1}], "search": "random", "trials": 2},
            "a range needs min and max",
        ),
        ({"parameters": [LOG_OF_NOTHING], "search": "random", "trials": 2}, "above 0"),
        ({"adapters": [ANN]}, "either parameters"),
        ({"parameters": None}, "either parameters"),
        ({"parameters": None, "adapters": []}, "at least 1"),
        ({"parameters": None, "adapters": [{"name": "ann"}]}, "dataset: Required"),
        ({"parameters": None, "adapters": [ANN, ANN]}, "name of its own"),
        ({"parameters": None, "adapters": [{**ANN, "name": "cache"}]}, "base or cache"),
        ({"parameters": None, "adapters": [{**ANN, "name": "An/n"}]}, "should match"),
        (
            {"parameters": None, "adapters": [ANN], "search": "random", "trials": 1},
            "with adapters remove them",
        ),
        (
            {"parameters": None, "adapters": [ANN], "objective": {"goal": "maximize"}},
            "with adapters remove them",
        ),
        ({"parameters": None, "adapters": [ANN] * 257}, "at most 256"),
    ],
)
def test_the_api_server_refuses_what_makes_no_trials(
    namespace: Namespace, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        namespace.cluster.call("POST", SWEEPS.format(namespace.name), sweep(**fields))
