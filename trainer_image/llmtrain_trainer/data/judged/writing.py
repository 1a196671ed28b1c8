"""Answers as rows: an answer's sequence, a mismatched one, and whether the answer is desirable.

The mismatched sequence is the same prompt with the last answer before it that belongs to another prompt; what
follows `each` tokens of it is cut off. It stands in the row, so that it depends on the order of the data
alone, and neither on the batch that the row falls into nor on how that is cut.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from typing_extensions import override

from ...token_marks import NOT_TRAINED
from ..chat.template import Rendered
from ..padding import without_padding
from ..pairs.writing import SIDES, PairWriter
from ..rows import Ids, Rows, Side

LABELS = "labels"
"""What the report calls how many answers are desirable, and how many are not."""
HELD_BACK = 1024
"""Answers to a source's first prompt that wait for an answer to another one."""


@dataclass(frozen=True)
class _Parted:
    """A sequence in its two parts, and whether its answer is desirable."""

    prompt: list[int]
    answer: Rendered
    desirable: bool


class JudgedWriter(PairWriter):
    """Writes rows of an answer's sequence and its mismatched one, as `PairWriter` writes both of a pair, with
    one more column, which is 1 where the answer is desirable.

    A source's first answers have none before them of another prompt: they take the first that follows, or,
    where all of them belong to one prompt, the answer before them, and the first one the last.

    Args:
        path: of the file.
        length: tokens of a sequence.
        pad: id that fills up.

    Attributes:
        labels: how many answers of all sources are desirable, and how many are not.
        tokens: of the answers' sequences, without what fills them up.
    """

    def __init__(self, path: Path, length: int, pad: int) -> None:
        super().__init__(path, length, pad)
        self.length += 1
        self.labels: Counter[bool] = Counter()
        self.tokens = 0
        self._waiting: list[_Parted] = []
        self._other: Rendered | None = None
        self._last: _Parted | None = None

    def add_answer(self, sequence: Rendered, *, desirable: bool) -> None:
        """Append an answer with its prompt, of at most `each` tokens."""
        begins = sequence.trained.index(True)
        answer = Rendered(sequence.ids[begins:], sequence.trained[begins:])
        one = _Parted(sequence.ids[:begins], answer, desirable)
        if self._last is not None and one.prompt != self._last.prompt:
            self._other = self._last.answer
            self._let_go(answer)
        self._last = one
        if self._other is None:
            self._waiting.append(one)
        else:
            self._write(one, self._other)
        if len(self._waiting) == HELD_BACK:
            self._let_go()
            self._other = answer

    @override
    def end_source(self) -> None:
        self._let_go()
        self._other = self._last = None
        super().end_source()

    @override
    def side(self) -> Side:
        """Finish the file; its rows and what they came to."""
        return Side(self.close(), list(self.sources), self.each, self.dtype, self.length, self.tokens)

    def _let_go(self, other: Rendered | None = None) -> None:
        """Write what waits, with an answer to another prompt; without one each with the answer before it."""
        for number, one in enumerate(self._waiting):
            self._write(one, other or self._waiting[number - 1].answer)
        self._waiting = []

    def _write(self, one: _Parted, other: Rendered) -> None:
        own, mismatched = (_joined(one.prompt, answer, self.each) for answer in (one.answer, other))
        label = np.asarray([NOT_TRAINED | int(one.desirable)], np.uint32)
        self._file.write(np.concatenate([self._side(own), self._side(mismatched), label]).tobytes())
        self.labels[one.desirable] += 1
        self.tokens += len(own.ids)
        self._documents += 1
        self._rows += 1


class Answered:
    """Rows without their mismatched sequence, for people.

    Args:
        rows: as `JudgedWriter` wrote them.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int, /) -> Ids:
        whole = self._rows[row]
        return without_padding(whole[: len(whole) // SIDES])


def _joined(prompt: list[int], answer: Rendered, most: int) -> Rendered:
    """A prompt and an answer to it or to another one, cut off after so many tokens."""
    ids, trained = [*prompt, *answer.ids], [False] * len(prompt) + answer.trained
    return Rendered(ids[:most], trained[:most])
