"""A task of the gallery: its example, text and sizes, and what the model must come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.corpora import said

Rows = list[dict[str, Any]]
Spec = dict[str, Any]


@dataclass(frozen=True)
class Beaten:
    """A figure of ``results.json`` and the one of whoever has no model, beside it.

    Attributes:
        figure: its path.
        baseline: the other's path; or what makes it of the rows trained on and those held out.
        words: what the figure is.
        by: what the other one is.
        lower: whether less is better.
    """

    figure: str
    baseline: str | Callable[[Rows, Rows], float]
    words: str
    by: str
    lower: bool = False


@dataclass(frozen=True)
class Entry:
    """A task on real text.

    Attributes:
        example: the manifest, by its file's name in ``examples``.
        about: what the text is.
        rows: makes all rows.
        model: ``spec.model``, a tiny one.
        length: ``training.sequenceLength``.
        heart: ``training`` of the run that learns 64 rows by heart.
        trained: ``training`` of the run on many rows.
        count: of these.
        many: makes these, where they are other ones.
        says: what the exported folder says of rows.
        measure: how that is compared with what is right, in words.
        least: of it.
        beaten: what held-out rows must show.
        score: this comparison, from 0 to 100.
        copies: of each of the 64 rows in the data: where sequences cut one text in two, they do not cut the
            other copy, and what fills no whole sequence is not read.
        more: of the spec, whatever the run.
        files: writes into the folder of the rows what they name.
    """

    example: str
    about: str
    rows: Callable[[], Rows]
    model: Spec
    length: int
    heart: Spec
    trained: Spec
    count: int
    says: Callable[[Path, Sequence[dict[str, Any]]], list[said.Said]]
    measure: str
    least: float
    beaten: Beaten
    score: Callable[[Sequence[said.Said]], float] = said.share
    copies: int = 1
    more: Spec = field(default_factory=dict)
    files: Callable[[Path], object] | None = None
    many: Callable[[], Rows] | None = None
