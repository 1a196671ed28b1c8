"""What the page asks for: jobs, one job, its curve and logs, comparisons, and what is done to a job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from llmtrain_api import Job
from llmtrain_operator.kube.api import ApiError
from llmtrain_operator.listener import request_is_in
from llmtrain_operator.progress.auth import Busy

from ..client import Client
from ..errors import LlmtrainError
from ..values import Event, LogRequest
from . import guards
from .access import Access, User, bearer
from .answers import alive, file, json_answer, later, number, status_of
from .board import Board, Entry, Key
from .curves import curve_of
from .guards import Refusal
from .sources import Source
from .stream import Streams
from .sweeps import drawn, sweep_page
from .views import compared, page_of

THREADS = 16
"""Calls that wait for the API server or a disk, at once."""
LOG_LINES, LOG_BYTES = 2000, 2_000_000
VERBS = {"suspend": "patch", "resume": "patch", "retry": "patch", "delete": "delete"}
"""What may be done to a job, with the verb of RBAC that it takes."""
NO_LOG = (404, 502)
SWEEP_POINTS = 300
"""Of the curve of one trial among many."""
PUBLIC = ("", "app.js", "app.css", "icon.svg")
T = TypeVar("T")


class Page:
    """The HTTP side.

    Args:
        board: jobs as they are.
        source: where they are, and who acts on them.
        access: who may see and do what.
    """

    def __init__(self, board: Board, source: Source, access: Access) -> None:
        self._board, self._source, self._access = board, source, access
        self.streams = Streams(board)
        self._threads = ThreadPoolExecutor(THREADS, "page")

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(
            client_max_size=4096, middlewares=[guards.guarded(loopback=not self._access.shared)]
        )
        app.on_response_prepare.append(guards.add_headers)
        for name in PUBLIC:
            app.router.add_get(f"/{name}", partial(file, name or "index.html"))
        app.router.add_get("/healthz", alive)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/api/me", self._me)
        app.router.add_get("/api/stream", self._stream)
        app.router.add_get("/api/compare", self._compare)
        app.router.add_get("/api/sweeps/{namespace}/{name}", self._sweep)
        job = "/api/jobs/{namespace}/{name}"
        app.router.add_get(job, self._job)
        app.router.add_get(f"{job}/curve", self._curve)
        app.router.add_get(f"{job}/logs", self._logs)
        app.router.add_post(f"{job}/{{action}}", self._act)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ready(self, _: web.Request) -> web.Response:
        known = self._board.ready.is_set()
        return web.Response(status=200 if known else 503, text="ok" if known else "no list of jobs yet")

    # -- who may see what ---------------------------------------------------------------------------------

    async def _user(self, request: web.Request) -> User:
        request_is_in(request.transport)
        token = bearer(request.headers.get("Authorization", ""))
        if token is None:
            raise Refusal(401, "this page needs your token")
        try:
            user = await self._access.user(token, request.remote or "")
        except (ApiError, Busy) as error:
            raise later(error) from None
        if user is None:
            raise Refusal(401, "that token is not valid, or not any more")
        return user

    async def _may(self, user: User, verb: str, namespace: str) -> bool:
        try:
            return await self._access.may(user, verb, namespace)
        except (ApiError, Busy) as error:
            raise later(error) from None

    async def _check(self, user: User, verb: str, namespace: str) -> None:
        """Raises `Refusal` where the user may not do that to the jobs of a namespace."""
        if not namespace or not await self._may(user, verb, namespace):
            raise Refusal(403, f"{user.name} may not {verb} llmtrainingjobs in namespace {namespace}")

    async def _namespaces(self, user: User) -> Callable[[str], bool]:
        """Whose jobs the user may list.

        Raises:
            Refusal: nobody's.
        """
        if await self._may(user, "list", ""):
            return lambda _: True
        found = sorted(self._board.namespaces)
        allowed = await asyncio.gather(*(self._may(user, "list", namespace) for namespace in found))
        seen = {namespace for namespace, may in zip(found, allowed, strict=True) if may}
        if not seen:
            raise Refusal(
                403,
                f"{user.name} may not list llmtrainingjobs in any namespace that has some: ask the cluster's "
                "admins for the role view in yours",
            )
        return lambda namespace: namespace in seen

    async def _entry(self, request: web.Request, user: User, verb: str = "get") -> tuple[Key, Entry]:
        """The job that a path names. Whether it is there is told only to those who may see it."""
        return await self._known(request.match_info["namespace"], request.match_info["name"], user, verb)

    async def _known(self, namespace: str, name: str, user: User, verb: str) -> tuple[Key, Entry]:
        await self._check(user, verb, namespace)
        entry = self._board.get((namespace, name))
        if entry is None:
            raise Refusal(404, f"there is no job {name} in namespace {namespace}")
        return (namespace, name), entry

    # -- what is told -------------------------------------------------------------------------------------

    async def _me(self, request: web.Request) -> web.Response:
        user = await self._user(request)
        await self._namespaces(user)
        return json_answer({"user": user.name, "source": self._source.name})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        name = (await self._user(request)).name

        async def seen() -> Callable[[str], bool]:
            return await self._namespaces(await self._user(request))

        return await self.streams.serve(request, name, seen)

    async def _job(self, request: web.Request) -> web.Response:
        user = await self._user(request)
        _, entry = await self._entry(request, user)
        job = entry.job
        events, note = await self._events(user, job)
        page = page_of(job, events, datetime.now(UTC))
        page["eventsNote"] = note
        page["actions"] = [
            action
            for action in page["actions"]
            if await self._may(user, VERBS[action], job.metadata.namespace)
        ]
        return json_answer(page)

    async def _events(self, user: User, job: Job) -> tuple[list[Event], str]:
        """Events, or why there are none: what else is known of the job is told in any case."""
        try:
            return await self._waits(self._source.backend(user).events, job), ""
        except Refusal as refusal:
            return [], refusal.message

    async def _curve(self, request: web.Request) -> web.Response:
        _, entry = await self._entry(request, await self._user(request))
        rows = await self._waits(self._source.rows, entry)
        return json_answer(await self._waits(curve_of, rows))

    async def _logs(self, request: web.Request) -> web.Response:
        user = await self._user(request)
        _, entry = await self._entry(request, user)
        asked = LogRequest(
            rank=number(request, "rank", None),
            attempt=number(request, "attempt", None),
            tail=max(1, min(number(request, "tail", LOG_LINES), LOG_LINES)),
        )
        try:
            return json_answer({"lines": await self._waits(self._lines, user, entry.job, asked), "note": ""})
        except Refusal as refusal:
            if refusal.status not in NO_LOG:
                raise
            # that there is none, or none yet, is an answer
            return json_answer({"lines": [], "note": refusal.message})

    def _lines(self, user: User, job: Job, asked: LogRequest) -> list[str]:
        """Not more than a browser can take, the newest kept."""
        lines = [line.text for line in self._source.backend(user).logs(job, asked)]
        kept, left = [], LOG_BYTES
        for line in reversed(lines):
            left -= len(line) + 1
            if left < 0:
                break
            kept.append(line)
        return kept[::-1]

    async def _compare(self, request: web.Request) -> web.Response:
        user = await self._user(request)
        found = []
        for side in ("a", "b"):
            namespace, _, name = request.query.get(side, "").partition("/")
            found.append((await self._known(namespace, name, user, "get"))[1])
        rows = [await self._waits(self._source.rows, entry) for entry in found]
        answer = await self._waits(compared, found[0].job, found[1].job)
        return json_answer({**answer, "curves": [curve_of(one) for one in rows]})

    async def _sweep(self, request: web.Request) -> web.Response:
        """Its object is read as the user; its jobs are those of the board."""
        user = await self._user(request)
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        await self._check(user, "get", namespace)
        found = await self._waits(self._source.backend(user).sweep, namespace, name)
        entries = {key[1]: entry for key, entry in self._board if key[0] == namespace and entry.sweep == name}
        answer = sweep_page(found, {job: entry.job for job, entry in entries.items()})
        curves = {job: await self._waits(self._short_curve, entries[job]) for job in drawn(answer)}
        return json_answer({**answer, "curves": curves})

    def _short_curve(self, entry: Entry) -> dict[str, Any]:
        return curve_of(self._source.rows(entry), SWEEP_POINTS)

    # -- what is done -------------------------------------------------------------------------------------

    async def _act(self, request: web.Request) -> web.Response:
        """As the user: the API server decides once more, and its audit log has their name."""
        user = await self._user(request)
        guards.check_action(request)
        action = request.match_info["action"]
        if action not in VERBS:
            raise Refusal(404, f"there is no action {action}: {', '.join(VERBS)} are")
        (namespace, name), _ = await self._entry(request, user, VERBS[action])
        client = Client(self._source.backend(user))
        calls: dict[str, Callable[..., object]] = {
            "suspend": client.suspend,
            "resume": client.resume,
            "retry": client.retry,
            "delete": client.delete_job,
        }
        await self._waits(partial(calls[action], name, namespace=namespace))
        return json_answer({})

    async def _waits(self, call: Callable[..., T], *arguments: object) -> T:
        """A call that waits, in a thread; its errors as refusals."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, partial(call, *arguments))
        except LlmtrainError as error:
            raise Refusal(status_of(error), str(error)) from None
