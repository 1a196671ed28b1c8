"""What the sections of a spec must be to each other: each rule in Python and, where CEL can say it, CEL."""

from __future__ import annotations

from ..catalogue import known_shape
from ..estimate.choice import proof_asked
from ..families import shape_of
from ..layouts.layout import Layout
from ..layouts.proven import refusal
from ..schema.base import Rule
from ..schema.spec import JobSpec
from ..shape import ModelShape
from . import (
    adapter,
    checkpoint,
    dataset,
    elastic,
    entrypoint,
    evaluation,
    evaluation_sets,
    evaluation_tasks,
    fairness,
    images,
    model,
    parallelism,
    preference,
    reinforcement,
    resources,
    training,
)
from .entrypoint import own_or
from .sized import Sized, SizedRule

TRAINED: tuple[Rule, ...] = (
    *model.RULES,
    *preference.RULES,
    *fairness.RULES,
    *reinforcement.RULES,
    *images.RULES,
    *adapter.RULES,
    *parallelism.RULES,
    *training.RULES,
    *dataset.RULES,
    *checkpoint.RULES,
    *evaluation.RULES,
    *evaluation_sets.RULES,
    *evaluation_tasks.RULES,
)
PROVEN: tuple[Rule, ...] = (*parallelism.PROVEN, *training.PROVEN, *training.MEMORY)
RULES: tuple[Rule, ...] = (
    *entrypoint.REQUIRES,
    *entrypoint.RULES,
    *map(own_or, TRAINED),
    *elastic.RULES,
    *resources.RULES,
    *map(own_or, PROVEN),
)
"""In this order; the first that is broken is told. The last ones count on all that is above."""


def mistake(spec: JobSpec, shape: ModelShape | None = None) -> str | None:
    """A sentence about the first rule that a spec breaks, with the field; None where it keeps all.

    Args:
        spec: the job.
        shape: its model's; None where the model is built in, or not inspected yet: rules that need the shape
            of such a model are left for later.
    """
    if shape is None and spec.model.builtin is not None:
        shape = shape_of(spec)
    broken = _broken(spec, shape)
    if broken is not None:
        return broken
    for nodes in elastic.smaller_sizes(spec):
        # a gang may begin with so many: then it must be as right as with all of them
        if broken := _broken(spec.with_nodes(nodes), shape):
            return f"spec.minNodes: got {spec.min_nodes}, but with {nodes} nodes: {broken}; or raise minNodes"
    return None


def _broken(spec: JobSpec, shape: ModelShape | None) -> str | None:
    for rule in RULES:
        if isinstance(rule, SizedRule):
            message = rule.broken(Sized(spec, shape)) if shape is not None else None
        else:
            message = rule.broken(spec)
        if message:
            return f"spec{rule.field}: {message}"
    return None


def early_mistake(spec: JobSpec) -> str | None:
    """As `mistake`, of a model that the catalogue knows and nobody has looked at yet.

    Args:
        spec: the job, which keeps all rules that need no sizes.
    """
    shape = known_shape(spec.model)
    message = mistake(spec, shape) if shape is not None else None
    if message is None:
        return None
    return (
        f"{message}; these are the sizes that {spec.model.name} is known to have: if its repository has "
        "others, set model.revision, and it is looked at"
    )


def layout_mistake(spec: JobSpec, shape: ModelShape, layout: Layout) -> str | None:
    """Why a job's ranks may not run in a layout that was decided for them; None where they may.

    Args:
        spec: the job.
        shape: its model's.
        layout: as it was decided, which need not be what this version would decide; a program of one's own
            has none to keep to.
    """
    if spec.entrypoint is not None:
        return None
    if layout.world != spec.world_size:
        return (
            f"layout {layout} is of {layout.world} ranks, and the job has {spec.world_size} (nodes x "
            "processes); delete the job and apply it again"
        )
    why = refusal(proof_asked(shape, spec, layout))
    if why is None and spec.training.compile:
        why = refusal(proof_asked(shape, spec, layout, compiled=True))
    return f"layout {layout}: {why}; use the trainer image of the operator's version" if why else None
