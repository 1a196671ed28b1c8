"""The learning rate's way from warm-up to end, as a share of its peak. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Callable

from llmtrain_api import Schedule, TrainingSpec

DECAY = 5
"""Without ``decaySteps``, ``wsd`` decays over one in so many steps: a fifth
(https://arxiv.org/abs/2405.18392, section 4.2, where 20 % are enough)."""

Share = Callable[[int], float]
"""From the number of steps done to the share of the peak that the next one takes."""


def schedule(training: TrainingSpec, total: int) -> Share:
    """The schedule of a job.

    Args:
        training: what was asked for.
        total: optimizer steps of the whole job.
    """
    warmup, floor = training.warmup_steps, training.min_learning_rate
    if training.schedule is Schedule.CONSTANT:
        return warmed(warmup, lambda _step: 1.0)
    if training.schedule is Schedule.WSD:
        decay = min(training.decay_steps or max(1, total // DECAY), max(1, total - warmup))
        return warmed(warmup, lambda step: falling(floor, (step - (total - decay)) / decay))
    fall = falling if training.schedule is Schedule.LINEAR else cosine
    return warmed(warmup, lambda step: fall(floor, (step - warmup) / max(1, total - warmup)))


def warmed(warmup: int, after: Share) -> Share:
    """A linear rise over ``warmup`` steps, of which none is without an update, then ``after``."""
    return lambda step: (step + 1) / (warmup + 1) if step < warmup else after(step)


def falling(floor: float, done: float) -> float:
    """A straight line from 1, where nothing is done, to ``floor``, where 1 is."""
    return floor + (1 - floor) * (1 - _within(done))


def cosine(floor: float, done: float) -> float:
    """Half a cosine from 1 to ``floor`` (https://arxiv.org/abs/1608.03983, equation 5)."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * _within(done))) / 2


def _within(done: float) -> float:
    return min(1.0, max(0.0, done))
