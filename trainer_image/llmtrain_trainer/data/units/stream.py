"""Rows of any length as a view over the token stream."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from ..rows import Ids
from .token_set import TokenSet
from .work import SIDES, tokens_file


class StreamRows:
    """Rows of the sources, one source after another; what does not fill a row of its source is left out.

    Args:
        sources: files of each source and how many tokens each holds.
        dtype: of the ids.
        length: tokens of a row.
    """

    def __init__(self, sources: Sequence[Sequence[tuple[Path, int]]], dtype: str, length: int) -> None:
        self.dtype, self.length = np.dtype(dtype), length
        self._files = [[path for path, _ in files] for files in sources]
        self._ends = [list(accumulate(count for _, count in files)) for files in sources]
        self.of_sources = [(ends[-1] if ends else 0) // length for ends in self._ends]
        self._first = [0, *accumulate(self.of_sources)]
        self._mapped: dict[Path, Ids] = {}

    def __len__(self) -> int:
        return self._first[-1]

    def __getitem__(self, row: int) -> Ids:
        if not 0 <= row < len(self):
            raise IndexError(row)
        source = bisect_right(self._first, row) - 1
        start = (row - self._first[source]) * self.length
        ends, parts, left = self._ends[source], [], self.length
        file = bisect_right(ends, start)
        start -= ends[file - 1] if file else 0
        while left:
            part = self._tokens(self._files[source][file])[start : start + left]
            parts.append(part)
            left -= len(part)
            file, start = file + 1, 0
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def __array__(self, dtype: np.dtype[np.generic] | None = None, copy: bool | None = None) -> Ids:
        del copy
        empty = np.zeros((0, self.length), self.dtype)
        return (
            np.stack([self[row] for row in range(len(self))]).astype(dtype or self.dtype)
            if len(self)
            else empty
        )

    def _tokens(self, path: Path) -> Ids:
        if path not in self._mapped:
            self._mapped[path] = np.memmap(path, self.dtype, "r")
        return self._mapped[path]


def rows_of_set(found: TokenSet, folder: Path, side: str, length: int) -> StreamRows:
    """The rows of one side of a set.

    Args:
        found: the set.
        folder: where it lies.
        side: ``train`` or ``heldout``.
        length: tokens of a row.
    """
    number = SIDES.index(side)
    sources = [
        [(tokens_file(folder, unit.name, side), unit.tokens[number]) for unit in units if unit.tokens[number]]
        for units in found.sources
    ]
    return StreamRows(sources, found.dtype, length)
