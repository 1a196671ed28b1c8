"""A gang that waits for room has no pods; the object says for what it waits, and for how long perhaps."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256

from llmtrain_api import EndReason, JobStatus, Phase, Waiting, changed

from ..types import Admission, Plan
from .clock import seconds_left
from .conditions import with_condition
from .situation import Situation
from .sizes import sized
from .status import derive
from .workers import selector, workers

ACCEPTED = "the job will be run"
GIVEN_BACK = (EndReason.NO_ROOM, EndReason.START_DEADLINE)
FIRST_ROOM_BACKOFF_SECONDS = 5.0
MAX_ROOM_BACKOFF_SECONDS = 300.0


def wait_for_room(s: Situation) -> Plan | None:
    """What is done until the queue lets the gang in; None when it has."""
    answer = s.seen.admission
    if answer is None:
        # what it asks room for follows from its runtime, too
        return Plan(_with_runtime(s), asks=True)
    if answer.admitted:
        return None
    if not answer.reason:
        # the cluster was not looked at yet: nothing is known that could be told
        return Plan(s.status, requeue_after=answer.retry_after)
    status = changed(
        _with_runtime(s),
        phase=Phase.QUEUED,
        waiting=told(s, answer),
        observed_generation=s.job.metadata.generation,
    )
    if s.attempt is None and s.spec is not None:
        status = changed(
            status, workers=workers(s, 0, nodes=s.spec.nodes), selector=selector(s), failure=None
        )
        status = with_condition(status, "Accepted", True, "Accepted", ACCEPTED, s.now)
    return Plan(status, requeue_after=answer.retry_after)


def stand_in_queue(s: Situation) -> Plan | None:
    """An attempt that gave its room back asks for it again; that it was let in goes on record before a pod
    is made."""
    if s.attempt is None or s.status.phase is not Phase.QUEUED or s.spec is None:
        return None
    later = not_before(s.status, s.job.metadata.uid, s.now)
    if later is not None:
        return Plan(derive(s), requeue_after=(later - s.now).total_seconds())
    waits = wait_for_room(s)
    if waits is not None:
        return waits
    placement = s.seen.admission.placement if s.seen.admission else None
    begun = changed(derive(s), phase=Phase.STARTING, waiting=None, placement=placement)
    return Plan(sized(s, begun, s.spec))


def _with_runtime(s: Situation) -> JobStatus:
    """The status with the runtime that the gang asks under: before the first attempt, as it is now."""
    return s.status if s.runtime == s.status.runtime else changed(s.status, runtime=s.runtime)


def told(s: Situation, answer: Admission) -> Waiting:
    """The queue's answer, as the object tells it."""
    old = s.status.waiting
    # the words of a provider, which may be longer than a status takes
    reason = answer.reason[:256]
    same = old is not None and old.reason == reason and old.since is not None
    return Waiting(
        reason=reason,
        message=answer.message[:4096],
        since=old.since if old is not None and same else s.now,
        position=answer.position,
        estimated_start=_steady(old.estimated_start if old else None, answer.estimated_start, s.now),
    )


def _steady(old: datetime | None, new: datetime | None, now: datetime) -> datetime | None:
    """The moment on record, unless the newer one differs by a minute and a tenth of the wait: not every
    report of a running job is worth a write of all that wait for it."""
    if old is None or new is None:
        return new
    least = max(60.0, abs((new - now).total_seconds()) / 10)
    return old if abs((new - old).total_seconds()) < least else new


def not_before(status: JobStatus, uid: str, now: datetime) -> datetime | None:
    """Until when a gang that has given its room back does not ask for it again: 5, 10, 20 ... 300 seconds.

    A quarter more or less, another for each job: two that took each other's room do not meet again.
    """
    if not status.attempts or status.phase is not Phase.QUEUED:
        return None
    given_back = 0
    for attempt in reversed(status.attempts[:-1]):
        if attempt.reason not in GIVEN_BACK:
            break
        given_back += 1
    if not given_back:
        return None
    latest = status.attempts[-1]
    share = sha256(f"{uid} {latest.number}".encode()).digest()[0] / 255.0
    seconds = min(FIRST_ROOM_BACKOFF_SECONDS * 2.0 ** min(given_back - 1, 10), MAX_ROOM_BACKOFF_SECONDS)
    left = seconds_left(latest.started_at, seconds * (0.75 + 0.5 * share), now)
    # what is less than a timer can tell is no wait
    return now + timedelta(seconds=left) if left > 0.01 else None
