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
BEFORE = 60
"""Of a part that is not trained on, where all of a sample has no room: its end, which is what is answered."""
OPEN, CLOSE = "⟪", "⟫"
"""Around what is read, but not trained on."""
DIM, BRIGHT, PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"
"""The same in a terminal."""


class Part(TypedDict):
    """A part of a sample."""

    text: str
    trained: bool


def samples(
    rows: Rows, decode: Callable[[list[int]], str], count: int = COUNT, pad: int | None = None
) -> list[list[Part]]:
    """Some rows, spread over all, each as parts of text and whether they are trained on.

    Args:
        rows: of token ids, with the marks of `token_marks` beside them.
        decode: text of ids.
        count: of rows at most.
        pad: id of the token that fills a row up, and is not shown there; None where none does.
    """
    last = len(rows) - 1
    chosen = sorted({last * place // max(1, count - 1) for place in range(count)}) if last >= 0 else []
    return [_parts(_unpadded(rows[at][:TOKENS].tolist(), pad), decode) for at in chosen]


def _unpadded(row: list[int], pad: int | None) -> list[int]:
    end = len(row)
    while end and row[end - 1] & NOT_TRAINED and ids_of(row[end - 1]) == pad:
        end -= 1
    return row[:end]


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
    shown = _bracketed(sample, most)
    if len(shown) > most:  # instructions to the model would else hide each answer
        shown = _bracketed(sample, BEFORE)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _bracketed(sample: Sequence[Part], before: int) -> str:
    """A sample in one line, with ``before`` characters at most of each part that is not trained on."""

    def shown(part: Part) -> str:
        text = escaped(part["text"])
        if part["trained"]:
            return text
        return f"{OPEN}{text if len(text) <= before else '…' + text[1 - before :]}{CLOSE}"

    return "".join(map(shown, sample))


def in_terminal(sample: Sequence[Part], most: int) -> str:
    """A sample in one line for a terminal: what is not trained on is dim, and moves no cursor.

    Args:
        sample: as `samples` gives it.
        most: characters of text at most.
    """
    shown, left = "", most
    for part in sample:
        text = escaped(part["text"])
        shown += f"{BRIGHT if part['trained'] else DIM}{text[:left]}{PLAIN}"
        left -= len(text)
        if left <= 0:
            return f"{shown}…" if left < 0 else shown
    return shown
