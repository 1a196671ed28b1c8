"""What a job on rewards means: its sequences, its rate, and layouts whose ranks hold all weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.bad_manifests import reinforced
from harness.jobs import SEVEN_BILLION

from llmtrain_api import InvalidJob, JobSpec, Layout, Task, layout_of, parse_spec, shape_of
from llmtrain_api.estimate.choice import proof_asked
from llmtrain_api.estimate.memory import estimate
from llmtrain_api.layouts.proven import REINFORCEMENT, refusal, table


def spec(**fields: Any) -> JobSpec:
    return parse_spec(reinforced(**fields)["spec"], strict=True)


def large(memory: str, task: str = "reinforcement", **how: Any) -> JobSpec:
    training = {
        "precision": "bf16",
        "microBatchSize": 1,
        "globalBatchSize": 64,
        "activationCheckpointing": True,
    }
    fields = {
        "model": SEVEN_BILLION,
        "nodes": 2,
        "gpusPerNode": 8,
        "resources": {"gpuMemory": memory, "memory": "900Gi"},
    }
    if task == "causal":
        raw = reinforced(**fields)["spec"]
        del raw["task"]
        return parse_spec(raw | {"training": training}, strict=True)
    return spec(training=training, how={"groupSize": 2, **how}, **fields)


def test_a_sample_is_a_group_of_answers() -> None:
    asked = spec(how={"groupSize": 5, "maxNewTokens": 20, "iterations": 3})
    assert (asked.task, asked.sequences_a_sample) == (Task.REINFORCEMENT, 5)
    assert (asked.answer_tokens, asked.updates_a_step) == (20, 3)
    assert JobSpec.model_validate(asked.to_json(), extra="forbid") == asked


def test_a_reward_that_compares_asks_for_right_answers() -> None:
    def needs(*rewards: dict[str, Any]) -> bool:
        how = parse_spec(reinforced(*rewards)["spec"], strict=True).training.reinforcement
        assert how is not None
        return how.needs_answers

    assert needs({"kind": "json"}, {"kind": "exact"})
    assert needs({"kind": "contains"})
    assert not needs({"kind": "json"}, {"kind": "contains", "text": "a"})


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        ({"name": "builtin://tiny-llama"}, 1e-3),
        ({"name": "pvc://models/llama"}, 1e-6),
        ({"name": "pvc://models/llama", "adapter": {"rank": 4}}, 1e-5),
    ],
)
def test_a_model_that_exists_learns_slowly(model: dict[str, Any], rate: float) -> None:
    assert spec(model=model).training.learning_rate == rate


def test_weights_are_never_sharded_however_little_memory_there_is() -> None:
    other, asked = large("20Gi", "causal"), large("40Gi")
    assert layout_of(shape_of(other), other).zero == 3
    assert layout_of(shape_of(asked), asked).zero == 2
    with pytest.raises(InvalidJob, match="even with ZeRO stage 2"):
        large("20Gi")


@pytest.mark.parametrize("adapter", [{}, {"adapter": {"rank": 4}}], ids=["weights", "adapter"])
@pytest.mark.parametrize("zero", [0, 1, 2])
def test_the_table_has_rows_of_each_stage(zero: int, adapter: dict[str, Any]) -> None:
    asked = spec(model={"name": "builtin://tiny-llama"} | adapter)
    wanted = proof_asked(shape_of(asked), asked, Layout(data=1 if zero == 0 else 2, zero=zero))
    assert wanted.packing == REINFORCEMENT
    assert refusal(wanted) is None
    others = [row for row in table() if row["packing"] != REINFORCEMENT and row["family"] == "llama"]
    without = [row for row in others if bool(row.get("adapter")) == bool(adapter)]
    assert refusal(replace(wanted, packing="nothing"), without) is not None


def test_the_model_that_is_compared_with_is_held_too() -> None:
    without, beside = large("80Gi"), large("80Gi", beta=0.1)
    shape, layout = shape_of(without), Layout(data=16, zero=2)
    more = estimate(shape, beside, layout).peak - estimate(shape, without, layout).peak
    assert more == 2 * shape.parameters  # bf16
