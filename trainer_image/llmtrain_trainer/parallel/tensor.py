"""Tensor parallelism by DeepSpeed's AutoTP: each matrix is cut over the ranks of a group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from deepspeed.sequence.cross_entropy import vocab_parallel_cross_entropy
from deepspeed.utils import groups
from typing_extensions import override

from llmtrain_api import Layout, Place

from ..batch import BatchPlan
from ..errors import ConfigError
from ..loss import IGNORED
from .engine import Engine, shape_of

BLOCK = 4 << 20
"""Bytes of a shard that are gathered at once."""


def tensor_config(layout: Layout) -> dict[str, Any]:
    """What DeepSpeed's JSON needs. The module is cut in ``deepspeed.initialize``."""
    return {"tensor_parallel": {"autotp_size": layout.tensor}} if layout.tensor > 1 else {}


class TensorEngine(Engine):
    """An engine whose ranks share each matrix, and with tied embeddings also the logits.

    Args:
        shapes: of the whole model's parameters.
    """

    def __init__(
        self, engine: Any, layout: Layout, place: Place, plan: BatchPlan, shapes: dict[str, tuple[int, ...]]
    ) -> None:
        super().__init__(engine, layout, place, plan)
        self.shapes = shapes

    @override
    @contextmanager
    def gathered(self, name: str, parameter: torch.nn.Parameter) -> Iterator[torch.Tensor]:
        with super().gathered(name, parameter) as part:
            yield _joined(part, self.shapes[name], self.layout.tensor)

    @override
    def whole_shape(self, name: str, parameter: torch.nn.Parameter) -> tuple[int, ...]:
        del parameter
        return self.shapes[name]

    @override
    def own_part(self, parameter: torch.nn.Parameter, whole: torch.Tensor) -> torch.Tensor:
        return cut(whole, shape_of(parameter), self.place.tensor, self.layout.tensor)

    @override
    def loss_of(self, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """With tied embeddings AutoTP leaves each rank the logits of its part of the vocabulary."""
        logits = outputs.logits
        if logits.shape[-1] == self.raw.module.config.vocab_size:
            return super().loss_of(outputs, labels)
        loss: torch.Tensor = vocab_parallel_cross_entropy(
            logits,
            labels,
            tp_group=groups.get_tensor_model_parallel_group(),
            ignore_index=IGNORED,
            reduction="sum",
        )
        return loss


def _joined(part: torch.Tensor, shape: tuple[int, ...], ranks: int) -> torch.Tensor:
    """A whole tensor from the shards of this rank's group, some rows at a time: a group's collective holds
    several copies of what it gathers.

    Args:
        part: this rank's shard.
        shape: of the whole tensor.
        ranks: of the group.
    """
    if tuple(part.shape) == shape:
        return part
    [at] = [dimension for dimension, size in enumerate(shape) if part.shape[dimension] != size]
    group, size = groups.get_tensor_model_parallel_group(), part.shape[at]
    whole = torch.empty(shape, dtype=part.dtype, device=part.device)
    step = max(1, BLOCK // max(1, part.element_size() * part[:1].numel()))
    for first in range(0, part.shape[0], step):
        rows = part[first : first + step].contiguous()
        found = [torch.empty_like(rows) for _ in range(ranks)]
        dist.all_gather(found, rows, group=group)
        for rank, one in enumerate(found):
            shard = whole.narrow(at, rank * size, size)
            shard[first : first + step].copy_(one)
    return whole


def cut(whole: torch.Tensor, shape: tuple[int, ...], rank: int, ranks: int) -> torch.Tensor:
    """The shard of a rank of a tensor-parallel group.

    Args:
        whole: a tensor of the whole model.
        shape: of the shard.
        rank: in the group.
        ranks: of the group.

    Raises:
        ConfigError: the shards are not equally long, so that this rank cannot tell where its own begins.
    """
    for at, size in enumerate(whole.shape):
        if shape[at] != size:
            if shape[at] * ranks != size:
                raise ConfigError(
                    f"a weight of shape {tuple(whole.shape)} is not cut evenly over {ranks} ranks",
                    "choose a parallelism.tensor that divides it",
                )
            return whole.narrow(at, rank * shape[at], shape[at])
    return whole
