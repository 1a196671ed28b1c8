"""What a job may take: running time, GPU-hours, time to start. Its end is a failure that says which field."""

from __future__ import annotations

from dataclasses import replace

from llmtrain_api import EndReason, Failure, FailureClass

from ..types import Plan
from .finish import fail
from .progress import duration_text
from .situation import Situation
from .usage import gpus, used

RERUN = "raise it, then annotate the job with llmtrain.dev/rerun=TEXT to go on from the newest checkpoint"


def exceeded(s: Situation) -> EndReason | None:
    """Which limit the running gangs of all attempts have reached."""
    left = _seconds_left(s)
    over = [reason for reason, seconds in left.items() if seconds <= 0]
    return over[0] if over else None


def failure_of(s: Situation, reason: EndReason) -> Failure:
    """What a reached limit ends the job with."""
    usage = used(s)
    if reason is EndReason.GPU_HOURS:
        hours = usage.gpu_seconds / 3600
        return Failure(
            failure_class=FailureClass.BUDGET_EXCEEDED,
            message=f"the job has used {hours:.2f} GPU-hours, all that limits.gpuHours allows",
            hint=f"spec.limits.gpuHours: {RERUN}",
        )
    ran = duration_text(usage.running_seconds)
    return Failure(
        failure_class=FailureClass.DEADLINE_EXCEEDED,
        message=f"the job has run for {ran}, as long as activeDeadlineSeconds allows",
        hint=f"spec.activeDeadlineSeconds: {RERUN}",
    )


def start_in_time(s: Situation) -> Plan | None:
    """A gang that is not up in time holds part of its nodes for nothing: the job fails with what it waits
    for."""
    left = _seconds_to_start(s)
    if left is None or left > 0 or s.spec is None:
        return None
    waits = s.status.waiting
    why = f": {waits.reason}: {waits.message}" if waits is not None else ""
    seconds = s.spec.start_timeout_seconds
    failure = Failure(
        failure_class=FailureClass.DEADLINE_EXCEEDED,
        message=f"not all {s.nodes} pods of attempt {s.attempt} ran within {seconds}s{why}"[:4096],
        hint="free nodes or quota for it, or raise or remove spec.startTimeoutSeconds",
    )
    return fail(s, failure)


def in_time(s: Situation, decision: Plan) -> Plan:
    """The decision, and a look at the job when its next limit is due."""
    if s.attempt is None or (s.status.phase is not None and s.status.phase.final):
        return decision
    dues = [left for left in (*_seconds_left(s).values(), _seconds_to_start(s)) if left is not None]
    timers = [max(left, 0.0) + 1.0 for left in dues]
    if s.this_attempt.stopping_at is not None or s.this_attempt.ended_at is not None or not timers:
        return decision
    known = [decision.requeue_after] if decision.requeue_after is not None else []
    return replace(decision, requeue_after=min(*known, *timers) if known else min(timers))


def _seconds_left(s: Situation) -> dict[EndReason, float]:
    """Until each limit is reached, if the gang runs on as it does."""
    if s.spec is None or s.attempt is None:
        return {}
    usage, left = used(s), dict[EndReason, float]()
    if s.spec.active_deadline_seconds is not None:
        left[EndReason.ACTIVE_DEADLINE] = s.spec.active_deadline_seconds - usage.running_seconds
    if s.spec.limits.gpu_hours is not None and gpus(s):
        left[EndReason.GPU_HOURS] = (s.spec.limits.gpu_hours * 3600 - usage.gpu_seconds) / gpus(s)
    running = s.this_attempt.running_at is not None
    return {reason: seconds for reason, seconds in left.items() if running or seconds <= 0}


def _seconds_to_start(s: Situation) -> float | None:
    """Until all pods of the gang, which exist, must run; None where nothing is due."""
    if s.spec is None or s.spec.start_timeout_seconds is None or s.attempt is None:
        return None
    created = s.this_attempt.created_at
    if created is None or s.this_attempt.running_at is not None:
        return None
    # a clock that was set back makes it wait longer, and ends no gang
    return s.spec.start_timeout_seconds - max((s.now - created).total_seconds(), 0.0)
