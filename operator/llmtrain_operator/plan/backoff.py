"""How long a restart waits, so that what fails at once is not started again and again."""

from __future__ import annotations

from collections.abc import Sequence

from llmtrain_api import Attempt, Charge

from .clock import seconds_left
from .situation import Situation

MAX_BACKOFF_SECONDS = 60.0


def seconds_to_restart(s: Situation) -> float:
    """How much longer the gang of the attempt that was decided on is held back."""
    return seconds_left(s.this_attempt.started_at, backoff_seconds(in_vain(s.status.attempts[:-1])), s.now)


def backoff_seconds(ends: int) -> float:
    """Seconds to wait after so many ends in a row: none at first, then 2, 4, 8 ... 60."""
    return 0.0 if ends < 2 else min(2.0 ** min(ends - 1, 10), MAX_BACKOFF_SECONDS)


def in_vain(attempts: Sequence[Attempt]) -> int:
    """How many attempts failed since the newest checkpoint was first there: progress ends the count.

    Args:
        attempts: that are over, as far as they are on record. Those that are charged to nobody do not count.
    """
    count = 0
    for number in range(len(attempts) - 1, -1, -1):
        count += attempts[number].charge in (Charge.APPLICATION, Charge.INFRASTRUCTURE)
        before = _reached(attempts[number - 1]) if number else 0
        if _reached(attempts[number]) > before:
            break
    return count


def _reached(attempt: Attempt) -> int:
    """The newest step that is known to have been saved by the attempt or before it."""
    return max(attempt.checkpoint_step or 0, attempt.resumed_step or 0)
