"""Whole dialogues into rows of fixed length, with little left over."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED
from ..rows import Ids, SequenceWriter

WINDOW = 1 << 16
"""Dialogues that are packed together, as in https://arxiv.org/abs/2404.10830."""
WINDOW_TOKENS = 1 << 24
"""Tokens of them at most, so that memory is bounded whatever their length."""


def best_fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Which items share a row: each of the longest first, into the fullest row that it fits in.

    Args:
        lengths: of the items; none above `room`.
        room: of a row.

    Returns:
        The items of each row, by number.
    """
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []
    for item in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        at = bisect_left(free, (lengths[item], -1))
        if at < len(free):
            left, row = free.pop(at)
        else:
            left, row = room, len(rows)
            rows.append([])
        rows[row].append(item)
        if left > lengths[item]:
            insort(free, (left - lengths[item], row))
    return rows


class PackedWriter(SequenceWriter):
    """Writes rows of whole documents. Each begins with a mark; what a row has left over is padding, which is
    neither trained on nor seen by a document."""

    def __init__(self, path: Path, length: int, pad: int) -> None:
        super().__init__(path, length, "uint32", pad)
        self._window: list[Ids] = []
        self._window_tokens = 0
        self.trained = self.padding = 0

    def add_sample(self, ids: Sequence[int], trained: Sequence[bool]) -> None:
        """Append one document of at most a row."""
        tokens = np.asarray(ids, np.uint32)
        self.highest = max(self.highest, int(tokens.max()))
        tokens[~np.asarray(trained)] |= NOT_TRAINED
        tokens[0] |= FIRST_OF_DOCUMENT
        self.trained += sum(trained)
        self._window.append(tokens)
        self._window_tokens += len(tokens)
        self._documents += 1
        if len(self._window) >= WINDOW or self._window_tokens >= WINDOW_TOKENS:
            self._pack()

    def end_source(self) -> None:
        """End a source: no row has documents of two."""
        self._pack()
        super().end_source()

    def _pack(self) -> None:
        for row in best_fit([len(tokens) for tokens in self._window], self.length):
            joined = np.concatenate([self._window[number] for number in row])
            left = np.full(self.length - len(joined), self.eos | NOT_TRAINED, np.uint32)
            left[:1] |= FIRST_OF_DOCUMENT
            self._file.write(np.concatenate([joined, left]).tobytes())
            self.padding += len(left)
            self._rows += 1
        self._window, self._window_tokens = [], 0
