"""How ``maxBytes`` is shared between the files of a folder."""

from __future__ import annotations

from collections.abc import Sequence


def evenly(sizes: Sequence[int], limit: int | None) -> list[int]:
    """Bytes that each file may give, so that none hides the others: all of the small ones, and of those that
    are left the same of each.

    Args:
        sizes: of the files.
        limit: in all; None for all there is.
    """
    if limit is None or sum(sizes) <= limit:
        return list(sizes)
    left, level = limit, 0
    ordered = sorted(sizes)
    for place, size in enumerate(ordered):
        level = left // (len(ordered) - place)
        if size > level:
            break
        left -= size
    return [min(size, level) for size in sizes]


def in_order(sizes: Sequence[int], limit: int | None) -> list[int]:
    """Bytes that each file may give when the first ones are read whole."""
    if limit is None:
        return list(sizes)
    given, left = [], limit
    for size in sizes:
        given.append(min(size, left))
        left -= given[-1]
    return given
