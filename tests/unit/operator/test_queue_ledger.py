"""Room on nodes: what a pod asks for, where it may run, and how many fit."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from harness.gangs import demand, node
from harness.jobs import SETTINGS, job

from llmtrain_api import parse_spec
from llmtrain_operator.manifests.pod import pod
from llmtrain_operator.scheduling.cluster import PodsOnNodes
from llmtrain_operator.scheduling.demand import demand_of
from llmtrain_operator.scheduling.fit import holds, may_run_on
from llmtrain_operator.scheduling.ledger import Ledger
from llmtrain_operator.scheduling.objects import (
    SeenPod,
    decode_any_pod,
    decode_class,
    decode_node,
    decode_quota,
)
from llmtrain_operator.scheduling.values import Expression, Taint, Tolerated, amount, shown


def test_a_worker_pods_demand_is_what_its_manifest_says() -> None:
    wanted = job(gpusPerNode=2, resources={"cpu": "3500m", "memory": "8Gi"}, nodeSelector={"pool": "a100"})
    spec = parse_spec(wanted.spec, strict=True)
    found = demand_of(pod(wanted, spec, 0, 0, "image", SETTINGS))
    assert found.requests == {"cpu": 3500, "memory": 8 * 2**30 * 1000, "nvidia.com/gpu": 2000, "pods": 1000}
    assert found.limits == {"memory": 8 * 2**30 * 1000, "nvidia.com/gpu": 2000}
    assert found.selector == {"pool": "a100"}


def test_init_containers_sidecars_and_overhead_count_as_the_scheduler_counts_them() -> None:
    def asks(cpu: str, **more: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    found = demand_of(
        {
            "spec": {
                "containers": [asks("1"), {"resources": {"limits": {"cpu": "2"}}}],
                "initContainers": [asks("5"), asks("500m", restartPolicy="Always")],
                "overhead": {"cpu": "250m"},
            }
        }
    )
    assert found.requests["cpu"] == 5250, "the largest init container, and the runtime's overhead"


@pytest.mark.parametrize(
    ("taint", "toleration", "lets_in"),
    [
        (Taint("gpu", "yes", "NoSchedule"), None, False),
        (Taint("gpu", "yes", "PreferNoSchedule"), None, True),
        (Taint("gpu", "yes", "NoExecute"), Tolerated("gpu", "Exists", "", "NoSchedule"), False),
        (Taint("gpu", "yes", "NoSchedule"), Tolerated("gpu", "Exists", "", ""), True),
        (Taint("gpu", "yes", "NoSchedule"), Tolerated("gpu", "Equal", "no", ""), False),
        (Taint("gpu", "yes", "NoSchedule"), Tolerated("gpu", "Equal", "yes", "NoSchedule"), True),
        (Taint("any", "", "NoSchedule"), Tolerated("", "Exists", "", ""), True),
    ],
)
def test_taints(taint: Taint, toleration: Tolerated | None, lets_in: bool) -> None:
    wanted = demand(cpu=1, tolerations=() if toleration is None else (toleration,))
    assert may_run_on(wanted, node("n", cpu=4, taints=(taint,))) is lets_in


def test_labels_readiness_and_cordons() -> None:
    assert may_run_on(demand(cpu=1, selector={"a": "b"}), node("n", cpu=1, labels={"a": "b"}))
    assert not may_run_on(demand(cpu=1, selector={"a": "b"}), node("n", cpu=1, labels={"a": "c"}))
    assert not may_run_on(demand(cpu=1), node("n", cpu=1, ready=False))
    raw = {"metadata": {"name": "n", "uid": "u", "resourceVersion": "1"}, "spec": {"unschedulable": True}}
    cordoned = decode_node(orjson.dumps(raw))
    assert cordoned is not None
    assert not may_run_on(demand(cpu=0), cordoned.node)


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ("a", "b"), True),
        ("NotIn", ("a",), False),
        ("Exists", (), True),
        ("DoesNotExist", (), False),
        ("Gt", ("3",), False),
        ("Odd", (), False),
    ],
)
def test_terms_of_an_affinity(operator: str, values: tuple[str, ...], expected: bool) -> None:
    assert holds(Expression("k", operator, values), {"k": "a"}) is expected
    assert holds(Expression("k", "Gt", ("3",)), {"k": "4"})
    assert holds(Expression("k", "Lt", ("3",)), {"k": "2"})


def test_an_affinity_is_alternatives_of_terms() -> None:
    wanted = demand(cpu=1, affinity=((Expression("zone", "In", ("a",)),), (Expression("big", "Exists", ()),)))
    assert may_run_on(wanted, node("n", cpu=1, labels={"zone": "a"}))
    assert may_run_on(wanted, node("n", cpu=1, labels={"big": ""}))
    assert not may_run_on(wanted, node("n", cpu=1, labels={"zone": "b"}))
    named = demand(cpu=1, affinity=((Expression("metadata.name", "NotIn", ("bad",)),),))
    assert may_run_on(named, node("n", cpu=1))
    assert not may_run_on(named, node("bad", cpu=1))


def test_each_pod_must_fit_on_one_node() -> None:
    """Six CPUs are free in all, and no node has four of them."""
    ledger = Ledger((node("a", cpu=3), node("b", cpu=3)), {})
    assert ledger.room(demand(cpu=4)) == 0
    assert ledger.room(demand(cpu=2)) == 2


def test_what_is_used_is_not_free_whoever_uses_it() -> None:
    ledger = Ledger((node("a", cpu=4, gpu=8),), {"a": {"cpu": 3000, "pods": 1000}})
    assert ledger.room(demand(cpu=1, gpu=1)) == 1


def test_a_gang_is_spread_and_what_it_takes_is_gone() -> None:
    ledger = Ledger((node("a", cpu=4), node("b", cpu=4)), {})
    placement = ledger.place(demand(cpu=1), 2)
    assert placement == {"a": 1, "b": 1}
    ledger.take(demand(cpu=1), placement)
    assert ledger.room(demand(cpu=4)) == 0
    ledger.give(demand(cpu=1), placement)
    assert ledger.room(demand(cpu=4)) == 2


def test_pods_a_node_are_counted() -> None:
    assert Ledger((node("a", cpu=100, pods=3),), {}).room(demand(cpu=1)) == 3


def any_pod(uid: str, version: int, phase: str, on: str | None = "a") -> SeenPod:
    raw = {
        "metadata": {
            "name": uid,
            "namespace": "x",
            "uid": uid,
            "resourceVersion": str(version),
            "ownerReferences": [{"uid": "job", "controller": True}],
        },
        "spec": {"nodeName": on, "containers": [{"resources": {"requests": {"cpu": "2"}}}]},
        "status": {"phase": phase},
    }
    found = decode_any_pod(orjson.dumps(raw))
    assert found is not None
    return found


def test_sums_follow_pods_of_anybody() -> None:
    pods = PodsOnNodes()
    pods.upsert(any_pod("p", 1, "Pending", None))
    assert (pods.used, pods.placed) == ({}, {})
    pods.upsert(any_pod("p", 2, "Running"))
    pods.upsert(any_pod("q", 3, "Running"))
    assert pods.used == {"a": {"cpu": 4000, "pods": 2000}}
    assert pods.placed == {"job": {"a": 2}}
    assert not pods.upsert(any_pod("p", 1, "Pending", None)), "an older version is no news"
    pods.upsert(any_pod("p", 4, "Succeeded"))
    assert pods.used == {"a": {"cpu": 2000, "pods": 1000}}
    pods.remove("q")
    pods.remove("p")
    assert (pods.used, pods.placed) == ({}, {})
    assert not pods.upsert(any_pod("q", 3, "Running")), "what is gone does not come back"


def test_quotas_and_classes_as_the_api_gives_them() -> None:
    meta = {"name": "q", "namespace": "x", "uid": "u", "resourceVersion": "1"}
    spec = {
        "scopeSelector": {
            "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]
        },
        "scopes": ["NotBestEffort"],
    }
    status = {"hard": {"pods": "4", "requests.cpu": "2500m"}, "used": {"pods": "1"}}
    quota = decode_quota(orjson.dumps({"metadata": meta, "spec": spec, "status": status}))
    assert quota is not None
    assert (quota.hard, quota.used) == ({"pods": 4000, "requests.cpu": 2500}, {"pods": 1000})
    assert quota.priority == (Expression("PriorityClass", "In", ("high",)),)
    assert quota.counts
    odd = decode_quota(
        orjson.dumps({"metadata": meta, "spec": {"scopes": ["Terminating"]}, "status": status})
    )
    assert odd is not None
    assert not odd.counts
    found = decode_class(orjson.dumps({"metadata": meta, "value": 7, "globalDefault": True}))
    assert found is not None
    assert (found.value, found.is_default) == (7, True)


@pytest.mark.parametrize(
    ("text", "thousandths"), [("0", 0), ("1", 1000), ("500m", 500), ("1Ki", 1_024_000), ("1u", 1), ("odd", 0)]
)
def test_amounts(text: str, thousandths: int) -> None:
    assert amount(text) == thousandths


def test_amounts_as_people_write_them() -> None:
    assert shown("memory", amount("1536Mi")) == "1.5Gi"
    assert shown("requests.memory", amount("10Mi")) == "10Mi"
    assert shown("cpu", 2500) == "2.5"
    assert shown("nvidia.com/gpu", 8000) == "8"
