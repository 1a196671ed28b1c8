"""A listener that strangers cannot fill: few connections at once, each with little time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import structlog

ACCEPT_PAUSE_SECONDS = 0.2
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener lends out.

    asyncio keeps about 0.4 MiB for a TLS connection, so ``connections`` bounds memory.

    Attributes:
        connections: open at once. One more ends the oldest that has not brought its request yet.
        per_peer: of them from one address. One more is refused.
        request_seconds: for the handshake, and again for headers and body.
        answer_seconds: for all of a connection's life.
    """

    connections: int = 256
    per_peer: int = 16
    request_seconds: float = 5.0
    answer_seconds: float = 60.0


class Connection(asyncio.Protocol):
    """Passes all on to the HTTP protocol, and ends the connection when its time is over."""

    def __init__(self, inner: asyncio.Protocol, limits: Limits, closed: Callable[[], None]) -> None:
        self._inner = inner
        self._limits = limits
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self.served = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake, where there is one, is through."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        loop = asyncio.get_running_loop()
        for seconds in (self._limits.request_seconds, self._limits.answer_seconds):
            self._timers.append(loop.call_later(seconds, self.abort))
        self._inner.connection_made(transport)

    def request_is_in(self) -> None:
        """Headers and body were read: what takes time now is ours."""
        self.served = True
        self._timers[0].cancel()

    def abort(self) -> None:
        """End it without a word."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Some of the request."""
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The peer has no more to send."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """The peer reads slowly."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._inner.resume_writing()

    def connection_lost(self, reason: Exception | None) -> None:
        """It is over, whoever ended it."""
        for timer in self._timers:
            timer.cancel()
        self._closed()
        self._inner.connection_lost(reason)


def request_is_in(transport: asyncio.BaseTransport | None) -> None:
    """The request that came over this transport was read whole, if a `LimitedListener` took it."""
    protocol = transport.get_protocol() if isinstance(transport, asyncio.Transport) else None
    if isinstance(protocol, Connection):
        protocol.request_is_in()


@dataclass(slots=True)
class _Slot:
    peer: str
    raw: socket.socket
    connection: Connection
    task: asyncio.Task[None] | None = None
    begun: bool = False

    def end(self) -> None:
        """At whatever stage it is."""
        self.connection.abort()
        if not self.begun:
            self.raw.close()
        if self.task is not None:
            self.task.cancel()


class LimitedListener:
    """Accepts TCP connections itself: a refused one costs a file descriptor for a moment, no buffers."""

    def __init__(
        self, new_protocol: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None, limits: Limits
    ) -> None:
        self._new_protocol = new_protocol
        self._tls = tls
        self._limits = limits
        self._slots: dict[int, _Slot] = {}
        self._peers: Counter[str] = Counter()
        self._numbers = 0
        self._sockets: list[socket.socket] = []
        self._loops: list[asyncio.Task[None]] = []

    @property
    def open(self) -> int:
        """Connections at this moment."""
        return len(self._slots)

    async def start(self, port: int, host: str | None = None) -> int:
        """Listen. Returns the port, which 0 leaves to the system."""
        self._sockets = [_listen(host, port)]
        for listening in self._sockets:
            self._loops.append(asyncio.create_task(self._accept(listening)))
        return int(self._sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End every connection and stop listening."""
        tasks = self._loops + [slot.task for slot in self._slots.values() if slot.task is not None]
        for slot in list(self._slots.values()):
            slot.end()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listening in self._sockets:
            listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                raw, address = await loop.sock_accept(listening)
            except OSError as error:
                # of this one connection, or of a machine that has no more files: the next may do
                log.warning("accept-failed", reason=str(error))
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            self._admit(raw, str(address[0]))

    def _admit(self, raw: socket.socket, peer: str) -> None:
        if self._peers[peer] >= self._limits.per_peer or not self._make_room():
            raw.close()
            return
        number = self._numbers = self._numbers + 1
        connection = Connection(self._new_protocol(), self._limits, lambda: self._release(number))
        slot = self._slots[number] = _Slot(peer, raw, connection)
        self._peers[peer] += 1
        slot.task = asyncio.create_task(self._serve(number, slot))

    def _make_room(self) -> bool:
        """Whether there is a place: the oldest connection that has brought nothing yet gives up its own."""
        if len(self._slots) < self._limits.connections:
            return True
        for number, slot in self._slots.items():
            if not slot.connection.served:
                slot.end()
                self._release(number)
                return True
        return False

    async def _serve(self, number: int, slot: _Slot) -> None:
        """The handshake; after it the protocol goes on by itself."""
        seconds = self._limits.request_seconds
        slot.begun = True
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: slot.connection,
                slot.raw,
                ssl=self._tls,
                ssl_handshake_timeout=seconds if self._tls else None,
                ssl_shutdown_timeout=seconds if self._tls else None,
            )
        except (OSError, TimeoutError):
            # a stranger's failed handshake is no news
            self._release(number)

    def _release(self, number: int) -> None:
        slot = self._slots.pop(number, None)
        if slot is not None:
            self._peers[slot.peer] -= 1
            if self._peers[slot.peer] <= 0:
                del self._peers[slot.peer]


def _listen(host: str | None, port: int) -> socket.socket:
    """On every address of both families where there are two, or on one address."""
    if host is None and socket.has_dualstack_ipv6():
        try:
            found = socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128
            )
        except OSError:
            found = socket.create_server(("", port), backlog=128)
    else:
        found = socket.create_server((host or "", port), backlog=128)
    found.setblocking(False)
    return found
