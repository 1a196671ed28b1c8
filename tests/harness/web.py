"""The page's server on a real socket, beside an API in memory, and users with rights."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from harness.jobs import T0, UID, manifest, running
from llmtrain.backend import Backend
from llmtrain.errors import Forbidden, NotFound
from llmtrain.local_backend import LocalBackend
from llmtrain.values import Event, LogLine, LogRequest
from llmtrain.web.access import User
from llmtrain.web.board import Board
from llmtrain.web.serve import LIMITS
from llmtrain.web.server import Page
from llmtrain.web.sources import ClusterSource
from llmtrain_api import Job
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.serve import Servers

USERS = {
    "admin-token": ("admin", {("*", "")}),
    "anna-token": ("anna", {("list", "team-a"), ("get", "team-a"), ("patch", "team-a")}),
    "stranger-token": ("stranger", set[tuple[str, str]]()),
}


class Reviews:
    """What an API server says of the users of this file."""

    async def create_review(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        spec = body["spec"]
        if path.endswith("tokenreviews"):
            name = USERS.get(spec["token"], (None,))[0]
            return {"status": {"authenticated": name is not None, "user": {"username": name}}}
        rights = next(rights for name, rights in USERS.values() if name == spec["user"])
        wants = spec["resourceAttributes"]
        allowed = ("*", "") in rights or (wants["verb"], wants["namespace"]) in rights
        return {"status": {"allowed": allowed}}


class Holder(LocalBackend):
    """A cluster as one user has it; it notes what they did."""

    def __init__(self, user: User, done: list[tuple[str, ...]]) -> None:
        super().__init__(Path("/nonexistent"))
        self._user, self._done = user, done

    def patch(self, namespace: str, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        self._done.append((self._user.token, "patch", namespace, name, json.dumps(patch)))
        return manifest(name, namespace) | {"metadata": {"name": name, "namespace": namespace, "uid": UID}}

    def delete(self, namespace: str, name: str) -> None:
        self._done.append((self._user.token, "delete", namespace, name))

    def events(self, job: Job) -> list[Event]:
        if self._user.name == "anna":
            raise Forbidden("the cluster does not allow it: events")
        return [Event(T0, "Normal", "Started", f"of {job.metadata.name}")]

    def logs(self, job: Job, request: LogRequest) -> Iterator[LogLine]:  # noqa: ARG002
        if request.attempt == 9:
            raise NotFound("there was no attempt 9")
        yield from (LogLine("pod", f"rank {request.rank} line {k}") for k in range(request.tail or 0))


class Cluster(ClusterSource):
    """The cluster's source, with the API in memory."""

    def __init__(self, api: MemoryApi) -> None:
        super().__init__(api, None, "")  # type: ignore[arg-type]
        self.done: list[tuple[str, ...]] = []

    def backend(self, user: User) -> Backend:
        return Holder(user, self.done)


class Site:
    """A page that is served, and a browser."""

    def __init__(
        self, address: str, session: aiohttp.ClientSession, source: Any, board: Board, page: Page
    ) -> None:
        self.address, self.session, self.source, self.board, self.page = address, session, source, board, page

    async def get(self, path: str, token: str = "", **headers: str) -> tuple[int, Any]:
        return await self._ask("GET", path, token, headers)

    async def post(self, path: str, token: str = "", **headers: str) -> tuple[int, Any]:
        return await self._ask("POST", path, token, headers)

    async def _ask(self, method: str, path: str, token: str, headers: dict[str, str]) -> tuple[int, Any]:
        sent = headers | ({"Authorization": f"Bearer {token}"} if token else {})
        async with self.session.request(method, self.address + path, headers=sent) as response:
            return response.status, await response.json(content_type=None)

    @asynccontextmanager
    async def told(self, token: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """Messages of the stream."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.get(f"{self.address}/api/stream", headers=headers) as response:
            assert response.status == 200, await response.text()

            async def messages() -> AsyncIterator[tuple[str, Any]]:
                event = ""
                async for line in response.content:
                    text = line.decode().rstrip("\n")
                    if text.startswith("event: "):
                        event = text[7:]
                    elif text.startswith("data: "):
                        yield event, json.loads(text[6:])

            yield messages()


@asynccontextmanager
async def served(source: Any, access: Any) -> AsyncIterator[Site]:
    board = Board()
    page = Page(board, source, access)
    feed = asyncio.create_task(source.feed(board))
    async with Servers() as servers, aiohttp.ClientSession() as session:
        port = await servers.add_limited(page.application(), 0, None, LIMITS, "127.0.0.1")
        async with asyncio.timeout(20):
            await board.ready.wait()
        yield Site(f"http://127.0.0.1:{port}", session, source, board, page)
    feed.cancel()
    await asyncio.gather(feed, return_exceptions=True)


def body(name: str, namespace: str, **status: Any) -> dict[str, Any]:
    found = manifest(name, namespace)
    found["metadata"] |= {"uid": f"uid-{name}"}
    return found | {"status": running(**status).to_json()}
