"""How an engine takes what it starts from: a weight, and perhaps its moments, into this rank's parts.

The order is that of `restore`: into the optimizer's fp32 parts, then the trained (perhaps bf16) weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..models.weights import Weights
from .engine import Engine

WEIGHT = "fp32"
Tensors = dict[str, torch.Tensor]
"""The fp32 weight, and each of the optimizer's moments by the optimizer's name for it."""
_INTEGERS = {2: torch.int16, 4: torch.int32}
Put = Callable[[Any, Any, Tensors], None]
"""How a ZeRO stage takes this rank's part: the engine's optimizer, a parameter, what it is to be."""


def put_of(zero: int) -> Put:
    """How an engine of a ZeRO stage takes whole tensors."""
    return {0: put_whole, 3: put_sharded}.get(zero, put_flat)


def put_whole(optimizer: Any, parameter: torch.nn.Parameter, own: Tensors) -> None:
    """ZeRO 0."""
    parameter.copy_(own[WEIGHT])
    for key, value in own.items():
        if key != WEIGHT:
            optimizer.state[parameter][key].copy_(value)


def put_flat(optimizer: Any, parameter: torch.nn.Parameter, own: Tensors) -> None:
    """ZeRO 1 and 2: the part that lies in this rank's flat vector, if any; DeepSpeed links it by itself."""
    parameter.copy_(own[WEIGHT])
    mapping = parameter._hp_mapping  # type: ignore[attr-defined]
    if mapping is None:
        return
    there = mapping.lp_fragment_address
    for key, value in own.items():
        put_fragment(optimizer, parameter, key, value.flatten()[there.start : there.start + there.numel])


def put_fragment(optimizer: Any, parameter: Any, key: str, held: torch.Tensor) -> None:
    """ZeRO 1 and 2: the numbers of a parameter that lie in this rank's flat vector."""
    mapping = parameter._hp_mapping
    [master] = optimizer.optimizer.param_groups[mapping.param_group_index]["params"]
    flat = master if key == WEIGHT else optimizer.optimizer.state[master][key]
    place = mapping.get_hp_fragment_address()
    flat.narrow(0, place.start, place.numel).copy_(held)


def shard_of(optimizer: Any, parameter: Any) -> slice:
    """ZeRO 3: where this rank's numbers lie in a flat weight. What lies after its end is padding."""
    size, rank = parameter.ds_tensor.ds_numel, optimizer._get_param_partition_rank(parameter)
    return slice(rank * size, (rank + 1) * size)


def put_sharded(optimizer: Any, parameter: Any, own: Tensors) -> None:
    """ZeRO 3: this rank's part. A fresh engine has gathered nothing yet."""
    shard = shard_of(optimizer, parameter)
    for key, value in own.items():
        put_shard(optimizer, parameter, key, value.flatten()[shard])


def put_shard(optimizer: Any, parameter: Any, key: str, held: torch.Tensor) -> None:
    """ZeRO 3: this rank's numbers, padded as DeepSpeed pads them."""
    part = _padded(parameter, held)
    optimizer.set_local_hp_param(part, parameter, None if key == WEIGHT else key)
    if key == WEIGHT:
        parameter.ds_tensor.copy_(part)


@torch.no_grad()
def start_from(engine: Engine, weights: Weights, *, trained: bool = True) -> None:
    """Give a fresh engine its first weights. Each rank calls it and reads its own; none waits for another.

    Files are mapped: a rank that shares a tensor with ZeRO 3 reads its numbers alone, the others look at
    whole tensors one by one and hold none of them.

    Args:
        engine: freshly built.
        weights: of the whole model.
        trained: also what is trained; without, what is frozen alone.

    Raises:
        ConfigError: the folder does not have all that the model needs.
    """
    zero = engine.layout.zero
    for name, parameter in engine.frozen_parameters():
        _put_frozen(engine, name, parameter, weights)
    for name, parameter in engine.named_parameters() if trained else ():
        shape = engine.whole_shape(name, parameter)
        if zero == 3 and engine.layout.tensor == 1:
            put_shard(engine.raw.optimizer, parameter, WEIGHT, _held(engine, name, parameter, weights))
        else:
            own = engine.own_part(parameter, weights.read(name, shape))
            put_of(zero)(engine.raw.optimizer, parameter, {WEIGHT: own})


def _put_frozen(engine: Engine, name: str, parameter: Any, weights: Weights) -> None:
    """A weight that no optimizer holds."""
    if engine.layout.zero == 3:
        parameter.ds_tensor.copy_(_padded(parameter, _held(engine, name, parameter, weights)))
    else:
        parameter.copy_(weights.read(name, engine.whole_shape(name, parameter)))


def _held(engine: Engine, name: str, parameter: Any, weights: Weights) -> torch.Tensor:
    """ZeRO 3: the numbers of a weight that this rank holds, and no others are read."""
    shard = shard_of(engine.raw.optimizer, parameter)
    return weights.flat(name, engine.whole_shape(name, parameter), shard.start, shard.stop)


@torch.no_grad()
def holds(engine: Engine, name: str, parameter: Any, weights: Weights) -> bool:
    """Whether this rank's part of a trained weight is bit for bit what files say. No other rank is asked.

    Args:
        engine: whose it is.
        name: the whole model's name of it.
        parameter: this rank's.
        weights: the files.

    Raises:
        ConfigError: the files have no such weight, or in another shape.
    """
    if engine.layout.zero < 3:
        held, there = (
            parameter,
            engine.own_part(parameter, weights.read(name, engine.whole_shape(name, parameter))),
        )
    elif engine.layout.tensor == 1:
        held, there = parameter.ds_tensor, _held(engine, name, parameter, weights)
    else:
        whole = weights.read(name, engine.whole_shape(name, parameter))
        there = engine.own_part(parameter, whole).flatten()[shard_of(engine.raw.optimizer, parameter)]
        held = parameter.ds_tensor
    if engine.layout.zero == 3:
        held = held.flatten()[: there.numel()]  # the rest is padding
    return held.dtype == there.dtype and torch.equal(_bits(held), _bits(there.to(held.device)))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Numbers as what they are stored as, in which one that is no number equals itself."""
    return tensor.detach().contiguous().view(_INTEGERS[tensor.dtype.itemsize])


def _padded(parameter: Any, held: torch.Tensor) -> torch.Tensor:
    part = torch.zeros(parameter.ds_tensor.ds_numel)
    part[: held.numel()] = held
    return part
