"""Rows of samples as people read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llmtrain_api import Task

from ...token_marks import NOT_TRAINED, ids_of
from ..rows import Ids, Rows
from ..samples import COUNT, TOKENS, Part

NO_ANSWER = "(no answer here)"
"""Shown of a window without its question's answer."""
Decode = Callable[[list[int]], str]


def shown(rows: Rows, task: Task, labels: list[str], length: int, decode: Decode) -> list[list[Part]]:
    """Some rows, spread over all: what is read, and then what is to be learnt.

    Args:
        rows: of samples.
        task: what is learnt.
        labels: the classes, in their order.
        length: tokens of a row.
        decode: text of ids.
    """
    last = len(rows) - 1
    chosen = sorted({last * place // (COUNT - 1) for place in range(COUNT)}) if last >= 0 else []
    return [_parts(np.asarray(rows[at]), task, labels, length, decode) for at in chosen]


def _parts(row: Ids, task: Task, labels: list[str], length: int, decode: Decode) -> list[Part]:
    return [
        {"text": decode(_ids(row[:length])), "trained": False},
        {"text": f" → {_learnt(row, task, labels, length, decode)}", "trained": True},
    ]


def _learnt(row: Ids, task: Task, labels: list[str], length: int, decode: Decode) -> str:
    if task is Task.CLASSIFICATION:
        return labels[int(row[-1])]
    if task is Task.TOKENS:
        tags = row[length:]
        return " ".join(labels[int(tag)] for tag in tags[(tags & NOT_TRAINED) == 0])
    if task is Task.QUESTIONS:
        first, last = int(row[length]), int(row[length + 1])
        return decode(_ids(row[first : last + 1])) if last else NO_ANSWER
    if task is Task.REGRESSION:
        return f"{float(np.asarray(row[-1:]).view(np.float32)[0]):g}"
    return decode(_ids(row[length:]))


def _ids(columns: Ids) -> list[int]:
    own: Any = columns[(columns & NOT_TRAINED) == 0][:TOKENS]
    return [int(token) for token in ids_of(own)]
