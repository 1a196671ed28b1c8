"""Progress on record: how often it is written, and the texts that ``kubectl get`` shows."""

from __future__ import annotations

from datetime import datetime, timedelta

from llmtrain_api import Figures, PreparationFigures, Progress, changed

from ..types import LastReport
from .situation import Situation


def progress_interval(since: datetime | None, now: datetime) -> float:
    """Seconds between writes of progress: often while somebody watches, seldom in a long run."""
    age = (now - since).total_seconds() if since else 0.0
    if age < 120:
        return 5.0
    return 15.0 if age < 600 else 60.0


def progress_due(s: Situation, report: LastReport) -> bool:
    """Whether the report goes on record now. A new stage is not kept waiting."""
    old = s.status.progress
    if old is None or old.updated_at is None or old.stage != report.report.stage.value:
        return True
    if report.received.replace(microsecond=0) <= old.updated_at:
        return False
    return (s.now - old.updated_at).total_seconds() >= progress_interval(s.this_attempt.running_at, s.now)


def seconds_to_next_progress(s: Situation) -> float | None:
    """When a report that was held back becomes due; None when all that is known is told."""
    report, old = s.seen.report, s.status.progress
    if report is None or old is None or old.updated_at is None or progress_due(s, report):
        return None
    if report.received.replace(microsecond=0) <= old.updated_at:
        return None
    due = old.updated_at + timedelta(seconds=progress_interval(s.this_attempt.running_at, s.now))
    return max((due - s.now).total_seconds(), 0.1)


def newest_progress(s: Situation) -> Progress | None:
    """What was told last, held back or not: at the end of an attempt there is nothing left to wait for."""
    report, old = s.seen.report, s.status.progress
    if report is None:
        return old
    known_since = old.updated_at if old is not None else None
    news = known_since is None or report.received.replace(microsecond=0) >= known_since
    return progress_of(report) if news else old


def progress_of(last: LastReport) -> Progress:
    """A report as the status tells it."""
    r = last.report
    eta = r.eta_seconds
    return progress_texts(
        Progress(
            **{name: getattr(r, name) for name in (*Figures.model_fields, *PreparationFigures.model_fields)},
            stage=r.stage.value,
            eta=None if eta is None else last.received + timedelta(seconds=eta),
            eta_text=None if eta is None else duration_text(eta),
            updated_at=last.received.replace(microsecond=0),
        )
    )


def progress_texts(progress: Progress) -> Progress:
    """With the texts that ``kubectl get`` shows."""
    percent = _percent(progress.step, progress.total_steps)
    if progress.step is None:
        summary = progress.stage
        percent = _percent(progress.prepared_bytes, progress.bytes_to_prepare)
    else:
        summary = f"{progress.step}/{progress.total_steps}" if progress.total_steps else str(progress.step)
    rate = progress.tokens_per_second
    return changed(
        progress,
        summary=summary,
        percent=percent,
        percent_text=None if percent is None else f"{percent}%",
        loss_text=None if progress.loss is None else number_text(progress.loss, 3),
        tokens_per_second_text=None if rate is None else number_text(rate, 0),
    )


def _percent(done: int | None, total: int | None) -> int | None:
    return min(100 * done // total, 100) if done is not None and total else None


def duration_text(seconds: float) -> str:
    """``45s``, ``12m``, ``1h30m``, ``2d4h``: two units at most, as kubectl shows ages."""
    total = max(round(seconds), 0)
    if total < 60:
        return f"{total}s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if hours == 0:
        return f"{minutes}m" if minutes >= 10 or total % 60 == 0 else f"{minutes}m{total % 60}s"
    if days == 0:
        return f"{hours}h{minutes % 60}m"
    return f"{days}d{hours % 24}h"


def number_text(value: float, decimals: int) -> str:
    """Plain as long as it is short: no number of a pod makes a text that a column cannot show."""
    return f"{value:.{decimals}f}" if abs(value) < 1e12 else f"{value:.3e}"
