"""Long lists are decoded in parts, between which others get their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
AT_ONCE = 100
"""Objects: they take a millisecond or two."""


async def decoded(decode: Callable[[bytes], T | None], raw: Sequence[bytes]) -> list[T]:
    """All objects of a list, in its order.

    Args:
        decode: from JSON to an object; None for what is to be left out.
        raw: the items as JSON.
    """
    items: list[T] = []
    for first in range(0, len(raw), AT_ONCE):
        found = map(decode, raw[first : first + AT_ONCE])
        items += [item for item in found if item is not None]
        await asyncio.sleep(0)
    return items
