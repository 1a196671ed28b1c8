"""What is read from a ``config.json`` is what transformers build from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import transformers
from harness.builders import unchecked_spec
from harness.models.configs import CONFIGS
from transformers.initialization import no_init_weights

from llmtrain_api import (
    BuiltinModel,
    InvalidModel,
    StoredTensor,
    TokenizerFacts,
    changed,
    facts_of,
    shape_of,
    shape_of_config,
)
from llmtrain_trainer.models.build import configuration


def meta_model(config: dict[str, Any], dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """The model that transformers make of a configuration, without memory."""
    made = getattr(transformers, config["architectures"][0])
    with torch.device("meta"), no_init_weights():
        model: torch.nn.Module = made._from_config(made.config_class(**config), dtype=dtype)
    model.tie_weights()  # type: ignore[operator]
    return model


def headers_of(config: dict[str, Any]) -> dict[str, StoredTensor]:
    """The headers of the file that transformers would save."""
    model = meta_model(config, torch.bfloat16)
    return {name: StoredTensor("BF16", tuple(p.shape)) for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_of_a_published_model_is_counted(name: str) -> None:
    published = CONFIGS[name]
    built = sum(p.numel() for p in meta_model(published.config).parameters())
    assert built == published.parameters
    shape = shape_of_config(published.config)
    assert (shape.parameters, shape.switches) == (built, published.switches)


@pytest.mark.parametrize("name", CONFIGS)
def test_facts_of_a_published_model(name: str) -> None:
    published = CONFIGS[name]
    headers = headers_of(published.config)
    tokenizer = TokenizerFacts(vocabulary=9, chat_template=True)
    facts = facts_of(published.config, headers, revision="ab" * 20, tokenizer=tokenizer)
    assert (facts.revision, facts.tokenizer) == ("ab" * 20, tokenizer)
    assert (facts.stored, facts.weight_bytes) == ("BF16", 2 * published.parameters)
    again = facts_of(published.config | {"torch_dtype": "float32"}, headers)
    assert again.digest != facts.digest
    random = facts_of(published.config, None)
    assert (random.stored, random.weight_bytes, random.shape) == (None, None, facts.shape)


@pytest.mark.parametrize("name", BuiltinModel)
@pytest.mark.parametrize("sizes", [{}, {"numKvHeads": 2, "tiedEmbeddings": True, "intermediateSize": 96}])
def test_a_built_in_model_has_the_shape_that_its_own_configuration_says(
    name: BuiltinModel, sizes: dict[str, Any]
) -> None:
    if name not in (BuiltinModel.TINY_LLAMA, BuiltinModel.TINY_QWEN):
        sizes = {"intermediateSize": 96}
    spec = unchecked_spec(model={"name": name, **sizes}, training={"sequenceLength": 64})
    shape = shape_of(spec)
    config = json.loads(configuration(shape, 0).to_json_string(use_diff=False))
    found = shape_of_config(config | {"architectures": [shape.architecture]})
    # T5 knows distances only; the others' limit is the length of a sequence
    assert changed(found, positions=64) == shape


LLAMA = CONFIGS["meta-llama/Llama-3.1-8B"].config
BERT = CONFIGS["google-bert/bert-base-uncased"].config
T5 = CONFIGS["google-t5/t5-small"].config
BART = CONFIGS["facebook/bart-base"].config
GPT2 = CONFIGS["openai-community/gpt2"].config
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown architecture": (
        {"architectures": ["MixtralForCausalLM"]},
        "'MixtralForCausalLM' is not one that",
    ),
    "another head": ({"architectures": ["LlamaForQuestionAnswering"]}, "is not one that can be trained"),
    "no architecture": ({"architectures": None, "model_type": None}, "is not one that can be trained"),
    "architectures that are no names": ({"architectures": [{}], "model_type": 3}, "is not one that can be"),
    "no layers": ({"num_hidden_layers": None}, "num_hidden_layers is None; it must be a whole number from 1"),
    "half a layer": ({"num_hidden_layers": 1.5}, "num_hidden_layers is 1.5"),
    "no number": ({"hidden_size": "4096"}, "hidden_size is '4096'"),
    "yes": ({"hidden_size": True}, "hidden_size is True"),
    "negative": ({"vocab_size": -1}, "vocab_size is -1"),
    "far too large": ({"intermediate_size": 1 << 60}, "intermediate_size is 1152921504606846976"),
    "activation": ({"hidden_act": ["silu"]}, "hidden_act is ['silu']; it must be a short text"),
    "quantised": ({"quantization_config": {"bits": 4}}, "the weights are quantised"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_configuration_that_cannot_be_trained_is_one_sentence(name: str) -> None:
    change, said = BAD[name]
    with pytest.raises(InvalidModel) as refused:
        shape_of_config(LLAMA | change)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_encoder_that_decodes_and_a_t5_of_unequal_sides_are_refused() -> None:
    with pytest.raises(InvalidModel, match="is_decoder is true"):
        shape_of_config(BERT | {"is_decoder": True})
    with pytest.raises(InvalidModel, match="num_decoder_layers is 2; only T5 with 6"):
        shape_of_config(T5 | {"num_decoder_layers": 2})
    with pytest.raises(InvalidModel, match="relative_attention_num_buckets is 64; only T5 with 32"):
        shape_of_config(T5 | {"relative_attention_num_buckets": 64})
    with pytest.raises(InvalidModel, match="tie_word_embeddings is false"):
        shape_of_config(T5 | {"tie_word_embeddings": False})


def test_a_bart_of_unequal_sides_is_refused_and_a_scaled_one_is_other_code() -> None:
    for name, more in (("layers", 12), ("attention_heads", 6), ("ffn_dim", 4096)):
        with pytest.raises(InvalidModel, match=f"decoder_{name} is {more}; only BART with "):
            shape_of_config(BART | {f"decoder_{name}": more})
    with pytest.raises(InvalidModel, match="only BART with tied embeddings"):
        shape_of_config(BART | {"tie_word_embeddings": False})
    assert shape_of_config(BART | {"scale_embedding": True}).switches == ("scale-embedding", "tied")


def test_files_of_a_bart_may_hold_its_embeddings_again_and_its_constant() -> None:
    table = StoredTensor("F32", (50265, 768))
    more = {f"model.{side}.embed_tokens.weight": table for side in ("encoder", "decoder")}
    more |= {"lm_head.weight": table, "final_logits_bias": StoredTensor("F32", (1, 50265))}
    assert facts_of(BART, headers_of(BART) | more).shape == shape_of_config(BART)


def test_a_model_without_a_head_is_read_as_the_one_that_gets_one() -> None:
    for name in ("BertModel", "BertForPreTraining"):
        assert shape_of_config(BERT | {"architectures": [name]}) == shape_of_config(BERT)


def test_weights_of_another_model_are_refused_with_both_numbers() -> None:
    small = LLAMA | {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "vocab_size": 512}
    small |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    right = headers_of(small)
    for change, said in (
        ({"vocab_size": 513}, r"the embeddings are \[512, 64\], and config.json says 513 entries of 64"),
        ({"num_hidden_layers": 3}, "they hold 2 blocks, and config.json says 3"),
        ({"intermediate_size": 129}, "they hold 139,584 numbers, .* has 139,968"),
    ):
        with pytest.raises(InvalidModel, match=said):
            facts_of(small | change, right)
    with pytest.raises(InvalidModel, match=r"model.norm.weight is stored as U8; use weights in one of F64"):
        facts_of(small, right | {"model.norm.weight": StoredTensor("U8", (64,))})
    with pytest.raises(InvalidModel, match="they hold 0 blocks"):
        facts_of(small, {})


def test_what_files_hold_beside_weights_does_not_count() -> None:
    headers = headers_of(GPT2) | {"h.0.attn.bias": StoredTensor("U8", (1, 1, 1024, 1024))}
    headers |= {"lm_head.weight": StoredTensor("F32", (50257, 768))}
    assert facts_of(GPT2, headers).shape.parameters == 124_439_808
    more = {"bert.pooler.dense.weight": StoredTensor("F32", (768, 768))}
    assert facts_of(BERT, headers_of(BERT) | more).shape.parameters == 109_514_298
