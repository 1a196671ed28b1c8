"""Quantities: what Kubernetes accepts above 0, and what a pod's manifest carries."""

from __future__ import annotations

from typing import Any

import pytest
from harness.jobs import SETTINGS, job, manifest

from llmtrain_api import InvalidJob, parse_spec
from llmtrain_api.estimate.zero_stage import limit
from llmtrain_api.schema.quantity import canonical, quantity
from llmtrain_api.schema.spec import ResourcesSpec
from llmtrain_operator.manifests.pod import pod

GOOD: list[tuple[Any, str, float]] = [
    (0.5, "500m", 0.5),
    (1.5, "1500m", 1.5),
    (2, "2", 2),
    ("0.5", "500m", 0.5),
    (".5", "500m", 0.5),
    ("2.", "2", 2),
    ("500m", "500m", 0.5),
    (8e9, "8000000000", 8e9),
    ("8e9", "8000000000", 8e9),
    ("1E3", "1000", 1000),
    ("1e-3", "1m", 0.001),
    ("1.5k", "1500", 1500),
    ("4Gi", "4Gi", 2**32),
    ("1Pi", "1Pi", 2**50),
    ("1P", "1P", 1e15),
    ("1E", "1E", 1e18),
    ("0.5Ti", str(2**39), 2**39),
    ("+1", "1", 1),
    ("007", "7", 7),
    ("1n", "1m", 1e-9),
    (1e-300, "1m", 1e-9),
    (1.2345678901234567e-05, "1m", 1.23456789012e-05),
    (10**18, str(10**18), 1e18),
    ("9e18", "9000000000000000000", 9e18),
    ("99999999999999999E", str(2**63 - 1), float(2**63 - 1)),
]
BAD: list[Any] = [
    *(
        "4GB",
        "ki",
        "0",
        "-1",
        "",
        "4 Gi",
        "lots",
        "1K",
        "1e99",
        "1e",
        "0e5",
        "0.0",
        "1mi",
        "0x10",
        "²",
        "1\n",
    ),
    *(0, -1, 0.0, True, False, [], {}, [1], {"a": 1}, float("nan"), float("inf"), 1e300),
]


@pytest.mark.parametrize(("given", "written", "size"), GOOD, ids=str)
@pytest.mark.parametrize("field", ["cpu", "memory", "gpuMemory"])
def test_a_quantity_of_kubernetes_is_accepted(field: str, given: Any, written: str, size: float) -> None:
    resources = ResourcesSpec.model_validate({field: given})
    held = resources.to_json()[field]
    assert float(quantity(held)) == size
    assert canonical(held) == written
    assert ResourcesSpec.model_validate(resources.to_json()) == resources


@pytest.mark.parametrize("given", BAD, ids=repr)
@pytest.mark.parametrize("field", ["cpu", "memory", "gpuMemory"])
def test_anything_else_is_refused_by_one_sentence(field: str, given: Any) -> None:
    with pytest.raises(InvalidJob) as caught:
        parse_spec(manifest(resources={field: given})["spec"], strict=True)
    [mistake] = caught.value.mistakes
    assert mistake.startswith(f"spec.resources.{field}: got ")
    assert "use a Kubernetes quantity, such as" in mistake


def test_a_pod_carries_what_kubernetes_would_write() -> None:
    of = job(resources={"cpu": 0.5, "memory": "0.5Ti"})
    spec = parse_spec(of.spec, strict=True)
    resources = pod(of, spec, 0, 0, "image", SETTINGS)["spec"]["containers"][0]["resources"]
    assert resources["requests"] == {"cpu": "500m", "memory": str(2**39)}
    assert resources["limits"] == {"memory": str(2**39)}


def test_the_memory_estimate_reads_every_form() -> None:
    sizes = ({"memory": size} for size in ("1Pi", 2**50, float(2**50), f"{2**50}"))
    limits = {limit(parse_spec(manifest(resources=given)["spec"], strict=True)) for given in sizes}
    assert len(limits) == 1
