"""Tensor parallelism by DeepSpeed's AutoTP: each matrix is cut over the ranks of a group."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from deepspeed.sequence.cross_entropy import vocab_parallel_cross_entropy
from deepspeed.utils import groups
from typing_extensions import override

from llmtrain_api import Layout, Place

from ..batch import BatchPlan
from ..errors import ConfigError
from ..loss import IGNORED, token_loss_sum
from .engine import Engine, shape_of


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
    def whole_weight(self, name: str, parameter: torch.nn.Parameter) -> torch.Tensor:
        # the shards of the group, joined along the dimension that was cut
        part = super().whole_weight(name, parameter).contiguous()
        group = groups.get_tensor_model_parallel_group()
        parts = [torch.empty_like(part) for _ in range(self.layout.tensor)]
        dist.all_gather(parts, part, group=group)
        return join(parts, self.shapes[name])

    @override
    def whole_shape(self, name: str, parameter: torch.nn.Parameter) -> tuple[int, ...]:
        del parameter
        return self.shapes[name]

    @override
    def own_part(self, parameter: torch.nn.Parameter, whole: torch.Tensor) -> torch.Tensor:
        return cut(whole, shape_of(parameter), self.place.tensor, self.layout.tensor)

    @override
    def loss_of(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """With tied embeddings AutoTP leaves each rank the logits of its part of the vocabulary."""
        if logits.shape[-1] == self.raw.module.config.vocab_size:
            return token_loss_sum(logits, labels)
        loss: torch.Tensor = vocab_parallel_cross_entropy(
            logits,
            labels,
            tp_group=groups.get_tensor_model_parallel_group(),
            ignore_index=IGNORED,
            reduction="sum",
        )
        return loss


def join(parts: list[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """A whole tensor from the shards of a tensor-parallel group, which are equal where nothing was cut."""
    if tuple(parts[0].shape) == shape:
        return parts[0]
    [cut] = [at for at, size in enumerate(shape) if parts[0].shape[at] != size]
    return torch.cat(parts, cut)


def cut(whole: torch.Tensor, shape: tuple[int, ...], rank: int, ranks: int) -> torch.Tensor:
    """The shard of a rank of a tensor-parallel group: what `join` puts together again.

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
