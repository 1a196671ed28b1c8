"""A checkpoint of any layout as whole tensors by name, read straight from the files that DeepSpeed wrote.

Nothing is converted on disk. The files are mapped into memory, so that of a checkpoint of any size only the
numbers that are asked for are read, and the ranks of a node share what the system has read once.

How DeepSpeed lays a parameter out, under each model-parallel rank (a tensor-parallel rank or a stage):

- ZeRO 0: as it is, with the optimizer's state beside it, in ``mp_rank_*_model_states.pt``.
- ZeRO 1 and 2: each group of parameters is one flat vector, cut evenly over the data-parallel ranks;
  ``param_slice_mappings`` says which part of which parameter a rank has.
- ZeRO 3: each parameter by itself is cut evenly over the ranks, the last part padded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import torch

from llmtrain_api import Layout

from ..errors import ConfigError
from ..models import adapters
from ..models.pipeline_stages import whole_name
from ..optim.optimizer import decays
from ..parallel.put import WEIGHT, Tensors
from .mapped import FolderFiles, MappedFiles
from .ranges import Shard, Wanted, read_range
from .unpickle import load_state

STEP = "step"
_SHARD = re.compile(r"(?:bf16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_optim_states\.pt")
WEIGHTS_INSTEAD = "use the checkpoint's layout, or checkpoint.resumeFrom: weights in a job with a new name"


class Shards:
    """What all ranks of a layout saved, together.

    Args:
        folder: DeepSpeed's files.
        layout: that they were written in.
        files: those of the folder; by default they all lie there.
        skip_optimizer: leave the optimizer's state out.

    Raises:
        ConfigError: the files are not that layout's, or the optimizer's state cannot be cut another way.
        OSError: what is needed of them could not be got.

    Attributes:
        common: counters and the schedule, the same on every rank.
        groups: the optimizer's hyperparameters, group by group.
        step: updates that the optimizer has made; None before the first.
        moments: names of the optimizer's moments; empty before the first update.
        files: those that it reads.
        asked: bytes of tensors that were read until now.
        size: bytes of all files.
    """

    def __init__(
        self, folder: Path, layout: Layout, files: MappedFiles | None = None, *, skip_optimizer: bool = False
    ) -> None:
        self.folder, self.layout, self.skip_optimizer = folder, layout, skip_optimizer
        self.files = files or FolderFiles(folder)
        self._parts: dict[int, dict[str, list[Tensors]]] = {}
        self._shapes: dict[int, dict[str, tuple[int, ...]]] = {}
        self.step: torch.Tensor | None = None
        self.moments: tuple[str, ...] = ()
        self.asked = self.size = 0
        try:
            self._open()
        except (KeyError, IndexError, TypeError, AttributeError, FileNotFoundError) as error:
            raise self._unreadable(f"{type(error).__name__}: {error}") from error

    def read(self, name: str, wanted: Wanted) -> Tensors:
        """What a rank holds of a parameter of the whole model, and of its moments, flat.

        Args:
            name: the whole model's name of it.
            wanted: its shape, and the part of it.

        Raises:
            ConfigError: the checkpoint has no such parameter, or not all of it.
        """
        holders = [rank for rank in sorted(self._parts) if name in self._parts[rank]]
        if not holders:
            raise self._unreadable(f"it has no {name}")
        if self.layout.pipeline > 1:
            holders = holders[:1]  # tied weights are in two stages, as copies
        found = {}
        for key in (WEIGHT, *self.moments):
            shards = [self._local(rank, name, key) for rank in holders]
            try:
                found[key], numbers = read_range(wanted, shards, self.files.need)
            except ValueError as error:
                told = f"{name} has shape {shards[0].shape} instead of {wanted.whole}: {error}"
                raise self._unreadable(told) from None
            self.asked += numbers * found[key].dtype.itemsize
        return found

    def _local(self, rank: int, name: str, key: str) -> Shard:
        pieces = [piece[key] for piece in self._parts[rank][name]]
        numbers, shape = sum(piece.numel() for piece in pieces), self._shapes[rank][name]
        if numbers != prod(shape):
            raise self._unreadable(f"{key} of {name} has {numbers} of {prod(shape)} numbers")
        return Shard(shape, pieces)

    def _open(self) -> None:
        shards: dict[int, dict[int, str]] = {}
        for name, size in self.files.sizes().items():
            self.size += size
            if match := _SHARD.fullmatch(name):
                shards.setdefault(int(match[2]), {})[int(match[1])] = name
        first = "zero_pp_rank_0_" if self.layout.zero == 3 else ""
        for rank in sorted(shards) or [0]:
            model = self._mapped(f"{first}mp_rank_{rank:02d}_model_states.pt")
            if rank == 0:
                self.common = {k: v for k, v in model.items() if k not in ("module", "optimizer")}
            parts, shapes = self._parts.setdefault(rank, {}), self._shapes.setdefault(rank, {})
            if not shards:
                self._whole(model, parts, shapes)
            for group in model["param_shapes"] or []:
                shapes.update({self._name(name): tuple(shape) for name, shape in group.items()})
            for number, name in sorted(shards.get(rank, {}).items()):
                state = self._mapped(name)["optimizer_state_dict"]
                each = self._sharded(state, number, model) if self.layout.zero == 3 else self._flat(state)
                for parameter, piece in each:
                    parts.setdefault(self._name(parameter), []).append(piece)
        self._need_all([self.step, self.groups, self.common.get("lr_scheduler")])

    def _mapped(self, name: str) -> dict[str, Any]:
        loaded: dict[str, Any] = load_state(
            self.files.structure_of(name), mapped=True, sparse=self.files.sparse
        )
        return loaded

    def _need_all(self, value: Any) -> None:
        """What is used as it is, a few numbers, and not read in ranges."""
        if isinstance(value, torch.Tensor):
            self.files.need(value)
        elif isinstance(value, dict | list | tuple):
            for one in value.values() if isinstance(value, dict) else value:
                self._need_all(one)

    def _name(self, name: str) -> str:
        return whole_name(name) if self.layout.pipeline > 1 else adapters.whole_name(name)

    def _whole(
        self, model: dict[str, Any], parts: dict[str, list[Tensors]], shapes: dict[str, tuple[int, ...]]
    ) -> None:
        """ZeRO 0. The optimizer numbers parameters in the order of its groups: `parameter_groups`. What is
        frozen is not in the file, or it would be counted here."""
        optimizer, seen, names = model["optimizer"], set[int](), list[str]()
        for name, tensor in model["module"].items():
            if name not in model["buffer_names"] and tensor.data_ptr() not in seen:
                seen.add(tensor.data_ptr())  # tied weights are there under two names
                names.append(name)
        names.sort(key=lambda name: not decays(name))
        self.groups = optimizer["param_groups"]
        for number, name in enumerate(names):
            weight, whole = model["module"][name], self._name(name)
            shapes[whole] = tuple(weight.shape)
            parts[whole] = [self._piece(weight.flatten(), optimizer["state"].get(number, {}))]

    def _flat(self, state: dict[str, Any]) -> Iterator[tuple[str, Tensors]]:
        """ZeRO 1 and 2: one rank's pieces, in the order of its file."""
        base, weights = state["base_optimizer_state"], state["single_partition_of_fp32_groups"]
        self.groups = base["param_groups"]
        for group, places in enumerate(state["param_slice_mappings"]):
            flat = self._piece(weights[group], base["state"].get(group, {}))
            for name, place in places.items():
                yield name, {key: tensor.narrow(0, place.start, place.numel) for key, tensor in flat.items()}

    def _sharded(
        self, state: dict[str, Any], number: int, model: dict[str, Any]
    ) -> Iterator[tuple[str, Tensors]]:
        """ZeRO 3: one rank's pieces, without their padding."""
        base, weights, ranks = (
            state["optimizer_state_dict"],
            state["fp32_flat_groups"],
            state["partition_count"],
        )
        self.groups = base["param_groups"]
        for group, group_shapes in enumerate(model["param_shapes"]):
            flat, start = self._piece(weights[group], base["state"].get(group, {})), 0
            for name, shape in group_shapes.items():
                size = -(-prod(shape) // ranks)
                mine = min(size, max(0, prod(shape) - number * size))
                yield name, {key: tensor.narrow(0, start, mine) for key, tensor in flat.items()}
                start += size

    def _piece(self, weight: torch.Tensor, state: dict[str, Any]) -> Tensors:
        """A flat weight with its moments, which must be as long, or they could not be cut as it is."""
        if self.skip_optimizer:
            return {WEIGHT: weight}
        moments = {key: value.flatten() for key, value in state.items() if key != STEP and value is not None}
        if state:
            self.step, self.moments = state.get(STEP), tuple(moments)
        for key, moment in moments.items():
            # a group's moments may be padded where its weights are not
            if moment.numel() < weight.numel():
                raise self._unreadable(f"the optimizer's {key} is not one number a weight")
        return {WEIGHT: weight, **moments}

    def _unreadable(self, why: str) -> ConfigError:
        step = self.folder.parent.name
        return ConfigError(
            f"{step}, written as {self.layout}, cannot be resumed exactly: {why}", WEIGHTS_INSTEAD
        )
