"""Micro-batch, checkpointing and ZeRO stage where a job leaves them open: one order, each with a reason."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from harness.builders import least_spec, unchecked_spec
from harness.jobs import SEVEN_BILLION

from llmtrain_api import InvalidJob, JobSpec, applied, choose, parse_spec, shape_of
from llmtrain_api.estimate import choice as choices
from llmtrain_api.estimate.memory import estimate
from llmtrain_api.estimate.zero_stage import limit
from llmtrain_api.generate.crd import custom_resource_definition
from llmtrain_operator.plan.resolved import resolve

GANG: dict[str, Any] = {"model": SEVEN_BILLION, "nodes": 2, "gpusPerNode": 8}


def large(memory: int, **training: Any) -> JobSpec:
    sizes = {"gpuMemory": f"{memory}Gi", "memory": "900Gi"}
    sections = GANG | {"resources": sizes}
    return unchecked_spec(**sections, training={"globalBatchSize": 128, "sequenceLength": 4096} | training)


def chosen(spec: JobSpec) -> tuple[bool, int, int]:
    """Whether activations are computed again, the stage, and sequences at once."""
    choice = choose(shape_of(spec), spec)
    return choice.checkpointing, choice.layout.zero, choice.micro_batch


def test_less_memory_costs_first_batch_then_stage_then_time() -> None:
    ways = [chosen(large(memory)) for memory in range(300, 12, -2)]
    assert ways[0] == (False, 1, 8), "32,768 tokens at once"
    assert {way[2] for way in ways if way[:2] == (False, 1)} == {8, 4, 2, 1}
    assert {way[:2] for way in ways} >= {(False, 1), (False, 2), (False, 3), (True, 3)}
    for before, after in pairwise(ways):
        assert (after[0], after[1], -after[2]) >= (before[0], before[1], -before[2])


def test_what_is_chosen_fits_or_the_job_is_refused() -> None:
    refused = 0
    for memory in range(10, 120, 5):
        spec = large(memory)
        choice = choose(shape_of(spec), spec)
        assert estimate(shape_of(spec), applied(choice, spec), choice.layout).peak == choice.need
        written = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if choice.need <= limit(spec):
            parse_spec(written, strict=True)
            continue
        refused += 1
        with pytest.raises(InvalidJob, match="1 sequence at once and activations computed again") as told:
            parse_spec(written, strict=True)
        assert "lower training.sequenceLength" in told.value.mistakes[0]
    assert 0 < refused < 5


@pytest.mark.parametrize(
    ("training", "way"),
    [
        ({"microBatchSize": 8}, (True, 2, 8)),
        ({"zeroStage": 1}, (True, 1, 1)),
        ({"activationCheckpointing": True}, (True, 2, 8)),
        ({"activationCheckpointing": False, "zeroStage": 1}, (False, 1, 1)),
        ({"microBatchSize": 64}, (False, 1, 8)),
    ],
)
def test_what_the_job_says_wins(training: dict[str, Any], way: tuple[bool, int, int]) -> None:
    memory = 300 if training == {"microBatchSize": 64} else 44
    spec = large(memory, **training)
    found = chosen(spec)
    for name, value in zip(("activationCheckpointing", "zeroStage"), found[:2], strict=True):
        assert training.get(name, value) == value
    assert found == way
    told = resolve(spec, shape_of(spec), "image")
    if "activationCheckpointing" in training:
        assert told.activation_checkpointing_reason is not None
        assert told.activation_checkpointing_reason.endswith(", as activationCheckpointing says")
    if training == {"microBatchSize": 8}:
        assert told.micro_batch_reason == "8, as microBatchSize says"


def test_each_choice_has_its_reason_with_numbers() -> None:
    plenty, little = (resolve(spec, shape_of(spec), "image") for spec in (large(300), large(30)))
    assert plenty.micro_batch_reason == "8: a rank has no more"
    assert plenty.activation_checkpointing is False
    assert plenty.activation_checkpointing_reason == "off: it fits without"
    assert little.activation_checkpointing is True
    assert little.activation_checkpointing_reason is not None
    assert little.activation_checkpointing_reason.startswith("on: without it a rank needs ")
    assert little.activation_checkpointing_reason.endswith(" of 28.0 GiB")
    spec = large(110)
    assert " at once need " in (resolve(spec, shape_of(spec), "image").micro_batch_reason or "")
    few = least_spec(training={"globalBatchSize": 2})
    assert resolve(few, shape_of(few), "image").micro_batch_reason == "2: a rank has no more"
    many = least_spec(training={"globalBatchSize": 64})
    assert resolve(many, shape_of(many), "image").micro_batch_reason == "8: more are no faster"


def test_passes_of_a_step_are_equally_full() -> None:
    assert chosen(least_spec(training={"globalBatchSize": 10})) == (False, 0, 5)
    assert chosen(least_spec(training={"globalBatchSize": 17})) == (False, 0, 6)


def test_a_pipeline_gets_more_and_smaller_passes() -> None:
    cut = {"parallelism": {"pipeline": 2}, "nodes": 2, "training": {"globalBatchSize": 16}}
    assert chosen(least_spec(**cut)) == (False, 1, 4)


def test_what_is_not_proven_is_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = large(30)
    assert chosen(spec)[0]
    monkeypatch.setattr(choices, "refusal", lambda asked: "no" if asked.checkpointing else None)
    assert not chosen(spec)[0]


def test_the_api_server_fills_nothing_in() -> None:
    """It would answer before anybody knows how large the model is."""
    [version] = custom_resource_definition()["spec"]["versions"]
    training = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["training"]
    for name in ("microBatchSize", "activationCheckpointing"):
        assert "default" not in training["properties"][name]
        assert name not in training["default"]
