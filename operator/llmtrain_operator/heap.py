"""What the garbage collector need not look at again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

SECONDS_BETWEEN = 0.25
"""Ten times as often costs a tenth of the operator's memory: what is in hand then is spared, too, and stays
when it is garbage."""
MOST_ROUNDS = 240
"""A cluster with much to do has always something that waits, and only the first looks are meant."""


def spare_what_stays() -> None:
    """Take all that is there now out of the garbage collector's sight: it stays as long as the process.

    A full collection goes through every object while nothing is decided and no report is answered. Most of an
    operator's objects are of imported modules, and are never garbage.
    """
    gc.collect()
    gc.freeze()


async def spare_first_looks(left: Callable[[], int]) -> None:
    """Spare what each first look at a job leaves, until all jobs have been looked at.

    It is soon a quarter of all there is, which is when Python goes through all that was not spared yet.

    Args:
        left: how many jobs wait to be looked at.
    """
    for _ in range(MOST_ROUNDS):
        if not left():
            break
        _spare_what_is_new()
        await asyncio.sleep(SECONDS_BETWEEN)
    _spare_what_is_new()


def _spare_what_is_new() -> None:
    # what is spared is never freed if it is garbage, so what can be told to be is freed before
    gc.collect(1)
    gc.freeze()
