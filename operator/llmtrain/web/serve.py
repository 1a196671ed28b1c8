"""The page as a process: for the users of a cluster, or for one person on their own machine."""

from __future__ import annotations

import asyncio
import secrets
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from llmtrain_operator.listener import Limits
from llmtrain_operator.serve import Servers, background

from ..cluster import ApiServer
from .access import Access, OneToken, Reviewed
from .board import Board
from .server import Page
from .sources import ClusterSource, LocalSource, Source

LOOPBACK = "127.0.0.1"
LIMITS = Limits(connections=512, per_peer=512, request_seconds=10.0, answer_seconds=3600.0)
"""Behind a proxy all users are one address. A stream that ends after an hour is taken up again."""
Ended = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class ClusterPage:
    """How a cluster's page is served.

    Attributes:
        port: of HTTP, or of HTTPS where there is a certificate.
        namespace: that is watched; empty: all of them.
        certificate: PEM file; None: plain HTTP, for who ends TLS before it.
        key: of the certificate.
    """

    port: int
    namespace: str
    certificate: Path | None = None
    key: Path | None = None


async def serve_cluster(asked: ClusterPage) -> None:
    """Serve until a signal comes."""
    from llmtrain_operator.kube.address import find_cluster
    from llmtrain_operator.kube.http import HttpApi

    tls = None
    if asked.certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(asked.certificate, asked.key)
    server = await asyncio.to_thread(ApiServer)
    async with HttpApi(await find_cluster()) as api:
        source = ClusterSource(api, server, asked.namespace)
        await _serve(source, Reviewed(api), None, asked.port, tls, signalled, lambda _: None)


async def serve_local(runs: Path, port: int, ended: Ended, told: Callable[[str], None]) -> None:
    """Serve one person's runs on loopback.

    Args:
        runs: folder of claims.
        port: 0: any that is free.
        ended: comes back when the page is to end.
        told: gets the address, with the token that opens it.
    """
    token = secrets.token_urlsafe(32)

    def address(found: int) -> None:
        # behind the #: a browser sends that to nobody, and no log has it
        told(f"http://{LOOPBACK}:{found}/#token={token}")

    await _serve(LocalSource(runs), OneToken(token), LOOPBACK, port, None, ended, address)


async def _serve(
    source: Source,
    access: Access,
    host: str | None,
    port: int,
    tls: ssl.SSLContext | None,
    ended: Ended,
    told: Callable[[int], None],
) -> None:
    board = Board()
    page = Page(board, source, access)
    async with Servers() as servers:
        told(await servers.add_limited(page.application(), port, tls, LIMITS, host))
        async with background(source.feed(board)) as failed:
            waits = [asyncio.ensure_future(ended()), asyncio.ensure_future(failed.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for one in waits:
                one.cancel()


async def signalled() -> None:
    """Until SIGTERM or SIGINT comes."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def parent_gone() -> None:
    """Until whoever holds the other end of standard input is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
