"""What adapters may stand beside, what they cost, and how a job with them may be cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.jobs import manifest

from llmtrain_api import InvalidJob, JobSpec, Layout, parse_spec, shape_of
from llmtrain_api.estimate.adapters import adapter_tensors, targeted
from llmtrain_api.estimate.flops import sequence_flops
from llmtrain_api.estimate.memory import estimate
from llmtrain_api.families import FAMILIES, numbers_of
from llmtrain_api.layouts.proven import Asked, families, refusal, stages

LLAMA = {"name": "builtin://tiny-llama", "hiddenSize": 64, "numLayers": 3, "numHeads": 4, "numKvHeads": 2}


def spec(adapter: dict[str, Any] | None, /, **sections: Any) -> JobSpec:
    model = LLAMA | ({} if adapter is None else {"adapter": adapter})
    return parse_spec(manifest(model=model, **sections)["spec"], strict=True)


def test_absent_means_all_weights_and_present_has_defaults() -> None:
    assert spec(None).model.adapter is None
    adapter = spec({}).model.adapter
    assert adapter is not None
    assert (adapter.rank, adapter.alpha, adapter.targets, adapter.scale) == (16, 32, ["all-linear"], 2.0)


def test_numbers_are_rank_times_both_sides_of_each_matrix() -> None:
    asked = spec({"rank": 4, "targets": ["q_proj", "mlp.down_proj"]})
    assert asked.model.adapter is not None
    names = {one.name for one in targeted(shape_of(asked), asked.model.adapter.targets)}
    assert names == {"self_attn.q_proj", "mlp.down_proj"}
    found = numbers_of(adapter_tensors(shape_of(asked), asked.model.adapter))
    assert found == 3 * 4 * ((64 + 64) + (256 + 64))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_target_is_the_end_of_a_name_in_whole_parts(family: str) -> None:
    shape = shape_of(spec(None)).model_copy(update={"architecture": family})
    for one in FAMILIES[family].linears(shape):
        last = one.name.rpartition(".")[2]
        assert one in targeted(shape, [last])
        assert targeted(shape, [f"x{last}"]) == []


def test_frozen_weights_have_no_gradients_and_no_moments() -> None:
    """Under each stage: what is left is the weights, and for the adapters all of it."""
    full, small = spec(None), spec({"rank": 1, "targets": ["v_proj"]})
    shape, adapter = shape_of(small), small.model.adapter
    assert adapter is not None
    numbers = numbers_of(adapter_tensors(shape, adapter))
    for zero in (1, 2, 3):
        layout = Layout(data=2, zero=zero)
        all_, some = estimate(shape, full, layout), estimate(shape, small, layout)
        assert some.peak < all_.peak
        assert 0 < some.gradients + some.master + some.moments <= 4 * 4 * numbers
    one = estimate(shape, small, Layout(zero=0))
    assert one.weights == 4 * (shape.parameters + numbers)
    assert one.moments == 8 * numbers


def test_a_frozen_weight_costs_four_operations_a_token_and_an_adapter_six() -> None:
    asked = spec({"rank": 4})
    shape, adapter = shape_of(asked), asked.model.adapter
    assert adapter is not None
    embeddings = shape.vocabulary * shape.hidden
    numbers = numbers_of(adapter_tensors(shape, adapter))
    saved = 128 * (2 * (shape.parameters - embeddings) - 6 * numbers)
    assert sequence_flops(shape, 128) - sequence_flops(shape, 128, adapter) == saved


def test_only_rows_with_adapters_speak_for_adapters() -> None:
    row = {
        "family": "llama", "layout": "dp", "zero": 1, "packing": "concat", "checkpointing": False,
        "precision": "fp32", "verdict": "equal",
    }  # fmt: skip
    asked = Asked("llama", Layout(data=2), "concat", None, "fp32")
    adapted = replace(asked, adapter=True)
    assert refusal(asked, [row]) is None
    assert "llama with an adapter is not proven" in (refusal(adapted, [row]) or "")
    assert refusal(adapted, [row | {"adapter": True}]) is None
    assert "not proven" in (refusal(asked, [row | {"adapter": True}]) or "")


def test_rows_with_adapters_allow_no_cut_of_all_weights() -> None:
    assert "gpt2" not in families("tp")
    assert stages(compile_layers=True) == [0, 1, 2]


TENSOR, PIPELINE, SEQUENCE = ({"parallelism": {way: 2}} for way in ("tensor", "pipeline", "sequence"))
COMPILED = {"training": {"maxSteps": 2, "compile": True}}
HALF = {"training": {"maxSteps": 2, "precision": "fp16"}, "gpusPerNode": 1}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (TENSOR, r"spec.parallelism: tensor 2 with model.adapter: .*AutoTP.*use tensor 1"),
        (PIPELINE, r"spec.parallelism: pipeline 2 with model.adapter: .*stages.*use pipeline 1"),
        (SEQUENCE, r"spec.parallelism: llama with an adapter with sp .*not proven"),
        (COMPILED, r"spec.training.compile: .*llama with an adapter.*set compile"),
        (HALF, r"spec.parallelism: llama with an adapter with dp in fp16 is not proven .*use fp32"),
    ],
)
def test_what_is_not_proven_with_adapters_is_refused(sections: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidJob, match=said):
        spec({}, **sections)
