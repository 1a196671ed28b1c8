"""Prompts as rows: tokens, and the bytes of the right answer.

No token of a row is trained on; what is comes with the answers that the model writes. A byte is a column with
its value and 1, so that 0 is none, and has the mark of what is not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...token_marks import ids_of
from ..padding import PaddedWriter, without_padding
from ..rows import Ids, Rows
from .prompt import MAX_ANSWER


class PromptWriter(PaddedWriter):
    """Writes a row a prompt; what `PaddedWriter` has for a sequence, it has for a prompt.

    Args:
        path: of the file.
        length: tokens of a prompt at most.
        pad: id that fills up.
    """

    def __init__(self, path: Path, length: int, pad: int) -> None:
        super().__init__(path, length, pad, MAX_ANSWER)

    def add_prompt(self, ids: Sequence[int], answer: str | None) -> None:
        """Append a prompt of at most `each` tokens."""
        right = np.frombuffer((answer or "").encode(), np.uint8).astype(np.uint32)
        columns = np.zeros(MAX_ANSWER, np.uint32)
        columns[: len(right)] = right + 1
        self.add_sequence(ids, [False] * len(ids), columns)


def prompt_of(row: Any) -> list[int]:
    """The ids of a row's prompt."""
    ids: list[int] = ids_of(without_padding(np.asarray(row)[:-MAX_ANSWER])).tolist()
    return ids


def answer_of(row: Any) -> str | None:
    """The right answer of a row; None where it has none."""
    columns = ids_of(np.asarray(row)[-MAX_ANSWER:])
    held = (columns[columns > 0] - 1).astype(np.uint8).tobytes()
    return held.decode() if held else None


class Prompts:
    """Rows without what fills them up, and without answers, for people.

    Args:
        rows: as `PromptWriter` wrote them.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int, /) -> Ids:
        return without_padding(self._rows[row][:-MAX_ANSWER])
