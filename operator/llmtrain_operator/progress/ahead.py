"""Reports that reach an operator that stands by go on to the one that acts."""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol

import aiohttp
from aiohttp import web

from llmtrain_api.names import REPORT_PATH

from .tls import Authority

FORWARDED = "X-Llmtrain-Forwarded"
SECONDS = 5.0
MAX_IN_FLIGHT = 32
MAX_ANSWER_BYTES = 64 * 1024


class Leadership(Protocol):
    """Who acts."""

    @property
    def leads(self) -> bool:
        """Whether this operator does."""
        ...

    @property
    def leader_address(self) -> str:
        """Where the one that does takes reports; empty = not known."""
        ...


class Ahead:
    """Asks the leader, over TLS with the CA that all operators of an installation share.

    Args:
        leadership: who acts.
        authority: that CA.
        host: the name in the certificate of each of them.
    """

    def __init__(self, leadership: Leadership, authority: Authority, host: str) -> None:
        self._leadership, self._host = leadership, host
        self._tls = ssl.create_default_context(cadata=authority.certificate.decode())
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """No report is forwarded after this."""
        if self._session is not None:
            await self._session.close()

    async def forward(self, request: web.Request, body: bytes) -> tuple[int, str] | None:
        """The leader's answer, or 503; None where this operator is the leader."""
        if self._leadership.leads:
            return None
        address = self._leadership.leader_address
        if not address or FORWARDED in request.headers:
            return 503, "another operator takes over just now; report again"
        try:
            return await self._ask(address, request.headers["Authorization"], body)
        except (aiohttp.ClientError, TimeoutError) as error:
            return 503, f"the operator that acts cannot be reached: {error or type(error).__name__}"

    async def _ask(self, address: str, authorization: str, body: bytes) -> tuple[int, str]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS))
        headers = {"Authorization": authorization, "Content-Type": "application/json", FORWARDED: "1"}
        async with (
            self._slots,
            self._session.post(
                address + REPORT_PATH,
                data=body,
                headers=headers,
                ssl=self._tls,
                server_hostname=self._host,
                allow_redirects=False,
            ) as answer,
        ):
            if answer.status == 200:
                return 200, ""
            text = await answer.content.read(MAX_ANSWER_BYTES)
            return answer.status, text.decode(errors="replace")
