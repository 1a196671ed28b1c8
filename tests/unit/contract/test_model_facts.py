"""What the contract says of a model: its name, what identifies it, and what an inspection may tell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness.builders import job_file, least_spec
from pydantic import ValidationError

from llmtrain_api import FACTS_LIMIT, JobFile, Layout, ModelFacts, ModelSpec, Weights, changed, shape_of
from llmtrain_api.rules import layout_mistake, mistake

LARGEST = 1 << 24
SHAPE: dict[str, Any] = {
    "architecture": "LlamaForCausalLM",
    "switches": ["tied"],
    "hidden": 4096,
    "layers": 32,
    "heads": 32,
    "kvHeads": 8,
    "headSize": 128,
    "width": 14336,
    "vocabulary": 128256,
    "positions": 8192,
    "parameters": 8_030_261_248,
}
FACTS: dict[str, Any] = {"shape": SHAPE, "digest": "0" * 64, "stored": "BF16", "weightBytes": 16_060_522_496}


@pytest.mark.parametrize(
    "name",
    ["Qwen/Qwen2.5-7B", "pvc://models/llama", "pvc://models", "file:///models/llama", "s3://bucket/llama/3"],
)
def test_a_model_may_lie_in_a_folder_a_bucket_or_the_hub(name: str) -> None:
    spec = least_spec(model={"name": name})
    assert spec.model.builtin is None
    assert spec.model.pretrained
    assert not least_spec(model={"name": name, "weights": "random"}).model.pretrained
    with pytest.raises(ValueError, match="its inspection says its shape"):
        shape_of(spec)


def test_rules_over_sizes_wait_for_the_shape_and_then_speak_of_the_models_own_fields() -> None:
    spec = least_spec(model={"name": "a/b"}, processesPerNode=3, parallelism={"tensor": 3})
    assert mistake(spec) is None
    facts = ModelFacts.model_validate(FACTS)
    said = mistake(spec, facts.shape) or ""
    heads = "num_attention_heads of its config.json 32"
    assert said.startswith(f"spec.parallelism: tensor 3 does not divide {heads}")


def test_a_sequence_longer_than_the_model_is_refused_with_both_numbers() -> None:
    shape = ModelFacts.model_validate(FACTS).shape
    spec = least_spec(
        model={"name": "a/b"}, training={"sequenceLength": 8193}, resources={"memory": "1900Gi"}
    )
    said = mistake(spec, shape) or ""
    assert said.startswith(
        "spec.training.sequenceLength: sequenceLength 8193 is more than the 8192 positions"
    )
    assert mistake(spec, changed(shape, positions=8193, switches=())) is None


def test_a_model_that_no_proof_speaks_of_may_only_what_does_not_depend_on_its_code() -> None:
    known = changed(ModelFacts.model_validate(FACTS).shape, switches=())
    other = changed(known, switches=("activation:relu",))
    spec = least_spec(model={"name": "a/b"}, processesPerNode=2)
    for layout in (Layout(), Layout(zero=0), Layout(data=2), Layout(data=2, zero=2)):
        assert layout_mistake(changed(spec, processes_per_node=layout.world), other, layout) is None
    for layout, why in (
        (Layout(tensor=2), "layout tp"),
        (Layout(pipeline=2), "layout pp"),
        (Layout(sequence=2), "layout sp"),
        (Layout(data=2, zero=3), "ZeRO stage 3"),
    ):
        said = layout_mistake(spec, other, layout) or ""
        assert f"{why} depends on the code of its layers; use data parallelism with ZeRO 1 or 2" in said
        assert "llama activation:relu" in said
        assert layout_mistake(spec, known, layout) is None
    adapted = least_spec(model={"name": "a/b", "adapter": {"rank": 2}}, processesPerNode=2)
    assert layout_mistake(adapted, other, Layout(data=2, zero=2)) is None
    assert "with an adapter" in (layout_mistake(adapted, other, Layout(data=2, zero=3)) or "")
    for training, why in (({"packing": "documents"}, "packing documents"), ({"compile": True}, "compiled")):
        asked = least_spec(model={"name": "a/b"}, processesPerNode=2, training=training)
        assert why in (layout_mistake(asked, other, Layout(data=2)) or "")


def test_what_identifies_a_model_is_the_same_in_every_version() -> None:
    assert ModelSpec(name="builtin://tiny-llama").identity() == {
        "name": "builtin://tiny-llama",
        "hiddenSize": 128,
        "numLayers": 4,
        "numHeads": 4,
        "vocabSize": 2048,
        "tiedEmbeddings": False,
    }
    small = ModelSpec(name="builtin://tiny-qwen", num_heads=8, num_kv_heads=2, weights=Weights.RANDOM)
    assert small.identity()["numHeads"] == 8
    assert small.identity()["numKvHeads"] == 2
    assert "weights" not in small.identity()
    own = ModelSpec(name="a/b", revision="main", secret="token", weights=Weights.RANDOM)
    assert own.identity() == {"name": "a/b", "revision": "main", "weights": "random"}


def test_the_largest_facts_fit_into_a_termination_message() -> None:
    shape = dict.fromkeys(SHAPE, LARGEST) | {
        "architecture": "T5ForConditionalGeneration",
        "switches": [f"{number:040d}" for number in range(16)],
        "parameters": 2**53,
    }
    facts = ModelFacts.model_validate(
        {
            "shape": shape,
            "revision": "f" * 40,
            "stored": "F8_E4M3",
            "weightBytes": 2**53,
            "tokenizer": {"vocabulary": LARGEST, "chatTemplate": True},
            "digest": "f" * 64,
        }
    )
    assert len(json.dumps(facts.to_json())) <= FACTS_LIMIT
    job = job_file(least_spec(), model=facts)
    assert JobFile.model_validate_json(job.model_dump_json(by_alias=True)).model == facts


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "x"},
        {"digest": "../../etc/passwd"},
        {"revision": "main; rm"},
        {"weightBytes": -1},
        {"weightBytes": 2**60},
        {"stored": "x" * 99},
        {"shape": SHAPE | {"hidden": 0}},
        {"shape": SHAPE | {"layers": LARGEST + 1}},
        {"shape": SHAPE | {"architecture": "x" * 65}},
        {"shape": SHAPE | {"switches": ["tied"] * 17}},
        {"shape": SHAPE | {"switches": ["x" * 41]}},
        {"tokenizer": {"vocabulary": 0, "chatTemplate": False}},
    ],
    ids=str,
)
def test_facts_out_of_bounds_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelFacts.model_validate(FACTS | change)
