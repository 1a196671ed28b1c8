"""torch.compile of each transformer layer, and what the model is made of."""

from __future__ import annotations

import torch
from transformers.modeling_layers import GradientCheckpointingLayer

VARIANTS = 16
"""Of one layer's code. Training and evaluation, with and without a mask, first and later layer: 6 to 8, where
torch's own limit is 8, behind which layers would run as they are."""


def compile_layers(model: torch.nn.Module) -> None:
    """Have each layer compiled when it first runs: by then AutoTP has cut it.

    Layers are alike, so one compilation serves all. Compiled in place they keep the names of their weights,
    which a wrapper would change; what activation checkpointing runs again is compiled too. Shapes never
    change, so nothing is compiled for variable ones.
    """
    from torch._dynamo import config  # loads the compiler, which nothing else needs

    # for the whole process: a limit of one layer's own is unknown to torch before 2.12
    config.recompile_limit = max(config.recompile_limit, VARIANTS)
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.compile(dynamic=False)


def compiled_layers(model: torch.nn.Module) -> int:
    """Layers that are, or will be, compiled."""
    return sum(one._compiled_call_impl is not None for one in model.modules())


def attention_of(model: torch.nn.Module) -> str:
    """The attention that transformers chose; with ``sdpa`` torch picks FlashAttention's kernel on a GPU."""
    configs = (getattr(module, "config", None) for module in model.modules())
    return next((found for one in configs if (found := getattr(one, "_attn_implementation", None))), "")
