"""How attention keeps documents of one row apart, and what that costs in memory."""

from __future__ import annotations

from ..families import FAMILIES
from ..layouts.layout import Layout
from ..schema.spec import JobSpec
from ..schema.task import Task
from ..schema.training import Packing
from ..shape import ModelShape

WHOLE = {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM", "GPT2LMHeadModel"}
"""Decoders whose tokens see all before them, but for a window that `ModelShape.switches` names."""


def packs(spec: JobSpec) -> bool:
    """Whether rows hold several documents that must not see each other."""
    return spec.task is Task.CHAT or spec.training.packing is Packing.DOCUMENTS


def by_document(shape: ModelShape, spec: JobSpec, layout: Layout) -> bool:
    """Whether attention is computed document by document, which needs no mask of length x length.

    On CPUs only, where each document is a call of torch's fused kernel. It is not compiled, as the lengths of
    documents differ, and stages of a pipeline and Ulysses have an attention of their own.

    Args:
        shape: the model's.
        spec: of the job.
        layout: how its gang is cut.
    """
    windows = any(one.startswith("window") for one in shape.switches)
    plain = shape.architecture in WHOLE and not windows
    cut = layout.pipeline > 1 or layout.sequence > 1
    return packs(spec) and plain and not (cut or spec.gpus_per_node or spec.training.compile)


def block_extra(shape: ModelShape, spec: JobSpec, layout: Layout, size: int) -> int:
    """Bytes that a block saves for a token, beside what `block_bytes` counts, as documents are kept apart.

    By document: what attention made is joined, and both are saved. With a mask: no fused kernel takes fewer
    keys and values than queries, so they are repeated.

    Args:
        shape: the model's.
        spec: of the job.
        layout: how its gang is cut.
        size: bytes of a number in the precision of training.
    """
    if not packs(spec) or FAMILIES[shape.architecture].saved.scores:
        return 0
    if by_document(shape, spec, layout):
        return size * shape.query_width // layout.tensor
    return 2 * size * (shape.query_width - shape.kv_width) // layout.tensor


def mask_bytes(shape: ModelShape, spec: JobSpec, layout: Layout, size: int) -> int:
    """Bytes of the mask, for a token of a pass: one number for each token of its row, and whether it is seen.

    Args:
        shape: the model's.
        spec: of the job.
        layout: how its gang is cut.
        size: bytes of a number in the precision of training.
    """
    if not packs(spec) or by_document(shape, spec, layout):
        return 0
    return (size + 1) * spec.training.sequence_length
