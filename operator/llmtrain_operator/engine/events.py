"""Kubernetes Events of a job: one for each change that a person wants to hear of."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

import structlog

from llmtrain_api import Job, to_rfc3339
from llmtrain_api.names import API_VERSION, KIND, MANAGER

from ..kube.api import ApiError, ClusterApi
from ..plan.events import Event

log = structlog.get_logger()


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
