"""Which ZeRO stage a job gets when it asks for none: the lowest whose ranks fit into memory. PURE."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..layouts.layout import Layout
from ..schema.quantity import quantity
from .memory import estimate

if TYPE_CHECKING:
    from ..schema.spec import JobSpec

GIB = 1 << 30
PROCESS = 352 << 20
"""Bytes of its own that a rank has beside its model. Measured: 290 MB when joined, 340 MB after a step."""
NODE = 320 << 20
"""Bytes of a pod's launcher and torchrun, and of libraries that ranks share. Measured: 220 and 90 MB."""
CONTEXT = 2 << 30
"""Bytes of a GPU for CUDA's context, libraries' work spaces and NCCL; an allowance, not measured."""


def limit(spec: JobSpec) -> float:
    """Bytes that a rank has for the model and its training."""
    if spec.gpus_per_node:
        return float(quantity(spec.resources.gpu_memory)) - CONTEXT
    return (float(quantity(spec.resources.memory)) - NODE) / spec.processes_per_node - PROCESS


def chosen(spec: JobSpec, lowest: Layout) -> Layout:
    """The layout with the lowest stage that fits; with the last one that there is when none does.

    Args:
        spec: the job.
        lowest: its layout with the lowest stage that computes rightly.
    """
    room, tried, layout = limit(spec), "", lowest
    for stage in stages(lowest):
        layout = replace(lowest, zero=stage)
        need = estimate(spec, layout).peak
        if need <= room:
            break
        tried = f"stage {stage} needs {_said(need)} a rank of {_said(room)}"
    return replace(layout, why=f"zero{layout.zero}: {tried or 'the lowest, and it fits'}")


def too_large(spec: JobSpec, lowest: Layout) -> str | None:
    """Why no stage fits, and what would help; None when one does."""
    room = limit(spec)
    needs = {stage: estimate(spec, replace(lowest, zero=stage)).peak for stage in stages(lowest)}
    stage = min(needs, key=lambda one: needs[one])
    if needs[stage] <= room:
        return None
    gpus, given = bool(spec.gpus_per_node), spec.resources
    field, size = ("gpuMemory", given.gpu_memory) if gpus else ("memory", given.memory)
    return (
        f"{field} {size} leaves {_said(room)} a rank, and training needs {_said(needs[stage])} even with "
        f"ZeRO stage {stage}; raise resources.{field}, add nodes, lower training.microBatchSize, or set "
        "training.zeroStage to try it all the same"
    )


def stages(lowest: Layout) -> range:
    """Stages to try: a pipeline has one, and a single rank has nothing to shard."""
    alone = lowest.data * lowest.sequence == 1
    return range(lowest.zero, lowest.zero + 1 if lowest.pipeline > 1 or alone else 4)


def _said(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{max(size, 0) / (1 << 20):.0f} MiB"
