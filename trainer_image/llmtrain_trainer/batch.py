"""Which sample goes into which slot.

A global batch of any size is spread over any number of ranks: micro-batches are filled in turn, and slots
that are left over carry no label. Which samples form a step therefore depends on the job alone, never on
how many ranks there are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchPlan:
    """How a global batch is cut for ``ranks`` data-parallel ranks.

    Attributes:
        global_batch: samples of a step.
        micro_batch: samples of a forward pass at most.
        ranks: that share them.
        beside: forward passes that each rank has in a step beside those of the batch.
    """

    global_batch: int
    micro_batch: int
    ranks: int
    beside: int = 0

    @property
    def micro(self) -> int:
        """Sequences a forward pass: never more than a rank's share, or every pass would carry fillers."""
        return min(self.micro_batch, -(-self.global_batch // self.ranks))

    @property
    def accumulation(self) -> int:
        """Forward passes a step and rank over the batch."""
        return -(-self.global_batch // (self.micro * self.ranks))

    @property
    def passes(self) -> int:
        """All forward passes a step and rank: so many backward passes add up before an update."""
        return self.accumulation + self.beside

    def slots(self, rank: int, count: int | None = None) -> list[list[int | None]]:
        """Positions in the global batch for each micro-batch of a rank; None is a spare slot.

        Args:
            rank: the data-parallel rank.
            count: samples in this step where the last step of the data has fewer than the global batch.
        """
        samples = self.global_batch if count is None else count
        rows = []
        for first in range(0, self.accumulation * self.micro, self.micro):
            places = ((first + slot) * self.ranks + rank for slot in range(self.micro))
            rows.append([place if place < samples else None for place in places])
        return rows


@dataclass(frozen=True)
class Length:
    """How long training is: a number of steps, each with its range of samples."""

    samples: int
    global_batch: int
    max_steps: int | None
    epochs: int | None

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        if self.max_steps is not None:
            return self.max_steps
        return -(-self.samples * (self.epochs or 1) // self.global_batch)

    def consumed(self, step: int) -> int:
        """Samples used when ``step`` steps are done."""
        used = step * self.global_batch
        return used if self.max_steps is not None else min(used, self.samples * (self.epochs or 1))
