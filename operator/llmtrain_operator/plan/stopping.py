"""An attempt in which nothing failed is ended: ranks save, pods go, then follows what it was for."""

from __future__ import annotations

from llmtrain_api import Charge, EndReason, JobStatus, Phase, Waiting, changed

from ..types import Plan
from .attempts import close_attempt, next_attempt, with_checkpoint
from .conditions import with_condition
from .evidence import Evidence
from .finish import fail
from .limits import exceeded, failure_of
from .removal import asked_to_go
from .restart import evidence
from .situation import Situation
from .status import derive
from .suspend import SAVING, suspended, told


def stop(s: Situation) -> Plan | None:
    """End the attempt of a job that is to be suspended, has reached a limit, or is to give its room back.

    That goes on record before any pod is asked to go, so that no end of a rank is taken for a failure. What
    has failed before is a failure all the same, and is charged as one first. A stop that has begun is carried
    to its end: ranks that were asked to save do not train on.
    """
    if s.attempt is None:
        return None
    if s.this_attempt.stopping_at is None:
        reason = EndReason.SUSPENDED if suspended(s) else exceeded(s)
        if reason is None and s.seen.reclaimed and s.status.phase is not Phase.QUEUED:
            # who queues has given its room back already
            reason = EndReason.PREEMPTED
        return None if reason is None or evidence(s) else Plan(_stopping(s, reason))
    found, left = evidence(s), (*s.current.values(), *s.stale)
    if left:
        return asked_to_go(s, with_checkpoint(s, derive(s), found), left)
    if s.this_attempt.reason in (EndReason.ACTIVE_DEADLINE, EndReason.GPU_HOURS):
        return fail(s, failure_of(s, s.this_attempt.reason), found)
    if s.this_attempt.reason is EndReason.PREEMPTED:
        # whose room goes to others has no pod left, not even one of which nobody has heard
        return Plan(_queues_again(s, found), doubts=True)
    if s.this_attempt.reason is EndReason.RESIZED and not suspended(s):
        return Plan(_resized(s, found))
    return Plan(_suspended(s, found))


def stopping(s: Situation, reason: EndReason, next_nodes: int | None = None) -> JobStatus:
    """The status with it on record that the operator ends the attempt, and why.

    Args:
        s: the situation.
        reason: why.
        next_nodes: pods of the gang that is to follow, where they are another number.
    """
    status = derive(s)
    record = changed(status.attempts[-1], stopping_at=s.now, reason=reason, next_nodes=next_nodes)
    return changed(status, attempts=[*status.attempts[:-1], record])


def _stopping(s: Situation, reason: EndReason) -> JobStatus:
    status = stopping(s, reason)
    if reason is EndReason.SUSPENDED:
        return told(s, status, Phase.SUSPENDING)
    why = s.seen.reclaimed if reason is EndReason.PREEMPTED else failure_of(s, reason).message
    text = f"{why[:4000]}: {SAVING}"
    return changed(status, waiting=Waiting(reason=reason.value, message=text, since=s.now))


def _queues_again(s: Situation, found: list[Evidence]) -> JobStatus:
    """The next attempt, at no cost, once there is room again."""
    known = s.status.waiting
    text = (
        known.message if known is not None and known.reason == EndReason.PREEMPTED else "gave its room back"
    )
    text = text.removesuffix(f": {SAVING}")
    closed = close_attempt(s, charged_to=Charge.NOBODY, message=text, reason=EndReason.PREEMPTED, found=found)
    status = next_attempt(s, closed, phase=Phase.QUEUED, reason=EndReason.PREEMPTED.value)
    waits = Waiting(reason=EndReason.PREEMPTED.value, message=text, since=s.now)
    return changed(status, failure=None, waiting=waits)


def _resized(s: Situation, found: list[Evidence]) -> JobStatus:
    """The attempt with the other number of nodes: it keeps the room that it has, and nobody pays for it."""
    text = f"ended to go on with {s.this_attempt.next_nodes} nodes"
    closed = close_attempt(s, charged_to=Charge.NOBODY, message=text, reason=EndReason.RESIZED, found=found)
    return next_attempt(s, closed, phase=Phase.RESTARTING, reason=EndReason.RESIZED.value)


def _suspended(s: Situation, found: list[Evidence]) -> JobStatus:
    closed = close_attempt(
        s, charged_to=Charge.NOBODY, message="suspended on request", reason=EndReason.SUSPENDED, found=found
    )
    closed = with_condition(closed, "Running", False, "Suspended", "", s.now)
    return told(s, changed(closed, failure=None, placement=None), Phase.SUSPENDED)
