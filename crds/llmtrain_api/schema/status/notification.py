"""``status.notifications``: what was told, what is still to be told, and what was given up."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from ..base import ApiModel, Time
from ..notify import MAX_RECEIVERS, NotifyEvent
from .values import Count, Text

MAX_TOLD = 512
MAX_NOTIFICATIONS = MAX_RECEIVERS * len(NotifyEvent) + 10
"""All of one attempt have room, and some of earlier ones."""


class NotificationState(StrEnum):
    """What became of a notification."""

    PENDING = "Pending"
    DELIVERED = "Delivered"
    GIVEN_UP = "GivenUp"


class Notification(ApiModel):
    """One event of the job for one receiver.

    It is put on record by the same write that makes the event true, and counts as pending until the record
    says otherwise: an operator that dies forgets none, and tells the same one again under the same id.
    """

    receiver: Count = Field(description="Place of the receiver in spec.notify, from 0.")
    event: NotifyEvent = Field(description="What happened.")
    attempt: Count | None = Field(default=None, description="In which attempt; empty before the first.")
    times: Count = Field(default=1, description="How often it has happened in that attempt.")
    since: Time = Field(description="When it happened.")
    state: NotificationState = Field(description="Pending, Delivered, or GivenUp.")
    tries: Count | None = Field(default=None, description="How often it was posted until then.")
    message: Annotated[str, Field(max_length=MAX_TOLD)] | None = Field(
        default=None, description="What is told; empty once it is delivered or given up."
    )
    reason: Text | None = Field(default=None, description="Why it was given up.")
