"""The last report of each job."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from llmtrain_api import ProgressReport, changed

from ..types import JobRef, LastReport

STICKY = (
    *("resumed_step", "resumed_note", "checkpoint_step"),
    *("eval_loss", "perplexity", "loss", "step", "total_steps"),
)
"""Said once, true for the rest of the attempt: a later report that leaves them out does not unsay them."""


MAX_JOBS = 20_000


class ReportBook:
    """Newest report by job. An older attempt never replaces a newer one."""

    def __init__(self) -> None:
        self._last: OrderedDict[JobRef, LastReport] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def record(self, job: JobRef, report: ProgressReport, now: datetime) -> bool:
        """Record a report of that job. Returns whether it was news."""
        known = self._last.get(job)
        if known is not None and known.report.attempt > report.attempt:
            return False
        if known is not None and known.report.attempt == report.attempt:
            kept = {name: getattr(known.report, name) for name in STICKY if getattr(report, name) is None}
            report = changed(report, **kept)
        self._last[job] = LastReport(report, now)
        self._last.move_to_end(job)
        while len(self._last) > MAX_JOBS:
            self._last.popitem(last=False)
        return True

    def last(self, job: JobRef, attempt: int) -> LastReport | None:
        """The newest report of that attempt."""
        known = self._last.get(job)
        return known if known is not None and known.report.attempt == attempt else None

    def forget(self, job: JobRef) -> None:
        """The job is gone."""
        self._last.pop(job, None)
