"""Which notifications are due, and what became of those that were. What is due goes on record together with
what makes it true, so no death of the operator loses it; who posts them is `notifications`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from llmtrain_api import Job, JobStatus, Notification, NotificationState, NotifyEvent, NotifySpec, changed
from llmtrain_api.schema.notify import MAX_RECEIVERS
from llmtrain_api.schema.status import MAX_NOTIFICATIONS, MAX_TOLD

from ..types import Delivery, Outcome, Plan
from .allowed import may_not_be_told
from .events import events_between
from .situation import Situation

PATIENCE = timedelta(hours=1)
"""How long a receiver that does not answer, or says that it cannot now, is tried."""
LATEST = timedelta(hours=2)
"""After so long in one process a notification is given up even if its turn has not come."""
MAX_TIMES = 5
"""What happens again and again within an attempt is told so often at most."""
LOOK_SECONDS = 600.0
RECEIVERS = TypeAdapter(Annotated[list[NotifySpec], Field(max_length=MAX_RECEIVERS)])
CONDITIONS = (NotifyEvent.REPORTING_LOST, NotifyEvent.STRAGGLER)


def with_notices(s: Situation, decision: Plan) -> Plan:
    """The plan with all that is to be told of it on record, and with what became of earlier notifications."""
    receivers = s.spec.notify if s.spec is not None else receivers_of(s.job)
    on_record = s.status.notifications or []
    begun_by_a_newer_operator = s.spec is None and s.attempt is not None
    if begun_by_a_newer_operator or not (receivers or on_record):
        return decision
    known = [_settled(s, one, len(receivers)) for one in on_record]
    attempt = decision.status.attempt
    for event, message in happened(s.status, decision.status):
        for number, receiver in enumerate(receivers):
            if event in receiver.events and _may_hear(s, event, receiver):
                known = _with_due(known, _due(number, event, attempt, message, s.now))
    status = changed(decision.status, notifications=_bounded(known, attempt) or None)
    if any(map(pending, known)):
        rest = decision.requeue_after
        return replace(
            decision,
            status=status,
            requeue_after=LOOK_SECONDS if rest is None else min(rest, LOOK_SECONDS),
        )
    return replace(decision, status=status)


def receivers_of(job: Job) -> list[NotifySpec]:
    """The receivers of a job, read by themselves: whatever else is wrong with its spec, these may be right.

    None where something is wrong with one of them.
    """
    try:
        return RECEIVERS.validate_python(job.spec.get("notify") or [])
    except ValidationError:
        return []


def _may_hear(s: Situation, event: NotifyEvent, receiver: NotifySpec) -> bool:
    """Whether there is a point in telling it: who may not be told may be why the job is refused."""
    return event is not NotifyEvent.REFUSED or may_not_be_told(receiver, s.seen.settings.egress) is None


def happened(old: JobStatus, new: JobStatus) -> list[tuple[NotifyEvent, str]]:
    """What of a step from a status to the next may be told, each with what is told."""
    named = {event.value: event for event in NotifyEvent}
    found = [(named[e.reason], e.message) for e in events_between(old, new) if e.reason in named]
    refused = _refusal(new)
    if refused is not None and refused != _refusal(old):
        found.append((NotifyEvent.REFUSED, refused))
    for kind in CONDITIONS:
        now, before = new.condition(kind.value), old.condition(kind.value)
        held = before is not None and before.status == "True"
        if now is not None and now.status == "True" and not held:
            found.append((kind, now.message))
    return found


def _refusal(status: JobStatus) -> str | None:
    """Why its spec cannot be run, if it cannot."""
    accepted = status.condition("Accepted")
    return accepted.message if accepted is not None and accepted.status == "False" else None


def notice_id(uid: str, one: Notification) -> str:
    """The same for each try and each receiver, and for no other event of any job.

    Args:
        uid: of the job.
        one: the notification.
    """
    attempt = "" if one.attempt is None else str(one.attempt)
    again = f"/{one.times}" if one.times > 1 else ""
    return f"{uid}/{one.event.value}/{attempt}{again}"


def pending(one: Notification) -> bool:
    """Whether it is still to be delivered."""
    return one.state is NotificationState.PENDING


def _due(receiver: int, event: NotifyEvent, attempt: int | None, message: str, now: datetime) -> Notification:
    return Notification(
        receiver=receiver,
        event=event,
        attempt=attempt,
        since=now,
        state=NotificationState.PENDING,
        message=message[:MAX_TOLD],
    )


def _with_due(known: list[Notification], new: Notification) -> list[Notification]:
    """With one more, or with the one of the same attempt told once more."""
    same = [n for n in known if (n.receiver, n.event, n.attempt) == (new.receiver, new.event, new.attempt)]
    if not same:
        return [*known, new]
    [old] = same
    if pending(old) or old.times >= MAX_TIMES:
        return known
    return [*(n for n in known if n is not old), changed(new, times=old.times + 1)]


def _settled(s: Situation, one: Notification, receivers: int) -> Notification:
    """The record of a notification with what is known of it by now."""
    if not pending(one):
        return one
    if one.receiver >= receivers:
        return _ended(one, None, "spec.notify has no such receiver any more")
    found = _delivery(s, one)
    if found is not None and found.outcome is Outcome.DELIVERED:
        return changed(one, state=NotificationState.DELIVERED, tries=found.tries, message=None)
    if found is not None and (found.outcome is Outcome.REFUSED or s.now - one.since >= PATIENCE):
        return _ended(one, found.tries, found.reason)
    if s.now - max(one.since, s.seen.watched_since or one.since) >= LATEST:
        return _ended(one, None, "its turn did not come in time")
    return one


def _ended(one: Notification, tries: int | None, reason: str) -> Notification:
    return changed(one, state=NotificationState.GIVEN_UP, tries=tries, message=None, reason=reason[:256])


def _delivery(s: Situation, one: Notification) -> Delivery | None:
    key = (one.receiver, notice_id(s.job.metadata.uid, one))
    return next((d for d in s.seen.deliveries if (d.receiver, d.id) == key), None)


def _bounded(known: list[Notification], attempt: int | None) -> list[Notification]:
    """The newest, and all of this attempt; what is over goes before what is pending."""
    spare = len(known) - MAX_NOTIFICATIONS
    if spare <= 0:
        return known
    earlier = [n for n in known if n.attempt != attempt]
    going = sorted(earlier, key=pending)[:spare]
    return [n for n in known if not any(n is one for one in going)]
