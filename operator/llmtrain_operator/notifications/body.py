"""What is posted: a function of the job and of its notification on record. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from llmtrain_api import Job, Notification, NotifyEvent, NotifyFormat, to_rfc3339
from llmtrain_api.names import API_VERSION, PLURAL

from ..plan.notices import notice_id

SPEC_VERSION = "1.0"
TYPE_PREFIX = "dev.llmtrain.job."
SIGNS = {
    NotifyEvent.SUCCEEDED: ":white_check_mark: ",
    NotifyEvent.FAILED: ":x: ",
    NotifyEvent.REFUSED: ":x: ",
}


class Body(NamedTuple):
    """The content of a POST and its media type."""

    content: bytes
    kind: str


def body_of(job: Job, one: Notification, form: NotifyFormat) -> Body:
    """The content for a receiver of that form."""
    if form is NotifyFormat.SLACK:
        return Body(orjson.dumps({"text": text_of(job, one)}), "application/json")
    return Body(orjson.dumps(cloud_event(job, one)), "application/cloudevents+json; charset=utf-8")


def cloud_event(job: Job, one: Notification) -> dict[str, Any]:
    """A CloudEvents 1.0 event in structured mode. All of it is on record: each try says the same."""
    meta = job.metadata
    data = {
        "name": meta.name,
        "namespace": meta.namespace,
        "uid": meta.uid,
        "event": one.event.value,
        "attempt": one.attempt,
        "message": one.message or "",
    }
    return {
        "specversion": SPEC_VERSION,
        "id": notice_id(meta.uid, one),
        "source": f"/apis/{API_VERSION}/namespaces/{meta.namespace}/{PLURAL}/{meta.name}",
        "type": TYPE_PREFIX + one.event.value.lower(),
        "subject": meta.name,
        "time": to_rfc3339(one.since),
        "datacontenttype": "application/json",
        "data": {name: value for name, value in data.items() if value is not None},
    }


def text_of(job: Job, one: Notification) -> str:
    """One line for people. What a job says of itself can neither mention anybody nor be taken for a link."""
    attempt = f" (attempt {one.attempt})" if one.attempt else ""
    said = f": {_escaped(one.message)}" if one.message else ""
    name = f"{job.metadata.namespace}/{job.metadata.name}"
    return f"{SIGNS.get(one.event, '')}*{name}* {one.event.value}{attempt}{said}"


def _escaped(text: str) -> str:
    """The three characters that Slack's markup begins with."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
