"""Kubernetes Events of a job: one for each change that a person wants to hear of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import structlog

from llmtrain_api import Job, JobStatus, Phase, to_rfc3339
from llmtrain_api.names import API_VERSION, KIND, MANAGER

from ..kube.api import ApiError, ClusterApi

log = structlog.get_logger()


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
    found.extend(_of_size(old, new))
    if old.phase is not None and old.phase.final and new.phase is not None and not new.phase.final:
        found.append(Event("Rerun", f"it is tried again, as {new.rerun!r} asks for"))
    if old.phase is Phase.SUSPENDED and new.phase is not Phase.SUSPENDED:
        found.append(Event("Resumed", "it is no longer suspended"))
    if new.phase is not old.phase:
        found.extend(_of_phase(new))
    return found


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
        return [Event("Succeeded", (new.results.work if new.results else "") or "done")]
    if new.phase is Phase.FAILED and new.failure is not None:
        hint = f" ({new.failure.hint})" if new.failure.hint else ""
        text = f"{new.failure.failure_class.value}: {new.failure.message}{hint}"
        return [Event("Failed", text, warning=True)]
    return []


async def post(api: ClusterApi, job: Job, attempt: int | None, event: Event, now: datetime) -> None:
    """Post one event. Its name follows from job, reason, attempt and text, so a repetition is a 409."""
    meta = job.metadata
    identity = f"{meta.uid} {event.reason} {attempt} {event.message}"
    moment = to_rfc3339(now)
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta.name}.{sha256(identity.encode()).hexdigest()[:16]}",
            "namespace": meta.namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
        },
        "reason": event.reason,
        "message": event.message[:1024],
        "type": "Warning" if event.warning else "Normal",
        "source": {"component": MANAGER},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
    try:
        await api.create("events", meta.namespace, body)
    except ApiError as error:
        # an event is for people: losing one must never hold up a job
        if error.status != 409:
            log.warning("event-lost", job=f"{meta.namespace}/{meta.name}", reason=error.message)
