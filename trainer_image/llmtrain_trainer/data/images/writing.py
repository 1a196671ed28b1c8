"""Rows of one dialogue each, with the number of its first image; the others follow in the file of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...token_marks import ids_of
from ..padding import PaddedWriter, without_padding
from ..rows import Ids, Rows

COLUMNS = 1
"""Of a row beside its tokens."""


class ImageRowWriter(PaddedWriter):
    """Writes a row a dialogue; what `PaddedWriter` has for a sequence, it has for a dialogue.

    Args:
        path: of the file.
        length: tokens of a dialogue at most.
        pad: id that fills up.
    """

    def __init__(self, path: Path, length: int, pad: int) -> None:
        super().__init__(path, length, pad, COLUMNS)

    def add_seen(self, ids: Sequence[int], trained: Sequence[bool], first: int) -> None:
        """Append a dialogue of at most `each` tokens.

        Args:
            ids: its tokens.
            trained: for each, whether it is trained on.
            first: number of its first image.
        """
        self.add_sequence(ids, trained, np.asarray([first], np.uint32))


class Shown:
    """Rows for people: an image is one token, and what fills up is not there.

    Args:
        rows: as `ImageRowWriter` wrote them.
        token: id of what stands for an image.
        tokens: that an image is in a row.
    """

    def __init__(self, rows: Rows, token: int, tokens: int) -> None:
        self._rows, self._token, self._tokens = rows, token, tokens

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int, /) -> Ids:
        own = without_padding(self._rows[row][:-COLUMNS])
        image = ids_of(own) == self._token
        kept: Ids = own[~image | (np.cumsum(image) % self._tokens == 1 % self._tokens)]
        return kept
