"""The state of any layout put into an engine of any layout, parameter by parameter.

DeepSpeed itself resumes only its own layout, and its universal checkpoints cannot go between stage 3 and the
others. The order is: weights and moments into the optimizer's fp32 parts, the trained (perhaps bf16) weights
from them, then what is not per parameter: hyperparameters, schedule, counters.
"""

from __future__ import annotations

from typing import Any

import torch

from ..parallel.engine import Engine
from ..parallel.put import put_of
from .shards import STEP, Shards


@torch.no_grad()
def restore(engine: Engine, source: Shards) -> None:
    """Make an engine go on where a checkpoint of another layout ended. Each rank calls it, none waits.

    Args:
        engine: freshly built.
        source: the checkpoint; opened without moments, it leaves the optimizer's at their start.

    Raises:
        ConfigError: the checkpoint has not all that this layout needs.
    """
    raw, zero = engine.raw, engine.layout.zero
    optimizer = raw.optimizer if zero == 0 else raw.optimizer.optimizer
    put = put_of(zero)
    if source.moments:
        _make_state(optimizer, _masters(raw.optimizer, zero), source)
    for name, parameter in engine.named_parameters():
        found = source.read(name, engine.whole_shape(name, parameter))
        own = {key: engine.own_part(parameter, value) for key, value in found.items()}
        put(raw.optimizer, parameter, own)
    for group, saved in zip(optimizer.param_groups, source.groups, strict=True):
        group.update({key: value for key, value in saved.items() if key != "params"})
    raw.lr_scheduler.load_state_dict(source.common["lr_scheduler"])
    raw.global_steps = source.common["global_steps"]
    raw.global_samples = source.common["global_samples"]
    raw.skipped_steps = source.common["skipped_steps"]


def _masters(optimizer: Any, zero: int) -> list[torch.Tensor]:
    """What the inner optimizer updates: parameters, or this rank's fp32 parts of them."""
    if zero == 3:
        return list(optimizer.fp32_partitioned_groups_flat)
    return [p for group in optimizer.param_groups for p in group["params"]]


def _make_state(optimizer: torch.optim.Optimizer, masters: list[torch.Tensor], source: Shards) -> None:
    """The state that the optimizer would make in its first step, to be filled."""
    for master in masters:
        state = optimizer.state[master]
        for key in source.moments:
            state.setdefault(key, torch.zeros_like(master))
        if source.step is not None:
            state[STEP] = source.step.clone()
