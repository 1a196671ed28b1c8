"""How many bytes a rank needs: what DeepSpeed holds all the time, and what a step adds for a while.

The figures of what is held are those of DeepSpeed 0.19.8 with the settings of the trainer; a test compares
them with what ranks really allocate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..families import Tensors, numbers_of
from ..layouts.layout import Layout
from ..schema.spec import JobSpec
from ..shape import ModelShape
from .activations import activations
from .adapters import adapter_tensors
from .parameters import held_by

FP32 = 4
BUCKET = 500_000_000
"""Numbers that GPUs reduce at once, at most: DeepSpeed's own default."""
CPU_BUCKET = 8_000_000
"""The same on CPUs: there a bucket is fresh memory in each step, whose pages the kernel has to clear."""
PERSISTENT = 100_000
"""ZeRO 3 never shards weights with so few numbers: its own default."""
LIVE = 1_000_000_000
"""Numbers of gathered weights that ZeRO 3 keeps from forward to backward pass: its own default."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank.

    Attributes:
        weights: in the dtype of training; ZeRO 3's shards and what it keeps whole.
        gradients: as they are after the backward pass.
        master: fp32 weights that the optimizer updates, where they are copies.
        moments: AdamW's two.
        buckets: what ZeRO 3 reduces gradients in.
        backward: what the backward pass adds, activations included.
        update: what the update adds, when activations are gone.
    """

    weights: int
    gradients: int
    master: int
    moments: int
    buckets: int
    backward: int
    update: int

    @property
    def held(self) -> int:
        """Between the backward pass and the update."""
        return self.weights + self.gradients + self.master + self.moments + self.buckets

    @property
    def peak(self) -> int:
        """The most at any time of a step."""
        return self.held + max(self.backward, self.update)


def reduce_bucket(spec: JobSpec, parameters: int) -> int:
    """Numbers that a bucket has room for. DeepSpeed allocates all of it, however small the model is.

    Args:
        spec: the job.
        parameters: numbers of a rank that are reduced.
    """
    return max(1, min(BUCKET if spec.gpus_per_node else CPU_BUCKET, parameters))


def estimate(shape: ModelShape, spec: JobSpec, layout: Layout) -> Memory:
    """Bytes of the rank that needs most: of the first or the last pipeline stage. A model that is measured
    only has its weights, and less activations than training it would need."""
    if spec.evaluation.only:
        size = 2 if spec.training.precision == "bf16" else FP32
        weights = size * numbers_of(held_by(shape, layout, 0))
        return Memory(weights, 0, 0, 0, 0, activations(shape, spec, layout, 0), 0)
    stages = {0, layout.pipeline - 1}
    found = max((of_stage(shape, spec, layout, stage) for stage in stages), key=lambda memory: memory.peak)
    return replace(found, weights=found.weights + _compared_with(shape, spec, layout))


def of_stage(shape: ModelShape, spec: JobSpec, layout: Layout, stage: int) -> Memory:
    """Bytes of a rank of a pipeline stage. Frozen weights need no gradient, no master copy and no moments."""
    bf16 = spec.training.precision == "bf16"
    size, shards = 2 if bf16 else FP32, layout.data * layout.sequence
    tensors, uncut = held_by(shape, layout, stage), replace(layout, tensor=1)
    trained, reduced, adapter = tensors, held_by(shape, uncut, stage), spec.model.adapter
    if adapter is not None:
        trained = reduced = adapter_tensors(shape, adapter)
        tensors = [*tensors, *trained]
    held, whole, part = numbers_of(tensors), numbers_of(trained), _sharded(trained, shards)
    bucket = FP32 * reduce_bucket(spec, numbers_of(reduced))
    # a tensor that no bucket has room for is reduced by itself, in fp32
    alone = max(bucket, FP32 * max(one.numbers for one in reduced))
    active = activations(shape, spec, layout, stage)
    # AdamW computes the root of its second moment, and the quotient, beside it
    update = 2 * FP32 * part
    largest = max(one.numbers for one in trained)
    if layout.zero == 0:
        # a gradient is made beside the sum that it is added to; the update is one fused kernel
        return Memory(FP32 * held, FP32 * whole, 0, 2 * FP32 * whole, 0, active + FP32 * largest, 0)
    if layout.zero == 1:
        # bf16 is another optimizer in DeepSpeed: it sums in a whole fp32 copy and keeps the bf16 gradients
        gradients = (size + FP32) * whole if bf16 else FP32 * part
        backward = active + alone + (0 if bf16 else FP32 * whole)
        return Memory(size * held, gradients, FP32 * part, 2 * FP32 * part, 0, backward, update)
    if layout.zero == 2:
        backward = active + alone + size * largest
        return Memory(size * held, FP32 * part, FP32 * part, 2 * FP32 * part, 0, backward, update)
    # a shard of one rank is the whole weight
    weights = size * (_sharded(tensors, shards) + (_kept_whole(tensors) if shards > 1 else 0))
    backward = active + size * min(held, LIVE)
    return Memory(weights, FP32 * part, FP32 * part, 2 * FP32 * part, bucket, backward, update)


def _compared_with(shape: ModelShape, spec: JobSpec, layout: Layout) -> int:
    """Bytes of the model that training starts from, where answers are compared with it as they come."""
    how, size = spec.training.reinforcement, FP32 if spec.training.precision == "fp32" else 2
    return size * numbers_of(held_by(shape, layout, 0)) if how is not None and how.beta else 0


def _sharded(tensors: list[Tensors], shards: int) -> int:
    """Numbers of one of so many shards, each tensor padded."""
    return sum(-(-one.numbers // shards) * one.count for one in tensors)


def _kept_whole(tensors: list[Tensors]) -> int:
    return sum(one.total for one in tensors if one.numbers <= PERSISTENT)
