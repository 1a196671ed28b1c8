"""The held-out loss of the trained engine, over all ranks."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch

from .. import distributed
from ..data.loader import held_out_passes
from ..data.rows import Ids
from ..distributed import Ranks
from ..evaluate.heldout import sequences_to_check
from ..loss import label_count
from ..parallel.engine import Engine
from ..tasks import Encoder
from ..tasks.kto import JudgedLM, settled
from ..tasks.preference import PairsLM
from ..tasks.reward import Rewards


class Checked(NamedTuple):
    """Held-out sequences that are computed again from what is exported.

    Attributes:
        sequences: how many, from the first on.
        loss: a token, of the trained engine.
    """

    sequences: int
    loss: float


class HeldOutLoss(NamedTuple):
    """What all ranks found.

    Attributes:
        losses: their sum.
        labels: that it is of.
        measures: figures of the labels, by name; none but of pairs and of answers that are desirable or not.
    """

    losses: float
    labels: float
    measures: dict[str, float]

    @property
    def mean(self) -> float:
        """The loss of a label."""
        return self.losses / self.labels


def held_out_loss(engine: Engine, ranks: Ranks, task: Encoder, rows: Ids) -> HeldOutLoss:
    """The loss of held-out rows: every rank its share, weighted by labels."""
    passes = held_out_passes(rows, engine.plan, engine.place, task, ranks.device)
    passes = settled(task, passes, engine.evaluated, partial(distributed.all_reduce_sum_float, ranks))
    if not isinstance(task, PairsLM | Rewards | JudgedLM):
        losses, labels = distributed.all_reduce_sum_float(ranks, *engine.loss_sum(passes))
        return HeldOutLoss(losses, labels, {})

    def every(outputs: object, labels: torch.Tensor) -> torch.Tensor:
        return torch.cat([task.objective(outputs, labels)[None], task.measures(outputs, labels)])

    sums = torch.stack(engine.evaluated(passes, every)).double().sum(0).tolist()
    count = sum(label_count(labels) for _, labels in passes)
    losses, labels, *measures = distributed.all_reduce_sum_float(ranks, sums[0], count, *sums[1:])
    return HeldOutLoss(losses, labels, task.figures(measures, labels))


def checked(
    engine: Engine, ranks: Ranks, task: Encoder, rows: Ids, parameters: int, whole: HeldOutLoss
) -> Checked:
    """The held-out sequences that the export will compute again, and their loss: as many as that process can
    in seconds, and more where those have no label.

    Args:
        engine: of this rank.
        ranks: of the gang.
        task: of the job.
        rows: all of them.
        parameters: of the model.
        whole: what was found over all of them.
    """
    gpu = ranks.device.type != "cpu"
    count = sequences_to_check(parameters, rows.shape[1], len(rows), gpu=gpu)
    while count < len(rows):
        few = held_out_loss(engine, ranks, task, rows[:count])
        if few.labels:
            return Checked(count, few.mean)
        count *= 2
    return Checked(len(rows), whole.mean)
