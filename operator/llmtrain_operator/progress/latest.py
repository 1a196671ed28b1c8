"""The last report of each job."""

from __future__ import annotations

from datetime import datetime

from llmtrain_api import ProgressReport, changed

from ..types import LastReport

STICKY = (
    *("resumed_step", "resumed_note", "checkpoint_step"),
    *("eval_loss", "perplexity", "loss", "step", "total_steps"),
)
"""Said once, true for the rest of the attempt: a later report that leaves them out does not unsay them."""


class ReportBook:
    """Newest report by job UID. An older attempt never replaces a newer one."""

    def __init__(self) -> None:
        self._last: dict[str, LastReport] = {}

    def take(self, report: ProgressReport, now: datetime) -> bool:
        """Note a report. Returns whether it was news."""
        known = self._last.get(report.job_uid)
        if known is not None and known.report.attempt > report.attempt:
            return False
        if known is not None and known.report.attempt == report.attempt:
            kept = {name: getattr(known.report, name) for name in STICKY if getattr(report, name) is None}
            report = changed(report, **kept)
        self._last[report.job_uid] = LastReport(report, now)
        return True

    def last(self, job_uid: str, attempt: int) -> LastReport | None:
        """The newest report of that attempt."""
        known = self._last.get(job_uid)
        return known if known is not None and known.report.attempt == attempt else None

    def forget(self, job_uid: str) -> None:
        """The job is gone."""
        self._last.pop(job_uid, None)
