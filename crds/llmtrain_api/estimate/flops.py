"""How much arithmetic a model needs.

Convention, the one of the PaLM paper (https://arxiv.org/abs/2204.02311, appendix B): each token costs
``6 N + 12 L H Q T`` floating-point operations, forward and backward: N parameters, L layers, H heads of size
Q, T tokens that each position attends to. As the log says with each figure:

- N leaves out tables that are only looked up (input embeddings that are not also the output, positions).
- A frozen weight that is multiplied with costs 4 operations a token instead of 6: it needs no gradient.
  Adapters beside it cost 6, as all that is trained.
- Attention is not halved for causal models, although a kernel may skip the half that is masked.
- What activation checkpointing computes again is not counted, nor are sequences that only fill a batch.

An encoder-decoder's two stacks see different numbers of tokens, so the unit here is a sequence, not a token.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..families import FAMILIES, numbers_of
from ..families.llava import VISION
from ..schema.adapter import AdapterSpec
from ..shape import ModelShape
from .adapters import adapter_tensors

CONVENTION = (
    "PaLM: 6N + 12LHQT (4N where N is frozen), N without look-up tables, causal attention not halved, "
    "no recomputation"
)


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


def stacks(shape: ModelShape, length: int, *, pairs: bool = False) -> list[Stack]:
    """A model's stacks: one, or an encoder and a decoder. Their parameters sum up to the whole model's, less
    those of `image_flops`.

    Args:
        shape: family and sizes.
        length: tokens of a training sequence.
        pairs: whether an encoder and a decoder each see so many, instead of their parts of one row.
    """
    family = FAMILIES[shape.architecture]
    found = []
    for number, sees in enumerate([length] * 2 if pairs else family.seen(length)):
        stacked = [one for one in family.parts(shape).whole(shape.layers) if one.stack == number]
        tables = [one for one in stacked if one.looked_up]
        found.append(Stack(numbers_of(stacked) - numbers_of(tables), numbers_of(tables), sees))
    return found


def image_flops(shape: ModelShape, adapter: AdapterSpec | None = None) -> float:
    """Floating-point operations of one image, forward and backward, by `CONVENTION`; its unit is the whole
    image. What sees images in a model is no part of its `stacks`.

    Args:
        shape: family and sizes; of a model that sees no images it is nothing.
        adapter: what is trained, where the weights are not.
    """
    vision = shape.vision
    if vision is None:
        return 0.0
    tensors = FAMILIES[shape.architecture].parts(shape).whole(shape.layers)
    computed = numbers_of([one for one in tensors if one.stack == VISION and not one.looked_up])
    attends = 12.0 * vision.layers * vision.hidden * vision.sees
    return vision.sees * ((6.0 if adapter is None else 4.0) * computed + attends)


def sequence_flops(
    shape: ModelShape, length: int, adapter: AdapterSpec | None = None, *, pairs: bool = False
) -> float:
    """Floating-point operations of one training sequence, forward and backward, by `CONVENTION`; of a model
    that sees images with one image, as each sample has one at least.

    Args:
        shape: family and sizes.
        length: its tokens.
        adapter: what is trained, where the weights are not.
        pairs: see `stacks`.
    """
    found, attends = stacks(shape, length, pairs=pairs), shape.layers * shape.query_width
    each = 6.0 if adapter is None else 4.0
    own = sum(stack.sees * (each * stack.computed + 12.0 * attends * stack.sees) for stack in found)
    if adapter is not None:
        own += sum(6.0 * one.total * found[one.stack].sees for one in adapter_tensors(shape, adapter))
    if len(found) == 1:
        return own + image_flops(shape, adapter)
    source, target = (stack.sees for stack in found)
    # keys and values of the cross-attention are made of the encoder's tokens, not of the decoder's
    moved = 2 * shape.hidden * shape.kv_width * shape.layers
    return own + each * moved * (source - target) + 12.0 * attends * target * source
