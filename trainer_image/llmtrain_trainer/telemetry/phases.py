"""Where the time of a rank goes: seconds by phase that add up to the wall time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

SAMPLED = 20
"""On a GPU one step in so many is measured."""


class Phase(StrEnum):
    """What a rank is busy with.

    Communication is time inside collectives and so also waiting for slower ranks. Checkpoint, evaluation and
    start-up include theirs. A pipeline's schedule is one phase, forward_backward. Compile is torch.compile at
    work. Generation is the model's own writing of what it learns from. Other is the loop itself.
    """

    STARTUP = "startup"
    COMPILE = "compile"
    DATA = "data"
    GENERATION = "generation"
    FORWARD = "forward"
    BACKWARD = "backward"
    FORWARD_BACKWARD = "forward_backward"
    OPTIMIZER = "optimizer"
    COMMUNICATION = "communication"
    CHECKPOINT = "checkpoint"
    EVALUATION = "evaluation"
    OTHER = "other"


WHOLE = frozenset({Phase.STARTUP, Phase.COMPILE, Phase.CHECKPOINT, Phase.EVALUATION})
"""Phases that count all that happens inside them."""
Seconds = Mapping[Phase, float]


@dataclass(frozen=True)
class Lap:
    """Time since the lap before.

    Attributes:
        seconds: by phase.
        measured: False on a GPU that was not waited for: the CPU's clock then only saw work being queued.
    """

    seconds: Seconds
    measured: bool

    @property
    def training(self) -> float:
        """Seconds of the step itself, without compiling, and saves and evaluations since the one before."""
        return sum(spent for phase, spent in self.seconds.items() if phase not in WHOLE)


class Stopwatch:
    """Splits a rank's wall time into phases by the CPU's clock.

    A phase inside another is taken out of it, so that the sum is the wall time. On a GPU the clock sees when
    work ends only if it waits for it; it does so in some laps only, as waiting costs speed.

    Args:
        synchronize: waits for the GPU; None on a CPU, where each lap is measured.
        clock: seconds.
        changed: is told of every change of the phase.
    """

    def __init__(
        self,
        synchronize: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        changed: Callable[[Phase], None] = lambda _: None,
    ) -> None:
        self._synchronize, self._clock, self._changed = synchronize, clock, changed
        self._stack = [Phase.OTHER]
        self._spent: dict[Phase, float] = {}
        self._laps = 0
        self._measuring = True
        self._since = clock()

    @contextmanager
    def __call__(self, phase: Phase) -> Iterator[None]:
        """Count the time inside ``with`` to a phase."""
        outer = self._stack[-1]
        self._charge()
        self._stack.append(outer if outer in WHOLE else phase)
        self._changed(self._stack[-1])
        try:
            yield
        finally:
            self._charge()
            self._stack.pop()
            self._changed(self._stack[-1])

    def lap(self) -> Lap:
        """Seconds by phase since the last lap."""
        self._charge()
        lap = Lap(self._spent, self._measuring)
        self._spent = {}
        self._laps += 1
        # the first step allocates and compiles, so the second one is measured too
        self._measuring = self._synchronize is None or self._laps % SAMPLED < 2
        return lap

    def _charge(self) -> None:
        if self._synchronize is not None and self._measuring:
            self._synchronize()
        now, phase = self._clock(), self._stack[-1]
        self._spent[phase] = self._spent.get(phase, 0.0) + now - self._since
        self._since = now


def spread(lap: Lap, sample: Lap | None) -> Seconds:
    """A lap's seconds by phase, estimated where they were not measured.

    Args:
        lap: the lap whose seconds are wanted.
        sample: the newest measured lap, whose proportions an unmeasured lap is taken to have.
    """
    if lap.measured or sample is None:
        return lap.seconds
    kept = {phase: spent for phase, spent in lap.seconds.items() if phase in WHOLE}
    shares = {phase: spent for phase, spent in sample.seconds.items() if phase not in WHOLE}
    return kept | {phase: lap.training * spent / sample.training for phase, spent in shares.items()}
