"""Rows of one dialogue each, with the number of its first image; the others follow in the file of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from typing_extensions import override

from ...token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED, ids_of
from ..pairs.writing import without_padding
from ..rows import Ids, Rows, SequenceWriter, Side

COLUMNS = 1
"""Of a row beside its tokens."""


class ImageRowWriter(SequenceWriter):
    """Writes a row a dialogue.

    Args:
        path: of the file.
        length: tokens of a dialogue at most.
        pad: id that fills up.

    Attributes:
        tokens: of all dialogues, without what fills them up.
    """

    def __init__(self, path: Path, length: int, pad: int) -> None:
        super().__init__(path, length + COLUMNS, "uint32", pad)
        self.each, self.tokens = length, 0

    def add_seen(self, ids: Sequence[int], trained: Sequence[bool], first: int) -> None:
        """Append a dialogue of at most `each` tokens.

        Args:
            ids: its tokens.
            trained: for each, whether it is trained on.
            first: number of its first image.
        """
        row = np.full(self.length, self.eos | NOT_TRAINED, np.uint32)
        own = np.asarray(ids, np.uint32)
        own[~np.asarray(trained)] |= NOT_TRAINED
        row[: len(own)] = own
        row[0] |= FIRST_OF_DOCUMENT
        if len(own) < self.each:
            row[len(own)] |= FIRST_OF_DOCUMENT
        row[-1] = first | NOT_TRAINED
        self._file.write(row.tobytes())
        self.highest = max(self.highest, *ids)
        self.tokens += len(own)
        self._documents += 1
        self._rows += 1

    @override
    def side(self) -> Side:
        """Finish the file; its rows and what they came to."""
        return Side(self.close(), list(self.sources), self.each, self.dtype, self.length, self.tokens)


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
