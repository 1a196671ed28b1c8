"""How long to wait, told by clocks that need not agree."""

from __future__ import annotations

from datetime import datetime


def seconds_left(since: datetime, length: float, now: datetime) -> float:
    """What is left of a wait of ``length`` seconds.

    A moment that is still to come was told by a clock that is ahead, or ours was set back: such a wait could
    take hours, so it is not waited at all.
    """
    left = length - (now - since).total_seconds()
    return left if 0.0 < left <= length else 0.0
