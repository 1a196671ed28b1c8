"""Tiny models of every head, and what is explained of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from harness.trainer.tiny_models import tokenizer

from llmtrain_trainer.explain.explanation import Compared, explain
from llmtrain_trainer.explain.kinds import Kind, kind_of
from llmtrain_trainer.explain.sample import of_text, room_of

TEXT = "Hello world, how are you? Fine."
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
T5 = {"d_model": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2, "d_kv": 16, "decoder_start_token_id": 0}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
GROUPED = SMALL | {"num_key_value_heads": 2}
MODELS: dict[str, tuple[str, dict[str, Any], Kind]] = {
    "LlamaForCausalLM": ("LlamaConfig", GROUPED, Kind.NEXT),
    "Qwen3ForCausalLM": ("Qwen3Config", GROUPED | {"head_dim": 8}, Kind.NEXT),
    "GPT2LMHeadModel": ("GPT2Config", GPT2, Kind.NEXT),
    "BertForMaskedLM": ("BertConfig", SMALL, Kind.HIDDEN),
    "T5ForConditionalGeneration": ("T5Config", T5, Kind.WRITTEN),
    "BertForSequenceClassification": ("BertConfig", SMALL | {"num_labels": 3}, Kind.CLASS),
    "LlamaForSequenceClassification": (
        "LlamaConfig",
        GROUPED | {"num_labels": 1, "pad_token_id": 0},
        Kind.NUMBER,
    ),
    "BertForTokenClassification": ("BertConfig", SMALL | {"num_labels": 3}, Kind.TAGS),
    "BertForQuestionAnswering": ("BertConfig", SMALL, Kind.PLACE),
}


@pytest.fixture(scope="session")
def words() -> Any:
    found = tokenizer()
    found.add_special_tokens({"mask_token": "<|mask|>", "pad_token": "<|endoftext|>"})
    return found


def made(name: str, words: Any) -> Any:
    torch.manual_seed(0)
    config, sizes, _ = MODELS[name]
    return getattr(transformers, name)(getattr(transformers, config)(vocab_size=len(words), **sizes)).eval()


def explained(name: str, words: Any, text: str = TEXT, compared: Compared | None = None) -> dict[str, Any]:
    model = made(name, words)
    sample = of_text(kind_of(model), words, text, "--text 1", room_of(model, words))
    return explain(model, words, [sample], compared or Compared())
