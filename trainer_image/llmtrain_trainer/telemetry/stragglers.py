"""Which rank keeps the others waiting.

Ranks of a gang step together, so that the time of a step tells nothing: what is compared is the time in
which a rank is busy itself, without collectives, in which it waits for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from llmtrain_api import JobFile
from llmtrain_api.messages import Straggler

from ..distributed import Ranks, all_reduce_sum_float
from .phases import Phase, Seconds, Stopwatch

WINDOW = 20
"""Steps over which a rank's time is summed: one that is slow now and then keeps nobody waiting for long."""
TIMES_MEDIAN = 1.5
BUSY = (Phase.DATA, Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER)


def busy(phases: Seconds) -> float:
    """Seconds of a step in which a rank waited for nobody."""
    return sum(phases.get(phase, 0.0) for phase in BUSY)


def slowest(seconds: Sequence[float], steps: int) -> Straggler | None:
    """The rank that was busy for 1.5 times as long as the median of the others; None where none was.

    Args:
        seconds: of each rank, over the same steps.
        steps: how many.
    """
    if len(seconds) < 2:
        return None
    rank = max(range(len(seconds)), key=lambda one: seconds[one])
    others = median(value for one, value in enumerate(seconds) if one != rank)
    if others <= 0.0 or seconds[rank] < TIMES_MEDIAN * others:
        return None
    return Straggler(rank=rank, times=min(seconds[rank] / others, 1e6), seconds=seconds[rank] / steps)


class StragglerWatch:
    """Compares the ranks of a gang, once in so many steps. All of them must ask it at each step.

    Not in pipelines: their stages differ by nature, and wait for each other inside of their one phase.
    """

    def __init__(self, job: JobFile, ranks: Ranks, watch: Stopwatch) -> None:
        self._ranks, self._watch = ranks, watch
        self._compares = ranks.world > 1 and job.layout.pipeline == 1
        self._seconds, self._steps = 0.0, 0
        self._before: int | None = None
        self.found: Straggler | None = None

    def step(self, phases: Seconds) -> bool:
        """A step is done: whether its window ended, so that `found` is new.

        It takes two windows in a row to be found, and one to be none any more.
        """
        if not self._compares:
            return False
        self._seconds += busy(phases)
        self._steps += 1
        if self._steps < WINDOW:
            return False
        own = [0.0] * self._ranks.world
        own[self._ranks.rank] = self._seconds
        with self._watch(Phase.COMMUNICATION):
            seconds = all_reduce_sum_float(self._ranks, *own)
        slow = slowest(seconds, self._steps)
        rank = slow.rank if slow else None
        self.found = slow if rank == self._before else None
        self._before, self._seconds, self._steps = rank, 0.0, 0
        return True
