"""How a job's gang may be cut, and how much memory a rank has."""

from __future__ import annotations

from ..layouts.layout import Layout
from ..schema.quantity import quantity
from ..schema.spec import JobSpec
from ..schema.training import Precision

GIB = 1 << 30
PROCESS = 352 << 20
"""Bytes of its own that a rank has beside its model. Measured: 290 MB when joined, 340 MB after a step."""
NODE = 320 << 20
"""Bytes of a pod's launcher and torchrun, and of libraries that ranks share. Measured: 220 and 90 MB."""
CONTEXT = 2 << 30
"""Bytes of a GPU for CUDA's context, libraries' work spaces and NCCL. Measured on an H200: 1.3 GiB, with
ZeRO 3 1.7 GiB."""


def limit(spec: JobSpec) -> float:
    """Bytes that a rank has for the model and its training."""
    if spec.gpus_per_node:
        return float(quantity(spec.resources.gpu_memory)) - CONTEXT
    return (float(quantity(spec.resources.memory)) - NODE) / spec.processes_per_node - PROCESS


def lowest_layout(spec: JobSpec) -> Layout:
    """The layout with the lowest stage that computes rightly, whether it fits or not.

    Stage 0 shards nothing: each rank holds a whole model, which it must not be cut for. With bf16 it drifts,
    as DeepSpeed keeps another optimizer there. Elsewhere 0 means 1. With sequence parallelism DeepSpeed's
    optimizer for bf16 with stage 1 fails in the first step, so there 1 means 2.
    """
    cut = spec.parallelism
    data = spec.world_size // cut.ranks
    fp32 = spec.training.precision is Precision.FP32
    lowest = 0 if cut.ranks == 1 and fp32 else 1 if cut.sequence == 1 or fp32 else 2
    return Layout(data, cut.tensor, cut.pipeline, cut.sequence, lowest)


def stages(lowest: Layout, *, whole: bool = False) -> range:
    """Stages to try: a pipeline has one, and a single rank has nothing to shard.

    Args:
        lowest: see `lowest_layout`.
        whole: whether each rank needs all weights, which stage 3 shards.
    """
    alone = lowest.data * lowest.sequence == 1
    return range(lowest.zero, lowest.zero + 1 if lowest.pipeline > 1 or alone else 3 if whole else 4)


def said(size: float) -> str:
    """Bytes for people."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{max(size, 0) / (1 << 20):.0f} MiB"
