"""GPT-2: a decoder with a weight for each position, biases, and tied embeddings."""

from __future__ import annotations

from ..schema.model import BuiltinModel
from ..shape import ModelShape, Task
from .base import Family, Parts, Saved, Tensors


def parts(shape: ModelShape) -> Parts:
    """Its tensors. DeepSpeed's AutoTP cuts none of them."""
    hidden, width = shape.hidden, shape.width
    block = [
        *(Tensors(hidden, 4), Tensors(3 * hidden * hidden), Tensors(3 * hidden)),
        *(Tensors(hidden * hidden), Tensors(hidden, 2), Tensors(hidden * width, 2), Tensors(width)),
    ]
    first = [Tensors(shape.vocabulary * hidden), Tensors(shape.positions * hidden, looked_up=True)]
    return Parts(first, block, [Tensors(hidden, 2)], [])


GPT2 = Family(
    architecture="GPT2LMHeadModel",
    name="gpt2",
    title="GPT-2",
    builtin=BuiltinModel.TINY_GPT2,
    task=Task.CAUSAL,
    grouped=False,
    saved=Saved(8, 0, 0, 0, 5),
    parts=parts,
)
