"""What the forward pass keeps for the backward pass.

The method is that of Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models"
(2022), section 4: count what autograd saves in a block. The numbers of `families` are those of transformers'
own modules without dropout and with fused attention, so there is no term of heads x length^2 but in T5. What
keeps documents apart is counted in `attention`.
"""

from __future__ import annotations

from ..families import FAMILIES
from ..families.llava import MADE, SAVED
from ..layouts.layout import Layout
from ..schema.spec import JobSpec
from ..schema.task import Task
from ..schema.training import Recompute
from ..shape import ModelShape
from .adapters import targeted
from .attention import block_extra, mask_bytes
from .parameters import blocks_of

FP32 = 4


LOSS_CHUNK = 1 << 24
"""Logits that the loss is computed of at a time: 64 MiB in fp32, enough work to hide what a chunk costs."""
OUTSIDE = 6
"""Numbers times the width, for a token: embeddings, last norm, T5's and BERT's own heads."""


def block_bytes(shape: ModelShape, length: int, size: int, tensor: int = 1) -> int:
    """Bytes that one block saves for a token.

    Args:
        shape: family and sizes.
        length: tokens a sequence.
        size: bytes of a number in the precision of training.
        tensor: tensor-parallel ranks; they share what is inside of attention and feed-forward layers. Of what
            is as wide as the residual stream all but queries and attention's output counts as not shared.
    """
    saved, hidden = FAMILIES[shape.architecture].saved, shape.hidden
    shared = size * 2 * shape.query_width + (size * saved.keys + FP32 * saved.keys32) * shape.kv_width
    shared += size * saved.feed * shape.width + FP32 * saved.scores * shape.heads * length
    # statistics of norms and of attention: a few numbers a token and head
    shared += FP32 * shape.heads
    rest = size * (saved.hidden - 2) * hidden + FP32 * (saved.hidden32 * hidden + 2)
    return rest + shared // tensor


def selective_bytes(shape: ModelShape, size: int) -> int:
    """Bytes that one block keeps for a token where the cheap part of it is computed again: its input, and
    what its linear layers and fused attention made. One process has all of it: tensor parallelism cuts none.

    Args:
        shape: family and sizes.
        size: bytes of a number in the precision of training.
    """
    family = FAMILIES[shape.architecture]
    linears = family.linears(shape)
    made = sum(one.outputs * (one.count // shape.layers) for one in linears)
    if family.saved.scores:
        return input_bytes(shape, size) + size * made
    return input_bytes(shape, size) + size * (made + shape.query_width) + FP32 * shape.heads


def input_bytes(shape: ModelShape, size: int) -> int:
    """Bytes that a block is given for a token; an encoder's block and a decoder's each have an input."""
    sides = {one.stack for one in FAMILIES[shape.architecture].linears(shape)}
    return size * shape.hidden * len(sides)


def activations(shape: ModelShape, spec: JobSpec, layout: Layout, stage: int = 0) -> int:
    """Bytes of activations at the end of the forward pass, loss included.

    With checkpointing a block keeps its input only (Chen et al., "Training Deep Nets with Sublinear Memory
    Cost", 2016), or also what is dear to compute, and one block at a time is computed again. A pipeline's
    first stage has as many passes under way as there are stages (1F1B: Narayanan et al., "Efficient
    Large-Scale Language Model Training", 2021).
    """
    training = spec.training
    size = 2 if training.precision == "bf16" else FP32
    share = -(-training.global_batch_size // layout.data)
    micro = min(training.micro_batch_size, share)
    # a text from a text has a whole sequence on either side of the model, and so has one with hidden spans
    infills = FAMILIES[shape.architecture].infills and spec.task is not Task.TEXT2TEXT
    sides = 2 if infills or spec.task is Task.TEXT2TEXT else spec.sequences_a_sample
    # both texts of a pair are in one pass, however few sequences the others have
    at_once = max(sides * micro, 2 if training.fairness else 0)
    tokens = at_once * training.sequence_length // layout.sequence
    one = block_bytes(shape, training.sequence_length, size, layout.tensor)
    adapted, made = _adapted(shape, spec)
    one += size * adapted + block_extra(shape, spec, layout, size)
    kept, again = one, 0
    if training.recompute is Recompute.FULL:
        kept, again = input_bytes(shape, size), one
    elif training.recompute is Recompute.SELECTIVE:
        kept = selective_bytes(shape, size) + size * (adapted + made)
        again = max(0, one - kept)
    kept *= blocks_of(shape, layout)
    under_way = min(layout.pipeline - stage, -(-share // micro))
    kept += mask_bytes(shape, spec, layout, size)
    outside = OUTSIDE * FP32 * shape.hidden
    seen = at_once * vision_bytes(shape, training.sequence_length, size, training.recompute)
    last = stage == layout.pipeline - 1
    # which is as long as what is written of it
    predicted = tokens // 2 if infills else tokens
    loss = _loss(shape, spec, predicted, size) if last else 0
    return tokens * (under_way * kept + again + outside) + loss + seen


def vision_bytes(shape: ModelShape, length: int, size: int, again: Recompute | None = None) -> int:
    """Bytes that are saved of the images of a sequence: of as many as it has room for.

    Args:
        shape: family and sizes; of a model that sees no images it is nothing.
        length: tokens of the sequence.
        size: bytes of a number in the precision of training.
        again: which activations each block computes again.
    """
    vision = shape.vision
    if vision is None:
        return 0
    block = size * (SAVED.hidden * vision.hidden + SAVED.feed * vision.width) + FP32 * vision.heads
    kept = vision.layers * block
    if again is Recompute.FULL:
        kept = vision.layers * size * vision.hidden + block
    elif again is Recompute.SELECTIVE:
        made = size * (MADE.hidden * vision.hidden + MADE.feed * vision.width) + FP32 * vision.heads
        kept = vision.layers * made + block - made
    # each patch's hidden states, and what the two layers after them read
    outside = size * (2 * vision.hidden + 4 * shape.hidden)
    pixels = (FP32 + size) * 3 * vision.image**2
    return images_of(shape, length) * (vision.sees * (kept + outside) + pixels)


def images_of(shape: ModelShape, length: int) -> int:
    """Images that a sequence has room for."""
    return max(1, length // shape.vision.tokens) if shape.vision else 0


def loss_bytes(logits: int, size: int) -> int:
    """Bytes of so many logits, their gradient, and what the loss computes a chunk at a time in fp32.

    Args:
        logits: tokens x vocabulary.
        size: bytes of a number in the precision of training.
    """
    # a chunk's softmax; where logits are not fp32, also the chunk in fp32
    copies = 1 if size == FP32 else 2
    return 2 * size * logits + copies * FP32 * min(logits, LOSS_CHUNK)


def _loss(shape: ModelShape, spec: JobSpec, tokens: int, size: int) -> int:
    if not spec.training.chunked_logits:
        return loss_bytes(tokens * shape.vocabulary, size)
    trained = spec.model.adapter is None
    return head_loss_bytes(tokens, shape.vocabulary, shape.hidden, size, trained=trained)


def head_loss_bytes(tokens: int, vocabulary: int, width: int, size: int, *, trained: bool) -> int:
    """Bytes that the loss needs where the output layer's logits are made a chunk at a time.

    Args:
        tokens: of a pass.
        vocabulary: the layer's outputs.
        width: its inputs.
        size: bytes of a number in the precision of training.
        trained: whether the layer is.
    """
    chunk = loss_bytes(min(tokens * vocabulary, LOSS_CHUNK), size)
    # hidden states' gradient; the weight's is summed in fp32, with a chunk's beside it where that is not
    sums = (FP32 + (size if size < FP32 else 0)) * vocabulary * width if trained else 0
    return chunk + size * tokens * width + sums


def _adapted(shape: ModelShape, spec: JobSpec) -> tuple[int, int]:
    """Numbers that one block's adapters make of a token: what A makes of it, of each targeted layer, which is
    saved, and what B makes of that, which is not, but for a product that is kept.

    What A itself reads is counted already, and so is the input of a frozen layer without an adapter, which
    nobody needs.
    """
    adapter = spec.model.adapter
    if adapter is None:
        return 0, 0
    linears = targeted(shape, adapter.targets)
    layers = sum(one.count for one in linears)
    made = sum(one.count * one.outputs for one in linears)
    return adapter.rank * -(-layers // shape.layers), -(-made // shape.layers)
