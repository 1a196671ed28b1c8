"""Parameter groups by name, the schedule, and the guard against steps that were silently dropped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from llmtrain_api import TrainingSpec

from .errors import DivergedError

MAX_DROPPED = 10
"""Steps in a row with gradients that are not finite before training stops."""


def decays(name: str) -> bool:
    """Whether weight decay applies: matrices only. By name, as sharded parameters have other shapes."""
    plain = ("norm", ".ln_", "LayerNorm", "layer_norm", "relative_attention_bias")
    return name.endswith(".weight") and not any(word in name for word in plain)


def parameter_groups(
    named: Iterable[tuple[str, torch.nn.Parameter]], weight_decay: float
) -> tuple[list[dict[str, Any]], int]:
    """Groups with and without decay, and how many parameters decay.

    Args:
        named: parameters by the whole model's names.
        weight_decay: of those that decay.
    """
    trained = [(name, p) for name, p in named if p.requires_grad]
    decayed = [p for name, p in trained if decays(name)]
    plain = [p for name, p in trained if not decays(name)]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return groups, sum(size_of(p) for p in decayed)


def size_of(parameter: torch.nn.Parameter) -> int:
    """Numbers in a parameter, also where ZeRO 3 has left only a shard of it."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def adamw(groups: Iterable[dict[str, Any]], training: TrainingSpec) -> torch.optim.Optimizer:
    """The shipped optimizer."""
    return torch.optim.AdamW(groups, lr=training.learning_rate, betas=(0.9, 0.95), eps=1e-8)


def schedule(training: TrainingSpec, total: int) -> Callable[[int], float]:
    """Share of the peak learning rate at a step."""
    return cosine(training.warmup_steps, total)


def cosine(warmup: int, total: int, floor: float = 0.1) -> Callable[[int], float]:
    """Share of the peak learning rate at a step: linear up, then half a cosine down to ``floor``."""

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / max(1, total - warmup))
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return share


class StepGuard:
    """Counts steps that the engine dropped because a gradient was not finite."""

    def __init__(self) -> None:
        self.dropped = 0
        self.in_a_row = 0

    def saw(self, step: int, *, applied: bool) -> None:
        """Note whether a step was applied.

        Raises:
            DivergedError: after MAX_DROPPED dropped steps in a row.
        """
        self.in_a_row = 0 if applied else self.in_a_row + 1
        self.dropped += not applied
        if self.in_a_row >= MAX_DROPPED:
            raise DivergedError(
                f"{self.in_a_row} steps in a row up to step {step} had gradients that are not finite; "
                "lower training.learningRate, or use precision fp32"
            )
