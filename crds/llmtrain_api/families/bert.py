"""BERT and RoBERTa: an encoder that learns masked tokens, with the input's matrix in its head."""

from __future__ import annotations

from ..schema.model import BuiltinModel
from ..shape import ModelShape, Task
from .base import Family, Linear, Parts, Saved, Tensors
from .config import Config, InvalidModel, switches

SEGMENTS = "segments:"
"""The switch of a model that tells apart another number of kinds of sentences than is usual."""
PADDING = 2
"""Rows of RoBERTa's table of positions that no token has: its positions begin after the padding's number."""


def parts(shape: ModelShape, segments: int = 2, padding: int = 0) -> Parts:
    """Its tensors.

    Args:
        shape: the model's.
        segments: kinds of sentences that it tells apart where no switch says so.
        padding: rows of the table of positions that no token has.
    """
    said = [one.removeprefix(SEGMENTS) for one in shape.switches if one.startswith(SEGMENTS)]
    segments = int(said[0]) if said else segments
    hidden, width, vocabulary = shape.hidden, shape.width, shape.vocabulary
    tables = [Tensors(rows * hidden, looked_up=True) for rows in (shape.positions + padding, segments)]
    block = [
        *(Tensors(hidden * hidden, 4, cut=True), Tensors(hidden, 3, cut=True)),
        *(Tensors(hidden * width, 2, cut=True), Tensors(width, cut=True)),
        Tensors(hidden, 6),  # both norms, and the biases of what AutoTP cuts by rows
    ]
    return Parts(
        [Tensors(vocabulary * hidden), *tables, Tensors(hidden, 2)],
        block,
        [Tensors(hidden * hidden), Tensors(hidden, 3), Tensors(vocabulary)],
        [],
    )


def linears(shape: ModelShape, head: str = "transform.dense") -> list[Linear]:
    """Its linear layers.

    Args:
        shape: the model's.
        head: the name of its head's square matrix.
    """
    hidden, width = shape.hidden, shape.width
    square = [*(f"attention.self.{name}" for name in ("query", "key", "value")), "attention.output.dense"]
    return [
        *(Linear(name, hidden, hidden, shape.layers) for name in square),
        Linear("intermediate.dense", hidden, width, shape.layers),
        Linear("output.dense", width, hidden, shape.layers),
        Linear(head, hidden, hidden, 1),
    ]


def read(config: Config, segments: int = 2, padding: int = 0) -> dict[str, object]:
    """Fields of its shape; the arguments are those of `parts`.

    Raises:
        InvalidModel: it is a decoder.
    """
    if config.flag("is_decoder"):
        raise InvalidModel("config.json: is_decoder is true; only encoders of this architecture are trained")
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    found = switches(config, tied=True, activation=("hidden_act", "gelu"))
    if (kinds := config.size("type_vocab_size", 2)) != segments:
        found.add(f"{SEGMENTS}{kinds}")
    return {
        "switches": found,
        "hidden": hidden,
        "layers": config.size("num_hidden_layers"),
        "heads": heads,
        "kv_heads": heads,
        "head_size": max(1, hidden // heads),
        "width": config.size("intermediate_size"),
        "vocabulary": config.size("vocab_size"),
        "positions": max(1, config.size("max_position_embeddings", 512) - padding),
    }


ROBERTA = Family(
    architecture="RobertaForMaskedLM",
    model_type="roberta",
    name="roberta",
    title="RoBERTa",
    builtin=None,
    task=Task.MASKED,
    grouped=False,
    saved=Saved(8, 0, 0, 0, 2),
    parts=lambda shape: parts(shape, 1, PADDING),
    linears=lambda shape: linears(shape, "lm_head.dense"),
    read=lambda config: read(config, 1, PADDING),
)
BERT = Family(
    model_type="bert",
    read=read,
    architecture="BertForMaskedLM",
    name="bert",
    title="BERT",
    builtin=BuiltinModel.TINY_BERT,
    task=Task.MASKED,
    grouped=False,
    saved=Saved(8, 0, 0, 0, 2),
    parts=parts,
    linears=linears,
)
