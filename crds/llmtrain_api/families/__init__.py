"""The model families that are known, one a file, and the shape that a spec gives a built-in one."""

from __future__ import annotations

from ..schema.base import changed
from ..schema.model import BuiltinModel
from ..schema.spec import JobSpec
from ..shape import ModelShape, Task
from .base import Family, Linear, Parts, Saved, Tensors, numbers_of
from .bert import BERT
from .gpt2 import GPT2
from .llama import LLAMA
from .qwen import QWEN
from .t5 import T5

FAMILIES: dict[str, Family] = {family.name: family for family in (LLAMA, QWEN, GPT2, BERT, T5)}
"""Every family, by the name that `ModelShape.family` holds."""
BUILTIN: dict[BuiltinModel, Family] = {family.builtin: family for family in FAMILIES.values()}
"""Every family, by the name that a manifest gives in ``model.name``."""


def family_of(spec: JobSpec) -> Family:
    """The family of a job's model."""
    return BUILTIN[spec.model.name]


def task_of(spec: JobSpec) -> Task:
    """What a job's model learns."""
    return family_of(spec).task


def shape_of(spec: JobSpec) -> ModelShape:
    """The shape of a job's built-in model."""
    model, family = spec.model, family_of(spec)
    shape = ModelShape(
        family=family.name,
        hidden=model.hidden_size,
        layers=model.num_layers,
        heads=model.num_heads,
        kv_heads=model.kv_heads,
        head_size=model.hidden_size // model.num_heads,
        width=model.width,
        vocabulary=model.vocab_size,
        positions=spec.training.sequence_length,
        tied=model.tied_embeddings or not family.grouped,
        parameters=0,
    )
    return changed(shape, parameters=numbers_of(family.parts(shape).whole(shape.layers)))


__all__ = [
    "BUILTIN",
    "FAMILIES",
    "Family",
    "Linear",
    "Parts",
    "Saved",
    "Tensors",
    "family_of",
    "numbers_of",
    "shape_of",
    "task_of",
]
