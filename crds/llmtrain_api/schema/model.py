"""``spec.model``: which family, in which sizes."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .adapter import AdapterSpec
from .base import Rule, RuledModel


class BuiltinModel(StrEnum):
    """Model families that are built from a configuration and a seed, without a download."""

    TINY_LLAMA = "builtin://tiny-llama"
    TINY_QWEN = "builtin://tiny-qwen"
    TINY_GPT2 = "builtin://tiny-gpt2"
    TINY_BERT = "builtin://tiny-bert"
    TINY_T5 = "builtin://tiny-t5"


def _heads(model: ModelSpec) -> str | None:
    if model.hidden_size % model.num_heads == 0:
        return None
    return (
        f"hiddenSize {model.hidden_size} is not a multiple of numHeads {model.num_heads}; change one of them"
    )


def _kv_heads(model: ModelSpec) -> str | None:
    if model.num_kv_heads is None or model.num_heads % model.num_kv_heads == 0:
        return None
    return (
        f"numHeads {model.num_heads} is not a multiple of numKvHeads {model.num_kv_heads}; "
        "use a divisor of numHeads"
    )


class ModelSpec(RuledModel):
    """The model to train. Sizes are those of the built-in families' configuration."""

    name: BuiltinModel = Field(
        description="Model family, built from the sizes below: builtin://tiny-llama, tiny-qwen (Qwen3), "
        "tiny-gpt2, tiny-bert or tiny-t5."
    )
    hidden_size: int = Field(default=128, ge=8, le=16384, description="Width of the residual stream.")
    num_layers: int = Field(default=4, ge=1, le=256, description="Number of transformer layers.")
    num_heads: int = Field(
        default=4, ge=1, le=256, description="Number of attention heads; it divides hiddenSize."
    )
    num_kv_heads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Number of key/value heads (Llama, Qwen); it divides numHeads. Default: numHeads.",
    )
    intermediate_size: int | None = Field(
        default=None, ge=8, le=65536, description="Width of the feed-forward layer. Default: 4 x hiddenSize."
    )
    vocab_size: int = Field(
        default=2048,
        ge=300,
        le=262144,
        description="Number of entries of the tokenizer that is trained on the dataset.",
    )
    tied_embeddings: bool = Field(
        default=False, description="Share input and output embeddings (Llama, Qwen; the others always do)."
    )
    adapter: AdapterSpec | None = Field(
        default=None,
        description="Train low-rank adapters (LoRA) and leave all weights as they are. Default: train all "
        "weights.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.hiddenSize % self.numHeads == 0",
            ".hiddenSize",
            "hiddenSize must be a multiple of numHeads",
            _heads,
        ),
        Rule(
            "!has(self.numKvHeads) || self.numHeads % self.numKvHeads == 0",
            ".numKvHeads",
            "numHeads must be a multiple of numKvHeads",
            _kv_heads,
        ),
    )

    @property
    def kv_heads(self) -> int:
        """Key/value heads."""
        return self.num_kv_heads or self.num_heads

    @property
    def width(self) -> int:
        """Width of the feed-forward layer."""
        return self.intermediate_size or 4 * self.hidden_size
