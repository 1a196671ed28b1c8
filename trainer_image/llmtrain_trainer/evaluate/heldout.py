"""Token-weighted held-out loss of one process on an exported folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from llmtrain_api import Place

from ..data.loader import Pass
from ..loss import label_count
from ..tasks.objective import Objective, tokens

ALONE = Place(0, 0, 0, 0)
"""The place of a process that has the whole model and all data."""
BUDGET, GPU_BUDGET = 2e12, 1e15
"""Operations that the export may spend on computing sequences again while the gang's nodes wait: seconds."""


def budget(*, gpu: bool) -> float:
    """Operations that may be spent while the gang's nodes wait.

    Args:
        gpu: whether there is a device that computes them.
    """
    return GPU_BUDGET if gpu else BUDGET


def sequences_to_check(parameters: int, length: int, there: int, *, gpu: bool) -> int:
    """How many held-out sequences are computed again from an export: one at least, all of a small model.

    Args:
        parameters: numbers of the model; a forward pass is two operations of each a token.
        length: tokens of a sequence.
        there: held-out sequences.
        gpu: whether there is a device that computes them.
    """
    fit = int(budget(gpu=gpu) / max(1, 2 * parameters * length))
    return max(1, min(there, fit))


@torch.no_grad()
def loss_sum(model: Any, passes: Iterable[Pass], objective: Objective = tokens) -> tuple[float, int]:
    """Sum of the losses, and the number of labels."""
    losses, count = 0.0, 0
    for one in passes:
        losses += sum(float(found) for found in evaluated(model, [one], objective))
        count += label_count(one[1])
    return losses, count


@torch.no_grad()
def evaluated(model: Any, passes: list[Pass], of: Objective) -> list[torch.Tensor]:
    """What a function finds in the outputs and the labels of each pass."""
    model.eval()
    model.config.get_text_config(decoder=True).use_cache = model.config.use_cache = (
        False  # with a cache transformers does not look for documents in the positions
    )
    return [of(model(**inputs), labels) for inputs, labels in passes]
