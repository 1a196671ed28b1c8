"""BERT: an encoder that learns masked tokens, with a head that shares its matrix with the input."""

from __future__ import annotations

from ..schema.model import BuiltinModel
from ..shape import ModelShape, Task
from .base import Family, Linear, Parts, Saved, Tensors

SEGMENTS = 2
"""Kinds of sentences that it tells apart."""


def parts(shape: ModelShape) -> Parts:
    """Its tensors."""
    hidden, width, vocabulary = shape.hidden, shape.width, shape.vocabulary
    tables = [Tensors(rows * hidden, looked_up=True) for rows in (shape.positions, SEGMENTS)]
    block = [
        *(Tensors(hidden * hidden, 4, cut=True), Tensors(hidden, 3, cut=True)),
        *(Tensors(hidden * width, 2, cut=True), Tensors(width, cut=True)),
        Tensors(hidden, 6),  # both norms, and the biases of what AutoTP cuts by rows
    ]
    return Parts(
        [Tensors(vocabulary * hidden), *tables, Tensors(hidden, 2)],
        block,
        [Tensors(hidden * hidden), Tensors(hidden, 3), Tensors(vocabulary)],
        [],
    )


def linears(shape: ModelShape) -> list[Linear]:
    """Its linear layers."""
    hidden, width = shape.hidden, shape.width
    square = [*(f"attention.self.{name}" for name in ("query", "key", "value")), "attention.output.dense"]
    return [
        *(Linear(name, hidden, hidden, shape.layers) for name in square),
        Linear("intermediate.dense", hidden, width, shape.layers),
        Linear("output.dense", width, hidden, shape.layers),
        Linear("transform.dense", hidden, hidden, 1),
    ]


BERT = Family(
    architecture="BertForMaskedLM",
    name="bert",
    title="BERT",
    builtin=BuiltinModel.TINY_BERT,
    task=Task.MASKED,
    grouped=False,
    saved=Saved(8, 0, 0, 0, 2),
    parts=parts,
    linears=linears,
)
