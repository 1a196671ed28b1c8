"""The router file of a sweep of adapters follows from its status, and a failed one is never routed to."""

from __future__ import annotations

from typing import Any

import pytest

from llmtrain_api.schema.status.sweep import SweepStatus
from llmtrain_api.sweeps import read_sweep
from llmtrain_api.sweeps.router import Router, router_of

FOLDER = "pvc://checkpoints/personal"


def spec(base: str = "pvc://checkpoints/base", folder: str = FOLDER) -> Any:
    job = {"model": {"name": base, "adapter": {}}, "output": {"uri": folder}}
    adapters = [{"name": name, "dataset": {"name": f"pvc://data/{name}"}} for name in ("ann", "bob", "cy")]
    return read_sweep("all", {"job": job, "adapters": adapters}, strict=True)


def record(name: str, number: int, phase: str, **fields: Any) -> dict[str, Any]:
    return {"job": f"all-{name}", "number": number, "values": {}, "phase": phase, **fields}


def adapter(name: str, uri: str) -> dict[str, Any]:
    return {"name": name, "uri": uri, "rank": 16, "alpha": 32, "weights": "a" * 64, "data": "b" * 64}


def told(*records: dict[str, Any], base: str = "pvc://checkpoints/base", **fields: Any) -> Router:
    status = SweepStatus.model_validate({"trials": records, "base": {"name": base}, **fields})
    return router_of("all", spec(base), status)


def test_only_those_that_may_be_served_are_adapters() -> None:
    ann = record(
        "ann", 0, "Succeeded", value=1.5, adapter=adapter("ann", f"{FOLDER}/ann-1a2b3c4d/export/adapter")
    )
    bob = record("bob", 1, "Succeeded", value=0.5, message="it was trained over another revision")
    found = told(ann, bob, record("cy", 2, "Running"))
    assert [one.to_json() for one in found.adapters] == [
        {
            "name": "ann",
            "path": "ann-1a2b3c4d/export/adapter",
            "rank": 16,
            "alpha": 32,
            "sha256": "a" * 64,
            "data": "b" * 64,
            "evalLoss": 1.5,
        }
    ]
    assert [(one.name, one.reason) for one in found.failed] == [
        ("bob", "it was trained over another revision")
    ]
    assert found.waiting == ["cy"]
    assert Router.model_validate(found.to_json(), extra="forbid") == found


def test_before_the_first_is_trained_all_wait() -> None:
    found = router_of("all", spec(), SweepStatus())
    assert (found.base, found.adapters, found.failed) == (None, [], [])
    assert found.waiting == ["ann", "bob", "cy"]


def test_one_that_failed_without_words_is_told() -> None:
    assert told(record("ann", 0, "Failed")).failed[0].reason == "its job failed"


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("pvc://checkpoints/base/export", "../base/export"),
        ("pvc://checkpoints/personal/base", "base"),
        ("pvc://models/base", None),
        ("file:///models/base", None),
        ("s3://checkpoints/base", None),
        ("Qwen/Qwen3-0.6B", None),
    ],
)
def test_the_base_has_a_path_where_it_lies_in_the_same_claim(base: str, path: str | None) -> None:
    found = told(base=base).base
    assert found is not None
    assert (found.name, found.path) == (base, path)


def test_a_base_of_the_same_machine_has_a_path() -> None:
    status = SweepStatus.model_validate({"base": {"name": "file:///srv/models/base"}})
    found = router_of("all", spec("file:///srv/models/base", "file:///srv/out/all"), status)
    assert found.base is not None
    assert found.base.path == "../../models/base"
