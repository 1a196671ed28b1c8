"""Weights as whole numbers: how many places of a block each source of a mixture gets.

The order of samples counts in blocks of positions, the same number of each source in every block. A block is
as short as the weights allow: 3 to 1 is a block of 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

BLOCK = 1000
"""Positions of a block at most, where so many are enough."""
LONGEST = 10_000
"""Positions of a block at most: all of a block is computed to find one position of it."""
TOLERANCE = 0.01
"""How far a share may be from what its weight says, relative to that."""
DIGITS = 8
"""Significant digits of a weight that count: far finer than the tolerance, and small numbers to work with."""
LEAST_COUNTS = 64
"""Places of the least weight that are tried in blocks longer than `BLOCK`."""
WITHIN_TOLERANCE = tuple(Fraction(1) / (1 + Fraction(n, 100)) for n in (1, 0, -1))


def apportioned(weights: Sequence[int], places: int) -> tuple[int, ...]:
    """Whole numbers that add up to ``places``, by largest remainder; at least 1 each.

    Args:
        weights: above 0.
        places: at least as many as there are weights.
    """
    total = sum(weights)
    floors = [weight * places // total for weight in weights]
    counts = [max(1, floor) for floor in floors]
    left = places - sum(counts)
    if left > 0:
        rounded_down = (i for i, floor in enumerate(floors) if floor)
        by_remainder = sorted(rounded_down, key=lambda i: (-(weights[i] * places % total), i))
        for i in by_remainder[:left]:
            counts[i] += 1
    while left < 0:  # those that got 1 for less than 1 live at the cost of the largest
        counts[counts.index(max(counts))] -= 1
        left += 1
    return tuple(counts)


@lru_cache(maxsize=256)
def parts(weights: tuple[float, ...]) -> tuple[int, ...]:
    """How many positions of each block each source gets; a block is as long as their sum.

    The shortest block that is exact, else the one of at most `BLOCK` with the smallest error, else the
    shortest tried of at most `LONGEST` within `TOLERANCE`, else the best there is. Checkpoints count on it:
    what it gives for the same weights must never change.
    """
    whole = _whole(weights)
    best: tuple[float, tuple[int, ...]] = math.inf, ()
    for places in _lengths(whole):
        if best[0] == 0 or (places > BLOCK and best[0] <= TOLERANCE):
            break
        if best[1] and _worse(whole, places, best[0]):
            continue
        counts = apportioned(whole, places)
        error = max(_errors(whole, counts))
        if not best[1] or error < best[0]:
            best = error, counts
    return best[1]


def _lengths(whole: Sequence[int]) -> Iterator[int]:
    """Lengths of a block to try, in order: a bounded number whatever the weights are.

    All up to `BLOCK`, or the one that is exact; beyond it those that give the least weight 1, 2, 3 ... places
    with no more than the tolerated error.
    """
    total, least = sum(whole), min(whole)
    # in a shorter block the least weight's one place is too much already
    shortest = max(len(whole), min(LONGEST, int(Fraction(total, least) / Fraction(1 + TOLERANCE))))
    exact = total // math.gcd(*whole)
    if shortest <= exact <= BLOCK:
        yield exact
        return
    yield from range(shortest, BLOCK + 1)
    longer = {shortest, LONGEST}
    for count in range(1, LEAST_COUNTS + 1):
        for share in WITHIN_TOLERANCE:
            at = Fraction(total, least) * count * share
            longer |= {math.floor(at), math.ceil(at)}
    yield from sorted(n for n in longer if max(BLOCK + 1, shortest) <= n <= LONGEST)


def _worse(whole: Sequence[int], places: int, error: float) -> bool:
    """Whether some source's share in such a block is off by so much at least, whoever gets which place."""
    total = sum(whole)
    for weight in sorted(set(whole)):
        ideal = weight * places
        below = ideal // total
        nearest = min(abs(max(1, count) * total - ideal) for count in (below, below + 1))
        if _ratio(nearest, ideal) >= error:
            return True
    return False


def errors(weights: tuple[float, ...]) -> list[float]:
    """How far each share of `parts` is from its weight's, relative to that."""
    return _errors(_whole(weights), parts(weights))


def _whole(weights: tuple[float, ...]) -> list[int]:
    """Whole numbers of the same ratios. As written: 0.1 is a tenth here, which no float is."""
    exact = [Fraction(f"{weight:.{DIGITS}g}") for weight in weights]
    common = math.lcm(*(weight.denominator for weight in exact))
    return [int(weight * common) for weight in exact]


def _errors(weights: Sequence[int], counts: Sequence[int]) -> list[float]:
    total, places = sum(weights), sum(counts)
    return [
        _ratio(abs(count * total - weight * places), weight * places)
        for weight, count in zip(weights, counts, strict=True)
    ]


def _ratio(part: int, whole: int) -> float:
    """Their quotient, or what is as good where no float holds it."""
    return part / whole if part < whole << 64 else math.inf
