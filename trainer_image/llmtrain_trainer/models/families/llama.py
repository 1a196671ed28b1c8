"""Llama."""

from __future__ import annotations

from typing import Any

import transformers
from transformers.models.llama import modeling_llama as llama

from llmtrain_api import ModelShape

from .base import PipelineLayers, TrainedFamily


def sizes(shape: ModelShape) -> dict[str, Any]:
    """Fields of its configuration."""
    return {
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.width,
        "head_dim": shape.head_size,
        "tie_word_embeddings": shape.tied,
        "max_position_embeddings": shape.positions,
        "pad_token_id": None,
    }


LLAMA = TrainedFamily(
    config=transformers.LlamaConfig,
    sizes=sizes,
    stages=PipelineLayers(llama.LlamaDecoderLayer, llama.LlamaRMSNorm, llama.LlamaRotaryEmbedding),
)
