"""``llmtrain top``: jobs under way with the curves of their losses, as lines of text."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from math import isfinite

from llmtrain_api import Job

from .rows import GAP, Table, column_widths, jobs_table

BARS = "▁▂▃▄▅▆▇█"
POINTS = 40
SPARED = ("AGE", "NODES", "PROGRESS", "RESTARTS", "TOKENS/S")
"""Columns that a narrow terminal does without, the first first."""
Key = tuple[str, str]


class Curves:
    """The losses of each job since somebody looks, a point a step."""

    def __init__(self) -> None:
        self._points: dict[Key, deque[tuple[int, float]]] = {}

    def take(self, jobs: Sequence[Job]) -> None:
        """Add what is new; jobs that are gone are forgotten."""
        found = {(job.metadata.namespace, job.metadata.name): job for job in jobs}
        self._points = {key: points for key, points in self._points.items() if key in found}
        for key, job in found.items():
            progress = job.status.progress
            if progress is None or progress.step is None or progress.loss is None:
                continue
            points = self._points.setdefault(key, deque(maxlen=POINTS))
            if points and progress.step < points[-1][0]:
                # it goes on from a checkpoint before
                points.clear()
            if not points or progress.step > points[-1][0]:
                points.append((progress.step, progress.loss))

    def of(self, job: Job) -> list[float]:
        """The losses of a job, oldest first."""
        points = self._points.get((job.metadata.namespace, job.metadata.name), ())
        return [loss for _, loss in points]


def spark(values: Sequence[float]) -> str:
    """A curve in one line, from its lowest to its highest value."""
    found = [value for value in values if isfinite(value)]
    if not found:
        return ""
    low, high = min(found), max(found)
    step = (high - low) / (len(BARS) - 1)
    return "".join(BARS[round((value - low) / step) if step else 0] for value in found)


def live_table(jobs: Sequence[Job], curves: Curves, now: datetime, *, namespaces: bool = False) -> Table:
    """Jobs that are under way first, then those that are over, each with its curve."""
    ordered = sorted(jobs, key=lambda job: bool(job.status.phase and job.status.phase.final))
    table = jobs_table(ordered, now, namespaces=namespaces)
    rows = [(*row, spark(curves.of(job))) for row, job in zip(table.rows, ordered, strict=True)]
    return Table((*table.header, "LOSS SINCE"), rows, table.styles)


def narrowed(table: Table, width: int) -> Table:
    """The table without as many of its `SPARED` columns as it takes for a row to fit."""
    for name in SPARED:
        widths = column_widths(table)
        if sum(widths) + len(GAP) * (len(widths) - 1) <= width:
            break
        if name in table.header:
            at = table.header.index(name)
            rows = [(*row[:at], *row[at + 1 :]) for row in table.rows]
            table = Table((*table.header[:at], *table.header[at + 1 :]), rows, table.styles)
    return table
