"""``spec.model``: which model; of a built-in family also in which sizes."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import Field

from .adapter import AdapterSpec
from .base import Rule, RuledModel
from .locations import BUCKET, HUB_NAME, PART, forms, matches, mistake


class BuiltinModel(StrEnum):
    """Model families that are built from a configuration and a seed, without a download."""

    TINY_LLAMA = "builtin://tiny-llama"
    TINY_QWEN = "builtin://tiny-qwen"
    TINY_GPT2 = "builtin://tiny-gpt2"
    TINY_BERT = "builtin://tiny-bert"
    TINY_T5 = "builtin://tiny-t5"
    TINY_LLAVA = "builtin://tiny-llava"


class Weights(StrEnum):
    """What the weights of a model that is not built in are when training starts."""

    PRETRAINED = "pretrained"
    RANDOM = "random"


class TokenizerKind(StrEnum):
    """How the tokenizer of a built-in model cuts words."""

    BPE = "bpe"
    WORD_PIECE = "wordPiece"
    UNIGRAM = "unigram"


HUB = f"{HUB_NAME}/{HUB_NAME}"
STORED = rf"s3://{BUCKET}(/{PART})+/?|{HUB}"
NAME_FORM = rf"{'|'.join(BuiltinModel)}|{forms(PART, bucket=True)}|{HUB}"
NAME_FIX = (
    f"use {', '.join(BuiltinModel)}, pvc://CLAIM/FOLDER, file:///FOLDER, s3://BUCKET/FOLDER or, of the "
    "Hugging Face hub, OWNER/NAME; no folder may be empty, '.' or '..'"
)
SIZES = {
    "hidden_size": "hiddenSize",
    "num_layers": "numLayers",
    "num_heads": "numHeads",
    "num_kv_heads": "numKvHeads",
    "intermediate_size": "intermediateSize",
    "vocab_size": "vocabSize",
    "tokenizer_kind": "tokenizerKind",
    "tied_embeddings": "tiedEmbeddings",
}
"""Fields that only a built-in model has, by attribute."""
HIDDEN, LAYERS, HEADS, VOCABULARY = 128, 4, 4, 2048
"""Sizes of a built-in model that says none."""
BUILTIN_CEL = "self.name.startsWith('builtin://')"
HEADS_CEL = f"(has(self.numHeads) ? self.numHeads : {HEADS})"
HIDDEN_CEL = f"(has(self.hiddenSize) ? self.hiddenSize : {HIDDEN})"


def _heads(model: ModelSpec) -> str | None:
    if model.builtin is None or model.hidden % model.heads == 0:
        return None
    return f"hiddenSize {model.hidden} is not a multiple of numHeads {model.heads}; change one of them"


def _kv_heads(model: ModelSpec) -> str | None:
    if model.num_kv_heads is None or model.heads % model.num_kv_heads == 0:
        return None
    return (
        f"numHeads {model.heads} is not a multiple of numKvHeads {model.num_kv_heads}; "
        "use a divisor of numHeads"
    )


def _sizes(model: ModelSpec) -> str | None:
    said = [field for name, field in SIZES.items() if getattr(model, name) is not None]
    if model.builtin is not None or not said:
        return None
    return (
        f"{', '.join(said)} beside {model.name!r}: its sizes come from its config.json; remove "
        f"{'it' if len(said) == 1 else 'them'}"
    )


def _revision(model: ModelSpec) -> str | None:
    if model.revision is None or re.fullmatch(HUB, model.name):
        return None
    return f"got {model.revision!r}, but only a model of the hub (OWNER/NAME) has revisions; remove it"


def _secret(model: ModelSpec) -> str | None:
    if model.secret is None or re.fullmatch(STORED, model.name):
        return None
    return f"got {model.secret!r}, but {model.name!r} needs no credentials; remove it"


def _weights(model: ModelSpec) -> str | None:
    if model.weights is not Weights.PRETRAINED or model.builtin is None:
        return None
    return f"{model.name} has no pretrained weights; remove weights, or name a model that has some"


class ModelSpec(RuledModel):
    """The model to train: a built-in family in given sizes, or a Hugging Face model with its own."""

    name: str = Field(
        max_length=512,
        description="The model: a folder as Hugging Face has it, with config.json and safetensors "
        "(pvc://CLAIM/FOLDER, file:///FOLDER, s3://BUCKET/FOLDER, or OWNER/NAME of the Hugging Face hub); or "
        "a family that is built from the sizes below: builtin://tiny-llama, tiny-qwen (Qwen3), tiny-gpt2, "
        "tiny-bert, tiny-t5 or tiny-llava.",
    )
    revision: str | None = Field(
        default=None,
        max_length=256,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        description="Branch, tag or commit of a model of the hub. The commit that it names when the model is "
        "inspected is used from then on. Default: the default branch.",
    )
    secret: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Secret in the job's namespace whose keys become environment where the model is read: "
        "HF_TOKEN and HF_ENDPOINT for the hub; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL "
        "for s3://.",
    )
    weights: Weights | None = Field(
        default=None,
        description="pretrained starts from the model's weights, random from new ones in its architecture "
        "and sizes. Default: pretrained; built-in models are always random.",
    )
    hidden_size: int | None = Field(
        default=None, ge=8, le=16384, description=f"Width of the residual stream. Default: {HIDDEN}."
    )
    num_layers: int | None = Field(
        default=None, ge=1, le=256, description=f"Number of transformer layers. Default: {LAYERS}."
    )
    num_heads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description=f"Number of attention heads; it divides hiddenSize. Default: {HEADS}.",
    )
    num_kv_heads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Number of key/value heads (Llama, Qwen, LLaVA); it divides numHeads. Default: numHeads.",
    )
    intermediate_size: int | None = Field(
        default=None, ge=8, le=65536, description="Width of the feed-forward layer. Default: 4 x hiddenSize."
    )
    vocab_size: int | None = Field(
        default=None,
        ge=300,
        le=262144,
        description="Number of entries of the tokenizer that is trained on the dataset. Default: "
        f"{VOCABULARY}.",
    )
    tokenizer_kind: TokenizerKind | None = Field(
        default=None,
        description="How the tokenizer that is trained on the dataset cuts words: bpe by merges of bytes, "
        "wordPiece into the longest pieces that it has, of bytes too (it needs a vocabSize of 600 at least), "
        "unigram into the likeliest pieces, of bytes too. No text is unknown to any. Default: bpe.",
    )
    tied_embeddings: bool | None = Field(
        default=None,
        description="Share input and output embeddings (Llama, Qwen, LLaVA; the others always do). "
        "Default: false.",
    )
    adapter: AdapterSpec | None = Field(
        default=None,
        description="Train low-rank adapters (LoRA) and leave all weights as they are. Default: train all "
        "weights.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        matches(
            "name",
            ".name",
            NAME_FORM,
            NAME_FIX,
            why=lambda name: mistake(name, hidden=True, bucket=True),
        ),
        Rule(
            f"{BUILTIN_CEL} || !({' || '.join(f'has(self.{field})' for field in SIZES.values())})",
            "",
            "sizes are for builtin:// models; remove them: those of other models come from their config.json",
            _sizes,
        ),
        Rule(
            f"!{BUILTIN_CEL} || {HIDDEN_CEL} % {HEADS_CEL} == 0",
            ".hiddenSize",
            "hiddenSize must be a multiple of numHeads",
            _heads,
        ),
        Rule(
            f"!has(self.numKvHeads) || {HEADS_CEL} % self.numKvHeads == 0",
            ".numKvHeads",
            "numHeads must be a multiple of numKvHeads",
            _kv_heads,
        ),
        Rule(
            f"!has(self.revision) || self.name.matches(r'^({HUB})$')",
            ".revision",
            "only a model of the hub (OWNER/NAME) has revisions; remove it",
            _revision,
        ),
        Rule(
            f"!has(self.secret) || self.name.matches(r'^({STORED})$')",
            ".secret",
            "only a model of the hub or of an s3:// store needs credentials; remove secret",
            _secret,
        ),
        Rule(
            f"!has(self.weights) || self.weights != 'pretrained' || !{BUILTIN_CEL}",
            ".weights",
            "built-in models have no pretrained weights; remove weights",
            _weights,
        ),
    )

    @property
    def builtin(self) -> BuiltinModel | None:
        """The built-in family; None for a model with a ``config.json`` of its own."""
        return BuiltinModel(self.name) if self.name in set(BuiltinModel) else None

    @property
    def on_hub(self) -> bool:
        """Whether it lies in the Hugging Face hub."""
        return "://" not in self.name

    @property
    def pretrained(self) -> bool:
        """Whether training starts from weights that there are."""
        return self.builtin is None and self.weights is not Weights.RANDOM

    @property
    def hidden(self) -> int:
        """Width of a built-in model's residual stream."""
        return self.hidden_size or HIDDEN

    @property
    def layers(self) -> int:
        """Transformer layers of a built-in model."""
        return self.num_layers or LAYERS

    @property
    def heads(self) -> int:
        """Attention heads of a built-in model."""
        return self.num_heads or HEADS

    @property
    def kv_heads(self) -> int:
        """Key/value heads of a built-in model."""
        return self.num_kv_heads or self.heads

    @property
    def width(self) -> int:
        """Width of a built-in model's feed-forward layer."""
        return self.intermediate_size or 4 * self.hidden

    @property
    def vocabulary(self) -> int:
        """Entries of a built-in model's tokenizer."""
        return self.vocab_size or VOCABULARY

    @property
    def tokenizer(self) -> TokenizerKind:
        """How a built-in model's tokenizer cuts words."""
        return self.tokenizer_kind or TokenizerKind.BPE

    def identity(self) -> dict[str, Any]:
        """What decides which model it is, adapters apart, by the names of fields; defaults as numbers.

        What training started from is compared by it, so it says the same of the same model in every version.
        """
        said = {key: value for key, value in self.to_json().items() if key not in ("secret", "adapter")}
        if self.builtin is None:
            return said
        defaults = {
            "hiddenSize": self.hidden,
            "numLayers": self.layers,
            "numHeads": self.heads,
            "vocabSize": self.vocabulary,
            "tiedEmbeddings": bool(self.tied_embeddings),
        }
        if said.get("tokenizerKind") == TokenizerKind.BPE:
            del said["tokenizerKind"]
        return {key: value for key, value in said.items() if key != "weights"} | defaults
