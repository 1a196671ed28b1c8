"""The number format of a job that names none: what its devices are fast at, and told."""

from __future__ import annotations

from typing import Any

import pytest
from harness.builders import job_file, least_spec

from llmtrain_api import JobFile, Precision, changed, parse_spec, shape_of
from llmtrain_api.generate.crd import custom_resource_definition
from llmtrain_operator.plan.resolved import resolve


@pytest.mark.parametrize(
    ("sections", "right", "why"),
    [
        ({}, "fp32", "fp32, the default on CPUs"),
        ({"processesPerNode": 4}, "fp32", "fp32, the default on CPUs"),
        ({"gpusPerNode": 1}, "bf16", "bf16, the default on GPUs"),
        ({"gpusPerNode": 1, "training": {"maxSteps": 5}}, "bf16", "bf16, the default on GPUs"),
        ({"gpusPerNode": 1, "training": {"precision": "fp32"}}, "fp32", "fp32, as precision says"),
        ({"training": {"precision": "bf16"}}, "bf16", "bf16, as precision says"),
    ],
)
def test_it_follows_the_devices_unless_it_is_set(sections: dict[str, Any], right: str, why: str) -> None:
    spec = least_spec(**sections)
    assert spec.training.precision.value == right
    told = resolve(spec, shape_of(spec), "image")
    assert told.precision == why
    assert f" {right} (" in told.layout


def test_ranks_are_told_and_decide_nothing() -> None:
    asked = job_file(least_spec(gpusPerNode=1))
    text = asked.model_dump_json(by_alias=True)
    assert '"precision":"bf16"' in text
    assert JobFile.model_validate_json(text).spec.training.precision is Precision.BF16


def test_the_same_manifest_on_other_devices_is_decided_anew() -> None:
    spec = least_spec(gpusPerNode=1)
    assert changed(spec, gpus_per_node=0).training.precision is Precision.FP32
    assert changed(changed(spec, gpus_per_node=0), gpus_per_node=1).training.precision is Precision.BF16
    kept = least_spec(gpusPerNode=1, training={"precision": "bf16"})
    assert changed(kept, gpus_per_node=0).training.precision is Precision.BF16


def test_reading_what_was_written_changes_nothing() -> None:
    spec = least_spec(gpusPerNode=1)
    assert parse_spec(spec.to_json(), strict=True) == spec


def test_the_api_server_fills_nothing_in() -> None:
    """It would answer before anybody knows which devices there are."""
    [version] = custom_resource_definition()["spec"]["versions"]
    training = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["training"]
    assert "default" not in training["properties"]["precision"]
    assert "precision" not in training["default"]
