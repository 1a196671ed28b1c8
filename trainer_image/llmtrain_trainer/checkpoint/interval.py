"""When to save, and when to give up on it."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrain_api import CheckpointSpec

MOST_FAILURES = 3
"""Saves in a row that may fail: two are tried again at the next interval, the third ends the attempt."""


@dataclass
class Interval:
    """Time since the last save, by one rank's monotonic clock.

    Attributes:
        minutes: between saves; None = never by time.
        since: when the last save began, seconds.
    """

    minutes: float | None
    since: float

    def due(self, now: float) -> bool:
        """Whether a save is due by time."""
        return self.minutes is not None and now - self.since >= 60 * self.minutes


def due_by_steps(step: int, total: int, spec: CheckpointSpec) -> bool:
    """Whether a save is due after a step. The last step has its own, with the whole weights."""
    return step % spec.every_steps == 0 and step < total
