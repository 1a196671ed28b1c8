"""T5."""

from __future__ import annotations

from typing import Any

import transformers

from llmtrain_api import ModelShape

from ...special_tokens import OURS
from .base import TrainedFamily


def sizes(shape: ModelShape) -> dict[str, Any]:
    """Fields of its configuration. Positions are relative."""
    return {
        "d_model": shape.hidden,
        "d_kv": shape.head_size,
        "d_ff": shape.width,
        "num_layers": shape.layers,
        "num_heads": shape.heads,
        "dropout_rate": 0.0,
        "pad_token_id": OURS.pad,
        "decoder_start_token_id": OURS.pad,
    }


T5 = TrainedFamily(config=transformers.T5Config, sizes=sizes)
