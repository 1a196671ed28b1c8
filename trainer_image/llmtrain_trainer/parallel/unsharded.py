"""Ranks that hold whole models, gradients and optimizers (stage 0).

DeepSpeed neither checks a gradient nor knows its norm here, and it reduces gradients only when the backward
pass is over, through copies; so both are done here.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from typing_extensions import override

from llmtrain_api import Layout, Place

from ..batch import BatchPlan
from .engine import Engine
from .gradient_norm import norm_of
from .reducer import GradientReducer


class UnshardedEngine(Engine):
    """The engine of one rank, which checks and clips its gradients itself.

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
        total = self._total_norm(held)
        norm = float(total)
        finite = math.isfinite(norm)
        self.raw.optimizer.overflow = not finite
        self.raw.optimizer._global_grad_norm = norm if finite else math.inf
        if not finite:
            self.raw.zero_grad()  # to None: the optimizer passes over what has no gradient
        elif self.clipping:
            torch.nn.utils.clip_grads_with_norm_(held, self.clipping, total)
        self.raw.step()

    def _total_norm(self, held: list[torch.nn.Parameter]) -> torch.Tensor:
        """The norm of the gradients of all parameters that have one."""
        return torch.nn.utils.get_total_norm([p.grad for p in held if p.grad is not None])


class DataParallelEngine(UnshardedEngine):
    """The engine of ranks that train one model on different samples, each with a whole copy of it.

    All ranks sum their gradients in the same order and make the same update, so that copies stay the same.

    Args:
        clipping: largest gradient norm; 0 = off.
        room: numbers of gradients that are sent at once.
    """

    def __init__(
        self, engine: Any, layout: Layout, place: Place, plan: BatchPlan, clipping: float, room: int
    ) -> None:
        super().__init__(engine, layout, place, plan, clipping)
        self.reducer = GradientReducer(engine.module.parameters(), room)

    @property
    @override
    def averages_over(self) -> int:
        """None: gradients are sums over ranks."""
        return 1

    @override
    def backward(self, loss: torch.Tensor) -> None:
        """Add to the step's gradients; in its last pass, send them to the other ranks as they are made."""
        self.reducer.begin()
        if not self.raw.is_gradient_accumulation_boundary():
            super().backward(loss)
            return
        with self.reducer.last_pass():
            super().backward(loss)

    @override
    def step(self) -> None:
        """Clip and update; without an update where the gradient is not finite."""
        super().step()
        self.reducer.end()

    @override
    def _total_norm(self, held: list[torch.nn.Parameter]) -> torch.Tensor:
        del held  # their gradients lie in the buckets
        return norm_of(self.reducer.sums)
