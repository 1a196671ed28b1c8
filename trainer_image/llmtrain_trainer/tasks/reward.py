"""A number of each answer, higher for the better of two: a reward model, over rows of two sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ..loss import IGNORED
from ..token_marks import ids_of
from .preference import SIDES, means, sides_of


class Rewards:
    """Two sequences a row, each with one number, which the head takes at its last token.

    Args:
        pad: id that the model knows for what fills up: it tells the last token by it.
    """

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def encode(self, rows: torch.Tensor, keys: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs of [2 x rows, length], and a label of each row, which says only that it is there.

        No position has a mask: what fills a sequence up stands after all of it, where nothing looks.
        """
        del keys
        sides, padding, length = sides_of(rows)
        ids = torch.where(padding, self.pad, ids_of(sides))[:, :length].contiguous()
        return {"input_ids": ids}, torch.zeros(len(rows), 1, dtype=torch.int64, device=rows.device)

    def objective(self, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """The sum over a pass's pairs of how unlikely the better answer is to be preferred, by the model of
        Bradley and Terry: equation 2 of https://arxiv.org/abs/2305.18290, equation 1 of
        https://arxiv.org/abs/2203.02155 for two answers."""
        return torch.where(_there(labels), -F.logsigmoid(_margins(outputs, labels)), 0.0).sum()

    def measures(self, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """Sums over the pairs of a pass: how many are the right way round, and their margin, as `MEASURES`
        of pairs names them."""
        margins = _margins(outputs, labels)
        return torch.stack([(margins > 0).sum().to(margins.dtype), margins.sum()])

    def figures(self, sums: Sequence[float], count: float) -> dict[str, float]:
        """Means over so many pairs, from sums of `measures`."""
        return means(sums, count)


def _there(labels: torch.Tensor) -> torch.Tensor:
    return labels[:, 0] != IGNORED


def _margins(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """How much higher the better answer's number is, and 0 for a spare slot: [pairs]."""
    wide = torch.promote_types(outputs.logits.dtype, torch.float32)
    rewards = outputs.logits.to(wide).view(len(labels), SIDES)
    return torch.where(_there(labels), rewards[:, 0] - rewards[:, 1], 0.0)
