"""Decoders that are not built in: what each has of its own."""

from __future__ import annotations

from .base import Saved
from .config import soft_caps, soft_caps_if_said, window, window_of_some
from .decoder import Decoder

TANH = "gelu_pytorch_tanh"

MISTRAL = Decoder(kv_heads=8, positions=131_072, more=window).family(
    "MistralForCausalLM", "mistral", "Mistral", Saved(6, 2, 2, 0, 4)
)
QWEN2 = Decoder(qkv_bias=True, kv_heads=32, positions=32_768, more=window_of_some).family(
    "Qwen2ForCausalLM", "qwen2", "Qwen2", Saved(6, 2, 2, 0, 4)
)
GEMMA = Decoder(
    tied=True, head_size=256, kv_heads=16, positions=8192, activation=("hidden_act", TANH)
).family("GemmaForCausalLM", "gemma", "Gemma", Saved(6, 2, 2, 0, 4))
GEMMA2 = Decoder(
    norms=4,
    tied=True,
    head_size=256,
    kv_heads=4,
    positions=8192,
    activation=("hidden_activation", TANH),
    more=soft_caps,
).family("Gemma2ForCausalLM", "gemma2", "Gemma 2", Saved(6, 2, 2, 0, 4))
GEMMA3 = Decoder(
    qk_norm=True,
    norms=4,
    tied=True,
    head_size=256,
    kv_heads=4,
    positions=131_072,
    activation=("hidden_activation", TANH),
    more=soft_caps_if_said,
).family("Gemma3ForCausalLM", "gemma3_text", "Gemma 3", Saved(6, 2, 2, 0, 4))
PHI3 = Decoder(positions=4096, fused=True, more=window).family(
    "Phi3ForCausalLM", "phi3", "Phi-3", Saved(6, 2, 2, 0, 4)
)
OTHERS = (MISTRAL, QWEN2, GEMMA, GEMMA2, GEMMA3, PHI3)
"""In no order; Phi-3's fused matrices have as many numbers as those that they are made of."""
