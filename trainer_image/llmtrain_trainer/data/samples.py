"""Rows as people read them, so that they see what is trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, TypedDict

from ..token_marks import NOT_TRAINED, ids_of
from .reading.decoding import escaped

if TYPE_CHECKING:
    from .rows import Rows

COUNT = 5
TOKENS = 256
"""Of a row that are shown."""
CHARACTERS = 160
"""Of a sample in the job's status."""
OPEN, CLOSE = "⟪", "⟫"
"""Around what is read, but not trained on."""


class Part(TypedDict):
    """A part of a sample."""

    text: str
    trained: bool


def samples(rows: Rows, decode: Callable[[list[int]], str], count: int = COUNT) -> list[list[Part]]:
    """Some rows, spread over all, each as parts of text and whether they are trained on.

    Args:
        rows: of token ids, with the marks of `token_marks` beside them.
        decode: text of ids.
        count: of rows at most.
    """
    last = len(rows) - 1
    chosen = sorted({last * place // max(1, count - 1) for place in range(count)}) if last >= 0 else []
    return [_parts(rows[at][:TOKENS].tolist(), decode) for at in chosen]


def _parts(row: list[int], decode: Callable[[list[int]], str]) -> list[Part]:
    return [
        {"text": decode([ids_of(token) for token in group]), "trained": trained}
        for trained, group in groupby(row, key=lambda token: token & NOT_TRAINED == 0)
    ]


def as_text(sample: Sequence[Part], most: int = CHARACTERS) -> str:
    """A sample in one line, with what is not trained on in brackets.

    Args:
        sample: as `samples` gives it.
        most: characters at most.
    """
    text = "".join(part["text"] if part["trained"] else f"{OPEN}{part['text']}{CLOSE}" for part in sample)
    shown = escaped(text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"
