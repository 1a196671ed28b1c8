"""A model's sizes, wherever they are told: by the spec for a built-in family, or by a ``config.json``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .schema.base import ApiModel
from .schema.task import Task

Switch = Annotated[str, Field(min_length=1, max_length=40)]
TIED = "tied"
"""Input and output embeddings are one tensor."""


class ModelShape(ApiModel):
    """What layouts, rules and estimates need to know of a model: which code runs, and its sizes.

    Attributes:
        architecture: the class of transformers, such as ``LlamaForCausalLM``.
        switches: sorted; what makes other code run than the plain architecture does.
        hidden: width of the residual stream.
        layers: transformer blocks; of an encoder-decoder those of either side.
        heads: attention heads.
        kv_heads: heads of keys and values.
        head_size: width of one head.
        width: of the feed-forward layer.
        vocabulary: entries of the embeddings.
        positions: tokens that it can see at once; some families have a weight for each.
        parameters: numbers of the whole model; a shared tensor counts once.
    """

    architecture: str = Field(min_length=1, max_length=64)
    switches: tuple[Switch, ...] = Field(default=(), max_length=16)
    hidden: int = Field(ge=1)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_size: int = Field(ge=1)
    width: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    positions: int = Field(ge=1)
    parameters: int = Field(ge=0)

    @property
    def tied(self) -> bool:
        """Whether input and output embeddings are one tensor."""
        return TIED in self.switches

    @property
    def query_width(self) -> int:
        """Width of the queries, and of what attention gives."""
        return self.heads * self.head_size

    @property
    def kv_width(self) -> int:
        """Width of the keys, and of the values."""
        return self.kv_heads * self.head_size


__all__ = ["TIED", "ModelShape", "Switch", "Task"]
