"""What is known of a model before it is trained: its shape, and what its folder says of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import ApiModel

Switch = Annotated[str, Field(min_length=1, max_length=40)]
TIED = "tied"
"""Input and output embeddings are one tensor."""


Width = Annotated[int, Field(ge=1, le=1 << 24)]
"""A size that is one factor of a tensor's; with it products stay far from overflowing anything."""


class VisionShape(ApiModel):
    """What sees images before a language model: blocks of their own over the patches of an image."""

    hidden: Width = Field(description="Width of its residual stream.")
    layers: Width = Field(description="Its transformer blocks.")
    used: Width = Field(description="Blocks after which the language model takes what it sees.")
    heads: Width = Field(description="Its attention heads.")
    width: Width = Field(description="Width of its feed-forward layer.")
    image: Width = Field(description="Pixels of an image on either side.")
    patch: Width = Field(description="Pixels of a patch on either side.")

    @property
    def tokens(self) -> int:
        """Tokens that the language model gets for an image: one a patch."""
        return int((self.image // self.patch) ** 2)

    @property
    def sees(self) -> int:
        """Tokens of an image in its own blocks: the patches, and one that stands for all of it."""
        return self.tokens + 1


class ModelShape(ApiModel):
    """What layouts, rules and estimates need to know of a model: which code runs, and its sizes."""

    architecture: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="Class of the transformers library, such as LlamaForCausalLM."
    )
    switches: tuple[Switch, ...] = Field(
        default=(), max_length=16, description="What makes other code run than the plain architecture does."
    )
    hidden: Width = Field(description="Width of the residual stream.")
    layers: Width = Field(description="Transformer blocks; of an encoder-decoder those of either side.")
    heads: Width = Field(description="Attention heads.")
    kv_heads: Width = Field(description="Heads of keys and values.")
    head_size: Width = Field(description="Width of one head.")
    width: Width = Field(description="Width of the feed-forward layer.")
    vocabulary: Width = Field(description="Entries of the embeddings.")
    positions: Width = Field(description="Tokens that it can see at once.")
    parameters: Annotated[int, Field(ge=0, le=2**53)] = Field(
        description="Numbers of the whole model; a shared tensor counts once."
    )
    vision: VisionShape | None = Field(default=None, description="What sees images, where the model does.")

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


FACTS_LIMIT = 1500
"""Bytes of a model's facts as JSON: they share a termination message of 4096 with a failure's words."""
Size = Annotated[int, Field(ge=0, le=2**53)]


class TokenizerFacts(ApiModel):
    """What is known of a model's tokenizer."""

    vocabulary: Annotated[int, Field(ge=1, le=1 << 24)] = Field(
        description="Number of its entries, added ones included."
    )
    chat_template: bool = Field(description="Whether it says how a dialogue is written as text.")


class ModelFacts(ApiModel):
    """What the inspection of a model found, at most 1,500 bytes of JSON."""

    shape: ModelShape = Field(description="Architecture, switches and sizes.")
    revision: Annotated[str, Field(max_length=64, pattern="^[0-9a-f]*$")] | None = Field(
        default=None, description="Commit of the hub's repository; empty for a folder and a bucket."
    )
    stored: Annotated[str, Field(max_length=16)] | None = Field(
        default=None, description="Number format of most of the stored weights; empty for random ones."
    )
    weight_bytes: Size | None = Field(
        default=None, description="Bytes of the stored weights; empty for random ones."
    )
    tokenizer: TokenizerFacts | None = Field(
        default=None, description="The model's tokenizer; empty where it has none."
    )
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of config.json and of the headers of the weights."
    )
    weights: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        default=None,
        description="SHA-256 of sizes and times (in a bucket: digests) of the weights' files, by which a "
        "change is noticed; empty on a hub, where the commit tells it, and for random weights.",
    )
