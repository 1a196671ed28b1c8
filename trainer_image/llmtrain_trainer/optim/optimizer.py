"""Parameter groups by name, and the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from llmtrain_api import TrainingSpec


def decays(name: str) -> bool:
    """Whether weight decay applies: matrices only. By name, as sharded parameters have other shapes."""
    plain = ("norm", ".ln_", "LayerNorm", "layer_norm", "relative_attention_bias")
    return name.endswith(".weight") and not any(word in name for word in plain)


def parameter_groups(
    named: Iterable[tuple[str, torch.nn.Parameter]],
    weight_decay: float,
    unused: Callable[[str], bool] = lambda _: False,
) -> tuple[list[dict[str, Any]], int]:
    """Groups with and without decay, and how many parameters decay.

    Args:
        named: parameters by the whole model's names.
        weight_decay: of those that decay.
        unused: whether nothing depends on a parameter: it stays what it is.
    """
    trained = [(name, p) for name, p in named if p.requires_grad]
    shrinks = [decays(name) and not unused(name) for name, _ in trained]
    decayed = [p for (_, p), yes in zip(trained, shrinks, strict=True) if yes]
    plain = [p for (_, p), yes in zip(trained, shrinks, strict=True) if not yes]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    # DeepSpeed flattens each group, which it cannot do with none
    return [group for group in groups if group["params"]], sum(size_of(p) for p in decayed)


def size_of(parameter: torch.nn.Parameter) -> int:
    """Numbers in a parameter, also where ZeRO 3 has left only a shard of it."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def adamw(groups: Iterable[dict[str, Any]], training: TrainingSpec) -> torch.optim.Optimizer:
    """The shipped optimizer."""
    first, second = training.betas
    return torch.optim.AdamW(
        groups,
        lr=training.learning_rate,
        betas=(first, second),
        eps=training.epsilon,
        fused=True,  # one kernel a group instead of a dozen a tensor; proven equal in every layout
    )
