"""A server on this machine that is told of jobs, and answers as it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """A server on a port of this machine.

    Attributes:
        heard: heads and bodies of the requests that came in.
        most: how many were open at the same time at most.
    """

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    now: int = 0
    most: int = 0

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/T0KEN?key=T0KEN"

    def bodies(self) -> list[Any]:
        """What was posted, read as JSON."""
        return [json.loads(one.partition(b"\r\n\r\n")[2]) for one in self.heard]


@asynccontextmanager
async def receiver(answer: bytes | Act = OK) -> AsyncIterator[Receiver]:
    """Answers each request in that way."""
    found = Receiver()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.now += 1
        found.most = max(found.most, found.now)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            found.heard.append(head + await reader.readexactly(length))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            found.now -= 1
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found
