"""What the engine asks of whoever delivers notifications."""

from __future__ import annotations

from typing import Protocol

from llmtrain_api import Job

from ..types import Delivery


class Notices(Protocol):
    """Delivers notifications, and says what became of them."""

    def note(self, job: Job, /) -> None:
        """A job as it is on record: what is pending there is delivered, and nobody waits for it."""
        ...

    def of(self, uid: str, /) -> tuple[Delivery, ...]:
        """What became of that job's notifications that are on record as pending."""
        ...

    def forget(self, uid: str, /) -> None:
        """The job is gone, and with it what was still to be told of it."""
        ...


class NoNotices:
    """Where nobody is told anything."""

    def note(self, job: Job) -> None:
        """Nothing is delivered."""

    def of(self, _uid: str) -> tuple[Delivery, ...]:
        """None."""
        return ()

    def forget(self, uid: str) -> None:
        """Nothing was kept."""
