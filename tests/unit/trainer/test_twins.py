"""A model's tiny twin: the same class and switches, in sizes that are proven in seconds."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
from harness.models.configs import CONFIGS

from llmtrain_api import InvalidModel, shape_of_config
from llmtrain_api.twin import WINDOW, shrink


@pytest.mark.parametrize("name", CONFIGS)
def test_a_twin_runs_the_same_code_in_tiny_sizes(name: str) -> None:
    config = CONFIGS[name].config
    before = copy.deepcopy(config)
    twin = shrink(config)
    assert config == before
    whole, small = shape_of_config(config), shape_of_config(twin)
    assert (small.architecture, small.switches) == (whole.architecture, whole.switches)
    assert small.parameters <= 1_000_000
    assert (small.kv_heads == small.heads) == (whole.kv_heads == whole.heads)
    assert (small.query_width == small.hidden) == (whole.query_width == whole.hidden)
    torch.manual_seed(0)
    made = getattr(transformers, config["architectures"][0])
    model = made(made.config_class(**twin)).eval()
    assert sum(p.numel() for p in model.parameters()) == small.parameters
    ids = torch.arange(16)[None] + 40
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if "T5" in made.__name__ else {})
    with torch.no_grad():
        assert bool(model(**inputs).logits.isfinite().all())


def test_what_a_twin_keeps_acts_in_its_sizes() -> None:
    assert shrink(CONFIGS["mistralai/Mistral-7B-v0.1"].config)["sliding_window"] == WINDOW
    assert shrink(CONFIGS["mistralai/Mistral-7B-v0.3"].config)["sliding_window"] is None
    rope = shrink(CONFIGS["meta-llama/Llama-3.1-8B"].config)["rope_scaling"]
    assert (rope["rope_type"], rope["original_max_position_embeddings"]) == ("llama3", 16)
    assert shrink(CONFIGS["openai-community/gpt2"].config)["resid_pdrop"] == 0.0
    assert shrink(CONFIGS["microsoft/Phi-3-mini-4k-instruct"].config)["pad_token_id"] is None
    assert shrink(CONFIGS["FacebookAI/roberta-base"].config)["pad_token_id"] == 1


def test_layers_of_each_kind_stay_and_factors_fit_the_twins_heads() -> None:
    qwen: dict[str, Any] = CONFIGS["Qwen/Qwen3-8B"].config
    kinds = ["full_attention"] * 20 + ["sliding_attention"] * 16
    twin = shrink(qwen | {"layer_types": kinds, "use_sliding_window": True, "sliding_window": 4096})
    assert twin["layer_types"] == ["full_attention", "sliding_attention"]
    phi: dict[str, Any] = CONFIGS["microsoft/Phi-3-mini-4k-instruct"].config
    long = {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48}
    assert shrink(phi | {"rope_scaling": long})["rope_scaling"]["long_factor"] == [2.0] * 4


def test_what_cannot_be_trained_has_no_twin() -> None:
    with pytest.raises(InvalidModel, match="'MixtralForCausalLM' is not one that can be trained"):
        shrink({"architectures": ["MixtralForCausalLM"]})
