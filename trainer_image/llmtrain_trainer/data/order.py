"""The order of samples: a permutation of each epoch, computed one index at a time.

A Feistel network over the index, walked until it falls inside the range. It needs no memory, depends on
nothing but its arguments (no library's generator, whose stream may change between versions), and any
position can be computed at once: that is all a resume needs. Several sources take turns in the order of a
second network, over the places of a block.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

_MASK = (1 << 64) - 1
_ROUNDS = 6


def _mix(value: int) -> int:
    """The finaliser of splitmix64."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def permuted(index: int, size: int, seed: int, epoch: int) -> int:
    """Where ``index`` goes in the permutation of ``range(size)`` for this seed and epoch."""
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    low = (1 << half) - 1
    key = _mix(_mix(seed & _MASK) ^ epoch)
    while True:
        left, right = index >> half, index & low
        for round_number in range(_ROUNDS):
            left, right = right, left ^ (_mix(key ^ (round_number << 56) ^ right) & low)
        index = (left << half) | right
        if index < size:
            return index


def sample_at(position: int, size: int, seed: int) -> int:
    """The sample that is read after ``position`` samples were consumed."""
    epoch, index = divmod(position, size)
    return permuted(index, size, seed, epoch)


def key_of(position: int, size: int, seed: int) -> int:
    """A number for a sample in its epoch: random choices about it follow from this alone."""
    epoch = position // size
    return _mix(_mix(_mix(seed & _MASK) ^ epoch) ^ sample_at(position, size, seed))


_BLOCKS, _FIRST_SOURCE = 0, 1


@dataclass(frozen=True)
class Source:
    """One source of the samples.

    Attributes:
        rows: samples that it holds, at least 1.
        part: positions that it gets in each block, at least 1.
    """

    rows: int
    part: int


class Order:
    """Which row each position reads, where the rows of the sources lie one after another.

    Positions are counted in blocks as long as all parts together. In each block every source has its part of
    the positions, at places that the seed and the block's number decide; at its n-th position a source reads
    the n-th sample of its own order. So shares are exact in every block, each source's samples come once in
    each of its own epochs, and all of it follows from the position alone.
    """

    def __init__(self, sources: Sequence[Source], seed: int) -> None:
        self._sources, self._seed = tuple(sources), seed
        self._parts = tuple(source.part for source in sources)
        self._block = sum(self._parts)
        self._first = [0, *accumulate(source.rows for source in sources)]

    def at(self, position: int) -> tuple[int, int]:
        """The row that is read after ``position`` samples were consumed, and its key (see `key_of`)."""
        if len(self._sources) == 1:
            [only] = self._sources
            return sample_at(position, only.rows, self._seed), key_of(position, only.rows, self._seed)
        number, turn = self.turn_at(position)
        rows, seed = self._sources[number].rows, _derived(self._seed, _FIRST_SOURCE + number)
        return self._first[number] + sample_at(turn, rows, seed), key_of(turn, rows, seed)

    def turn_at(self, position: int) -> tuple[int, int]:
        """The source whose turn it is, and how many turns it had before."""
        block, place = divmod(position, self._block)
        number, before = _turns(self._parts, self._seed, block)[place]
        return number, block * self._parts[number] + before


def _derived(seed: int, number: int) -> int:
    """A seed for one of several orders that must not follow from each other."""
    return _mix(_mix(seed & _MASK) ^ ~number & _MASK)


@lru_cache(maxsize=8)
def _turns(parts: tuple[int, ...], seed: int, block: int) -> list[tuple[int, int]]:
    """For each place of a block the source, and how many turns it had in the block before."""
    ends, length = list(accumulate(parts)), sum(parts)
    had, turns = [0] * len(parts), []
    for place in range(length):
        number = bisect_right(ends, permuted(place, length, _derived(seed, _BLOCKS), block))
        turns.append((number, had[number]))
        had[number] += 1
    return turns
