"""Strangers may hold few connections open, each for a short time, and workers still get through."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from llmtrain_operator import health
from llmtrain_operator.kube.reflector import PodReflector
from llmtrain_operator.listener import Limits, request_is_in
from llmtrain_operator.metrics import OperatorMetrics
from llmtrain_operator.progress.tls import Authority, new_authority, server_context
from llmtrain_operator.serve import Servers

FLOOD = 1_500
ROOT = Path(__file__).resolve().parents[3]
SMALL = Limits(connections=6, per_peer=3, request_seconds=1.5, answer_seconds=30.0)
SERVER = """
import asyncio, json, sys
from datetime import UTC, datetime
from aiohttp import web
from llmtrain_operator.listener import Limits, request_is_in
from llmtrain_operator.progress.tls import Authority, server_context
from llmtrain_operator.serve import Servers

async def answer(request):
    await request.read()
    request_is_in(request.transport)
    response = web.json_response({})
    response.force_close()
    return response

async def main():
    told = json.loads(sys.stdin.readline())
    app = web.Application()
    app.router.add_post("/", answer)
    tls = server_context(Authority(told["ca"].encode(), told["key"].encode()), ["localhost"])
    async with Servers() as servers:
        print(await servers.add_limited(app, 0, tls, Limits(**told["limits"]), host="127.0.0.1"), flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority(datetime.now(UTC))


@pytest.fixture
def client_tls(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.certificate.decode())


async def answer(request: web.Request) -> web.Response:
    body = await request.read()
    request_is_in(request.transport)
    if body == b"slow":
        await asyncio.sleep(SMALL.request_seconds * 2)
    response = web.json_response({"got": len(body)})
    response.force_close()
    return response


@asynccontextmanager
async def serving(authority: Authority, limits: Limits) -> AsyncIterator[tuple[int, Servers]]:
    app = web.Application()
    app.router.add_post("/", answer)
    async with Servers() as servers:
        port = await servers.add_limited(
            app, 0, server_context(authority, ["localhost"]), limits, "127.0.0.1"
        )
        yield port, servers


async def ask(
    port: int, tls: ssl.SSLContext, body: bytes = b"{}", peer: str = "127.0.0.9", headers: bytes = b""
) -> bytes:
    """One whole request from an address. Returns the status line."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost", local_addr=(peer, 0)
    )
    try:
        length = str(len(body)).encode()
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length + b"\r\n" + headers)
        writer.write(b"\r\n" + body)
        return await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server has closed."""
    try:
        async with asyncio.timeout(20):
            return await reader.read(1) == b""
    except (OSError, ssl.SSLError):
        return True
    except TimeoutError:
        return False


async def test_a_peer_has_few_connections_and_others_are_served(
    authority: Authority, client_tls: ssl.SSLContext
) -> None:
    slow = Limits(connections=100, per_peer=3, request_seconds=30)
    async with serving(authority, slow) as (port, servers):
        idle = [
            await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(10)
        ]
        closed = [await asyncio.wait_for(ended(r), 10) for r, _ in idle[3:]]
        assert closed == [True] * 7
        assert servers._listeners[0].open == 3
        assert await ask(port, client_tls) == b"HTTP/1.1 200 OK\r\n"
        for _, writer in idle:
            writer.close()


@pytest.mark.parametrize(
    "half", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nab"]
)
async def test_a_request_that_does_not_come_ends_its_connection(
    half: bytes, authority: Authority, client_tls: ssl.SSLContext
) -> None:
    async with serving(authority, SMALL) as (port, servers):
        began = time.monotonic()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_tls, server_hostname="localhost"
        )
        writer.write(half)
        assert await ended(reader)
        assert time.monotonic() - began >= SMALL.request_seconds * 0.9
        assert servers._listeners[0].open == 0
        writer.close()


async def test_a_handshake_that_does_not_come_ends_its_connection(authority: Authority) -> None:
    async with serving(authority, SMALL) as (port, servers):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await ended(reader)
        assert servers._listeners[0].open == 0
        writer.close()


async def test_a_slow_answer_of_ours_is_not_the_peers_fault(
    authority: Authority, client_tls: ssl.SSLContext
) -> None:
    async with serving(authority, SMALL) as (port, _):
        assert await ask(port, client_tls, b"slow") == b"HTTP/1.1 200 OK\r\n"


async def test_when_all_are_taken_the_oldest_that_brings_nothing_goes(
    authority: Authority, client_tls: ssl.SSLContext
) -> None:
    slow = Limits(connections=4, per_peer=2, request_seconds=30)
    async with serving(authority, slow) as (port, servers):
        idle = [
            await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{n // 2 + 2}", 0))
            for n in range(8)
        ]
        assert await ask(port, client_tls) == b"HTTP/1.1 200 OK\r\n"
        assert servers._listeners[0].open <= 4
        for _, writer in idle:
            writer.close()


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EMFILE])
async def test_an_accept_that_fails_is_not_the_last(
    number: int, authority: Authority, client_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    accept, failed = loop.sock_accept, asyncio.Event()

    async def failing_once(listening: socket.socket) -> tuple[socket.socket, object]:
        if not failed.is_set():
            failed.set()
            raise OSError(number, os.strerror(number))
        return await accept(listening)

    monkeypatch.setattr(loop, "sock_accept", failing_once)
    async with serving(authority, SMALL) as (port, _):
        await failed.wait()
        async with asyncio.timeout(10):
            assert await ask(port, client_tls) == b"HTTP/1.1 200 OK\r\n"


async def test_health_and_metrics_are_answered_while_strangers_hold_all_they_may() -> None:
    app = health.application(cast("PodReflector", None), cast("OperatorMetrics", None))
    limits = Limits(connections=4, per_peer=4, request_seconds=30)
    async with Servers() as servers:
        port = await servers.add_limited(app, 0, None, limits, "127.0.0.1")
        idle = [
            await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(20)
        ]
        for _ in range(6):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await asyncio.wait_for(reader.readline(), 10) == b"HTTP/1.1 200 OK\r\n"
            async with asyncio.timeout(10):
                assert await reader.read(), "the answer, up to the end of its connection"
            writer.close()
        assert servers._listeners[0].open <= limits.connections
        for _, writer in idle:
            writer.close()


def rss_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("peers", [1, 250])
async def test_a_flood_of_idle_connections_costs_bounded_memory(
    peers: int, authority: Authority, client_tls: ssl.SSLContext
) -> None:
    """Without limits 1,500 of them cost about 600 MiB."""
    limits = {"connections": 64, "per_peer": 8, "request_seconds": 20.0}
    told = {"ca": authority.certificate.decode(), "key": authority.key.decode(), "limits": limits}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={"PYTHONPATH": f"{ROOT}/crds:{ROOT}/operator"},
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(told).encode() + b"\n")
    port = int(await child.stdout.readline())
    assert await ask(port, client_tls) == b"HTTP/1.1 200 OK\r\n"
    before = rss_mib(child.pid)

    async def idle(n: int) -> asyncio.StreamWriter | None:
        peer = f"127.0.1.{n % peers + 1}"
        try:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_tls, server_hostname="localhost", local_addr=(peer, 0)
            )
        except (OSError, ssl.SSLError):
            return None
        return writer

    writers: list[asyncio.StreamWriter | None] = []
    for first in range(0, FLOOD, 50):
        writers += await asyncio.gather(*(idle(n) for n in range(first, first + 50)))
    grown = rss_mib(child.pid) - before
    assert grown < 64 * 0.42 + 40, f"{grown:.0f} MiB more"
    assert await ask(port, client_tls) == b"HTTP/1.1 200 OK\r\n", "a worker still gets through"
    for writer in writers:
        if writer is not None:
            writer.transport.abort()
    child.stdin.write(b"\n")
    await asyncio.wait_for(child.wait(), 20)
