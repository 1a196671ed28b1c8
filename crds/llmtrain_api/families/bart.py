"""BART: an encoder as BERT's and a decoder beside it, with a weight for each position and biases."""

from __future__ import annotations

from ..shape import TIED, ModelShape, Task
from .base import Family, Linear, Parts, Saved, Tensors
from .config import Config, InvalidModel, switches

PADDING = 2
"""Rows of its tables of positions that no token has: its positions begin after the padding's number."""
ENCODER, DECODER = 0, 1
SIDES = (ENCODER, DECODER)
SCALED = "scale-embedding"
SHARE, SPAN = 0.3, 3
"""Which share of a row is hidden, in spans of how many tokens on average (https://arxiv.org/abs/1910.13461)."""


def hidden_and_spans(length: int) -> tuple[int, int]:
    """Tokens that are hidden in a row, and in how many spans."""
    hidden = max(1, round(SHARE * length))
    return hidden, max(1, round(hidden / SPAN))


def lengths(length: int) -> tuple[int, int]:
    """Tokens that the encoder and the decoder see of a row: each hidden span is one, and all is written."""
    hidden, spans = hidden_and_spans(length)
    return length - hidden + spans, length


def parts(shape: ModelShape) -> Parts:
    """Its tensors. The shared embedding counts where it is multiplied with: at the decoder's output."""
    hidden, width = shape.hidden, shape.width
    block: list[Tensors] = []
    for side, attentions in ((ENCODER, 1), (DECODER, 2)):  # a decoder's block also looks at the encoder
        block += [
            Tensors(hidden * hidden, 4 * attentions, cut=True, stack=side),
            Tensors(hidden, 3 * attentions, cut=True, stack=side),
            Tensors(hidden * width, 2, cut=True, stack=side),
            Tensors(width, cut=True, stack=side),
            # a norm after each part, and the biases of what AutoTP cuts by rows
            Tensors(hidden, 2 * (attentions + 1) + attentions + 1, stack=side),
        ]
    tables = [Tensors((shape.positions + PADDING) * hidden, looked_up=True, stack=side) for side in SIDES]
    norms = [Tensors(hidden, 2, stack=side) for side in SIDES]
    return Parts([Tensors(shape.vocabulary * hidden, stack=DECODER), *tables, *norms], block, [], [])


def linears(shape: ModelShape) -> list[Linear]:
    """Its linear layers. Keys and values of the cross-attention are made of the encoder's tokens."""
    hidden, width = shape.hidden, shape.width
    projections = ("q_proj", "k_proj", "v_proj", "out_proj")
    both = {f"self_attn.{name}": (hidden, hidden) for name in projections}
    both |= {"fc1": (hidden, width), "fc2": (width, hidden)}
    found = [Linear(name, *size, shape.layers, side) for side in SIDES for name, size in both.items()]
    for name in projections:
        side = ENCODER if name in ("k_proj", "v_proj") else DECODER
        found.append(Linear(f"encoder_attn.{name}", hidden, hidden, shape.layers, side))
    return found


def read(config: Config) -> dict[str, object]:
    """Fields of its shape.

    Raises:
        InvalidModel: its two sides are not alike, or its embeddings are not tied.
    """
    sizes = {}
    for name in ("layers", "attention_heads", "ffn_dim"):
        sizes[name] = config.size(f"encoder_{name}")
        if (found := config.size(f"decoder_{name}")) != sizes[name]:
            raise InvalidModel(
                f"config.json: decoder_{name} is {found}; only BART with {sizes[name]} there, as in its "
                "encoder, can be trained"
            )
    found_switches = switches(config, tied=True, activation=("activation_function", "gelu"))
    if TIED not in found_switches:
        raise InvalidModel(
            "config.json: tie_word_embeddings is false; only BART with tied embeddings can be trained"
        )
    hidden, heads = config.size("d_model"), sizes["attention_heads"]
    return {
        "switches": found_switches | ({SCALED} if config.flag("scale_embedding") else set()),
        "hidden": hidden,
        "layers": sizes["layers"],
        "heads": heads,
        "kv_heads": heads,
        "head_size": max(1, hidden // heads),
        "width": sizes["ffn_dim"],
        "vocabulary": config.size("vocab_size"),
        "positions": config.size("max_position_embeddings", 1024),
    }


BART = Family(
    model_type="bart",
    read=read,
    architecture="BartForConditionalGeneration",
    name="bart",
    title="BART",
    builtin=None,
    task=Task.SEQ2SEQ,
    grouped=False,
    saved=Saved(11, 0, 0, 0, 2),  # a mean of both sides
    parts=parts,
    linears=linears,
    seen=lengths,
    infills=True,
)
