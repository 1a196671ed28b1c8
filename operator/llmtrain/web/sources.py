"""Where the page's jobs are: a cluster, or this machine's runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from llmtrain_api.names import PLURAL
from llmtrain_operator.kube.api import ApiError, ListWatch

from ..backend import Backend
from ..cluster import ApiServer
from ..errors import LlmtrainError
from ..kubernetes_backend import KubernetesBackend
from ..local_backend import LocalBackend
from ..values import Object
from .access import User
from .board import Board, Entry, Key
from .curves import Row, merged

POLL_SECONDS = 0.5
PAUSE_SECONDS = 5.0
log = structlog.get_logger()


class Source(Protocol):
    """Where jobs come from, and who acts on them.

    Attributes:
        name: ``cluster`` or ``local``.
    """

    name: str

    async def feed(self, board: Board) -> None:
        """Keep the board true, for ever."""
        ...

    def backend(self, user: User) -> Backend:
        """What reads and acts as that user. Its calls wait: they belong into a thread."""
        ...

    def rows(self, entry: Entry) -> Sequence[Row]:
        """A row a step of a job, as much as is known here. It may read files."""
        ...


class LocalSource:
    """Jobs that ``llmtrain run`` runs on this machine.

    Args:
        runs: folder of claims.
    """

    name = "local"

    def __init__(self, runs: Path) -> None:
        self._backend = LocalBackend(runs)

    async def feed(self, board: Board) -> None:
        """Look again and again: the jobs of one machine are few."""
        sizes: dict[Key, int] = {}
        while True:
            # a job that is deleted while it is read is not there the next time
            with suppress(LlmtrainError):
                found = await asyncio.to_thread(self._backend.jobs, None)
                board.replace(found, {_key(raw) for raw in found})
            for key, entry in board:
                size = await asyncio.to_thread(self._backend.curve_bytes, entry.job)
                if sizes.get(key) != size:
                    board.touch(key)
                sizes[key] = size
            await asyncio.sleep(POLL_SECONDS)

    def backend(self, user: User) -> Backend:  # noqa: ARG002
        """This machine, for whoever started the page."""
        return self._backend

    def rows(self, entry: Entry) -> Sequence[Row]:
        """All attempts of its output, stitched."""
        try:
            return merged(self._backend.metrics(entry.job), entry.seen.rows)
        except LlmtrainError:
            return entry.seen.rows


class ClusterSource:
    """Jobs of a cluster, by one watch as ourselves; all else is asked as the user.

    Args:
        api: the API server, as ourselves.
        server: the same, for the holders of tokens.
        namespace: that is watched; empty: all of them.
    """

    name = "cluster"

    def __init__(self, api: ListWatch, server: ApiServer, namespace: str) -> None:
        self._api, self._server, self._namespace = api, server, namespace

    async def feed(self, board: Board) -> None:
        """List, then watch; from the beginning again where a watch cannot go on."""
        while True:
            try:
                version = await self._list(board)
                while True:
                    version = await self._watch(board, version)
            except ApiError as error:
                if error.status != 410:
                    log.warning("watch-ended", status=error.status, reason=error.message)
                    await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.5, 1.0))

    async def _list(self, board: Board) -> str:
        listing = await self._api.list(PLURAL, self._namespace, "")
        keys = {_key(msgspec.json.decode(raw)) for raw in listing.items}
        board.replace(listing.items, keys)
        return listing.resource_version

    async def _watch(self, board: Board, version: str) -> str:
        """Until the stream ends; the version to go on from."""
        async for event in self._api.watch(PLURAL, self._namespace, "", version):
            found: Object = msgspec.json.decode(event.object)
            if event.kind == "ERROR":
                raise ApiError(int(found.get("code", 410)), "Expired", str(found.get("message", "")))
            version = found["metadata"]["resourceVersion"]
            if event.kind == "DELETED":
                board.remove(_key(found))
            elif event.kind in ("ADDED", "MODIFIED"):
                board.put(event.object)
        return version

    def backend(self, user: User) -> Backend:
        """The cluster with that user's own rights, and in its audit log under their name."""
        return KubernetesBackend(self._server.as_holder(user.token), self._namespace or None)

    def rows(self, entry: Entry) -> Sequence[Row]:
        """What was seen in the status since this process began: the output is not ours to read."""
        return entry.seen.rows


def _key(raw: dict[str, Any]) -> Key:
    meta = raw["metadata"]
    return meta.get("namespace", "default"), meta["name"]
