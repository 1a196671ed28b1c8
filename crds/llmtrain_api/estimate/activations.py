"""What the forward pass keeps for the backward pass. PURE.

The method is that of Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models"
(2022), section 4: count what autograd saves in a block. The numbers here are those of transformers' own
modules without dropout and with fused attention, so there is no term of heads x length^2 but in T5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..layouts.layout import Layout
from .parameters import blocks_of

if TYPE_CHECKING:
    from ..schema.model import ModelSpec
    from ..schema.spec import JobSpec

FP32 = 4


@dataclass(frozen=True)
class Saved:
    """Numbers that one block saves for a token.

    Attributes:
        hidden: times the width of the residual stream.
        hidden32: the same, in fp32 whatever the precision (norms).
        keys: times the width of keys and values.
        keys32: the same in fp32.
        feed: times the width of the feed-forward layer.
        scores: times heads x length, in fp32 (attention with a bias).
    """

    hidden: int
    hidden32: int
    keys: int
    keys32: int
    feed: int
    scores: int = 0


SAVED: dict[str, Saved] = {
    "builtin://tiny-llama": Saved(6, 2, 2, 0, 4),
    "builtin://tiny-qwen": Saved(7, 3, 3, 1, 4),
    "builtin://tiny-gpt2": Saved(8, 0, 0, 0, 5),
    "builtin://tiny-bert": Saved(8, 0, 0, 0, 2),
    "builtin://tiny-t5": Saved(11, 16, 0, 0, 2, 2),
}
OUTSIDE = 6
"""Numbers times the width, for a token: embeddings, last norm, T5's and BERT's own heads."""


def block_bytes(model: ModelSpec, length: int, size: int, tensor: int = 1) -> int:
    """Bytes that one block saves for a token.

    Args:
        model: family and sizes.
        length: tokens a sequence.
        size: bytes of a number in the precision of training.
        tensor: tensor-parallel ranks; they share what is inside of attention and feed-forward layers. Of what
            is as wide as the residual stream all but queries and attention's output counts as not shared.
    """
    saved, hidden = SAVED[model.name], model.hidden_size
    keys = hidden // model.num_heads * model.kv_heads
    shared = size * 2 * hidden + (size * saved.keys + FP32 * saved.keys32) * keys
    shared += size * saved.feed * model.width + FP32 * saved.scores * model.num_heads * length
    # statistics of norms and of attention: a few numbers a token and head
    shared += FP32 * model.num_heads
    rest = size * (saved.hidden - 2) * hidden + FP32 * (saved.hidden32 * hidden + 2)
    return rest + shared // tensor


def activations(spec: JobSpec, layout: Layout, stage: int = 0) -> int:
    """Bytes of activations at the end of the forward pass, loss included.

    With checkpointing a block keeps its input only, and one block at a time is computed again (Chen et al.,
    "Training Deep Nets with Sublinear Memory Cost", 2016). A pipeline's first stage has as many passes under
    way as there are stages (1F1B: Narayanan et al., "Efficient Large-Scale Language Model Training", 2021).
    """
    training, model = spec.training, spec.model
    size = 2 if training.precision == "bf16" else FP32
    share = -(-training.global_batch_size // layout.data)
    micro = min(training.micro_batch_size, share)
    tokens = micro * training.sequence_length // layout.sequence
    one = block_bytes(model, training.sequence_length, size, layout.tensor)
    blocks = blocks_of(model, layout)
    if training.activation_checkpointing:
        kept, again = blocks * size * model.hidden_size, one
    else:
        kept, again = blocks * one, 0
    under_way = min(layout.pipeline - stage, -(-share // micro))
    outside = OUTSIDE * FP32 * model.hidden_size
    if stage == layout.pipeline - 1:
        # logits, log-probabilities and the gradient; in bf16 also the logits in fp32
        outside += model.vocab_size * (size + 2 * FP32 + (FP32 if size < FP32 else 0))
    return tokens * (under_way * kept + again + outside)
