"""Which tensors of a model a rank holds."""

from __future__ import annotations

from ..families import FAMILIES, Tensors
from ..layouts.layout import Layout
from ..shape import ModelShape


def held_by(shape: ModelShape, layout: Layout, stage: int = 0) -> list[Tensors]:
    """The tensors of a rank's part of the model, ZeRO's sharding apart.

    Args:
        shape: family and sizes.
        layout: how the gang is cut.
        stage: the rank's pipeline stage. With stages of unequal length each counts as the longest.
    """
    parts = FAMILIES[shape.architecture].parts(shape)
    blocks = blocks_of(shape, layout)
    found = [one.times(blocks) for one in parts.block]
    if stage == 0:
        found += parts.first
    if stage == layout.pipeline - 1:
        found += parts.last + (parts.shared if layout.pipeline > 1 else [])
    return [one.on(layout.tensor) for one in found]


def blocks_of(shape: ModelShape, layout: Layout) -> int:
    """Blocks of the longest pipeline stage."""
    return -(-shape.layers // layout.pipeline)
