"""Which pairs of sentences a step holds alike, and how they are cut for the ranks.

The order of the pairs is that of the data: a permutation of each pass over the file. So the pairs of a step
follow from its number and the seed alone, whatever the number of ranks and of passes.
"""

from __future__ import annotations

from pathlib import Path

import torch

from llmtrain_api import Place, TrainingSpec

from ..batch import BatchPlan, Length
from ..data.loader import Batches, Pass, open_rows
from ..data.rows import Ids
from ..data.store import FAIRNESS
from ..parallel.engine import Engine, Penalty
from ..tasks.fairness import AlikePairs


class StepPairs:
    """The pairs of each step.

    Args:
        rows: [pairs, 2 x length] tokens, as `data.steps.fairness` writes them.
        training: the job's, which names a penalty.
        plan: how a batch of the task is cut: a pass of pairs has no more tokens than one of its passes, or
            else a single pair.
        steps: optimizer steps of the whole job.

    Attributes:
        passes: forward passes a step and rank.
    """

    def __init__(self, rows: Ids, training: TrainingSpec, plan: BatchPlan, steps: int) -> None:
        assert training.fairness is not None
        self._weight, self._count = training.fairness.weight, min(training.fairness.pairs_per_step, len(rows))
        at_once = max(1, plan.micro * training.sequence_length // rows.shape[1])
        cut = BatchPlan(self._count, at_once, plan.ranks)
        self.passes = cut.accumulation
        self._task = AlikePairs()
        length = Length(len(rows), self._count, steps, None)
        self._batches = Batches(rows, cut, length, training.seed, self._task)

    def at(self, done: int, place: Place, device: torch.device) -> Penalty:
        """A rank's part of the penalty of the step that follows ``done`` finished ones."""
        passes = self._batches.at(done, place, device)
        return Penalty(passes, self._task.objective, self._weight, self._count)


def open_pairs(folder: Path, training: TrainingSpec, plan: BatchPlan, steps: int) -> StepPairs | None:
    """The pairs of a job, as its data folder has them; None where it names none. See `StepPairs`."""
    return StepPairs(open_rows(folder / FAIRNESS), training, plan, steps) if training.fairness else None


def gradients(
    engine: Engine, passes: list[Pass], labels: int, penalty: Penalty | None
) -> tuple[float, list[float]]:
    """Compute the gradients of a step.

    Returns:
        This rank's share of the task's mean loss, and of the penalty without its weight, if there is one.
    """
    if penalty is None:
        return float(engine.forward_backward(passes, labels)) / labels, []
    own, gap = engine.forward_backward_with(passes, labels, penalty)
    return float(own) / labels, [float(gap) / penalty.count]
