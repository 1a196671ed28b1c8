"""Llama: a decoder with rotary positions, key/value groups and no biases."""

from __future__ import annotations

from ..schema.model import BuiltinModel
from ..shape import Task
from .base import Family, Saved
from .decoder import Decoder

_OWN = Decoder()
LLAMA = Family(
    architecture="LlamaForCausalLM",
    model_type="llama",
    name="llama",
    title="Llama",
    builtin=BuiltinModel.TINY_LLAMA,
    task=Task.CAUSAL,
    grouped=True,
    saved=Saved(6, 2, 2, 0, 4),
    parts=_OWN.parts,
    linears=_OWN.linears,
    read=_OWN.read,
)
