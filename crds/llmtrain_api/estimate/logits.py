"""Which jobs may make logits a chunk at a time."""

from __future__ import annotations

from ..families import FAMILIES
from ..schema.spec import JobSpec
from ..schema.task import Task
from ..shape import ModelShape


def not_chunked(shape: ModelShape, spec: JobSpec) -> str | None:
    """What of a job forbids chunked logits; None where nothing does."""
    task = spec.task or FAMILIES[shape.architecture].task
    found = (
        (f"task {task}", task not in (Task.CAUSAL, Task.CHAT)),
        ("parallelism", spec.parallelism.ranks > 1),
        ("precision fp16", spec.training.precision.scales_losses),
        ("a model that caps its logits", "soft-cap:logits" in shape.switches),
    )
    return next((what for what, used in found if used), None)
