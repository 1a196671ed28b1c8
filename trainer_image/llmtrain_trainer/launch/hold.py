"""A node whose ranks have failed ends later, where its job asks for that: its pod stays as it is meanwhile.

To the operator the attempt runs on until this launcher ends, so no other one begins beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from llmtrain_api import JobFile, Outcome, ProgressUpdate, Stage, TerminationMessage
from llmtrain_api.messages import Held
from llmtrain_api.names import RELEASE_FILE

from .. import log
from ..telemetry.reporter import Reporter
from .torchrun import Stop

POLL = 0.2
REPEAT = 30.0
"""Seconds between two reports of a hold: an operator that has just begun knows of none."""
LONGEST = 1024


def seconds_to_hold(job: JobFile, message: TerminationMessage) -> int:
    """How long this node stays after such an end; 0 = not at all."""
    return (job.spec.recovery.hold_seconds or 0) if message.outcome is Outcome.FAILED else 0


def hold(job: JobFile, message: TerminationMessage, stop: Stop) -> None:
    """Wait until the time is over, a person releases it, or SIGTERM comes.

    Args:
        job: with how long.
        message: how the attempt has ended on this node.
        stop: whether SIGTERM came.
    """
    seconds = seconds_to_hold(job, message)
    if not seconds:
        return
    until, release = datetime.now(UTC) + timedelta(seconds=seconds), Path(job.scratch) / RELEASE_FILE
    log.get().warning("held for debugging", until=until.isoformat(timespec="seconds"), release=str(release))
    kind = f"{message.failure_class}: " if message.failure_class else ""
    told = Held(until=until, message=f"{kind}{message.message}"[:LONGEST], cascade=message.cascade)
    reporter = Reporter(job, Stage.WAIT)
    try:
        _wait(seconds, release, stop, lambda: reporter.update(ProgressUpdate(held=told), urgent=True))
    finally:
        reporter.close()
    log.get().info("no longer held")


def _wait(seconds: float, release: Path, stop: Stop, tell: Callable[[], None]) -> None:
    now = time.monotonic()
    end, due = now + seconds, now
    while now < end and not stop.asked and not release.exists():
        if now >= due:
            tell()
            due = now + REPEAT
        time.sleep(POLL)
        now = time.monotonic()
