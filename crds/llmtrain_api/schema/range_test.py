"""The learning rate range test of ``llmtrain check --lr-range`` (Smith, arXiv:1506.01186, section 3.3).

A short training run in which the rate rises exponentially from step to step: while it is too low the loss
hardly falls, then it falls, then it leaps. No field of a manifest asks for it, so no cluster runs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pstdev

from pydantic import Field

from .base import ApiModel

WINDOW = 20
"""A loss is smoothed over its neighbours: one in so many of all steps on each side."""
LEAP = 0.25
"""Of the first steps' loss: the smoothed loss has leapt where it is so far above its lowest."""
BELOW = 10.0
"""A suggested rate is so many times lower than the one with the lowest loss, at least."""
FEWEST = 10
"""Steps that a curve has at least."""


class RangeTest(ApiModel):
    """What is tested: as many steps as the job has, from the lowest rate to the highest."""

    lowest: float = Field(default=1e-7, gt=0, le=10)
    highest: float = Field(default=1.0, gt=0, le=10)

    def share(self, step: int, total: int) -> float:
        """The share of `highest` that a step takes.

        Args:
            step: the first is 0.
            total: steps of the test.
        """
        return float((self.lowest / self.highest) ** (1 - step / max(1, total - 1)))


class RangePoint(ApiModel):
    """A step; a loss that is not finite is left out, and a smoothed loss from a leap on."""

    step: int
    learning_rate: float
    loss: float | None = None
    smoothed: float | None = None


class RangeReport(ApiModel):
    """What a test has found.

    ``steepest`` is the rate at which the smoothed loss falls fastest by the logarithm of the rate, ``lowest``
    the one at which it is lowest, ``diverged`` the one at which it leapt; each None where there is none.
    """

    points: list[RangePoint]
    steepest: float | None = None
    lowest: float | None = None
    diverged: float | None = None
    suggested: float | None = None
    reason: str


def leapt(losses: Sequence[float], total: int) -> bool:
    """Whether the newest step shows that the rate is too high.

    Args:
        losses: of all steps so far.
        total: steps of the test.
    """
    if not math.isfinite(losses[-1]):
        return True
    wide = 2 * _side(total) + 1
    if len(losses) <= wide:
        return False
    means = [fmean(losses[end - wide : end]) for end in range(wide, len(losses) + 1)]
    return means[-1] > min(means) + LEAP * means[0]


def report(rates: Sequence[float], losses: Sequence[float | None], total: int) -> RangeReport:
    """What the steps of a test say.

    Args:
        rates: the learning rate of each step.
        losses: their losses; None where one was not finite.
        total: steps that were asked for; fewer are there where the loss leapt.
    """
    known: list[float] = []
    for loss in losses:
        if loss is None:
            break
        known.append(loss)
    smooth = smoothed(known, total)
    values: list[float | None] = [*smooth, *[None] * (len(rates) - len(smooth))]
    points = [
        RangePoint(step=number, learning_rate=rate, loss=loss, smoothed=even)
        for number, (rate, loss, even) in enumerate(zip(rates, losses, values, strict=True), start=1)
    ]
    over = len(rates) < total or len(known) < len(rates)
    diverged = rates[-1] if over and rates else None
    if len(known) < max(FEWEST, 2 * _side(total) + 1):
        text = f"only {len(known)} steps have a loss: begin at a lower rate (--lowest)"
        return RangeReport(points=points, diverged=diverged, reason=text)
    return _judged(points, known, smooth, total, diverged)


def _judged(
    points: list[RangePoint], losses: list[float], smooth: list[float], total: int, diverged: float | None
) -> RangeReport:
    at, side = [point.learning_rate for point in points], _side(total)
    # the ends are smoothed over fewer neighbours, the outermost over none
    inner = range(side, len(smooth) - side)
    bottom = min(inner, key=lambda step: smooth[step])
    noise = pstdev(loss - even for loss, even in zip(losses, smooth, strict=True))
    fallen = smooth[side] - smooth[bottom]
    if bottom == side or fallen <= noise:
        text = (
            f"the smoothed loss falls by {max(fallen, 0):.3g}, no more than its noise ({noise:.3g}): "
            "take more steps (--steps) or a larger training.globalBatchSize"
        )
        return RangeReport(points=points, diverged=diverged, reason=text)
    steepest = at[min(range(side, bottom + 1), key=lambda step: _slope(at, smooth, step, side))]
    lowest = at[bottom]
    rate, rule = steepest, "where the smoothed loss falls fastest"
    if steepest > lowest / BELOW:
        rate, rule = lowest / BELOW, f"a tenth of {lowest:.2g}, where the smoothed loss is lowest"
    if diverged is None and bottom == inner[-1]:
        rule += "; it still falls at the highest rate, so a higher --highest may suggest more"
    return RangeReport(
        points=points,
        steepest=steepest,
        lowest=lowest,
        diverged=diverged,
        suggested=float(f"{rate:.1e}"),
        reason=rule,
    )


def smoothed(losses: Sequence[float], total: int) -> list[float]:
    """Each loss as the mean of its neighbours, nearer ones counting more: no delay, as running means have."""
    side, last = _side(total), len(losses) - 1
    found = []
    for at in range(len(losses)):
        # as many on either side, or the ends would lean
        reach = min(side, at, last - at)
        weights = [reach + 1 - abs(off) for off in range(-reach, reach + 1)]
        near = losses[at - reach : at + reach + 1]
        found.append(sum(w * x for w, x in zip(weights, near, strict=True)) / sum(weights))
    return found


def _slope(rates: Sequence[float], values: Sequence[float], at: int, side: int) -> float:
    """How fast the loss rises by the logarithm of the rate."""
    before, after = max(0, at - side), min(len(values) - 1, at + side)
    return (values[after] - values[before]) / math.log(rates[after] / rates[before])


def _side(total: int) -> int:
    return max(1, total // WINDOW)
