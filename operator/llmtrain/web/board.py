"""All jobs as they are now, and who is told of changes: one watch feeds every open page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec
import structlog

from llmtrain_api import Job

from ..values import Object
from .curves import Watched
from .views import row_of

Key = tuple[str, str]
"""Namespace and name."""
MAX_PENDING = 4096
"""Changes that one page may be behind: one that reads slower is dropped, and comes again by itself."""
log = structlog.get_logger()


@dataclass(slots=True)
class Entry:
    """One job.

    Attributes:
        raw: the object as JSON: an object of Python's takes ten times as much.
        row: what the list shows of it, as JSON.
        sweep: that it is a trial of; empty where it is none's.
        seen: its curve, as far as it was watched.
    """

    uid: str
    raw: bytes
    row: bytes
    sweep: str = ""
    seen: Watched = field(default_factory=Watched)

    @property
    def job(self) -> Job:
        """The object, understood."""
        return Job.model_validate(msgspec.json.decode(self.raw))


class Subscription:
    """What one page has yet to be told: the newest state of each job that has changed, told once."""

    def __init__(self) -> None:
        self._keys: dict[Key, None] = {}
        self._news = asyncio.Event()
        self.dropped = False

    def add(self, key: Key) -> None:
        """That job has changed."""
        if len(self._keys) >= MAX_PENDING and key not in self._keys:
            self.dropped = True
            self._keys.clear()
        elif not self.dropped:
            self._keys[key] = None
        self._news.set()

    async def changed(self, seconds: float) -> list[Key]:
        """The jobs that have changed since the last call, after so many seconds at most none."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return []
        self._news.clear()
        keys = list(self._keys)
        self._keys.clear()
        return keys


class Board:
    """The cache. It is fed by one loop and read by all pages.

    Attributes:
        ready: set when all jobs are known for the first time.
    """

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._subscriptions: set[Subscription] = set()
        self.ready = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[Key, Entry]]:
        return iter(tuple(self._entries.items()))

    def get(self, key: Key) -> Entry | None:
        """One job."""
        return self._entries.get(key)

    @property
    def namespaces(self) -> set[str]:
        """Those that have jobs."""
        return {namespace for namespace, _ in self._entries}

    def put(self, raw: Object | bytes) -> None:
        """Take a job as it is now. One that cannot be read is left out, and told in the log."""
        body = raw if isinstance(raw, bytes) else msgspec.json.encode(raw)
        try:
            job = Job.model_validate(msgspec.json.decode(body))
            told = row_of(job)
            row = msgspec.json.encode(told)
        except (ValueError, TypeError, AttributeError) as error:
            log.warning("job-not-readable", reason=str(error)[:500])
            return
        key = (job.metadata.namespace, job.metadata.name)
        known = self._entries.get(key)
        if known is not None and known.raw == body:
            return
        same = known is not None and known.uid == job.metadata.uid
        seen = known.seen if known is not None and same else Watched()
        entry = Entry(job.metadata.uid, body, row, told["sweep"], seen)
        entry.seen.take(job)
        self._entries[key] = entry
        self.touch(key)

    def remove(self, key: Key) -> None:
        """That job is gone."""
        if self._entries.pop(key, None) is not None:
            self.touch(key)

    def replace(self, found: Iterable[Object | bytes], keys: set[Key]) -> None:
        """Take a full list.

        Args:
            found: the objects.
            keys: of all of them.
        """
        for raw in found:
            self.put(raw)
        for key in set(self._entries) - keys:
            self.remove(key)
        self.ready.set()

    def touch(self, key: Key) -> None:
        """Something about that job has changed that its pages show."""
        for subscription in self._subscriptions:
            subscription.add(key)

    def subscribe(self) -> Subscription:
        """Be told of changes from now on."""
        found = Subscription()
        self._subscriptions.add(found)
        return found

    def unsubscribe(self, subscription: Subscription) -> None:
        """Be told no more."""
        self._subscriptions.discard(subscription)
