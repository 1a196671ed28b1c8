"""GPT-2."""

from __future__ import annotations

from typing import Any

import transformers

from llmtrain_api import ModelShape

from .base import TrainedFamily


def sizes(shape: ModelShape) -> dict[str, Any]:
    """Fields of its configuration."""
    return {
        "n_embd": shape.hidden,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_inner": shape.width,
        "n_positions": shape.positions,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "pad_token_id": None,
    }


GPT2 = TrainedFamily(config=transformers.GPT2Config, sizes=sizes)
