"""The state of any layout put into an engine of any layout, parameter by parameter.

DeepSpeed itself resumes only its own layout, and its universal checkpoints cannot go between stage 3 and the
others. The order is: weights and moments into the optimizer's fp32 parts, the trained (perhaps bf16) weights
from them, then what is not per parameter: hyperparameters, schedule, counters.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from ..parallel.engine import Engine, shape_of
from ..parallel.put import Tensors, put_fragment, put_shard, put_whole, shard_of
from .ranges import Wanted
from .shards import STEP, Shards


@torch.no_grad()
def restore(engine: Engine, source: Shards) -> None:
    """Make an engine go on where a checkpoint of another layout ended, all ranks together.

    Each rank reads the numbers that it holds, and no others. With ZeRO 1 and 2 these are its part of the
    optimizer's fp32 weights; what it trains on beside them the ranks tell each other.

    Args:
        engine: freshly built.
        source: the checkpoint; opened without moments, it leaves the optimizer's at their start.

    Raises:
        ConfigError: the checkpoint has not all that this layout needs.
    """
    raw, zero = engine.raw, engine.layout.zero
    optimizer = raw.optimizer if zero == 0 else raw.optimizer.optimizer
    if source.moments:
        _make_state(optimizer, _masters(raw.optimizer, zero), source)
    for name, parameter in engine.named_parameters():
        part = held_of(engine, name, parameter)
        if part is not None:
            _put(raw.optimizer, parameter, zero, source.read(name, part))
    if zero in (1, 2):
        raw.optimizer.update_lp_params()
    for group, saved in zip(optimizer.param_groups, source.groups, strict=True):
        group.update({key: value for key, value in saved.items() if key != "params"})
    raw.lr_scheduler.load_state_dict(source.common["lr_scheduler"])
    raw.global_steps = source.common["global_steps"]
    raw.global_samples = source.common["global_samples"]
    raw.skipped_steps = source.common["skipped_steps"]


def held_of(engine: Engine, name: str, parameter: Any) -> Wanted | None:
    """What of a parameter this rank holds in fp32, with the optimizer's moments; None where it is nothing."""
    zero, own, optimizer = engine.layout.zero, shape_of(parameter), engine.raw.optimizer
    start, stop = 0, prod(own)
    if zero == 3:
        shard = shard_of(optimizer, parameter)
        start, stop = min(stop, shard.start), min(stop, shard.stop)
    elif zero:
        if parameter._hp_mapping is None:
            return None
        place = parameter._hp_mapping.lp_fragment_address
        start, stop = place.start, place.start + place.numel
    return Wanted(engine.whole_shape(name, parameter), own, engine.place.tensor, start, stop)


def _put(optimizer: Any, parameter: Any, zero: int, own: Tensors) -> None:
    for key, held in own.items():
        if zero == 3:
            put_shard(optimizer, parameter, key, held)
        elif zero:
            put_fragment(optimizer, parameter, key, held)
    if zero == 0:
        put_whole(optimizer, parameter, {key: held.view(parameter.shape) for key, held in own.items()})


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
