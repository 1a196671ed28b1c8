"""How much arithmetic a model needs, and what share of a GPU's peak that is. Pure.

Convention, the one of the PaLM paper (https://arxiv.org/abs/2204.02311, appendix B): each token costs
``6 N + 12 L H Q T`` floating-point operations, forward and backward: N parameters, L layers, H heads of size
Q, T tokens that each position attends to. As the log says with each figure:

- N leaves out tables that are only looked up (input embeddings that are not also the output, positions).
- Attention is not halved for causal models, although a kernel may skip the half that is masked.
- What activation checkpointing computes again is not counted, nor are sequences that only fill a batch.

An encoder-decoder's two stacks see different numbers of tokens, so the unit here is a sequence, not a token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llmtrain_api import BuiltinModel, JobSpec, ModelSpec, Precision, Task

from ..tasks.seq2seq import lengths

CONVENTION = "PaLM: 6N + 12LHQT, N without look-up tables, causal attention not halved, no recomputation"

PEAK_FLOPS: dict[str, float] = {
    r"NVIDIA H100.* HBM3": 989e12,
    r"NVIDIA H200": 989e12,
    r"NVIDIA B200": 2250e12,
}
"""bf16 dense peak by GPU name, FLOP/s. SXM parts only: a PCIe or NVL part of the same name is slower."""

RELATIVE_BUCKETS = 32
"""Distances that T5 tells apart, in each of its stacks."""


@dataclass(frozen=True)
class Stack:
    """Layers that see the same tokens.

    Attributes:
        computed: parameters that each token is multiplied with.
        looked_up: parameters of tables that are only looked up.
        attends: layers times width of attention to the stack's own tokens.
    """

    computed: int
    looked_up: int
    attends: int


def stacks(spec: JobSpec) -> list[Stack]:
    """A family's stacks: one, or T5's encoder and decoder. Their parameters sum up to the whole model's."""
    model, length = spec.model, spec.training.sequence_length
    if model.name is BuiltinModel.TINY_T5:
        return _t5(model)
    if model.name is BuiltinModel.TINY_BERT:
        return [_bert(model, length)]
    if model.name is BuiltinModel.TINY_GPT2:
        return [_gpt2(model, length)]
    return [_grouped(model)]


def parameters(spec: JobSpec) -> int:
    """All parameters of a built-in model; a shared tensor counts once."""
    return sum(stack.computed + stack.looked_up for stack in stacks(spec))


def sequence_flops(spec: JobSpec) -> float:
    """Floating-point operations of one training sequence, forward and backward, by `CONVENTION`."""
    length = spec.training.sequence_length
    if spec.model.task is not Task.SEQ2SEQ:
        [only] = stacks(spec)
        return length * (6.0 * only.computed + 12.0 * only.attends * length)
    encoder, decoder = stacks(spec)
    source, target = lengths(length)
    own = source * (6.0 * encoder.computed + 12.0 * encoder.attends * source)
    own += target * (6.0 * decoder.computed + 12.0 * decoder.attends * target)
    # keys and values of the cross-attention are made of the encoder's tokens, not of the decoder's
    moved = 2 * spec.model.hidden_size**2 * spec.model.num_layers
    return own + 6.0 * moved * (source - target) + 12.0 * decoder.attends * target * source


def peak_flops(device: str | None, precision: Precision) -> float | None:
    """FLOP/s that a device could do at most; None where no share of it would mean anything.

    Args:
        device: the GPU's name as CUDA tells it; None = CPU.
        precision: the table holds for bf16 only.
    """
    if device is None or precision is not Precision.BF16:
        return None
    return next((peak for name, peak in PEAK_FLOPS.items() if re.fullmatch(name, device)), None)


def mfu(flops_per_second: float, devices: int, peak: float | None) -> float | None:
    """Model FLOPs utilization: model FLOP/s of the gang over the peak of its devices, 0 to 1."""
    return None if peak is None else flops_per_second / (devices * peak)


def _attends(model: ModelSpec) -> int:
    return model.num_layers * model.hidden_size


def _grouped(model: ModelSpec) -> Stack:
    """Llama, and Qwen3 with its norms of queries and keys."""
    hidden, head = model.hidden_size, model.hidden_size // model.num_heads
    attention = 2 * hidden * hidden + 2 * hidden * head * model.kv_heads
    norms = 2 * hidden + (2 * head if model.name is BuiltinModel.TINY_QWEN else 0)
    layer = attention + 3 * hidden * model.width + norms
    table = model.vocab_size * hidden
    return Stack(
        model.num_layers * layer + hidden + table, 0 if model.tied_embeddings else table, _attends(model)
    )


def _with_biases(model: ModelSpec) -> int:
    """A layer of GPT-2 or BERT: four projections, two feed-forward matrices, two norms, all with biases."""
    hidden, width = model.hidden_size, model.width
    return 4 * (hidden * hidden + hidden) + 2 * hidden * width + width + hidden + 4 * hidden


def _gpt2(model: ModelSpec, length: int) -> Stack:
    hidden = model.hidden_size
    computed = model.num_layers * _with_biases(model) + 2 * hidden + model.vocab_size * hidden
    return Stack(computed, length * hidden, _attends(model))


def _bert(model: ModelSpec, length: int) -> Stack:
    """With the head that predicts masked tokens, which shares its matrix with the input."""
    hidden, segments = model.hidden_size, 2
    head = hidden * hidden + 3 * hidden + model.vocab_size * hidden + model.vocab_size
    computed = model.num_layers * _with_biases(model) + 2 * hidden + head
    return Stack(computed, (length + segments) * hidden, _attends(model))


def _t5(model: ModelSpec) -> list[Stack]:
    """No biases; the shared embedding is counted where it is multiplied with: at the decoder's output."""
    hidden, layers = model.hidden_size, model.num_layers
    attention, feed_forward = 4 * hidden * hidden, 2 * hidden * model.width
    distances = RELATIVE_BUCKETS * model.num_heads
    encoder = layers * (attention + feed_forward + 2 * hidden) + hidden
    decoder = layers * (2 * attention + feed_forward + 3 * hidden) + hidden
    return [
        Stack(encoder, distances, _attends(model)),
        Stack(decoder + model.vocab_size * hidden, distances, _attends(model)),
    ]
