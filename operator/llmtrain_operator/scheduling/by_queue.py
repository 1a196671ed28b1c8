"""Which provider a gang asks for its room: the one that its job's queue is of."""

from __future__ import annotations

import asyncio

from llmtrain_api import Job

from ..types import Admission
from .provider import GangScheduler


def names_queue(job: Job) -> bool:
    """Whether a job wants to wait in a queue of another scheduler."""
    return bool(job.spec.get("queueName"))


class ByQueue:
    """Gangs with a queue ask one provider, all others the operator's own queue.

    Both hear of gangs that have room, as all of them use the same nodes.
    """

    def __init__(self, own: GangScheduler, other: GangScheduler) -> None:
        self._own, self._other = own, other

    def _of(self, job: Job) -> GangScheduler:
        return self._other if names_queue(job) else self._own

    def note(self, job: Job) -> None:
        """Take a job as it is now."""
        self._own.note(job)
        self._other.note(job)

    def forget(self, key: tuple[str, str]) -> None:
        """The job of that namespace and name is gone."""
        self._own.forget(key)
        self._other.forget(key)

    async def decide(self, job: Job) -> Admission:
        """Whether this job's gang may start now."""
        return await self._of(job).decide(job)

    def wants_back(self, job: Job) -> str:
        """Why a gang is to give its room back."""
        return self._of(job).wants_back(job)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._own.run())
            group.create_task(self._other.run())
