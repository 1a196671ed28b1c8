"""Pairs as rows: two sequences of one length, one after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..chat.template import Rendered
from ..padding import padded, without_padding
from ..rows import Ids, Rows, SequenceWriter

SIDES = 2
"""Sequences of a row: the better answer's, then the other's."""


class PairWriter(SequenceWriter):
    """Writes rows of two sequences. Each begins with a mark, and so does the padding after it, if any.

    Args:
        path: of the file.
        length: tokens of a sequence, half of a row.
        pad: id that fills up.
    """

    def __init__(self, path: Path, length: int, pad: int) -> None:
        super().__init__(path, SIDES * length, "uint32", pad)
        self.each = length

    def add_pair(self, chosen: Rendered, rejected: Rendered) -> None:
        """Append a pair, each side of at most `each` tokens."""
        row = np.concatenate([self._side(chosen), self._side(rejected)])
        self._file.write(row.tobytes())
        self._documents += 1
        self._rows += 1

    def _side(self, side: Rendered) -> Ids:
        self.highest = max(self.highest, *side.ids)
        return padded(side.ids, side.trained, self.each, self.eos)


class Unpadded:
    """Rows without what fills their sides up, for people.

    Args:
        rows: as `PairWriter` wrote them.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int, /) -> Ids:
        return np.concatenate([without_padding(side) for side in np.split(self._rows[row], SIDES)])
