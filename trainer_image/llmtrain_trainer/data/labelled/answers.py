"""Answers of rows of questions, as SQuAD has them (Rajpurkar et al. 2016)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..reading.record import kind_of, listed

NESTED, FLAT, PLACE = "answers", "answer", "answer_start"
"""Columns that are read where the job names none."""


class Answer(NamedTuple):
    """An answer that stands in a text.

    Attributes:
        text: of it.
        start: the place of its first character.
    """

    text: str
    start: int


def answers_of(row: Mapping[str, Any], column: str | None, context: str) -> tuple[Answer, ...]:
    """The answers of a row; none where the text has none.

    Args:
        row: of a file.
        column: that holds them, where the job names it.
        context: what they stand in.

    Raises:
        ValueError: they are not as they must be; says what was found.
    """
    column = column or (NESTED if NESTED in row else FLAT)
    if column not in row:
        raise ValueError(f"it has no {NESTED} and no {FLAT}, but {listed(dict(row)) or 'no field'}")
    texts, starts = _lists(row, column)
    if len(texts) != len(starts):
        raise ValueError(f"its {column} has {len(texts)} texts and {len(starts)} places")
    found = tuple(Answer(_text(text), _place(start)) for text, start in zip(texts, starts, strict=True))
    for text, start in found:
        if context[start : start + len(text)] != text:
            there = context[start : start + len(text)]
            raise ValueError(
                f"its answer {ascii(text)[:40]} is not at character {start} of its context, where "
                f"{ascii(there)[:40] if there else 'nothing'} is"
            )
    return found


def _lists(row: Mapping[str, Any], column: str) -> tuple[list[Any], list[Any]]:
    value = row[column]
    if isinstance(value, str) and value.lstrip().startswith("{"):  # a column of a table
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get(PLACE)
        if isinstance(texts, list) and isinstance(starts, list):
            return texts, starts
        raise ValueError(f"its {column} has no lists text and {PLACE}")
    if value is None or value == "":
        return [], []
    if not isinstance(value, str):
        raise ValueError(f"its {column} is {kind_of(value)}, and no answer")
    if PLACE not in row:
        raise ValueError(f"it has no {PLACE}, which tells where its {column} begins")
    return [value], [row[PLACE]]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{ascii(value)[:40]} is no answer, which is a text with something in it")
    return value


def _place(value: Any) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{ascii(value)[:40]} is no {PLACE}, which is a whole number from 0")
    return value
