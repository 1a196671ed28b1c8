"""Follows each attempt until its first step, or its end, and then tells its spans once.

What it remembers is lost with the process: the trace of an attempt that was starting then is told by the next
one, as far as the status has it; one that had done its first step is not told again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from llmtrain_api import Job

from ..types import Observed
from .spans import Span, Start, passed, record_of, spans_of, start_of, with_record

log = structlog.get_logger()
Tell = Callable[[Job, Start, list[Span]], None]
"""Takes the spans of one attempt, and does not wait."""


@dataclass
class _Followed:
    """The newest attempt of a job.

    Attributes:
        start: how far it has come.
        told: whether no more is to be told of it.
    """

    start: Start
    told: bool = False


class Tracer:
    """Traces of all jobs.

    Args:
        tell: takes what is to be told.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._jobs: dict[str, _Followed] = {}

    def note(self, seen: Observed, now: datetime) -> None:
        """Take a job as it is; what goes wrong here is no matter of the job's."""
        try:
            self._follow(seen, now)
        except Exception:
            log.exception("trace-fault", job=f"{seen.job.metadata.namespace}/{seen.job.metadata.name}")

    def _follow(self, seen: Observed, now: datetime) -> None:
        uid, number = seen.job.metadata.uid, seen.job.status.attempt
        known = self._jobs.get(uid)
        if number is None:
            self.forget(uid)
            return
        if known is not None and known.start.number != number:
            self._end(seen.job, known)
            known = None
        start = start_of(seen, now, known.start if known else None)
        if start is None:
            return
        if known is None:
            known = self._jobs[uid] = _Followed(start, told=passed(seen, start))
        known.start = start
        if start.over:
            self._once(seen.job, known)

    def forget(self, uid: str) -> None:
        """The job is gone."""
        self._jobs.pop(uid, None)

    def _end(self, job: Job, known: _Followed) -> None:
        """An attempt that another has followed: its end is in its record."""
        record = record_of(job, known.start.number)
        if record is not None:
            known.start = with_record(known.start, record)
            self._once(job, known)

    def _once(self, job: Job, known: _Followed) -> None:
        if not known.told:
            known.told = True
            self._tell(job, known.start, spans_of(known.start))
