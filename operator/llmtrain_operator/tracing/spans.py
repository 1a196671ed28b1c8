"""How far the start of an attempt has come, and the spans that tell it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from llmtrain_api import Attempt, Job, Phase, Stage

from ..trace_ids import ROOT
from ..types import LastReport, Observed, Pod

STAGES_TOGETHER = (Stage.TRAIN, Stage.EVALUATE, Stage.EXPORT)
"""What rank 0 tells only once all ranks have met."""
PARTS = ("queue", "create pods", "schedule", "start pods", "prepare data", "gather", "first step")
"""What an attempt goes through, in this order."""


@dataclass(frozen=True, slots=True)
class Start:
    """The start of one attempt; a moment that has not come is None.

    Attributes:
        number: of the attempt.
        nodes: pods of its gang.
        begun: since when it is under way: the job was applied, or the attempt before had ended.
        accepted: the operator had found the spec right; only of the first attempt.
        setup: what ran before the gang last, with its begin and end; only of the first attempt.
        waits: whether it stood in the queue when it was seen last.
        let_in: the queue had let it in.
        created: all its pods existed.
        scheduled: all of them had a node.
        running: all of them ran.
        prepared: rank 0 told that it waits for the others: the data are there.
        gathered: rank 0 told of what takes all ranks.
        first_step: rank 0 told of a step.
        ended: the attempt had ended.
        broken_off: whether that was before it had done what it was for.
        error: why, where something had failed.
    """

    number: int
    nodes: int
    begun: datetime
    accepted: datetime | None = None
    setup: tuple[str, datetime, datetime] | None = None
    waits: bool = False
    let_in: datetime | None = None
    created: datetime | None = None
    scheduled: datetime | None = None
    running: datetime | None = None
    prepared: datetime | None = None
    gathered: datetime | None = None
    first_step: datetime | None = None
    ended: datetime | None = None
    broken_off: bool = False
    error: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will be known of it."""
        return self.first_step is not None or self.ended is not None


class Span(NamedTuple):
    """One span.

    Attributes:
        within: whether it is a part of the one named `ROOT`, which is that one's parent.
        error: why it failed; empty = it did not.
    """

    name: str
    begin: datetime
    end: datetime
    within: bool = True
    error: str = ""


def record_of(job: Job, number: int) -> Attempt | None:
    """What the status has of an attempt."""
    return next((one for one in job.status.attempts if one.number == number), None)


def start_of(seen: Observed, now: datetime, before: Start | None) -> Start | None:
    """How far the current attempt has come.

    Args:
        seen: the job and what is known of it.
        now: the current moment.
        before: the same as it was seen last; None = never.
    """
    number = seen.job.status.attempt
    record = None if number is None else record_of(seen.job, number)
    if record is None:
        return None
    known = before or _begun(seen.job, record)
    waits = seen.job.status.phase is Phase.QUEUED
    since = now if known.waits else record.started_at
    pods = [p for p in seen.pods if p.attempt == record.number and p.stage is None]
    workers = seen.job.status.workers
    report = seen.report
    return with_record(
        replace(
            known,
            nodes=workers.desired if workers is not None else known.nodes,
            waits=waits,
            let_in=known.let_in or (None if waits else since),
            scheduled=known.scheduled or _scheduled(pods, known.nodes),
            prepared=known.prepared or _heard(report, report is not None and _waits(report)),
            gathered=known.gathered or _heard(report, report is not None and _together(report)),
            first_step=known.first_step or _heard(report, report is not None and _stepped(report)),
        ),
        record,
    )


def with_record(known: Start, record: Attempt) -> Start:
    """With what the attempt's own record tells."""
    return replace(
        known,
        created=record.created_at,
        running=record.running_at,
        ended=record.ended_at,
        broken_off=record.failure_class is not None or record.reason is not None,
        error=(record.message or record.failure_class.value) if record.failure_class else "",
    )


def passed(seen: Observed, start: Start) -> bool:
    """Whether an attempt that this process sees for the first time is past its start: its trace was another's
    to tell, and when it did its first step is not known."""
    progress, running = seen.job.status.progress, start.running
    if progress is None or progress.updated_at is None or running is None:
        return start.ended is not None
    return start.ended is not None or (bool(progress.step) and progress.updated_at >= running)


def spans_of(start: Start) -> list[Span]:
    """The spans of a start that is over, the one that holds the others first."""
    found = list(_before_the_queue(start))
    at = found[-1].end if found else start.begun
    moments = (
        start.let_in,
        start.created,
        start.scheduled,
        start.running,
        start.prepared,
        start.gathered,
        start.first_step,
    )
    reached = [number for number, moment in enumerate(moments) if moment is not None]
    for number in reached:
        moment = moments[number]
        assert moment is not None
        end = max(at, moment)
        found.append(Span(PARTS[number], at, end))
        at = end
    following = reached[-1] + 1 if reached else 0
    if start.ended is not None and start.broken_off and following < len(PARTS):
        end = max(at, start.ended)
        found.append(Span(PARTS[following], at, end, error=start.error))
        at = end
    failed = start.error if start.first_step is None else ""
    return [Span(ROOT, start.begun, at, within=False, error=failed), *found]


def _begun(job: Job, record: Attempt) -> Start:
    """An attempt as its record shows it first."""
    if record.number:
        return Start(record.number, 0, record.started_at)
    accepted = job.status.condition("Accepted")
    setup = job.status.setup
    moments = [job.metadata.creation_timestamp, setup.started_at if setup else None, record.started_at]
    begun = min(moment for moment in moments if moment is not None)
    ran = None
    if setup is not None and setup.ended_at is not None:
        ran = (setup.stage.value, setup.started_at, setup.ended_at)
    return Start(0, 0, begun, accepted.last_transition_time if accepted else None, ran)


def _before_the_queue(start: Start) -> list[Span]:
    found = []
    latest = start.setup[1] if start.setup else start.let_in
    if start.accepted is not None and latest is not None and start.accepted <= latest:
        found.append(Span("accept", start.begun, max(start.begun, start.accepted)))
    if start.setup is not None:
        found.append(Span(*start.setup))
    return found


def _scheduled(pods: list[Pod], nodes: int) -> datetime | None:
    """When the last of them got its node."""
    moments = [pod.scheduled_at for pod in pods if pod.scheduled_at is not None]
    return max(moments) if moments and len(moments) >= nodes > 0 else None


def _heard(report: LastReport | None, holds: bool) -> datetime | None:
    return report.received if report is not None and holds else None


def _waits(last: LastReport) -> bool:
    return last.report.stage is Stage.WAIT


def _together(last: LastReport) -> bool:
    return last.report.stage in STAGES_TOGETHER


def _stepped(last: LastReport) -> bool:
    return _together(last) and (last.report.step or 0) > (last.report.resumed_step or 0)
