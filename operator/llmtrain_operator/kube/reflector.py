"""Keeps a cache of objects true: list, then watch, for ever.

A gap, an expired version or a server error ends in a new list, whose difference to the cache is what was
missed, deletions too. So does time: an event that was lost without a trace costs minutes, not a job.

A selector hides what still exists: an object that loses its label looks deleted, in a watch and in a list. So
a deletion that nobody asked for is believed only when the object itself cannot be read any more.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

import msgspec
import orjson
import structlog

from llmtrain_api.names import LABEL_MANAGED_BY, MANAGER, PLURAL

from ..types import Pod
from .api import ApiError, ListWatch, WatchEvent
from .decoding import decoded
from .jobs import JobStore, SeenJob, decode_job
from .pods import decode_rank
from .store import PodStore

SELECTOR = f"{LABEL_MANAGED_BY}={MANAGER}"
FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0
RELIST_SECONDS = 600.0
HIDDEN_POLL_SECONDS = 5.0
log = structlog.get_logger()


class Cached(Protocol):
    """What a reflector needs to know of an object."""

    @property
    def namespace(self) -> str:
        """The object's namespace, from its metadata."""
        ...

    @property
    def name(self) -> str:
        """The object's name, from its metadata."""
        ...

    @property
    def uid(self) -> str:
        """The object's UID, from its metadata."""
        ...

    @property
    def deletion_deadline(self) -> object:
        """``deletionTimestamp``, or None."""
        ...


T = TypeVar("T", bound=Cached)


class Cache(Protocol[T]):
    """Where a reflector files what it learns. `store.PodStore` is the one of pods."""

    def get(self, uid: str) -> T | None:
        """The object with that UID."""
        ...

    def upsert(self, item: T, /) -> bool:
        """Take one version. Returns whether it was news."""
        ...

    def remove(self, uid: str, last: T | None = None) -> T | None:
        """Take a deletion. Returns what was known."""
        ...

    def absent(self, listed: Iterable[T], version: int) -> list[T]:
        """Known objects that a full list should have had and has not."""
        ...

    def replace(self, items: Iterable[T], version: int, /) -> list[T]:
        """Take a full list. Returns what changed or went."""
        ...


class _Version(msgspec.Struct, rename="camel"):
    class Meta(msgspec.Struct, rename="camel"):
        resource_version: str = ""
        uid: str = ""
        deletion_timestamp: str | None = None

    metadata: Meta


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class Reflector(Generic[T]):
    """One list and watch over the objects of one resource.

    Args:
        resource: a key of `api.RESOURCES`.
        decode: from JSON to what is filed; None for an object that is not to be filed.
        changed: called with each object that changed or went.

    Attributes:
        synced: set once the first full list is in; nothing may be planned before.
        last_heard: the event loop's time of the last answer or event.
        denied: whether the last list was refused: the operator has not the right to it.
        missing: whether the API server does not serve that kind.
    """

    def __init__(
        self,
        api: ListWatch,
        resource: str,
        selector: str,
        decode: Callable[[bytes], T | None],
        cache: Cache[T],
        changed: Callable[[T], None],
        namespace: str = "",
    ) -> None:
        self._api = api
        self._resource, self._selector, self._namespace = resource, selector, namespace
        self._decode = decode
        self._store = cache
        self._changed = changed
        self._hidden: dict[str, T] = {}
        self._any_hidden = asyncio.Event()
        self._delay = FIRST_BACKOFF_SECONDS
        self.synced = asyncio.Event()
        self.denied = self.missing = False
        # the loop's clock is this one, and there may be no loop yet
        self.last_heard = time.monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._poll_hidden())

    async def list_again(self) -> None:
        """Know all that was there when this is called, beside what the watch tells.

        Raises:
            ApiError: it could not be listed.
            ValueError: the answer was none of an API server.
        """
        await self._list()

    async def _follow(self) -> None:
        while True:
            try:
                version = await self._list()
                listed = _now()
                while _now() - listed < RELIST_SECONDS:
                    version = await self._watch(version)
            except (ApiError, ValueError) as error:
                # a ValueError: the answer was none of an API server
                self.denied = isinstance(error, ApiError) and error.status in (401, 403)
                self.missing = isinstance(error, ApiError) and error.status == 404
                log.warning("watch-interrupted", resource=self._resource, reason=str(error))
                await asyncio.sleep(self._delay * random.uniform(0.5, 1.0))
                self._delay = min(self._delay * 2, MAX_BACKOFF_SECONDS)

    async def _list(self) -> str:
        listing = await self._api.list(self._resource, self._namespace, self._selector)
        items = await decoded(self._decode, listing.items)
        version = int(listing.resource_version or 0)
        absent = await asyncio.gather(*(self._still_there(i) for i in self._store.absent(items, version)))
        alive = [item for item in absent if item is not None]
        self._hidden = {item.uid: item for item in alive}
        if self._hidden:
            self._any_hidden.set()
        for item in self._store.replace([*items, *alive], version):
            self._changed(item)
        self.last_heard = _now()
        self.denied = self.missing = False
        self.synced.set()
        return listing.resource_version

    async def _watch(self, version: str) -> str:
        """Follow one stream to its end. Returns the version to go on from."""
        started, first = _now(), version
        watch = self._api.watch(self._resource, self._namespace, self._selector, version)
        async with aclosing(watch) as events:
            async for event in events:
                self.last_heard = _now()
                if event.kind == "ERROR":
                    status = msgspec.json.decode(event.object, type=_Status)
                    raise ApiError(status.code, "WatchError", status.message)
                version = await self._take(event)
        if version == first and _now() - started < 1.0:
            # a server that ends each watch at once must not be asked in a tight loop
            await asyncio.sleep(0.5)
        else:
            # a list alone proves nothing: where watches are refused it is all that works
            self._delay = FIRST_BACKOFF_SECONDS
        return version

    async def _take(self, event: WatchEvent) -> str:
        meta = msgspec.json.decode(event.object, type=_Version).metadata
        if event.kind == "DELETED":
            last = self._decode(event.object)
            known = self._store.get(meta.uid) or last
            if known is None:
                self._store.remove(meta.uid)
            elif meta.deletion_timestamp or not self._selector:
                self._settle(known, None)
            else:
                self._settle(known, await self._read(known))
        elif event.kind in ("ADDED", "MODIFIED"):
            item = self._decode(event.object)
            if item is not None:
                self._hidden.pop(item.uid, None)
                if self._store.upsert(item):
                    self._changed(item)
        return meta.resource_version

    async def _still_there(self, item: T) -> T | None:
        """The object as it is now; None if it is gone. What was on its way out needs no question."""
        if not self._selector or (item.deletion_deadline is not None and item.uid not in self._hidden):
            return None
        return await self._read(item)

    def _settle(self, known: T, alive: T | None) -> None:
        """An object that the selector shows no more: gone, or only hidden."""
        if alive is None:
            self._hidden.pop(known.uid, None)
            gone = self._store.remove(known.uid, known)
            if gone is not None:
                self._changed(gone)
            return
        if known.uid not in self._hidden:
            log.warning("label-removed", resource=self._resource, name=f"{known.namespace}/{known.name}")
        self._hidden[known.uid] = alive
        self._any_hidden.set()
        if self._store.upsert(alive):
            self._changed(alive)

    async def _poll_hidden(self) -> None:
        """No event tells of an object that lost its label: it is asked for until it is gone."""
        while True:
            await self._any_hidden.wait()
            await asyncio.sleep(HIDDEN_POLL_SECONDS)
            if not self._hidden:
                self._any_hidden.clear()
            for item in list(self._hidden.values()):
                try:
                    alive = await self._read(item)
                except ApiError as error:
                    log.warning("hidden-not-read", name=f"{item.namespace}/{item.name}", reason=str(error))
                    continue
                if item.uid in self._hidden:
                    self._settle(item, alive)

    async def _read(self, item: T) -> T | None:
        """As it is now, or as it was last if it cannot be filed any more."""
        try:
            found = await self._api.get(self._resource, item.namespace, item.name)
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        if found["metadata"]["uid"] != item.uid:
            return None
        return self._decode(orjson.dumps(found)) or item


class PodReflector(Reflector[Pod]):
    """One list and watch over all worker pods."""

    def __init__(
        self, api: ListWatch, store: PodStore, changed: Callable[[Pod], None], namespace: str = ""
    ) -> None:
        super().__init__(api, "pods", SELECTOR, decode_rank, store, changed, namespace)


class JobReflector(Reflector[SeenJob]):
    """One list and watch over all jobs."""

    def __init__(
        self, api: ListWatch, store: JobStore, changed: Callable[[SeenJob], None], namespace: str = ""
    ) -> None:
        super().__init__(api, PLURAL, "", decode_job, store, changed, namespace)


def _now() -> float:
    return asyncio.get_running_loop().time()
