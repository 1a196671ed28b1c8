"""How many numbers the built-in families have, tensor by tensor, and which of them a rank holds. PURE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..layouts.layout import Layout

if TYPE_CHECKING:
    from ..schema.model import ModelSpec

T5_BUCKETS = 32
"""Distances that T5 tells apart: the default of its configuration."""


@dataclass(frozen=True)
class Tensors:
    """Equal tensors.

    Attributes:
        numbers: of one of them.
        count: how many there are.
        cut: whether tensor parallelism gives each rank a part only.
    """

    numbers: int
    count: int = 1
    cut: bool = False

    def on(self, ranks: int) -> Tensors:
        """What one of so many tensor-parallel ranks holds."""
        return Tensors(self.numbers // ranks, self.count) if self.cut else self


@dataclass(frozen=True)
class Parts:
    """A model's tensors, by where a pipeline puts them.

    Attributes:
        first: before the blocks.
        block: one block; for T5 one of the encoder and one of the decoder.
        last: after the blocks.
        shared: of ``first``, what the last stage needs a copy of.
    """

    first: list[Tensors]
    block: list[Tensors]
    last: list[Tensors]
    shared: list[Tensors]


def _grouped(model: ModelSpec, length: int) -> Parts:
    del length  # rotary positions have no weights
    hidden, tied = model.hidden_size, model.tied_embeddings
    head = hidden // model.num_heads
    block = [
        Tensors(hidden * hidden, 2, cut=True),  # queries and output
        Tensors(hidden * head * model.kv_heads, 2, cut=True),
        Tensors(hidden * model.width, 3, cut=True),
        Tensors(hidden, 2),
    ]
    if model.name == "builtin://tiny-qwen":
        block.append(Tensors(head, 2))  # norms of queries and keys
    # AutoTP cuts the output layer, and with it the embeddings that share its weights
    embedding = Tensors(model.vocab_size * hidden, cut=tied)
    last = [Tensors(hidden), *([] if tied else [Tensors(model.vocab_size * hidden, cut=True)])]
    return Parts([embedding], block, last, [embedding] if tied else [])


def _gpt2(model: ModelSpec, length: int) -> Parts:
    hidden, width = model.hidden_size, model.width
    block = [
        *(Tensors(hidden, 4), Tensors(3 * hidden * hidden), Tensors(3 * hidden)),
        *(Tensors(hidden * hidden), Tensors(hidden, 2), Tensors(hidden * width, 2), Tensors(width)),
    ]
    return Parts(
        [Tensors(model.vocab_size * hidden), Tensors(length * hidden)], block, [Tensors(hidden, 2)], []
    )


def _bert(model: ModelSpec, length: int) -> Parts:
    hidden, width, vocabulary = model.hidden_size, model.width, model.vocab_size
    first = [Tensors(rows * hidden) for rows in (vocabulary, length, 2)]
    block = [
        *(Tensors(hidden * hidden, 4, cut=True), Tensors(hidden, 3, cut=True)),
        *(Tensors(hidden * width, 2, cut=True), Tensors(width, cut=True)),
        Tensors(hidden, 6),  # both norms, and the biases of what AutoTP cuts by rows
    ]
    return Parts(
        [*first, Tensors(hidden, 2)],
        block,
        [Tensors(hidden * hidden), Tensors(hidden, 3), Tensors(vocabulary)],
        [],
    )


def _t5(model: ModelSpec, length: int) -> Parts:
    del length  # relative positions
    hidden = model.hidden_size
    # the first block of either side has the weights of the distances
    distances = Tensors(T5_BUCKETS * model.num_heads, 2, cut=True)
    block = [
        Tensors(hidden * hidden, 12, cut=True),  # self, self and cross attention
        Tensors(hidden * model.width, 4, cut=True),
        Tensors(hidden, 5),
    ]
    return Parts([Tensors(model.vocab_size * hidden), distances], block, [Tensors(hidden, 2)], [])


FAMILIES: dict[str, Callable[[ModelSpec, int], Parts]] = {
    "builtin://tiny-llama": _grouped,
    "builtin://tiny-qwen": _grouped,
    "builtin://tiny-gpt2": _gpt2,
    "builtin://tiny-bert": _bert,
    "builtin://tiny-t5": _t5,
}


def held_by(model: ModelSpec, length: int, layout: Layout, stage: int = 0) -> list[Tensors]:
    """The tensors of a rank's part of the model, ZeRO's sharding apart.

    Args:
        model: family and sizes.
        length: tokens a sequence; some families have a weight for each position.
        layout: how the gang is cut.
        stage: the rank's pipeline stage. With stages of unequal length each counts as the longest.
    """
    parts = FAMILIES[model.name](model, length)
    blocks = blocks_of(model, layout)
    found = [Tensors(one.numbers, one.count * blocks, one.cut) for one in parts.block]
    if stage == 0:
        found += parts.first
    if stage == layout.pipeline - 1:
        found += parts.last + (parts.shared if layout.pipeline > 1 else [])
    return [one.on(layout.tensor) for one in found]


def blocks_of(model: ModelSpec, layout: Layout) -> int:
    """Blocks of the longest pipeline stage."""
    return -(-model.num_layers // layout.pipeline)


def numbers_of(tensors: list[Tensors]) -> int:
    """Numbers in all."""
    return sum(one.numbers * one.count for one in tensors)


def parameter_count(model: ModelSpec, length: int) -> int:
    """Numbers of the whole model."""
    return numbers_of(held_by(model, length, Layout()))
