"""``spec.notify``: who is told of what becomes of the job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import ApiModel, Rule, RuledModel
from .scheduling import ObjectName

MAX_RECEIVERS = 3
MAX_URL = 2048
HOST = r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?"
URL = rf"(https?)://({HOST})(:[0-9]{{1,5}})?([/?][!-~]*)?"
"""No credentials before the host, no fragment, nothing that two parsers could read in two ways."""
URL_FIX = (
    "use https://HOST/PATH, or http:// for a host inside, in printable ASCII without a name or a password "
    "before the host"
)
ONE_URL = "name either url or urlSecret"


class NotifyEvent(StrEnum):
    """What may be told, by the name of the job's Event or condition."""

    QUEUED = "Queued"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    HELD = "Held"
    RESIZED = "Resized"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    REFUSED = "Refused"
    REPORTING_LOST = "ReportingLost"
    STRAGGLER = "Straggler"


class NotifyFormat(StrEnum):
    """The form of the text that is posted."""

    CLOUDEVENTS = "cloudevents"
    SLACK = "slack"


class UrlSecret(ApiModel):
    """A key of a Secret that holds a URL."""

    name: ObjectName = Field(description="Secret in the job's namespace.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = Field(
        default="url", description="Key of it whose value is the URL."
    )


@dataclass(frozen=True, slots=True)
class Target:
    """What of a URL decides whether it may be called; the rest of it may be a secret."""

    scheme: str
    host: str
    port: int


def target_of(url: str) -> Target | None:
    """Where a URL leads; None where it is none that may be told."""
    found = re.fullmatch(URL, url)
    if found is None or len(url) > MAX_URL:
        return None
    scheme, port = found[1], found[4]
    number = int(port[1:]) if port else 443 if scheme == "https" else 80
    return Target(scheme, found[2].lower(), number) if 0 < number < 65536 else None


def _form(found: NotifySpec) -> str | None:
    # never with the URL itself: whoever has some of them may write where they lead
    return URL_FIX if found.url is not None and target_of(found.url) is None else None


def _one(found: NotifySpec) -> str | None:
    return None if (found.url is None) != (found.url_secret is None) else ONE_URL


class NotifySpec(RuledModel):
    """One receiver of notifications. What it does, and whether it can be reached, never stops the job."""

    # not "on": that is true in the YAML that kubectl and PyYAML read

    events: list[NotifyEvent] = Field(
        default_factory=lambda: [NotifyEvent.FAILED, NotifyEvent.REFUSED, NotifyEvent.SUCCEEDED],
        min_length=1,
        max_length=len(NotifyEvent),
        description="What it is told, by the names of the job's Events and conditions; Refused: its spec "
        "cannot be run (Accepted=False). Default: Failed, Refused and Succeeded.",
    )
    url: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_URL,
        description="Where it is told, by an HTTP POST. Whoever may read the job reads it: a URL that is a "
        "credential, as Slack's is, belongs into a Secret. Its host must be allowed by the chart's "
        "notifications.allow.",
    )
    url_secret: UrlSecret | None = Field(
        default=None,
        description="A Secret that holds the URL, in place of url. It must be among the chart's "
        "notifications.secrets.",
    )
    format: NotifyFormat = Field(
        default=NotifyFormat.CLOUDEVENTS,
        description="cloudevents: a CloudEvents 1.0 event as JSON, in structured mode; slack: one text, as "
        "incoming webhooks of Slack and of many others take it.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.url) != has(self.urlSecret)", "", ONE_URL, _one),
        Rule(f"!has(self.url) || self.url.matches(r'^({URL})$')", ".url", URL_FIX, _form),
    )
