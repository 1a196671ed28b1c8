"""Random choices that follow from a number alone, the same in every version of every library."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]


def noise(key: int, count: int, stream: int = 0) -> Numbers:
    """``count`` pseudo-random 64-bit numbers for a key: splitmix64 over a counter.

    Args:
        key: a non-negative number.
        count: how many.
        stream: independent numbers of the same key.
    """
    start = (key + 0x9E3779B97F4A7C15 * (stream + 1)) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        value = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(start)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
        return value ^ (value >> np.uint64(31))


def lowest(key: int, size: int, count: int, stream: int = 0) -> npt.NDArray[np.int64]:
    """``count`` different indices below ``size``, in rising order."""
    return np.sort(np.argsort(noise(key, size, stream), kind="stable")[:count])
