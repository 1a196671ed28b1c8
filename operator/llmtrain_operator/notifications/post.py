"""The only place that calls an address that a user named.

The host is resolved here, and what is connected to is an address that was checked; no redirect is followed,
no answer is read beyond its head, and every step has an end. Nothing that is said of a call names its URL.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from llmtrain_api import target_of

from ..egress import Egress
from ..types import Outcome
from .body import Body

SECONDS = 10.0
LOOKUPS = 32
PASSING = frozenset({408, 425, 429})
"""Of the answers 4xx those that ask for another try."""
MOVED = "it answers with a redirect, which is never followed; name the URL that it leads to"
Lookup = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host."""


class Answer(NamedTuple):
    """What became of one POST; why it did not arrive, without a word of the URL."""

    outcome: Outcome
    reason: str = ""


class Post(Protocol):
    """Posts to receivers."""

    async def send(self, url: str, body: Body, /) -> Answer:
        """One try. Never raises for what a receiver does."""
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...


class NotAllowed(OSError):
    """A host has an address that is not to be called."""


class Lookups:
    """Looks up hosts in threads of its own: a name server that hangs keeps nobody else waiting, such as the
    calls to the API server, whose names go through the loop's own threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="notify-lookup")

    async def __call__(self, host: str, port: int) -> list[str]:
        """All addresses of a host."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(info[4][0]) for info in found))

    def close(self) -> None:
        """Wait for none of them."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedResolver(AbstractResolver):
    """Gives the connector addresses that may be called, and none if one of them may not."""

    def __init__(self, egress: Egress, lookup: Lookup) -> None:
        self._egress, self._lookup = egress, lookup

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - both families are looked up
    ) -> list[ResolveResult]:
        """The checked addresses of a host.

        Raises:
            NotAllowed: one of them is not to be called.
            OSError: it has none.
        """
        addresses = await self._lookup(host, port)
        if not all(self._egress.may_be(host, port, address) for address in addresses):
            raise NotAllowed(
                "its host has a private or local address; only hosts among notifications.inside of the "
                "operator's chart may have such"
            )
        return [self._result(host, port, address) for address in addresses]

    @staticmethod
    def _result(host: str, port: int, address: str) -> ResolveResult:
        return ResolveResult(
            hostname=host,
            host=address,
            port=port,
            family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            proto=0,
            flags=socket.AI_NUMERICHOST,
        )

    async def close(self) -> None:
        """Nothing is open."""


class HttpPost:
    """POSTs over HTTP.

    Args:
        egress: who may be told.
        lookup: the addresses of a host.
        seconds: most that one try may take, from the first look-up to the head of the answer.
    """

    def __init__(self, egress: Egress, lookup: Lookup | None = None, seconds: float = SECONDS) -> None:
        self._egress = egress
        self._own = Lookups()
        self._resolver = CheckedResolver(egress, lookup or self._own)
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, body: Body) -> Answer:
        """One try."""
        target = target_of(url)
        if target is None:
            return Answer(Outcome.REFUSED, "its URL is none that may be called; use https://HOST/PATH")
        why = self._egress.refusal(target) or self._literal(target.host, target.port)
        if why is not None:
            return Answer(Outcome.REFUSED, why)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._post(url, body)
        except TimeoutError:
            return Answer(Outcome.FAILED, f"it did not answer within {self._seconds:g} s")
        except aiohttp.ClientError as error:
            return _no_answer(error)
        except (OSError, ValueError) as error:
            return Answer(Outcome.FAILED, f"it could not be called ({type(error).__name__})")

    def _literal(self, host: str, port: int) -> str | None:
        """Why a host that is an address itself may not be called: no resolver sees it."""
        try:
            may = self._egress.may_be(host, port, host)
        except ValueError:
            return None
        return None if may else "its host is a private or local address, which may not be called"

    async def _post(self, url: str, body: Body) -> Answer:
        response = await self._open().post(
            url, data=body.content, headers={"Content-Type": body.kind}, allow_redirects=False
        )
        # not a byte of what it says is read: whoever answers without end is left alone
        response.close()
        return _meaning(response.status)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            options: dict[str, Any] = {"use_dns_cache": False, "force_close": True, "limit": 0}
            connector = aiohttp.TCPConnector(
                resolver=self._resolver, ssl=ssl.create_default_context(), **options
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                # one limit holds for all of a try, look-ups included
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"User-Agent": "llmtrain-notifications"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """End what is under way."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._own.close()


def _meaning(status: int) -> Answer:
    """What an answer means for the next try."""
    if 200 <= status < 300:
        return Answer(Outcome.DELIVERED)
    if 300 <= status < 400:
        return Answer(Outcome.REFUSED, MOVED)
    outcome = Outcome.REFUSED if 400 <= status < 500 and status not in PASSING else Outcome.FAILED
    return Answer(outcome, f"it answers with status {status}")


def _no_answer(error: aiohttp.ClientError) -> Answer:
    """What a call without an answer means: its own text is left out, as it may name the URL."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    if isinstance(cause, NotAllowed):
        return Answer(Outcome.REFUSED, str(cause))
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Answer(Outcome.FAILED, "its certificate is not trusted")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Answer(Outcome.FAILED, "its host has no address")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Answer(Outcome.FAILED, "it could not be reached")
    return Answer(Outcome.FAILED, f"it gave no answer ({type(error).__name__})")
