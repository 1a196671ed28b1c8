"""BERT."""

from __future__ import annotations

from typing import Any

import transformers

from llmtrain_api import ModelShape

from .base import TrainedFamily


def sizes(shape: ModelShape) -> dict[str, Any]:
    """Fields of its configuration."""
    return {
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.width,
        "max_position_embeddings": shape.positions,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": None,
    }


BERT = TrainedFamily(config=transformers.BertConfig, sizes=sizes)
