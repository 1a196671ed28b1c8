"""A sequence a row, filled up to a fixed length: what fills it begins with a mark, and is not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from typing_extensions import override

from ..token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED
from .rows import Ids, SequenceWriter, Side


def padded(ids: Sequence[int], trained: Sequence[bool], length: int, pad: int) -> Ids:
    """A sequence with its marks, filled up.

    Args:
        ids: of its tokens; one at least, and not more than `length`.
        trained: for each, whether it is trained on.
        length: in the end.
        pad: id that fills up.
    """
    row = np.full(length, pad | NOT_TRAINED, np.uint32)
    row[: len(ids)] = ids
    row[: len(ids)][~np.asarray(trained)] |= NOT_TRAINED
    row[0] |= FIRST_OF_DOCUMENT
    row[len(ids) : len(ids) + 1] |= FIRST_OF_DOCUMENT
    return row


def without_padding(row: Ids) -> Ids:
    """A sequence without what fills it up."""
    begins = np.flatnonzero(row[1:] & FIRST_OF_DOCUMENT)
    return row[: begins[0] + 1] if len(begins) else row


class PaddedWriter(SequenceWriter):
    """Writes a row a sequence, with further columns, none of which is trained on.

    Args:
        path: of the file.
        length: tokens of a sequence at most.
        pad: id that fills up.
        columns: of a row beside its tokens.

    Attributes:
        tokens: of all sequences, without what fills them up.
    """

    def __init__(self, path: Path, length: int, pad: int, columns: int) -> None:
        super().__init__(path, length + columns, "uint32", pad)
        self.each, self.tokens = length, 0

    def add_sequence(self, ids: Sequence[int], trained: Sequence[bool], beside: Ids) -> None:
        """Append a sequence of at most `each` tokens.

        Args:
            ids: its tokens.
            trained: for each, whether it is trained on.
            beside: the further columns.
        """
        own = padded(ids, trained, self.each, self.eos)
        self._file.write(np.concatenate([own, beside | NOT_TRAINED]).tobytes())
        self.highest = max(self.highest, *ids)
        self.tokens += len(ids)
        self._documents += 1
        self._rows += 1

    @override
    def side(self) -> Side:
        """Finish the file; its rows and what they came to."""
        return Side(self.close(), list(self.sources), self.each, self.dtype, self.length, self.tokens)
