"""Opens, closes and charges attempts: an attempt's record begins and ends here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from llmtrain_api import (
    Attempt,
    Charge,
    Checkpoint,
    ConditionType,
    EndReason,
    Failure,
    FailureClass,
    JobStatus,
    Phase,
    Restarts,
    changed,
)
from llmtrain_api.schema.status import MAX_ATTEMPTS

from .conditions import with_condition
from .evidence import LIMITS, Evidence
from .progress import newest_progress
from .situation import Situation
from .usage import with_waste
from .workers import workers

OF_AN_ATTEMPT: tuple[ConditionType, ...] = ("ReportingLost", "Straggler")
"""Conditions that speak of the ranks of one attempt."""


def first_attempt(now: datetime) -> list[Attempt]:
    """The records of a job that begins."""
    return [Attempt(number=0, started_at=now)]


def charge_of(failure: Failure) -> Charge:
    """Who pays for a failure: what was done to the job from outside is not the application's, and a limit
    that it has reached is nobody's."""
    if failure.failure_class in LIMITS:
        return Charge.NOBODY
    outside = failure.failure_class is FailureClass.INFRASTRUCTURE
    return Charge.INFRASTRUCTURE if outside else Charge.APPLICATION


def close_attempt(
    s: Situation,
    *,
    charged_to: Charge,
    failure: Failure | None = None,
    message: str | None = None,
    reason: EndReason | None = None,
    found: Iterable[Evidence] = (),
) -> JobStatus:
    """The status with the current attempt's record ended and charged, and the newest checkpoint and progress
    noted.

    Args:
        s: the situation.
        charged_to: whose budget the end is taken from.
        failure: why it ended; None where nothing failed.
        message: why it ended where nothing failed.
        reason: the same as one word, where the operator ended it.
        found: what its ranks told of steps committed and resumed from.
    """
    evidence = list(found)
    newest = _newest_step(s, evidence)
    report = s.seen.report.report if s.seen.report else None
    old = s.this_attempt
    resumed = [old.resumed_step, report.resumed_step if report else None, *(e.resumed_step for e in evidence)]
    text = failure.message if failure else message
    ended = changed(
        old,
        ended_at=s.now,
        resumed_step=next((step for step in resumed if step is not None), None),
        resumed_note=old.resumed_note or (report.resumed_note if report else None),
        checkpoint_step=newest,
        failure_class=failure.failure_class if failure else None,
        reason=reason or old.reason,
        steps_gained=_gained(s, newest, resumed),
        steps_lost=_lost(s, newest),
        charge=charged_to,
        node=failure.node if failure else None,
        message=text[:256] if text else None,
    )
    succeeded = failure is None and message is None
    ready = s.nodes if succeeded else 0
    status = changed(
        s.status,
        attempts=[*s.status.attempts[:-1], ended],
        restarts=_counted(s, newest, charged_to),
        checkpoint=_newer(s.status.checkpoint, newest, s.now),
        checkpoints=_kept(s, evidence),
        progress=newest_progress(s),
        workers=workers(s, ready),
        observed_generation=s.job.metadata.generation,
    )
    status = with_waste(s, status)
    for kind in OF_AN_ATTEMPT:
        known = status.condition(kind)
        if known is not None and known.status == "True":
            status = with_condition(status, kind, False, "AttemptEnded", "", s.now)
    return status


def next_attempt(
    s: Situation, closed: JobStatus, *, phase: Phase, reason: str, failure: Failure | None = None
) -> JobStatus:
    """The record of the count and of the new attempt: one write, before any pod goes or comes.

    Args:
        s: the situation.
        closed: what `close_attempt` made of the status; its last record tells whom the restart is charged to.
        phase: what the job is in until the new gang is up.
        reason: of the condition ``Running``.
        failure: the root cause, where there is one.
    """
    ended = closed.attempts[-1]
    number = ended.number + 1
    status = changed(
        closed,
        phase=phase,
        attempt=number,
        attempts=[
            *closed.attempts,
            Attempt(number=number, started_at=s.now, avoided_nodes=ended.avoided_nodes),
        ][-MAX_ATTEMPTS:],
        failure=failure,
        waiting=None,
        # who queues again has no room
        placement=None if phase is Phase.QUEUED else closed.placement,
        restarts=with_restart(closed.restarts or Restarts(), ended.charge),
    )
    text = f"attempt {number}: {failure.message}" if failure else ended.message or ""
    return with_condition(status, "Running", False, reason, text[:4096], s.now)


def with_most(s: Situation, closed: JobStatus, pods: int) -> JobStatus:
    """The ended attempt with how many of its pods found room: a job that may have so few asks for no more.

    Args:
        s: the situation.
        closed: what `close_attempt` made of the status.
        pods: that found room.
    """
    least = s.spec.min_nodes if s.spec is not None else None
    if least is None or pods < least:
        return closed
    return changed(closed, attempts=[*closed.attempts[:-1], changed(closed.attempts[-1], next_nodes=pods)])


def with_checkpoint(s: Situation, status: JobStatus, found: Iterable[Evidence]) -> JobStatus:
    """The status with the newest checkpoint that anybody knows of: pods that go take what they said along."""
    told = list(found)
    checkpoint = _newer(status.checkpoint, _newest_step(s, told), s.now)
    return changed(status, checkpoint=checkpoint, checkpoints=_kept(s, told))


def with_restart(restarts: Restarts, charge: Charge | None) -> Restarts:
    """The counts with one restart more; one that is charged to nobody is not counted."""
    application, infrastructure = charge is Charge.APPLICATION, charge is Charge.INFRASTRUCTURE
    return changed(
        restarts,
        total=restarts.total + (application or infrastructure),
        application=restarts.application + application,
        infrastructure=restarts.infrastructure + infrastructure,
    )


def _kept(s: Situation, evidence: list[Evidence]) -> list[int] | None:
    """The steps that are kept, of whoever tells of the newest one."""
    report = s.seen.report.report if s.seen.report else None
    told = [list(e.checkpoints) for e in evidence]
    told += [found for found in (report.checkpoints if report else None, s.status.checkpoints) if found]
    return max((steps for steps in told if steps), key=lambda steps: steps[0], default=None)


def _newest_step(s: Situation, evidence: list[Evidence]) -> int | None:
    """The newest committed step that anybody knows of."""
    steps = [
        s.status.checkpoint.step if s.status.checkpoint else None,
        s.seen.report.report.checkpoint_step if s.seen.report else None,
        *(e.checkpoint_step for e in evidence),
    ]
    return max((step for step in steps if step is not None), default=None)


def _gained(s: Situation, newest: int | None, resumed: list[int | None]) -> int | None:
    """Steps between the checkpoint that the attempt went on from and the newest."""
    start = next((step for step in resumed if step is not None), None)
    return (
        None
        if newest is None or start is None or s.this_attempt.running_at is None
        else max(newest - start, 0)
    )


def _lost(s: Situation, newest: int | None) -> int | None:
    """Steps that were done and are not in a checkpoint: the next attempt does them again."""
    report = s.seen.report.report if s.seen.report else None
    reached = report.step if report else None
    if reached is None and s.status.progress is not None and s.this_attempt.running_at is not None:
        told = s.status.progress.updated_at
        reached = s.status.progress.step if told is not None and told >= s.this_attempt.running_at else None
    return None if reached is None else max(reached - (newest or 0), 0)


def _counted(s: Situation, newest: int | None, charged_to: Charge) -> Restarts:
    """Application failures since the newest checkpoint, this one included: progress refills the budget."""
    before = s.status.attempts[-2].checkpoint_step or 0 if len(s.status.attempts) > 1 else 0
    old = s.status.restarts or Restarts()
    since = 0 if (newest or 0) > before else old.since_checkpoint
    return changed(old, since_checkpoint=since + (charged_to is Charge.APPLICATION))


def _newer(old: Checkpoint | None, step: int | None, now: datetime) -> Checkpoint | None:
    if step is None or (old is not None and old.step >= step):
        return old
    return Checkpoint(step=step, time=now)
