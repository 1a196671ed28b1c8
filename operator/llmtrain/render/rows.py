"""The table of ``llmtrain ls``: the columns of ``kubectl get llmjob``, and with ``wide`` its wide ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmtrain_api import Job, Phase
from llmtrain_operator.local.console_text import COLUMNS, row

from .words import plain

WIDE = ("WAITING", "POSITION", "CHECKPOINT", "FAILURE", "MODEL", "LAYOUT")
STYLES = {
    Phase.RUNNING: "green",
    Phase.SUCCEEDED: "bold green",
    Phase.FAILED: "bold red",
    Phase.RESTARTING: "yellow",
    Phase.QUEUED: "cyan",
    Phase.SUSPENDED: "dim",
    Phase.SUSPENDING: "dim",
}
"""Colour of a phase; it is told in words as well."""


@dataclass(frozen=True)
class Table:
    """A table before it is drawn.

    Attributes:
        styles: of each row.
    """

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    styles: Sequence[str] = ()


GAP = "   "
"""Between two columns."""


def column_widths(table: Table) -> list[int]:
    """Of each column: as wide as what is in it."""
    everything = [table.header, *table.rows]
    return [max(len(row[column]) for row in everything) for column in range(len(table.header))]


def jobs_table(jobs: Sequence[Job], now: datetime, *, wide: bool = False, namespaces: bool = False) -> Table:
    """A row a job.

    Args:
        jobs: in the order of the rows.
        now: the current moment.
        wide: also why each waits, its checkpoint, failure, model and layout.
        namespaces: also the namespace, first.
    """
    header = (("NAMESPACE",) if namespaces else ()) + COLUMNS + (WIDE if wide else ())
    rows = []
    for job in jobs:
        cells = ((job.metadata.namespace,) if namespaces else ()) + row(job, None, now)
        rows.append(tuple(map(plain, cells + (_wide(job) if wide else ()))))
    styles = [STYLES.get(job.status.phase, "") if job.status.phase else "" for job in jobs]
    return Table(header, rows, styles)


def _wide(job: Job) -> tuple[str, ...]:
    status = job.status
    position = status.waiting.position if status.waiting else None
    return (
        status.waiting.reason if status.waiting else "",
        "" if position is None else str(position),
        str(status.checkpoint.step) if status.checkpoint else "",
        status.failure.failure_class.value if status.failure else "",
        str(job.spec.get("model", {}).get("name", "")),
        status.resolved.layout if status.resolved else "",
    )


def attempts_table(job: Job, now: datetime) -> Table:
    """A row an attempt: when it began, how long it was up, from which step it went on and how it ended."""
    from llmtrain_operator.plan.progress import duration_text

    rows = []
    for one in job.status.attempts:
        ended = one.failure_class.value if one.failure_class else one.reason.value if one.reason else ""
        running = "" if one.ended_at else "under way"
        steps = "" if one.steps_gained is None else f"+{one.steps_gained}"
        lost = f" -{one.steps_lost}" if one.steps_lost else ""
        cells = (
            str(one.number),
            duration_text((now - one.started_at).total_seconds()),
            duration_text(one.running_seconds),
            str(one.resumed_step or 0),
            steps + lost,
            ended or running or "complete",
            one.node or "",
            one.message or "",
        )
        rows.append(tuple(map(plain, cells)))
    return Table(("ATTEMPT", "AGE", "UP", "FROM STEP", "STEPS", "END", "NODE", "WHY"), rows)


def presets_table(found: Sequence[dict[str, Any]]) -> Table:
    """A row a preset: the fields of a job that it fills in, and what it bounds."""
    rows = []
    for raw in found:
        meta, spec = raw["metadata"], raw.get("spec") or {}
        parts = [", ".join(sorted(spec.get(part) or {})) for part in ("defaults", "bounds")]
        where = str(meta.get("namespace") or "the cluster")
        about = " ".join(str(spec.get("description") or "").split())
        rows.append(tuple(map(plain, (meta["name"], where, *parts, about))))
    return Table(("NAME", "OF", "GIVES", "BOUNDS", "FOR"), rows)
