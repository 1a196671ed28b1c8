"""Delivers what is on record as pending, beside all that decides: a receiver costs the engine nothing.

Each pending notification is a task of its own, which tries, waits and tries again until the record no longer
says pending. How many of them try at the same time is bounded, for each namespace and for all.
"""

from __future__ import annotations

import asyncio
import random
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from llmtrain_api import Job, Notification, NotifySpec, UrlSecret

from ..kube.api import ApiError, ClusterApi
from ..plan.notices import notice_id, pending, receivers_of
from ..types import Delivery, Outcome
from .body import body_of
from .post import Answer, Post

log = structlog.get_logger()
Key = tuple[str, str]
"""(namespace, name) of a job."""
FIRST_PAUSE_SECONDS = 5.0
MAX_PAUSE_SECONDS = 300.0
AT_ONCE = 32
AT_ONCE_A_NAMESPACE = 8
"""So a tenant whose receivers hang leaves room for the others."""
MAX_TASKS = 20_000
"""More than this wait on record alone until some are done."""
Count = Callable[[str], None]


@dataclass
class _Told:
    """One job that has something to tell.

    Attributes:
        receivers: of the newest spec: who puts an address right has it used by the next try.
        tasks: one a pending notification, by receiver and id.
        ends: what became of them.
    """

    job: Job
    receivers: list[NotifySpec]
    tasks: dict[tuple[int, str], asyncio.Task[None]] = field(default_factory=dict)
    ends: dict[tuple[int, str], Delivery] = field(default_factory=dict)


class Notifier:
    """Delivers notifications.

    Args:
        api: where Secrets are read.
        post: how receivers are called.
        wake: has a job looked at again.
        secrets: names of the Secrets that may be read.
        count: told the outcome of each try.
    """

    def __init__(
        self,
        api: ClusterApi,
        post: Post,
        wake: Callable[[Key], None],
        secrets: tuple[str, ...] = (),
        count: Count = lambda _: None,
    ) -> None:
        self._api, self._post, self._wake = api, post, wake
        self._secrets, self._count = secrets, count
        self._jobs: dict[str, _Told] = {}
        self._all = asyncio.Semaphore(AT_ONCE)
        self._rooms: dict[str, asyncio.Semaphore] = {}
        self._tasks = 0
        self._closed = False

    async def run(self) -> None:
        """Deliver until cancelled; then nothing more is posted."""
        try:
            await asyncio.Event().wait()
        finally:
            self._closed = True
            for uid in list(self._jobs):
                self.forget(uid)
            await self._post.close()

    def note(self, job: Job) -> None:
        """Take a job as it is on record."""
        uid, waiting = job.metadata.uid, [n for n in job.status.notifications or () if pending(n)]
        if not waiting or self._closed:
            self.forget(uid)
            return
        told = self._jobs.setdefault(uid, _Told(job, []))
        told.job, told.receivers = job, receivers_of(job)
        wanted = {(one.receiver, notice_id(uid, one)): one for one in waiting}
        for key in told.tasks.keys() - wanted.keys():
            self._end(told, key)
        for key, one in wanted.items():
            if key not in told.tasks and self._tasks < MAX_TASKS:
                self._tasks += 1
                told.tasks[key] = asyncio.create_task(self._deliver(told, key, one))
                told.tasks[key].add_done_callback(self._done)

    def of(self, uid: str) -> tuple[Delivery, ...]:
        """What became of a job's pending notifications."""
        told = self._jobs.get(uid)
        return tuple(told.ends.values()) if told is not None else ()

    def forget(self, uid: str) -> None:
        """Nothing more is told of that job."""
        told = self._jobs.pop(uid, None)
        for key in list(told.tasks) if told is not None else ():
            assert told is not None
            self._end(told, key)

    def _end(self, told: _Told, key: tuple[int, str]) -> None:
        told.tasks.pop(key).cancel()
        told.ends.pop(key, None)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            # the name of its kind alone: what it says might be a URL
            log.error("notification-fault", kind=type(error).__name__)

    async def _deliver(self, told: _Told, key: tuple[int, str], one: Notification) -> None:
        """Try until it has arrived or is refused for good; how long that may take is decided by the plan."""
        tries, pause = 0, FIRST_PAUSE_SECONDS
        while True:
            answer = await self._in_turn(told, one)
            tries += 1
            told.ends[key] = Delivery(*key, answer.outcome, tries, answer.reason)
            self._tell(told.job, key, told.ends[key])
            if answer.outcome is not Outcome.FAILED:
                return
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    def _tell(self, job: Job, key: tuple[int, str], end: Delivery) -> None:
        meta = job.metadata
        self._count(end.outcome.value)
        log.info(
            "notification",
            job=f"{meta.namespace}/{meta.name}",
            receiver=key[0],
            id=key[1],
            outcome=end.outcome.value,
            tries=end.tries,
            reason=end.reason,
        )
        self._wake((meta.namespace, meta.name))

    async def _in_turn(self, told: _Told, one: Notification) -> Answer:
        room = self._rooms.setdefault(told.job.metadata.namespace, asyncio.Semaphore(AT_ONCE_A_NAMESPACE))
        async with room, self._all:
            if one.receiver >= len(told.receivers):
                return Answer(Outcome.FAILED, "spec.notify has no such receiver any more")
            receiver = told.receivers[one.receiver]
            url: str | Answer | None = receiver.url
            if receiver.url_secret is not None:
                url = await self._url_in(told.job.metadata.namespace, receiver.url_secret)
            if isinstance(url, Answer):
                return url
            return await self._post.send(url or "", body_of(told.job, one, receiver.format))

    async def _url_in(self, namespace: str, where: UrlSecret) -> str | Answer:
        """The URL in a Secret, read anew for each try and kept nowhere."""
        if where.name not in self._secrets:
            return Answer(Outcome.REFUSED, "its Secret is not among notifications.secrets of the chart")
        try:
            found = await self._api.get("secrets", namespace, where.name)
        except ApiError as error:
            return Answer(Outcome.FAILED, f"its Secret {where.name} cannot be read ({error.reason})")
        with suppress(KeyError, TypeError, NotBase64, UnicodeDecodeError):
            return b64decode(found["data"][where.key]).decode("ascii").strip()
        return Answer(Outcome.FAILED, f"its Secret {where.name} has no text under the key {where.key}")
