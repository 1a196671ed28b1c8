"""The order of samples: a permutation of each epoch, computed one index at a time. PURE.

A Feistel network over the index, walked until it falls inside the range. It needs no memory, depends on
nothing but its arguments (no library's generator, whose stream may change between versions), and any
position can be computed at once: that is all a resume needs.
"""

from __future__ import annotations

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
