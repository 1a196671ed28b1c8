"""Which matrices adapters stand beside, and what tensors they are made of."""

from __future__ import annotations

from ..families import FAMILIES, Linear, Tensors
from ..schema.adapter import ALL_LINEAR, AdapterSpec
from ..shape import ModelShape


def targeted(shape: ModelShape, targets: list[str]) -> list[Linear]:
    """The linear layers of a model that targets name, by the end of their names as peft reads them.

    Args:
        shape: family and sizes.
        targets: as `AdapterSpec.targets` has them.
    """
    linears = FAMILIES[shape.architecture].linears(shape)
    if targets == [ALL_LINEAR]:
        return linears
    return [one for one in linears if any(f".{one.name}".endswith(f".{target}") for target in targets)]


def adapter_tensors(shape: ModelShape, adapter: AdapterSpec) -> list[Tensors]:
    """A and B of every targeted layer.

    Args:
        shape: family and sizes.
        adapter: rank and targets.
    """
    return [
        Tensors(adapter.rank * size, one.count, stack=one.stack)
        for one in targeted(shape, adapter.targets)
        for size in (one.inputs, one.outputs)
    ]
