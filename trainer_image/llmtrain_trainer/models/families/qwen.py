"""Qwen3: its configuration has the fields of Llama's."""

from __future__ import annotations

import transformers
from transformers.models.qwen3 import modeling_qwen3 as qwen3

from .base import PipelineLayers, TrainedFamily
from .llama import sizes

QWEN = TrainedFamily(
    config=transformers.Qwen3Config,
    sizes=sizes,
    stages=PipelineLayers(qwen3.Qwen3DecoderLayer, qwen3.Qwen3RMSNorm, qwen3.Qwen3RotaryEmbedding),
)
