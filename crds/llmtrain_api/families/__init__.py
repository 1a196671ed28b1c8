"""The model families that are known, one a file, and the shape that a spec gives a built-in one."""

from __future__ import annotations

from ..schema.base import changed
from ..schema.model import BuiltinModel
from ..schema.spec import JobSpec
from ..shape import TIED, ModelShape, Task
from .bart import BART
from .base import Family, Linear, Parts, Saved, Tensors, numbers_of
from .bert import BERT, ROBERTA
from .gpt2 import GPT2
from .llama import LLAMA
from .llava import LLAVA, vision_of
from .others import OTHERS
from .qwen import QWEN
from .t5 import T5

FAMILIES: dict[str, Family] = {
    family.architecture: family for family in (LLAMA, QWEN, GPT2, BERT, ROBERTA, T5, BART, LLAVA, *OTHERS)
}
"""Every family, by the architecture that `ModelShape` names."""
BUILTIN: dict[BuiltinModel, Family] = {
    family.builtin: family for family in FAMILIES.values() if family.builtin
}
"""Every family, by the name that a manifest gives in ``model.name``."""


def task_of(spec: JobSpec, shape: ModelShape) -> Task:
    """What a job's model learns: what the job says, or what models of its architecture usually learn."""
    return spec.task or FAMILIES[shape.architecture].task


def shape_of(spec: JobSpec) -> ModelShape:
    """The shape of a job's built-in model.

    Raises:
        ValueError: the model is not built in.
    """
    model, builtin = spec.model, spec.model.builtin
    if builtin is None:
        raise ValueError(f"{model.name} is not built in: its inspection says its shape")
    family = BUILTIN[builtin]
    tied = model.tied_embeddings or not family.grouped
    shape = ModelShape(
        architecture=family.architecture,
        switches=(TIED,) if tied else (),
        hidden=model.hidden,
        layers=model.layers,
        heads=model.heads,
        kv_heads=model.kv_heads,
        head_size=model.hidden // model.heads,
        width=model.width,
        vocabulary=model.vocabulary,
        positions=spec.training.sequence_length,
        parameters=0,
        vision=vision_of(model) if family is LLAVA else None,
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
    "numbers_of",
    "shape_of",
    "task_of",
]
