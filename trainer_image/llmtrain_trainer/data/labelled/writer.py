"""Samples as rows of fixed length: token ids with their marks, and what is to be learnt in further columns.

An id has the mark `NOT_TRAINED` where the row is filled up, and `FIRST_OF_DOCUMENT` where a second text
begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from typing_extensions import override

from llmtrain_api import Task

from ...token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED
from ..rows import Ids, SequenceWriter, Side


def width_of(task: Task, length: int) -> int:
    """Columns of a row: tokens, and a label, one of each, two places, or the tokens of another text."""
    if task in (Task.TEXT2TEXT, Task.TOKENS):
        return 2 * length
    return length + (2 if task is Task.QUESTIONS else 1)


def filled(ids: Sequence[int], length: int, pad: int, second: int | None = None) -> Ids:
    """Tokens with their marks, filled up to a length.

    Args:
        ids: of them; not more than `length`.
        length: of a row.
        pad: id that fills it up.
        second: place where a second text begins; None where there is none.
    """
    row = np.full(length, pad | NOT_TRAINED, np.uint32)
    row[: len(ids)] = ids
    if second is not None:
        row[second] |= FIRST_OF_DOCUMENT
    return row


class SampleWriter(SequenceWriter):
    """Writes a row a sample.

    Attributes:
        tokens: of all samples, without what fills them up.
    """

    def __init__(self, path: Path, task: Task, length: int) -> None:
        super().__init__(path, width_of(task, length), "uint32", 0)
        self.sequence_length = length
        self.tokens = 0

    def add_row(self, row: Ids, tokens: int, highest: int) -> None:
        """Append one sample.

        Args:
            row: its columns.
            tokens: that it has.
            highest: the largest id of them.
        """
        self._file.write(np.asarray(row, np.uint32).tobytes())
        self.tokens += tokens
        self.highest = max(self.highest, highest)
        self._rows += 1
        self._documents += 1

    def add_rows(self, rows: Sequence[tuple[Ids, int, int]]) -> None:
        """Append the rows of one sample, each as `add_row` takes it."""
        before = self._documents
        for row in rows:
            self.add_row(*row)
        self._documents = before + 1

    @override
    def side(self) -> Side:
        """Finish the file; its rows and what they came to."""
        rows = self.close()
        return Side(rows, list(self.sources), self.sequence_length, self.dtype, self.length, self.tokens)

    def relabel(self, order: Sequence[int]) -> None:
        """Give classes that were numbered as they came their places in an order; before `side`.

        Args:
            order: the place of each class, by the number that it was written with.
        """
        self._file.flush()
        if not self.rows:
            return
        written = np.memmap(self.path, self.dtype, "r+", shape=(self.rows, self.length))
        places = np.asarray(order, self.dtype)
        for first in range(0, self.rows, 1 << 16):
            part = written[first : first + (1 << 16), self.sequence_length :]
            own = (part & NOT_TRAINED) == 0
            part[own] = places[part[own]]
        written.flush()
