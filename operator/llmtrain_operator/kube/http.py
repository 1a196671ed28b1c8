"""`ClusterApi` over HTTPS: retries and limits. The only file that speaks HTTP to the API server."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
import msgspec
import orjson

from .address import ClusterAddress, Credentials
from .answers import RawItems, as_error, as_event, no_answer, retry_seconds
from .api import RESOURCES, ApiError, Listing, NotLeader, Object, WatchEvent
from .window import Share, Window

REQUEST_SECONDS = 30.0
WATCH_SECONDS = 300
WATCH_TIMEOUT = aiohttp.ClientTimeout(total=WATCH_SECONDS + 30, connect=5, sock_read=90)
"""Bookmarks come about every minute: silence beyond 90 s is a dead connection."""
TOO_MANY = 429
RETRIED = frozenset({0, TOO_MANY, 500, 502, 503, 504})
ATTEMPTS = 5
MAX_IN_FLIGHT = 64
MAX_REVIEWS = 4
"""Of tokens, at once: strangers cause them, and reconciling must not wait behind strangers."""


class HttpApi:
    """The real API server."""

    def __init__(self, address: ClusterAddress) -> None:
        self._address = address
        self._credentials = Credentials(address)
        self._session: aiohttp.ClientSession | None = None
        self._slots = Window(MAX_IN_FLIGHT)
        self._review_slots = Window(MAX_REVIEWS)
        self._shares: WeakValueDictionary[str, Share] = WeakValueDictionary()
        self._seconds_left: Callable[[], float] = lambda: REQUEST_SECONDS

    def guarded(self, seconds_left: Callable[[], float]) -> HttpApi:
        """The same, with the same connections and slots, for who may write only for so many seconds more.

        That is asked before each try of a write is sent, and what is not through by then is broken off.
        """
        twin = copy.copy(self)
        twin._seconds_left = seconds_left
        return twin

    async def __aenter__(self) -> HttpApi:
        self._session = self.new_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def server(self) -> str:
        """Base address."""
        return self._address.server

    def new_session(self) -> aiohttp.ClientSession:
        """A session with our credentials on each request; the caller closes it."""
        credentials = self._credentials

        async def authorize(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            request.headers.update(credentials.headers())
            return await handler(request)

        connector = aiohttp.TCPConnector(ssl=self._address.tls or False, limit=MAX_IN_FLIGHT * 2)
        return aiohttp.ClientSession(
            connector=connector, middlewares=(authorize,), headers={"User-Agent": "llm-training-operator"}
        )

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Read one object."""
        return await self._json("GET", self._path(resource, namespace, name))

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        """Create one object. A retry after a lost answer ends as AlreadyExists, which the caller judges."""
        async with self._share(namespace):
            return await self._json("POST", self._path(resource, namespace), body=body)

    async def delete(self, resource: str, namespace: str, name: str, uid: str, grace_seconds: int) -> None:
        """Delete one object, and only the one with that UID."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": grace_seconds,
            "preconditions": {"uid": uid},
        }
        async with self._share(namespace):
            await self._request("DELETE", self._path(resource, namespace, name), body=options)

    async def replace(self, resource: str, namespace: str, name: str, body: Object) -> Object:
        """PUT: 409 if it has moved since the version in the body."""
        return await self._json("PUT", self._path(resource, namespace, name), body=body)

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        """JSON merge patch of ``/status``."""
        path = self._path(resource, namespace, name) + "/status"
        return await self._json("PATCH", path, body=patch, content_type="application/merge-patch+json")

    async def create_review(self, path: str, body: Object) -> Object:
        """POST of a virtual resource, such as a TokenReview. It has slots of its own."""
        return await self._json("POST", path, body=body, slots=self._review_slots)

    async def served(self, group_version: str, plural: str) -> bool:
        """Whether discovery lists that resource."""
        try:
            found = await self._json("GET", f"/apis/{group_version}")
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return any(r.get("name") == plural for r in found.get("resources", []))

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        """All objects that match, page by page."""
        items: list[bytes] = []
        params = {"labelSelector": selector, "limit": "500"}
        while True:
            raw = await self._request("GET", self._path(resource, namespace), params=params)
            try:
                page = msgspec.json.decode(raw, type=RawItems)
            except ValueError as error:
                raise no_answer(raw) from error
            items.extend(bytes(item) for item in page.items)
            if not page.metadata.continue_:
                return Listing(items, page.metadata.resource_version)
            params["continue"] = page.metadata.continue_

    async def events_of(self, namespace: str, uid: str) -> Listing:
        """Events of the object with that UID: a hundred are more than anybody tells of a pod."""
        params = {"fieldSelector": f"involvedObject.uid={uid}", "limit": "100"}
        raw = await self._request("GET", self._path("events", namespace), params=params)
        try:
            page = msgspec.json.decode(raw, type=RawItems)
        except ValueError as error:
            raise no_answer(raw) from error
        return Listing([bytes(item) for item in page.items], page.metadata.resource_version)

    async def watch(
        self, resource: str, namespace: str, selector: str, resource_version: str
    ) -> AsyncGenerator[WatchEvent]:
        """Changes since a version."""
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "labelSelector": selector,
            "resourceVersion": resource_version,
            "timeoutSeconds": str(random.randint(WATCH_SECONDS // 2, WATCH_SECONDS)),
        }
        assert self._session is not None, "use HttpApi as a context manager"
        url = self._address.server + self._path(resource, namespace)
        try:
            async with self._session.get(url, params=params, timeout=WATCH_TIMEOUT) as response:
                if response.status >= 400:
                    raise as_error(response, await response.read())
                try:
                    buffer = b""
                    async for chunk in response.content.iter_any():
                        *lines, buffer = (buffer + chunk).split(b"\n")
                        for line in lines:
                            yield as_event(line)
                finally:
                    _hang_up(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(0, "ConnectionLost", str(error) or type(error).__name__) from error

    def _share(self, namespace: str) -> Share:
        """The slots that one namespace's creates and deletes may take: a gang of thousands is created while
        other tenants' jobs go on. It goes when nobody uses it."""
        found = self._shares.get(namespace)
        if found is None:
            found = self._shares[namespace] = Share(self._slots)
        return found

    @staticmethod
    def _path(resource: str, namespace: str, name: str = "") -> str:
        return RESOURCES[resource].path(namespace, name)

    async def _json(self, method: str, path: str, **options: Any) -> Object:
        raw = await self._request(method, path, **options)
        try:
            found = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise no_answer(raw) from error
        if not isinstance(found, dict):
            raise no_answer(raw)
        return found

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
        slots: Window | None = None,
    ) -> bytes:
        """One call, retried while the server is busy or away. Every call of ours may be repeated."""
        delay, window = 0.2, slots or self._slots
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with window as turn:
                    return await self._in_turn(
                        window, turn, self._once(method, path, body, params, content_type)
                    )
            except ApiError as error:
                if isinstance(error, NotLeader) or error.status not in RETRIED or attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(retry_seconds(error, delay))
                delay = min(delay * 2, 5.0)
        raise AssertionError("unreachable")

    @staticmethod
    async def _in_turn(window: Window, turn: int, call: Coroutine[object, object, bytes]) -> bytes:
        """The answer; how it came tells how many calls may be under way."""
        try:
            content = await call
        except ApiError as error:
            if error.status == TOO_MANY:
                window.busy(turn)
            elif error.status:
                window.answered()
            raise
        window.answered()
        return content

    async def _once(
        self, method: str, path: str, body: Object | None, params: dict[str, str] | None, content_type: str
    ) -> bytes:
        assert self._session is not None, "use HttpApi as a context manager"
        left = REQUEST_SECONDS if method == "GET" else min(self._seconds_left(), REQUEST_SECONDS)
        if left <= 0:
            raise NotLeader
        try:
            async with self._session.request(
                method,
                self._address.server + path,
                data=None if body is None else orjson.dumps(body),
                params=params,
                headers={"Content-Type": content_type} if body is not None else None,
                timeout=aiohttp.ClientTimeout(total=left, connect=5),
            ) as response:
                content = await response.read()
                if response.status >= 400:
                    raise as_error(response, content)
                return content
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(0, "ConnectionLost", str(error) or type(error).__name__) from error


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """End the connection of a watch that is left in its middle, without a farewell.

    A server in the middle of a stream answers none, and asyncio would keep the connection for half a minute.
    """
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
