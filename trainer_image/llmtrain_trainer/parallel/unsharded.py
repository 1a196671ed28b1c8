"""One process without ZeRO, where DeepSpeed neither checks a gradient nor knows its norm."""

from __future__ import annotations

import math
from typing import Any

import torch
from typing_extensions import override

from llmtrain_api import Layout, Place

from ..batch import BatchPlan
from .engine import Engine


class UnshardedEngine(Engine):
    """An engine that checks and clips its gradients itself.

    DeepSpeed applies whatever gradient it is given here, says that it did, and the weights are NaN from then
    on. Its engine reads both attributes that are set below off its own optimizers.

    Args:
        clipping: largest gradient norm; 0 = off.
    """

    def __init__(self, engine: Any, layout: Layout, place: Place, plan: BatchPlan, clipping: float) -> None:
        super().__init__(engine, layout, place, plan)
        self.clipping = clipping

    @override
    def step(self) -> None:
        """Clip and update; without an update where the gradient is not finite."""
        held = [p for p in self.raw.module.parameters() if p.grad is not None]
        total = torch.nn.utils.get_total_norm([p.grad for p in held if p.grad is not None])
        norm = float(total)
        finite = math.isfinite(norm)
        self.raw.optimizer.overflow = not finite
        self.raw.optimizer._global_grad_norm = norm if finite else math.inf
        if not finite:
            self.raw.zero_grad()  # to None: the optimizer passes over what has no gradient
        elif self.clipping:
            torch.nn.utils.clip_grads_with_norm_(held, self.clipping, total)
        self.raw.step()
