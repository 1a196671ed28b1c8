"""Llama: a decoder with rotary positions, key/value groups and no biases."""

from __future__ import annotations

from ..schema.model import BuiltinModel
from ..shape import ModelShape, Task
from .base import Family, Linear, Parts, Saved, Tensors


def parts(shape: ModelShape) -> Parts:
    """Its tensors. Rotary positions have no weights."""
    hidden, tied = shape.hidden, shape.tied
    block = [
        Tensors(hidden * shape.query_width, 2, cut=True),  # queries and output
        Tensors(hidden * shape.kv_width, 2, cut=True),
        Tensors(hidden * shape.width, 3, cut=True),
        Tensors(hidden, 2),
    ]
    # AutoTP cuts the output layer, and with it the embeddings that share its weights
    embedding = Tensors(shape.vocabulary * hidden, cut=tied, looked_up=not tied)
    last = [Tensors(hidden), *([] if tied else [Tensors(shape.vocabulary * hidden, cut=True)])]
    return Parts([embedding], block, last, [embedding] if tied else [])


def linears(shape: ModelShape) -> list[Linear]:
    """Its linear layers."""
    hidden, query, kv, width = shape.hidden, shape.query_width, shape.kv_width, shape.width
    sizes = {
        "self_attn.q_proj": (hidden, query),
        "self_attn.k_proj": (hidden, kv),
        "self_attn.v_proj": (hidden, kv),
        "self_attn.o_proj": (query, hidden),
        "mlp.gate_proj": (hidden, width),
        "mlp.up_proj": (hidden, width),
        "mlp.down_proj": (width, hidden),
    }
    return [Linear(name, *size, shape.layers) for name, size in sizes.items()]


LLAMA = Family(
    architecture="LlamaForCausalLM",
    name="llama",
    title="Llama",
    builtin=BuiltinModel.TINY_LLAMA,
    task=Task.CAUSAL,
    grouped=True,
    saved=Saved(6, 2, 2, 0, 4),
    parts=parts,
    linears=linears,
)
