"""Shapes that are known before a model is looked at: right, and an early answer only."""

from __future__ import annotations

from typing import Any

import pytest
from harness.builders import least_spec
from harness.models.configs import CONFIGS

from llmtrain_api import shape_of_config
from llmtrain_api.catalogue import known_shape, table
from llmtrain_api.rules import early_mistake

PARAMETERS = {
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": 8_030_261_248,
    "FacebookAI/roberta-base": 124_697_433,
    "FacebookAI/roberta-large": 355_412_057,
    "google-bert/bert-base-uncased": 109_514_298,
    "google-t5/t5-base": 222_903_552,
    "google-t5/t5-large": 737_668_096,
    "google-t5/t5-small": 60_506_624,
    "google/gemma-2-27b": 27_227_128_320,
    "google/gemma-2-2b": 2_614_341_888,
    "google/gemma-2-9b": 9_241_705_984,
    "HuggingFaceTB/SmolLM2-1.7B": 1_711_376_384,
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
    "HuggingFaceTB/SmolLM2-360M": 361_821_120,
    "meta-llama/Llama-2-13b-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-hf": 68_976_648_192,
    "meta-llama/Llama-2-7b-chat-hf": 6_738_415_616,
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-1B-Instruct": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "meta-llama/Llama-3.2-3B-Instruct": 3_212_749_824,
    "meta-llama/Llama-3.3-70B-Instruct": 70_553_706_496,
    "meta-llama/Meta-Llama-3-70B": 70_553_706_496,
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "meta-llama/Meta-Llama-3-8B-Instruct": 8_030_261_248,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "microsoft/phi-4": 14_659_507_200,
    "mistralai/Mistral-7B-Instruct-v0.3": 7_248_023_552,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "mistralai/Mistral-Small-24B-Base-2501": 23_572_403_200,
    "openai-community/gpt2": 124_439_808,
    "openai-community/gpt2-large": 774_030_080,
    "openai-community/gpt2-medium": 354_823_168,
    "openai-community/gpt2-xl": 1_557_611_200,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768,
    "Qwen/Qwen2.5-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-1.5B-Instruct": 1_543_714_304,
    "Qwen/Qwen2.5-14B": 14_770_033_664,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "Qwen/Qwen2.5-3B": 3_085_938_688,
    "Qwen/Qwen2.5-3B-Instruct": 3_085_938_688,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "Qwen/Qwen3-14B": 14_768_307_200,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
}
"""Numbers of each model, as the headers of its published weights say; a tied matrix counts once."""


def named(name: str, **model: Any) -> Any:
    return least_spec(model={"name": name, **model})


def test_about_forty_repositories_are_known() -> None:
    assert table().keys() == PARAMETERS.keys()
    assert len(table()) >= 40


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_shape_has_as_many_numbers_as_were_published(name: str) -> None:
    shape = known_shape(named(name).model)
    assert shape is not None
    assert shape.parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", sorted(CONFIGS.keys() & PARAMETERS.keys()))
def test_a_shape_is_that_of_the_whole_configuration(name: str) -> None:
    assert known_shape(named(name).model) == shape_of_config(CONFIGS[name].config)


def test_what_may_be_another_model_is_not_known() -> None:
    assert known_shape(named("Qwen/Qwen2.5-7B", revision="main").model) is None
    assert known_shape(named("somebody/Qwen2.5-7B").model) is None
    assert known_shape(named("pvc://qwen/Qwen2.5-7B").model) is None
    assert known_shape(least_spec().model) is None


def test_a_mistake_is_told_with_the_way_out() -> None:
    name, long = "mistralai/Mistral-7B-v0.3", {"training": {"sequenceLength": 65_536}}
    told = early_mistake(least_spec(model={"name": name}, **long))
    assert told is not None
    assert told.startswith("spec.training.sequenceLength: sequenceLength 65536 is more than the 32768 pos")
    assert told.endswith("set model.revision, and it is looked at")
    assert early_mistake(least_spec(model={"name": name, "revision": "x"}, **long)) is None
    assert early_mistake(least_spec(model={"name": "somebody/else"}, **long)) is None
