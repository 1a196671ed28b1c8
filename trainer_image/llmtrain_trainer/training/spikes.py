"""Whether a step's loss or gradient norm spikes, and whether steps are still applied.

A spike is a loss above its running average by six standard deviations, or a gradient norm of ten times its
average; a number that is not finite always is one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import DivergedError

MAX_DROPPED = 10
"""Steps in a row with gradients that are not finite before training stops."""
WINDOW = 20
"""Steps that the averages look back over, about: the fall of the first steps must soon be forgotten."""
LEAST = 20
"""Steps before anything is judged: the averages must mean something first."""
DEVIATIONS, FACTOR = 6.0, 10.0
GRAIN = 0.01
"""Smallest standard deviation of the loss, as a share of it: a smooth curve would alarm at anything."""


@dataclass(frozen=True)
class Spike:
    """What spiked.

    Attributes:
        what: ``loss`` or ``gradient norm``.
        value: of this step.
        limit: what it may have been at most; None where it is not finite.
    """

    what: str
    value: float
    limit: float | None

    def __str__(self) -> str:
        if self.limit is None:
            return f"the {self.what} is {self.value}"
        return f"the {self.what} {self.value:.4g} is above {self.limit:.4g}"


@dataclass(frozen=True)
class Average:
    """Exponential averages of a number and of its variance; the plain ones over the first WINDOW steps.

    Attributes:
        mean: average of the number.
        variance: average of its squared distance from the mean.
        count: values seen so far.
    """

    mean: float = 0.0
    variance: float = 0.0
    count: int = 0

    def with_value(self, value: float) -> Average:
        """The averages after one more value."""
        weight = max(1 / (self.count + 1), 1 / WINDOW)
        off = value - self.mean
        variance = (1 - weight) * (self.variance + weight * off * off)
        return Average(self.mean + weight * off, variance, self.count + 1)


@dataclass
class SpikeDetector:
    """Judges each step by the averages of the steps before it.

    Attributes:
        losses: averages of the loss.
        norms: averages of the gradient norm.
    """

    losses: Average = Average()
    norms: Average = Average()

    def observe(self, loss: float, norm: float | None) -> Spike | None:
        """Judge a step, then note it.

        A spike enters the averages as its limit: it cannot hide the next one, and a level that has risen for
        good is an alarm for a while only.

        Args:
            loss: mean of the global batch, nat a token.
            norm: of the gradient before clipping; None where it is not known.
        """
        deviation = max(math.sqrt(self.losses.variance), GRAIN * abs(self.losses.mean))
        limit = self.losses.mean + DEVIATIONS * deviation
        found, self.losses = _judge("loss", loss, self.losses, limit)
        if norm is not None:
            in_norm, self.norms = _judge("gradient norm", norm, self.norms, FACTOR * self.norms.mean)
            found = in_norm or found
        return found


def _judge(what: str, value: float, average: Average, limit: float) -> tuple[Spike | None, Average]:
    if not math.isfinite(value):
        return Spike(what, value, None), average
    spikes = average.count >= LEAST and value > limit
    after = average.with_value(limit if spikes else value)
    return (Spike(what, value, limit) if spikes else None), after


class StepGuard:
    """Counts steps that the engine dropped because a gradient was not finite."""

    def __init__(self) -> None:
        self.dropped = 0
        self.in_a_row = 0

    def observe(self, step: int, *, applied: bool) -> None:
        """Note whether a step was applied.

        Raises:
            DivergedError: after MAX_DROPPED dropped steps in a row.
        """
        self.in_a_row = 0 if applied else self.in_a_row + 1
        self.dropped += not applied
        if self.in_a_row >= MAX_DROPPED:
            raise DivergedError(
                f"{self.in_a_row} steps in a row up to step {step} had gradients that are not finite",
                "lower training.learningRate, or use training.precision fp32",
            )
