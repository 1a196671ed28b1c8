"""GPT-2: a decoder with a weight for each position, biases, and tied embeddings."""

from __future__ import annotations

from ..schema.model import BuiltinModel
from ..shape import ModelShape, Task
from .base import Family, Linear, Parts, Saved, Tensors
from .config import Config, switches


def parts(shape: ModelShape) -> Parts:
    """Its tensors. DeepSpeed's AutoTP cuts none of them."""
    hidden, width = shape.hidden, shape.width
    block = [
        *(Tensors(hidden, 4), Tensors(3 * hidden * hidden), Tensors(3 * hidden)),
        *(Tensors(hidden * hidden), Tensors(hidden, 2), Tensors(hidden * width, 2), Tensors(width)),
    ]
    first = [Tensors(shape.vocabulary * hidden), Tensors(shape.positions * hidden, looked_up=True)]
    return Parts(first, block, [Tensors(hidden, 2)], [])


def linears(shape: ModelShape) -> list[Linear]:
    """Its linear layers."""
    hidden, width = shape.hidden, shape.width
    sizes = {
        "attn.c_attn": (hidden, 3 * hidden),
        "attn.c_proj": (hidden, hidden),
        "mlp.c_fc": (hidden, width),
        "mlp.c_proj": (width, hidden),
    }
    return [Linear(name, *size, shape.layers) for name, size in sizes.items()]


def read(config: Config) -> dict[str, object]:
    """Fields of its shape."""
    hidden, heads = config.size("n_embd"), config.size("n_head")
    found = switches(config, tied=True, activation=("activation_function", "gelu_new"))
    odd = ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention")
    return {
        "switches": found | {name.replace("_", "-")[:40] for name in odd if config.flag(name)},
        "hidden": hidden,
        "layers": config.size("n_layer"),
        "heads": heads,
        "kv_heads": heads,
        "head_size": max(1, hidden // heads),
        "width": config.size("n_inner", 4 * hidden),
        "vocabulary": config.size("vocab_size"),
        "positions": config.size("n_positions", 1024),
    }


GPT2 = Family(
    model_type="gpt2",
    read=read,
    architecture="GPT2LMHeadModel",
    name="gpt2",
    title="GPT-2",
    builtin=BuiltinModel.TINY_GPT2,
    task=Task.CAUSAL,
    grouped=False,
    saved=Saved(8, 0, 0, 0, 5),
    parts=parts,
    linears=linears,
)
