"""What the engine asks of whoever decides when a gang may start. One provider a file."""

from __future__ import annotations

from typing import Protocol

from llmtrain_api import Job

from ..types import Admission


class GangScheduler(Protocol):
    """Lets gangs in: the operator's own queue, or one that asks another scheduler.

    A provider hears of every job as it is read and written, so what it knows follows from what the API says;
    its answer goes on record with the attempt before a pod is made.
    """

    def note(self, job: Job, /) -> None:
        """Take a job as it is now: it holds room, asks for it, or does neither."""
        ...

    def forget(self, key: tuple[str, str], /) -> None:
        """The job of that namespace and name is gone."""
        ...

    async def decide(self, job: Job, /) -> Admission:
        """Whether this job's gang may start now. A yes holds until it is on record, or for a minute.

        A job with ``minNodes`` that was let in asks too, before each gang and while it has fewer nodes than
        it wants: with how many its next gang may begin.

        Raises:
            ApiError: to be tried again.
        """
        ...

    def wants_back(self, job: Job, /) -> str:
        """Why a gang that was let in is to give its room back, after a checkpoint; empty = it may go on."""
        ...

    async def run(self) -> None:
        """What keeps its view true, until cancelled."""
        ...
