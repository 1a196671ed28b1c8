"""What `bench.trainer` may say of a race: whether a goal is met, or that rounds differ too much to say."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SPREAD = 0.1
"""Share of the median by which rounds may differ, worst to best."""


@dataclass(frozen=True)
class Goal:
    """How fast the trainer is to be beside another contestant, in CPU time.

    Attributes:
        other: its name.
        floor: CPU seconds of the other to those of the trainer for the same steps, at least.
    """

    other: str
    floor: float


GOALS: Mapping[bool, Sequence[Goal]] = {
    True: (Goal("plain PyTorch", 0.98),),
    False: (
        Goal("plain PyTorch", 0.95),
        Goal("HF Trainer", 1.05),
        Goal("HF Trainer + DeepSpeed", 1.05),
    ),
}
"""By whether one process runs alone. Of two, plain PyTorch is DistributedDataParallel."""


@dataclass(frozen=True)
class Verdict:
    """What came of a goal.

    Attributes:
        goal: it.
        ratio: median over rounds of the ratio within a round.
        spread: from the worst to the best round, as a share of the median.
    """

    goal: Goal
    ratio: float
    spread: float

    @property
    def met(self) -> bool | None:
        """Whether it is met; None where the rounds differ too much to say."""
        return None if self.spread > SPREAD else self.ratio >= self.goal.floor

    def __str__(self) -> str:
        said = {True: "met", False: "MISSED", None: f"no verdict, rounds differ by {self.spread:.0%}"}
        asked = f"at least {self.goal.floor} of {self.goal.other} in CPU time"
        return f"{asked}: {self.ratio:.2f}, {said[self.met]}"


def judge(goal: Goal, ours: Sequence[float], theirs: Sequence[float]) -> Verdict:
    """Compare CPU seconds of the rounds of a race.

    Args:
        goal: what is wanted.
        ours: seconds of each round of the trainer.
        theirs: those of the other, in the same rounds.

    Raises:
        ValueError: one of them has other rounds, or there are none.
    """
    ratios = [other / own for own, other in zip(ours, theirs, strict=True)]
    middle = statistics.median(ratios)
    return Verdict(goal, middle, (max(ratios) - min(ratios)) / middle)
