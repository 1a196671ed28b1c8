"""What happens to a job between two statuses, in the words of its Kubernetes Events."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrain_api import EndReason, JobStatus, Notification, NotificationState, Phase
from llmtrain_api.names import HELD


@dataclass(frozen=True, slots=True)
class Event:
    """What `kubectl describe` shows."""

    reason: str
    message: str
    warning: bool = False


def events_between(old: JobStatus, new: JobStatus) -> list[Event]:
    """The events of one step from a status to the next."""
    found: list[Event] = []
    accepted, was = new.condition("Accepted"), old.condition("Accepted")
    if accepted is not None and accepted.status == "False" and accepted != was:
        found.append(Event(accepted.reason, accepted.message, warning=True))
    if new.setup and old.setup and new.failure and new.setup.number != old.setup.number:
        text = f"{new.failure.failure_class.value}: {new.failure.message}; another pod follows"
        found.append(Event("SetupFailed", text, warning=True))
    if new.attempt is not None and new.attempt != old.attempt:
        if new.attempt == 0:
            found.append(Event("Accepted", "attempt 0 begins"))
        elif new.failure is not None and new.failure != old.failure:
            text = f"{new.failure.failure_class.value}: {new.failure.message}; attempt {new.attempt} begins"
            found.append(Event("Restarting", text, warning=True))
    found.extend(_of_hold(old, new))
    found.extend(_of_preemption(old, new))
    found.extend(_of_size(old, new))
    if old.phase is not None and old.phase.final and new.phase is not None and not new.phase.final:
        found.append(Event("Rerun", f"it is tried again, as {new.rerun!r} asks for"))
    if old.phase is Phase.SUSPENDED and new.phase is not Phase.SUSPENDED:
        found.append(Event("Resumed", "it is no longer suspended"))
    if new.phase is not old.phase:
        found.extend(_of_phase(new))
    found.extend(_given_up(old, new))
    return found


def _given_up(old: JobStatus, new: JobStatus) -> list[Event]:
    """Notifications that nobody will get any more: said once, as they stay on record as given up."""
    known = set() if old.notifications is None else {_which(n) for n in old.notifications if _is_given_up(n)}
    return [
        Event(
            "NotificationGivenUp",
            f"{one.event.value} was not told to spec.notify[{one.receiver}]: {one.reason}",
            warning=True,
        )
        for one in new.notifications or ()
        if _is_given_up(one) and _which(one) not in known
    ]


def _is_given_up(one: Notification) -> bool:
    return one.state is NotificationState.GIVEN_UP


def _which(one: Notification) -> tuple[int, str, int | None, int]:
    return one.receiver, one.event.value, one.attempt, one.times


def _of_hold(old: JobStatus, new: JobStatus) -> list[Event]:
    """A gang that has failed, and whose pods stay for a person to look around in."""
    if new.waiting is None or new.waiting.reason != HELD:
        return []
    known = old.waiting is not None and old.waiting.reason == HELD
    return [] if known else [Event("Held", new.waiting.message, warning=True)]


def _of_preemption(old: JobStatus, new: JobStatus) -> list[Event]:
    """A gang that begins to give its room to others: until it is gone it still runs."""
    if not _gives_way(new) or _gives_way(old) or new.waiting is None:
        return []
    return [Event("Preempted", new.waiting.message)]


def _gives_way(status: JobStatus) -> bool:
    newest = status.attempts[-1] if status.attempts else None
    return newest is not None and newest.ended_at is None and newest.reason is EndReason.PREEMPTED


def _of_size(old: JobStatus, new: JobStatus) -> list[Event]:
    """A gang of another size than the one before, or than its job wants, and why."""
    was, now = old.workers, new.workers
    if not new.attempts or new.attempts[-1].nodes is None or now is None:
        return []
    decided = not old.attempts or old.attempts[-1].nodes is None or old.attempt != new.attempt
    same = was is None or old.attempt is None or was.desired == now.desired
    if not decided or (now.wanted is None and same):
        return []
    of = f" of {now.wanted}" if now.wanted is not None else ""
    why = f": {now.message}" if now.message else ""
    return [Event("Resized", f"the gang of attempt {new.attempt} has {now.desired}{of} nodes{why}")]


def _published(new: JobStatus) -> list[Event]:
    found = new.results.published if new.results else None
    if found is None:
        return []
    if found.error is not None:
        return [Event("PublishFailed", f"not pushed to {found.target}: {found.error}", warning=True)]
    return [Event("Published", f"{found.target}, {found.version}: {found.url}")]


def _of_phase(new: JobStatus) -> list[Event]:
    if new.phase is Phase.INSPECTING:
        return [Event("Inspecting", "the model is looked at before the gang is created")]
    if new.phase is Phase.QUEUED and new.waiting is not None:
        return [Event("Queued", new.waiting.message)]
    if new.phase is Phase.PREPARING:
        return [Event("Preparing", "the data are prepared before the gang is created")]
    if new.phase in (Phase.SUSPENDING, Phase.SUSPENDED) and new.waiting is not None:
        return [Event(new.phase.value, new.waiting.message)]
    if new.phase is Phase.RUNNING:
        return [Event("Running", f"all pods of attempt {new.attempt} run")]
    if new.phase is Phase.SUCCEEDED:
        return [Event("Succeeded", (new.results.work if new.results else "") or "done"), *_published(new)]
    if new.phase is Phase.FAILED and new.failure is not None:
        hint = f" ({new.failure.hint})" if new.failure.hint else ""
        text = f"{new.failure.failure_class.value}: {new.failure.message}{hint}"
        return [Event("Failed", text, warning=True)]
    return []
