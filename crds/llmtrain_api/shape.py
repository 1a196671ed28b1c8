"""A model's sizes, wherever they are told: by the spec for a built-in family, or by a ``config.json``."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .schema.base import ApiModel


class Task(StrEnum):
    """What a family learns: the next token, masked tokens, or hidden spans."""

    CAUSAL = "causal"
    MASKED = "masked"
    SEQ2SEQ = "seq2seq"


class ModelShape(ApiModel):
    """Sizes of a model: all that layouts and estimates need to know of it.

    Attributes:
        family: its architecture, by the name that `families` has for it.
        hidden: width of the residual stream.
        layers: transformer blocks; of an encoder-decoder those of either side.
        heads: attention heads.
        kv_heads: heads of keys and values.
        head_size: width of one head.
        width: of the feed-forward layer.
        vocabulary: entries of the embeddings.
        positions: tokens that it can see at once; some families have a weight for each.
        tied: whether input and output embeddings are one tensor.
        parameters: numbers of the whole model; a shared tensor counts once.
    """

    family: str = Field(min_length=1, max_length=64)
    hidden: int = Field(ge=1)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_size: int = Field(ge=1)
    width: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    positions: int = Field(ge=1)
    tied: bool
    parameters: int = Field(ge=0)

    @property
    def query_width(self) -> int:
        """Width of the queries, and of what attention gives."""
        return self.heads * self.head_size

    @property
    def kv_width(self) -> int:
        """Width of the keys, and of the values."""
        return self.kv_heads * self.head_size
