"""``evaluation.only``: what a job that trains nothing needs, and what it holds out."""

from __future__ import annotations

from typing import Any

import pytest
from harness.bad_manifests import measured

from llmtrain_api import parse_spec
from llmtrain_api.catalogue import known_shape
from llmtrain_api.estimate.choice import choose, too_large
from llmtrain_api.schema.spec import JobSpec

LARGE: dict[str, Any] = {
    "model": {"name": "Qwen/Qwen2.5-7B"},
    "gpusPerNode": 1,
    "resources": {"gpuMemory": "24Gi", "memory": "64Gi"},
}


def spec_of(**changes: Any) -> JobSpec:
    return parse_spec(measured(**LARGE | changes)["spec"], strict=True)


@pytest.mark.parametrize(("only", "fits"), [(True, True), (False, False)])
def test_a_model_that_could_not_be_trained_there_can_be_measured(only: bool, fits: bool) -> None:
    spec = spec_of(evaluation={"only": only})
    shape = known_shape(spec.model)
    assert shape is not None
    assert (too_large(shape, spec) is None) == fits


def test_it_needs_its_weights_and_what_a_pass_needs() -> None:
    spec = spec_of()
    shape = known_shape(spec.model)
    assert shape is not None
    need = choose(shape, spec).need
    assert 2 * shape.parameters < need < 3 * shape.parameters


def test_too_large_a_model_is_told_in_numbers() -> None:
    spec = spec_of(resources={"gpuMemory": "12Gi", "memory": "64Gi"})
    shape = known_shape(spec.model)
    assert shape is not None
    told = too_large(shape, spec)
    assert told is not None
    assert "gpuMemory 12Gi leaves 10.0 GiB, and the model needs 14." in told
    assert "ZeRO" not in told


def test_all_documents_are_held_out() -> None:
    assert spec_of().held_out_fraction == 1.0
    assert spec_of(evaluation={"only": False}).held_out_fraction == 0.05
