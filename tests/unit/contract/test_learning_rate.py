"""The learning rate of a job that names none: a model that knows something is not made to forget it."""

from __future__ import annotations

from typing import Any

import pytest
from harness.builders import job_file, least_spec
from harness.jobs import SHAPE

from llmtrain_api import JobFile, ModelShape, changed, parse_spec
from llmtrain_api.generate.crd import custom_resource_definition
from llmtrain_operator.plan.resolved import resolve

ADAPTER = {"adapter": {"rank": 8, "alpha": 16}}
REAL = {"name": "pvc://models/llama"}


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        ({"name": "builtin://tiny-llama"}, 1e-3),
        ({"name": "builtin://tiny-llama", **ADAPTER}, 1e-3),
        ({**REAL, "weights": "random"}, 1e-3),
        (REAL, 2e-5),
        ({"name": "owner/model", **ADAPTER}, 2e-4),
    ],
)
def test_it_follows_from_what_the_model_knows(model: dict[str, Any], rate: float) -> None:
    left_out = least_spec(model=model)
    assert left_out.training.learning_rate == rate
    assert "learning_rate" not in left_out.training.model_fields_set
    written = least_spec(model=model, training={"learningRate": 3e-4, "maxSteps": 2})
    assert written.training.learning_rate == 3e-4


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "0.001, the default from random weights: small models take more than the 6e-4"),
        ({"model": REAL}, "2e-05, the default for a model that exists: arXiv:2307.09288, section 3.1"),
        ({"model": REAL, "training": {"learningRate": 3e-4}}, "0.0003, as learningRate says"),
        ({"model": REAL, "evaluation": {"only": True}}, None),
    ],
)
def test_the_status_says_where_it_comes_from(changes: dict[str, Any], told: str | None) -> None:
    found = resolve(least_spec(**changes), ModelShape.model_validate(SHAPE), "image").learning_rate
    assert (found or "")[: len(told or "")] == (told or "")
    assert (found is None) == (told is None)


def test_ranks_are_told_the_number() -> None:
    asked = job_file(least_spec(model=REAL), shape=ModelShape.model_validate(SHAPE))
    text = asked.model_dump_json(by_alias=True)
    assert JobFile.model_validate_json(text).spec.training.learning_rate == 2e-5


def test_it_is_decided_anew_for_another_model_and_kept_where_it_was_read() -> None:
    spec = least_spec(model=REAL, gpusPerNode=1)
    assert parse_spec(spec.to_json(), strict=True) == spec
    assert changed(spec, model=least_spec().model).training.learning_rate == 1e-3


def test_the_api_server_fills_nothing_in() -> None:
    [version] = custom_resource_definition()["spec"]["versions"]
    training = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["training"]
    assert "default" not in training["properties"]["learningRate"]
    assert "learningRate" not in training["default"]
