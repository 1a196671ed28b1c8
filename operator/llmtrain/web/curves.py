"""Curves of a job as columns for a chart: few enough points to draw, and none of its spikes lost. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from llmtrain_api import Job

Row = Mapping[str, Any]
POINTS = 2000
"""Of a curve: more than a screen has columns."""
WATCHED = 4000
"""Steps that are kept of a job by who only watches its status."""
PHASED = 50
"""Steps that the mean of the phases is made of."""
COLUMNS: dict[str, tuple[str, ...]] = {
    "loss": ("loss",),
    "evalLoss": ("eval_loss", "evalLoss"),
    "tokensPerSecond": ("tokens_per_second", "tokensPerSecond"),
    "learningRate": ("learning_rate", "learningRate"),
    "gradNorm": ("gradient_norm", "gradNorm"),
    "mfu": ("mfu",),
}
"""Each column with the names that ``metrics.jsonl`` and ``status.progress`` have for it."""


def curve_of(rows: Sequence[Row], points: int = POINTS) -> dict[str, Any]:
    """Columns of equal length by name, ``step`` and ``attempt`` first, and the seconds of a step by phase.

    Args:
        rows: a row a step, in the order of the steps.
        points: so many at most.
    """
    chosen = thinned(rows, points)
    columns: dict[str, list[Any]] = {
        "step": [row["step"] for row in chosen],
        "attempt": [row.get("attempt", 0) for row in chosen],
    }
    for name, keys in COLUMNS.items():
        found = [_figure(row, keys) for row in chosen]
        if any(value is not None for value in found):
            columns[name] = found
    return {"columns": columns, "phases": phases_of(rows)}


def thinned(rows: Sequence[Row], points: int) -> list[Row]:
    """At most so many rows: of each stretch those of the lowest and the highest loss, and the last."""
    if len(rows) <= points:
        return list(rows)
    buckets = max((points - 1) // 2, 1)
    kept: set[int] = {len(rows) - 1}
    for number in range(buckets):
        stretch = range(number * len(rows) // buckets, (number + 1) * len(rows) // buckets)
        losses = [(_figure(rows[at], COLUMNS["loss"]), at) for at in stretch]
        known = [(loss, at) for loss, at in losses if loss is not None]
        kept |= {min(known)[1], max(known)[1]} if known else {stretch[0]}
    return [rows[at] for at in sorted(kept)]


def phases_of(rows: Sequence[Row]) -> dict[str, float]:
    """Mean seconds of a step by phase, over the newest steps in which they were measured."""
    measured = deque((row["phases"] for row in rows if isinstance(row.get("phases"), dict)), maxlen=PHASED)
    total: dict[str, float] = {}
    for phases in measured:
        for name, seconds in phases.items():
            if isinstance(seconds, int | float) and isfinite(seconds):
                total[str(name)] = total.get(str(name), 0.0) + float(seconds)
    return {name: spent / len(measured) for name, spent in total.items()}


def merged(rows: Sequence[Row], seen: Iterable[Row]) -> list[Row]:
    """Rows of the output, with the held-out losses that were seen in the status beside them."""
    by_step: dict[int, Row] = {row["step"]: row for row in seen}
    for row in rows:
        beside = by_step.get(row["step"], {})
        by_step[row["step"]] = {**row, "evalLoss": beside.get("evalLoss")}
    return [by_step[step] for step in sorted(by_step)]


class Watched:
    """The curve of one job, from what its status says as it changes: a point a change."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._eval: object = None

    def take(self, job: Job) -> None:
        """Note where the job is. A step that is done again replaces what was known from there on."""
        progress = job.status.progress
        if progress is None or progress.step is None or progress.loss is None:
            return
        if self._rows and progress.step < self._rows[-1]["step"]:
            self._rows = [row for row in self._rows if row["step"] < progress.step]
        row = {name: getattr(progress, _snake(name)) for name in COLUMNS}
        row["evalLoss"] = None if progress.eval_loss == self._eval else progress.eval_loss
        self._eval = progress.eval_loss
        if self._rows and self._rows[-1]["step"] == progress.step:
            row["evalLoss"] = row["evalLoss"] or self._rows[-1]["evalLoss"]
            self._rows.pop()
        self._rows.append({"step": progress.step, "attempt": job.status.attempt or 0, **row})
        if len(self._rows) > WATCHED:
            self._rows = thinned(self._rows, WATCHED // 2)

    @property
    def rows(self) -> list[Row]:
        """A row a step that was seen."""
        return list(self._rows)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _figure(row: Row, keys: Iterable[str]) -> float | None:
    """The first of these names that has a number."""
    for key in keys:
        value = row.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            return float(value)
    return None
