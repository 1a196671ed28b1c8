"""Which jobs compute attention document by document, and what it costs in memory where they do not."""

from __future__ import annotations

from typing import Any

import pytest
from harness.builders import cut_as, unchecked_spec

from llmtrain_api import JobSpec, Layout, shape_of
from llmtrain_api.estimate.activations import activations
from llmtrain_api.estimate.attention import block_extra, by_document, mask_bytes
from llmtrain_api.schema.base import changed
from llmtrain_api.schema.training import Packing

ONE = Layout(zero=0)
LENGTH = 4096
SIZES: dict[str, Any] = {"hiddenSize": 1024, "numLayers": 8, "numHeads": 16, "numKvHeads": 4}


def spec(name: str = "builtin://tiny-llama", **fields: Any) -> JobSpec:
    training = {"sequenceLength": LENGTH, "precision": "bf16", "globalBatchSize": 2, "microBatchSize": 2}
    sizes = SIZES if "gpt2" not in name else {one: SIZES[one] for one in SIZES if one != "numKvHeads"}
    asked = unchecked_spec(model=sizes | {"name": name}, training=training, **fields)
    return cut_as(asked, ONE, packing=Packing.DOCUMENTS)


@pytest.mark.parametrize("family", ["llama", "qwen", "gpt2"])
def test_whole_models_on_cpus_need_no_mask(family: str) -> None:
    job = spec(f"builtin://tiny-{family}")
    shape = shape_of(job)
    assert all(by_document(shape, job, Layout(data=2, tensor=t, zero=z)) for t in (1, 2) for z in (1, 3))
    assert mask_bytes(shape, job, ONE, 2) == 0
    assert block_extra(shape, job, ONE, 2) == 2 * 1024
    assert block_extra(shape, job, Layout(tensor=2), 2) == 1024


def test_gpus_compiled_layers_stages_and_windows_have_one() -> None:
    job = spec()
    shape = shape_of(job)
    others = [
        (shape, changed(job, gpus_per_node=1), ONE),
        (shape, cut_as(job, ONE, compile=True), ONE),
        (shape, job, Layout(pipeline=2)),
        (shape, job, Layout(sequence=2)),
        (changed(shape, switches=("window",)), job, ONE),
        (changed(shape, switches=("window:some",)), job, ONE),
        (changed(shape, architecture="Phi3ForCausalLM"), job, ONE),
    ]
    for one in others:
        assert not by_document(*one)
        assert mask_bytes(*one, 2) == 3 * LENGTH
        assert block_extra(*one, 2) == 2 * 2 * (1024 - 256)


def test_dialogues_are_kept_apart_too_and_other_rows_are_not() -> None:
    job = spec()
    shape, together = shape_of(job), cut_as(job, ONE, packing=Packing.CONCAT)
    assert not by_document(shape, together, ONE)
    assert mask_bytes(shape, together, ONE, 2) == block_extra(shape, together, ONE, 2) == 0
    dialogues = cut_as(spec(task="chat", dataset={"name": "pvc://data/rows"}), ONE, packing=Packing.CONCAT)
    assert by_document(shape, dialogues, ONE)


def test_the_mask_is_there_once_and_repeated_keys_in_every_block() -> None:
    job = changed(spec(), gpus_per_node=1)
    shape, tokens = shape_of(job), 2 * LENGTH
    plain = activations(shape, cut_as(job, ONE, packing=Packing.CONCAT), ONE)
    assert activations(shape, job, ONE) - plain == tokens * (3 * LENGTH + 8 * 2 * 2 * (1024 - 256))
