"""What a node of GPUs needs of its own memory, beside what its GPUs hold."""

from __future__ import annotations

from ..layouts.layout import Layout
from ..schema.quantity import quantity
from ..schema.spec import JobSpec
from ..shape import ModelShape
from .choice import layout_of
from .memory import of_stage
from .zero_stage import GIB, NODE, said

GPU_PROCESS = 2 * GIB + GIB // 2
"""Bytes of a process that drives a GPU: libraries of CUDA, pinned buffers. An allowance, not measured."""


def host_bytes(shape: ModelShape, spec: JobSpec, layout: Layout) -> int:
    """Bytes of a node: its processes and, where checkpoints are saved in the background, what those are
    written from: copies of the fp32 weights, of both moments, and of the weights of one whole model.

    Args:
        shape: the model's.
        spec: the job.
        layout: how its gang is cut.
    """
    ranks = spec.local_world_size
    need = NODE + ranks * GPU_PROCESS
    if spec.checkpoint.background and not spec.evaluation.only:
        held = max(
            (of_stage(shape, spec, layout, stage) for stage in {0, layout.pipeline - 1}),
            key=lambda memory: memory.master + memory.moments,
        )
        need += ranks * (held.master + held.moments) + held.weights
    return need


def host_too_small(shape: ModelShape, spec: JobSpec) -> str | None:
    """Why a node with GPUs has too little memory of its own, in numbers; None where it has enough."""
    if not spec.gpus_per_node:
        return None
    need, given = host_bytes(shape, spec, layout_of(shape, spec)), spec.resources.memory
    if need <= quantity(given):
        return None
    ranks, copied = spec.local_world_size, need - NODE - spec.local_world_size * GPU_PROCESS
    alone = copied and need - copied <= quantity(given)
    background = f" and {said(copied)} for the copy that checkpoints are written from" if copied else ""
    return (
        f"memory {given} is less than the {said(need)} that a node needs: {ranks} processes of "
        f"{said(GPU_PROCESS)} each{background}; raise resources.memory to at least {-(-need // GIB)}Gi"
        f"{', or set checkpoint.async to false' if alone else ''}"
    )
