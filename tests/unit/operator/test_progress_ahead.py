"""A report that reaches an operator that stands by is taken by the one that acts, or refused; never lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from harness.control import Control, eventually

from llmtrain_api.names import REPORT_PATH
from llmtrain_operator.local.kubelet.tokens import PodTokens
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.progress.ahead import FORWARDED, Ahead
from llmtrain_operator.progress.auth import PodIdentity
from llmtrain_operator.progress.server import ReportServer
from llmtrain_operator.progress.tls import new_authority, server_context
from llmtrain_operator.serve import Servers

HOST = "operator.system.svc"
GANG = ("tiny-0-0", "tiny-0-1")


@dataclass
class Role:
    leads: bool = False
    leader_address: str = ""


@dataclass
class Pair:
    """A leader behind TLS and one that stands by, which see the same pods."""

    control: Control
    tokens: PodTokens
    uid: str
    standby: Any
    role: Role

    async def report(self, step: int, token: str | None = None, **headers: str) -> int:
        found = self.control.pods()["tiny-0-0"]["metadata"]["uid"]
        token = token or self.tokens.issue(PodIdentity("default", "tiny-0-0", found))
        body = {"jobUid": self.uid, "attempt": 0, "stage": "train", "step": step}
        headers["Authorization"] = f"Bearer {token}"
        answer = await self.standby.post(REPORT_PATH, json=body, headers=headers)
        return int(answer.status)


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    authority, tokens, role = new_authority(datetime.now(UTC)), PodTokens(), Role()
    async with Control(MemoryApi()).up() as control, Servers() as servers:
        uid = await control.apply()
        await control.bring_up(*GANG)

        def server(ahead: Ahead) -> ReportServer:
            known = control.store, control.book, control.jobs.exists
            return ReportServer(tokens, *known, control.wake, lambda _: None, ahead.forward)

        leader = Ahead(Role(leads=True), authority, HOST)
        port = await servers.add_limited(
            server(leader).application(), 0, server_context(authority, [HOST]), host="127.0.0.1"
        )
        role.leader_address = f"https://127.0.0.1:{port}"
        ahead = Ahead(role, authority, HOST)
        servers.closes(ahead.close)
        async with TestClient(TestServer(server(ahead).application())) as client:
            yield Pair(control, tokens, uid, client, role)


async def test_the_leader_takes_it() -> None:
    async with pair() as found:
        assert await found.report(5) == 200
        await eventually("it is told", lambda: found.control.status().get("progress"))
        assert found.control.status()["progress"]["step"] == 5


async def test_the_leaders_no_is_passed_on() -> None:
    async with pair() as found:
        found.uid = "another"
        assert await found.report(5) == 403


async def test_strangers_do_not_reach_the_leader() -> None:
    async with pair() as found:
        found.role.leader_address = "https://127.0.0.1:1"
        assert await found.report(5, token="forged") == 401


@pytest.mark.parametrize("address", ["", "https://127.0.0.1:1", "http://127.0.0.1:1"])
async def test_without_a_leader_it_is_refused_and_comes_again(address: str) -> None:
    async with pair() as found:
        found.role.leader_address = address
        assert await found.report(5) == 503
        assert "progress" not in found.control.status()
        found.role.leads = True
        assert await found.report(6) == 200


async def test_it_goes_on_once_at_most() -> None:
    async with pair() as found:
        assert await found.report(5, **{FORWARDED: "1"}) == 503


async def test_a_server_with_another_ca_gets_no_token() -> None:
    """Whoever has the leader's address by now is not the leader."""
    async with pair() as found:
        other = new_authority(datetime.now(UTC))
        ahead = Ahead(found.role, other, HOST)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ahead._ask(found.role.leader_address, "Bearer x", b"{}")
        await ahead.close()
