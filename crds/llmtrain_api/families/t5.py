"""T5: an encoder and a decoder that learn hidden spans, with relative positions and no biases."""

from __future__ import annotations

from ..schema.model import BuiltinModel
from ..shape import TIED, ModelShape, Task
from .base import Family, Linear, Parts, Saved, Tensors
from .config import LONGEST, Config, InvalidModel

DISTANCES = 32
"""Distances that it tells apart, in each of its stacks: the default of its configuration."""
SENTINELS = 32
"""Tokens that stand for what is hidden."""
SHARE, SPAN = 0.15, 3
"""Which share of a row is hidden, in spans of how many tokens on average (https://arxiv.org/abs/1910.10683)."""
ENCODER, DECODER = 0, 1
GATED = "gated"


def hidden_and_spans(length: int) -> tuple[int, int]:
    """Tokens that are hidden in a row, and in how many spans."""
    hidden = max(1, round(SHARE * length))
    return hidden, min(SENTINELS - 1, max(1, round(hidden / SPAN)))


def lengths(length: int) -> tuple[int, int]:
    """Tokens that the encoder and the decoder see of a row."""
    hidden, spans = hidden_and_spans(length)
    return length - hidden + spans, hidden + spans + 1


def parts(shape: ModelShape) -> Parts:
    """Its tensors. The shared embedding counts where it is multiplied with: at the decoder's output."""
    hidden = shape.hidden
    sides = (ENCODER, DECODER)
    attention, feed = hidden * shape.query_width, hidden * shape.width
    matrices = 3 if GATED in shape.switches else 2
    # the first block of either side has the weights of the distances
    tables = [Tensors(DISTANCES * shape.heads, cut=True, looked_up=True, stack=side) for side in sides]
    block = [
        Tensors(attention, 4, cut=True, stack=ENCODER),
        Tensors(attention, 8, cut=True, stack=DECODER),  # self and cross attention
        *(Tensors(feed, matrices, cut=True, stack=side) for side in sides),
        *(Tensors(hidden, norms, stack=side) for side, norms in ((ENCODER, 2), (DECODER, 3))),
    ]
    first = [Tensors(shape.vocabulary * hidden, stack=DECODER), *tables]
    return Parts(first, block, [Tensors(hidden, stack=side) for side in sides], [])


def linears(shape: ModelShape) -> list[Linear]:
    """Its linear layers. Keys and values of the cross-attention are made of the encoder's tokens."""
    hidden, query, width = shape.hidden, shape.query_width, shape.width
    attention = {"q": (hidden, query), "k": (hidden, query), "v": (hidden, query), "o": (query, hidden)}
    gated = GATED in shape.switches
    feed = {f"DenseReluDense.{name}": (hidden, width) for name in (("wi_0", "wi_1") if gated else ("wi",))}
    feed["DenseReluDense.wo"] = (width, hidden)
    both = {f"SelfAttention.{name}": size for name, size in attention.items()} | feed
    found = [
        Linear(name, *size, shape.layers, side) for side in (ENCODER, DECODER) for name, size in both.items()
    ]
    for name, size in attention.items():
        side = ENCODER if name in "kv" else DECODER
        found.append(Linear(f"EncDecAttention.{name}", *size, shape.layers, side))
    return found


def read(config: Config) -> dict[str, object]:
    """Fields of its shape.

    Raises:
        InvalidModel: its two sides are not equally deep or not tied, or tell other distances apart.
    """
    layers, heads = config.size("num_layers"), config.size("num_heads")
    for name, right in (("num_decoder_layers", layers), ("relative_attention_num_buckets", DISTANCES)):
        if (found := config.size(name, right)) != right:
            raise InvalidModel(f"config.json: {name} is {found}; only T5 with {right} there can be trained")
    if not config.flag("tie_word_embeddings", True):
        raise InvalidModel(
            "config.json: tie_word_embeddings is false (T5 1.1, Flan-T5), and the trainer's version of "
            "transformers ties them: it would be another model; use one with tied embeddings"
        )
    gate = config.text("feed_forward_proj", "relu")
    act = gate.removeprefix("gated-")
    return {
        "switches": {TIED}
        | ({GATED} if gate.startswith("gated-") else set())
        | ({f"activation:{act}"[:40]} if act != "relu" else set()),
        "hidden": config.size("d_model"),
        "layers": layers,
        "heads": heads,
        "kv_heads": heads,
        "head_size": config.size("d_kv"),
        "width": config.size("d_ff"),
        "vocabulary": config.size("vocab_size"),
        "positions": LONGEST,
    }


T5 = Family(
    model_type="t5",
    read=read,
    architecture="T5ForConditionalGeneration",
    name="t5",
    title="T5",
    builtin=BuiltinModel.TINY_T5,
    task=Task.SEQ2SEQ,
    grouped=False,
    saved=Saved(11, 16, 0, 0, 2, 2),
    parts=parts,
    linears=linears,
    seen=lengths,
)
