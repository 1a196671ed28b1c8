"""Micro-batch, checkpointing and ZeRO stage where a job leaves them open: one order, each with a reason."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from harness.builders import least_spec, unchecked_spec
from harness.jobs import SEVEN_BILLION

from llmtrain_api import InvalidJob, JobSpec, Layout, Recompute, applied, choose, parse_spec, shape_of
from llmtrain_api.estimate import choice as choices
from llmtrain_api.estimate.activations import activations, head_loss_bytes, loss_bytes
from llmtrain_api.estimate.memory import estimate
from llmtrain_api.estimate.zero_stage import limit, said
from llmtrain_api.generate.crd import custom_resource_definition
from llmtrain_api.layouts.proven import Asked, refusal
from llmtrain_operator.plan.resolved import resolve

GANG: dict[str, Any] = {"model": SEVEN_BILLION, "nodes": 2, "gpusPerNode": 8}


def large(memory: int, **training: Any) -> JobSpec:
    sizes = {"gpuMemory": f"{memory}Gi", "memory": "900Gi"}
    sections = GANG | {"resources": sizes}
    return unchecked_spec(**sections, training={"globalBatchSize": 128, "sequenceLength": 4096} | training)


def chosen(spec: JobSpec) -> tuple[Recompute | None, int, int]:
    """Which activations are computed again, the stage, and sequences at once."""
    choice = choose(shape_of(spec), spec)
    return choice.recompute, choice.layout.zero, choice.micro_batch


def test_less_memory_costs_first_batch_then_stage_then_time() -> None:
    ways = [chosen(large(memory)) for memory in range(300, 12, -2)]
    assert ways[0] == (None, 1, 8), "32,768 tokens at once"
    assert {way[2] for way in ways if way[:2] == (None, 1)} == {8, 4, 2, 1}
    order = [None, Recompute.SELECTIVE, Recompute.FULL]
    assert {way[:2] for way in ways} >= {(None, 1), (None, 2), (None, 3), (order[1], 3), (order[2], 3)}
    for before, after in pairwise((order.index(again), stage, -micro) for again, stage, micro in ways):
        assert after >= before


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
        ({"microBatchSize": 8}, ("full", 2, 8)),
        ({"zeroStage": 1}, ("full", 1, 1)),
        ({"activationCheckpointing": True}, ("full", 2, 8)),
        ({"activationCheckpointing": True, "activationCheckpointingMode": "selective"}, ("selective", 2, 1)),
        ({"activationCheckpointingMode": "selective"}, ("selective", 2, 1)),
        ({"activationCheckpointing": False, "zeroStage": 1}, (None, 1, 1)),
        ({"microBatchSize": 64}, (None, 1, 8)),
    ],
)
def test_what_the_job_says_wins(training: dict[str, Any], way: tuple[str | None, int, int]) -> None:
    memory = 300 if training == {"microBatchSize": 64} else 44
    spec = large(memory, **training)
    found = chosen(spec)
    assert training.get("zeroStage", found[1]) == found[1]
    assert found == way
    told = resolve(spec, shape_of(spec), "image")
    assert told.activation_checkpointing == (way[0] is not None)
    assert told.activation_checkpointing_mode == way[0]
    if written := [name for name in training if name.startswith("activation")]:
        assert told.activation_checkpointing_reason == f"{way[0] or 'off'}, as {written[-1]} says"
    if training == {"microBatchSize": 8}:
        assert told.micro_batch_reason == "8, as microBatchSize says"


def test_each_choice_has_its_reason_with_numbers() -> None:
    plenty, some, little = (
        resolve(spec, shape_of(spec), "image") for spec in (large(300), large(34), large(22))
    )
    assert plenty.micro_batch_reason == "8: a rank has no more"
    assert (plenty.activation_checkpointing, plenty.activation_checkpointing_mode) == (False, None)
    assert plenty.activation_checkpointing_reason == "off: it fits without"
    for told, mode, before in ((some, "selective", "without it"), (little, "full", "with selective")):
        assert told.activation_checkpointing is True
        assert told.activation_checkpointing_mode == mode
        assert told.activation_checkpointing_reason is not None
        assert told.activation_checkpointing_reason.startswith(f"{mode}: {before} a rank needs ")
        assert told.activation_checkpointing_reason.endswith(" GiB")
    spec = large(110)
    assert " at once need " in (resolve(spec, shape_of(spec), "image").micro_batch_reason or "")
    few = least_spec(training={"globalBatchSize": 2})
    assert resolve(few, shape_of(few), "image").micro_batch_reason == "2: a rank has no more"
    many = least_spec(training={"globalBatchSize": 64})
    assert resolve(many, shape_of(many), "image").micro_batch_reason == "8: more are no faster"


def test_passes_of_a_step_are_equally_full() -> None:
    assert chosen(least_spec(training={"globalBatchSize": 10})) == (None, 0, 5)
    assert chosen(least_spec(training={"globalBatchSize": 17})) == (None, 0, 6)


def test_a_pipeline_gets_more_and_smaller_passes() -> None:
    cut = {"parallelism": {"pipeline": 2}, "nodes": 2, "training": {"globalBatchSize": 16}}
    assert chosen(least_spec(**cut)) == (None, 1, 4)


def test_what_is_not_proven_is_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = large(30)
    assert chosen(spec)[0]
    monkeypatch.setattr(choices, "refusal", lambda asked: "no" if asked.recompute == "selective" else None)
    assert chosen(spec)[0] is Recompute.FULL
    monkeypatch.setattr(choices, "refusal", lambda asked: "no" if asked.recompute else None)
    assert chosen(spec)[0] is None


def test_selective_is_proven_stage_by_stage() -> None:
    row = {"family": "llama", "layout": "dp", "packing": "concat", "precision": "fp32", "verdict": "equal"}
    plain = [row | {"zero": zero, "checkpointing": False} for zero in (1, 3)]
    rows = [*plain, row | {"zero": 1, "checkpointing": True, "selective": True}]
    asked = Asked("llama", Layout(data=2, zero=3), "concat", None, "fp32")
    assert refusal(asked, rows) is None
    once_more = replace(asked, recompute="selective")
    assert "selective in ZeRO stage 3 is not proven" in (refusal(once_more, rows) or "")
    assert refusal(replace(once_more, layout=Layout(data=2)), rows) is None
    assert "activationCheckpointing full is not proven" in (
        refusal(replace(asked, recompute="full"), rows) or ""
    )


def test_chunked_logits_need_what_the_formula_says_less() -> None:
    tokens, sized = 8 * 4096, {"microBatchSize": 8, "precision": "bf16"}
    specs = [large(300, chunkedLogits=chunked, **sized) for chunked in (False, True)]
    shape = shape_of(specs[0])
    whole, few = (activations(shape, spec, Layout(data=16)) for spec in specs)
    chunked = head_loss_bytes(tokens, shape.vocabulary, shape.hidden, 2, trained=True)
    assert whole - few == loss_bytes(tokens * shape.vocabulary, 2) - chunked > 0


WORDS: dict[str, Any] = {
    "model": SEVEN_BILLION
    | {"hiddenSize": 1024, "numHeads": 16, "vocabSize": 128_256, "intermediateSize": 4096},
    "training": {"globalBatchSize": 8, "sequenceLength": 16_384},
}
"""A job whose logits need most."""


def wordy(memory: int, *, gpus: int = 8, **training: Any) -> JobSpec:
    sizes = {"gpuMemory": f"{memory}Gi", "memory": "900Gi"}
    told = {"training": WORDS["training"] | training}
    return unchecked_spec(**WORDS | told, gpusPerNode=gpus, resources=sizes)


def test_logits_are_chunked_where_whole_ones_do_not_fit_and_before_activations_are_computed_again() -> None:
    found = [(choose(shape_of(spec), spec), spec) for spec in map(wordy, range(80, 6, -1))]
    order = [(again, chunked) for again in (None, *Recompute) for chunked in (False, True)]
    ways = [(one.recompute, one.chunked) for one, spec in found if one.need <= limit(spec)]
    assert ways[0] == (None, False)
    assert {(None, True), (Recompute.SELECTIVE, True)} <= set(ways)
    assert [order.index(way) for way in ways] == sorted(order.index(way) for way in ways)
    for one, spec in found:
        assert applied(one, spec).training.chunked_logits is one.chunked
        told = resolve(spec, shape_of(spec), "image")
        assert told.chunked_logits is one.chunked
        reason = told.chunked_logits_reason or ""
        if one.chunked:
            assert reason.startswith("on: with whole logits a rank needs ")
            assert reason.endswith(f" of {said(limit(spec))}")
            whole = estimate(shape_of(spec), applied(replace(one, chunked=False), spec), one.layout)
            assert whole.peak > limit(spec)
        elif one.need <= limit(spec):
            assert reason == "off: whole logits fit"


def chunking() -> int:
    """Memory with which logits are chunked and no activations are computed again."""
    return next(
        memory
        for memory in range(80, 6, -1)
        for spec in [wordy(memory)]
        if choose(shape_of(spec), spec).chunked and choose(shape_of(spec), spec).recompute is None
    )


def test_a_job_that_says_how_logits_are_made_gets_that() -> None:
    memory = chunking()
    for asked in (False, True):
        spec = wordy(memory, chunkedLogits=asked)
        choice = choose(shape_of(spec), spec)
        assert choice.chunked is asked
        assert choice.why_chunked == f"{'on' if asked else 'off'}, as chunkedLogits says"


def test_chunks_that_are_not_proven_or_not_for_a_job_are_never_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = wordy(10)
    for field in ({"parallelism": {"tensor": 2}}, {"evaluation": {"only": True}}):
        other = unchecked_spec(**WORDS | field, gpusPerNode=8, resources={"gpuMemory": "10Gi"})
        assert not choose(shape_of(other), other).chunked
    few = wordy(chunking())
    assert choose(shape_of(spec), spec).chunked
    monkeypatch.setattr(choices, "refusal", lambda asked: "no" if asked.chunked else None)
    for one in (spec, few):
        choice = choose(shape_of(one), one)
        assert not choice.chunked
        assert choice.why_chunked in ("off: whole logits fit", "off: it does not help, or is not proven")


def test_only_rows_with_chunked_logits_speak_for_them_stage_by_stage() -> None:
    row = {"family": "llama", "layout": "dp", "packing": "concat", "precision": "fp32", "verdict": "equal"}
    plain, own = ([row | {"zero": zero, "checkpointing": False} for zero in (1, 2)], {"chunkedLogits": True})
    asked = Asked("llama", Layout(data=2, zero=2), "concat", None, "fp32", chunked=True)
    assert "chunkedLogits in ZeRO stage 2 is not proven" in (refusal(asked, plain) or "")
    assert "chunkedLogits in ZeRO" in (refusal(asked, [*plain, plain[0] | own]) or "")
    assert "chunkedLogits in ZeRO" in (refusal(asked, [*plain, plain[1] | own | {"adapter": True}]) or "")
    assert refusal(asked, [*plain, plain[1] | own]) is None
    assert "not proven" in (refusal(replace(asked, chunked=False), [plain[1] | own]) or "")


def test_the_api_server_fills_nothing_in() -> None:
    """It would answer before anybody knows how large the model is."""
    [version] = custom_resource_definition()["spec"]["versions"]
    training = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["training"]
    for name in ("microBatchSize", "activationCheckpointing", "activationCheckpointingMode"):
        assert "default" not in training["properties"][name]
        assert name not in training["default"]
