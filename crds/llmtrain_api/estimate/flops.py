"""How much arithmetic a model needs.

Convention, the one of the PaLM paper (https://arxiv.org/abs/2204.02311, appendix B): each token costs
``6 N + 12 L H Q T`` floating-point operations, forward and backward: N parameters, L layers, H heads of size
Q, T tokens that each position attends to. As the log says with each figure:

- N leaves out tables that are only looked up (input embeddings that are not also the output, positions).
- Attention is not halved for causal models, although a kernel may skip the half that is masked.
- What activation checkpointing computes again is not counted, nor are sequences that only fill a batch.

An encoder-decoder's two stacks see different numbers of tokens, so the unit here is a sequence, not a token.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..families import FAMILIES, numbers_of
from ..shape import ModelShape

CONVENTION = "PaLM: 6N + 12LHQT, N without look-up tables, causal attention not halved, no recomputation"


@dataclass(frozen=True)
class Stack:
    """Layers that see the same tokens.

    Attributes:
        computed: parameters that each token is multiplied with.
        looked_up: parameters of tables that are only looked up.
        sees: tokens of a training sequence.
    """

    computed: int
    looked_up: int
    sees: int


def stacks(shape: ModelShape, length: int) -> list[Stack]:
    """A model's stacks: one, or an encoder and a decoder. Their parameters sum up to the whole model's.

    Args:
        shape: family and sizes.
        length: tokens of a training sequence.
    """
    family = FAMILIES[shape.architecture]
    found = []
    for number, sees in enumerate(family.seen(length)):
        stacked = [one for one in family.parts(shape).whole(shape.layers) if one.stack == number]
        tables = [one for one in stacked if one.looked_up]
        found.append(Stack(numbers_of(stacked) - numbers_of(tables), numbers_of(tables), sees))
    return found


def sequence_flops(shape: ModelShape, length: int) -> float:
    """Floating-point operations of one training sequence, forward and backward, by `CONVENTION`.

    Args:
        shape: family and sizes.
        length: its tokens.
    """
    found, attends = stacks(shape, length), shape.layers * shape.query_width
    own = sum(stack.sees * (6.0 * stack.computed + 12.0 * attends * stack.sees) for stack in found)
    if len(found) == 1:
        return own
    source, target = (stack.sees for stack in found)
    # keys and values of the cross-attention are made of the encoder's tokens, not of the decoder's
    moved = 2 * shape.hidden * shape.kv_width * shape.layers
    return own + 6.0 * moved * (source - target) + 12.0 * attends * target * source
