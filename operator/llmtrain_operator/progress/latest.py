"""The last report of each job."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from llmtrain_api import ProgressReport, changed
from llmtrain_api.messages import Held

from ..types import JobRef, LastReport

STICKY = (
    *("resumed_step", "resumed_note", "checkpoint_step", "checkpoints"),
    *("eval_loss", "perplexity", "loss", "step", "total_steps"),
)
"""Said once, true for the rest of the attempt: a later report that leaves them out does not unsay them."""


MAX_JOBS = 20_000
BEFORE_GANG = -1
"""In place of an attempt's number."""


class ReportBook:
    """Newest report by job. An older attempt never replaces a newer one, and what runs before the first
    replaces none."""

    def __init__(self) -> None:
        self._last: OrderedDict[JobRef, tuple[int, LastReport]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def record(
        self, job: JobRef, report: ProgressReport, now: datetime, *, before_gang: bool = False
    ) -> bool:
        """Record a report of that job. Returns whether it was news.

        Args:
            job: whose report it is.
            report: as it came in.
            now: the current moment.
            before_gang: whether it is of a pod that runs before there is a gang.
        """
        turn = BEFORE_GANG if before_gang else report.attempt
        newest, known = self._last.get(job, (turn, None))
        if newest > turn:
            return False
        if known is not None and newest == turn:
            kept = {name: getattr(known.report, name) for name in STICKY if getattr(report, name) is None}
            report = changed(report, **kept, held=_held(known.report.held, report.held))
        self._last[job] = turn, LastReport(report, now)
        self._last.move_to_end(job)
        while len(self._last) > MAX_JOBS:
            self._last.popitem(last=False)
        return True

    def last(self, job: JobRef, attempt: int | None) -> LastReport | None:
        """The newest report of that attempt; where ``attempt`` is None, of what runs before the first."""
        turn, known = self._last.get(job, (BEFORE_GANG, None))
        return known if turn == (BEFORE_GANG if attempt is None else attempt) else None

    def forget(self, job: JobRef) -> None:
        """The job is gone."""
        self._last.pop(job, None)


def _held(known: Held | None, new: Held | None) -> Held | None:
    """Each node tells of its own ranks: what failed by itself is told rather than what only felt that."""
    if known is None or (known.cascade and new is not None and not new.cascade):
        return new
    return known
