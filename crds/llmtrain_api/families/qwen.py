"""Qwen3: as Llama, with norms of each head's queries and keys."""

from __future__ import annotations

from dataclasses import replace

from ..schema.model import BuiltinModel
from ..shape import ModelShape, Task
from . import llama
from .base import Family, Parts, Saved, Tensors


def parts(shape: ModelShape) -> Parts:
    """Its tensors."""
    like = llama.parts(shape)
    return replace(like, block=[*like.block, Tensors(shape.head_size, 2)])


QWEN = Family(
    architecture="Qwen3ForCausalLM",
    name="qwen",
    title="Qwen",
    builtin=BuiltinModel.TINY_QWEN,
    task=Task.CAUSAL,
    grouped=True,
    saved=Saved(7, 3, 3, 1, 4),
    parts=parts,
    linears=llama.linears,
)
