"""Pipeline layers of decoders that are not built in; their configuration comes with their weights."""

from __future__ import annotations

from transformers.models.mistral import modeling_mistral as mistral
from transformers.models.qwen2 import modeling_qwen2 as qwen2

from .base import PipelineLayers

STAGES_OF_OTHERS: dict[str, PipelineLayers] = {
    "mistral": PipelineLayers(
        mistral.MistralDecoderLayer, mistral.MistralRMSNorm, mistral.MistralRotaryEmbedding
    ),
    "qwen2": PipelineLayers(qwen2.Qwen2DecoderLayer, qwen2.Qwen2RMSNorm, qwen2.Qwen2RotaryEmbedding),
}
