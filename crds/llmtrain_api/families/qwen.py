"""Qwen3: as Llama, with norms of each head's queries and keys."""

from __future__ import annotations

from ..schema.model import BuiltinModel
from ..shape import Task
from .base import Family, Saved
from .config import window_of_some
from .decoder import Decoder

_OWN = Decoder(qk_norm=True, head_size=128, kv_heads=32, positions=32_768, more=window_of_some)
QWEN = Family(
    architecture="Qwen3ForCausalLM",
    model_type="qwen3",
    name="qwen",
    title="Qwen",
    builtin=BuiltinModel.TINY_QWEN,
    task=Task.CAUSAL,
    grouped=True,
    saved=Saved(7, 3, 3, 1, 4),
    parts=_OWN.parts,
    linears=_OWN.linears,
    read=_OWN.read,
)
