"""Who does not hold the Lease any more sends no write, and one that is under way is broken off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from harness.control import eventually

from llmtrain_operator.engine import leading
from llmtrain_operator.kube.address import ClusterAddress
from llmtrain_operator.kube.api import ApiError, NotLeader
from llmtrain_operator.kube.http import HttpApi
from llmtrain_operator.kube.lease import Elector, Seat
from llmtrain_operator.local.memory_api import MemoryApi

POD = {"metadata": {"name": "x"}}


@asynccontextmanager
async def serving(seconds: float) -> AsyncIterator[tuple[HttpApi, list[str]]]:
    """An API server that answers so late, and what it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.method)
        await asyncio.sleep(seconds)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with HttpApi(ClusterAddress(f"http://127.0.0.1:{runner.addresses[0][1]}", None)) as api:
            yield api, asked
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("verb", ["create", "delete", "patch_status"])
async def test_nothing_is_written_without_the_lease(verb: str) -> None:
    calls: dict[str, tuple[Any, ...]] = {
        "create": ("pods", "default", POD),
        "delete": ("pods", "default", "x", "uid", 0),
        "patch_status": ("pods", "default", "x", {"status": {}}),
    }
    async with serving(0.0) as (api, asked):
        left = 10.0
        fenced = api.guarded(lambda: left)
        await getattr(fenced, verb)(*calls[verb])
        assert len(asked) == 1
        left = 0.0
        with pytest.raises(NotLeader):
            await getattr(fenced, verb)(*calls[verb])
        assert len(asked) == 1, "it is not sent, and not tried again"
        await fenced.get("pods", "default", "x")
        await fenced.list("pods", "default", "")
        assert asked[1:] == ["GET", "GET"], "who stands by reads"
        await getattr(api, verb)(*calls[verb])
        assert len(asked) == 4, "the Lease itself is not fenced by itself"


async def test_a_write_under_way_ends_with_the_lease() -> None:
    until = asyncio.get_running_loop().time() + 0.3
    async with serving(60.0) as (api, asked):
        fenced = api.guarded(lambda: until - asyncio.get_running_loop().time())
        with pytest.raises(ApiError) as caught:
            await asyncio.wait_for(fenced.create("pods", "default", POD), 20)
    assert caught.value.status == 0
    assert asked == ["POST"], "it is not sent again either"


def elector(memory: MemoryApi, name: str) -> Elector:
    return Elector(memory, Seat("system", "operator", name, seconds=0.9))


async def test_work_ends_before_the_lease_is_given_back() -> None:
    memory, told = MemoryApi(), []
    first, second = elector(memory, "a"), elector(memory, "b")

    async def work() -> None:
        told.append("begins")
        try:
            await asyncio.sleep(3600)
        finally:
            told.append(f"ends, leads: {first.leads}")

    task = asyncio.create_task(leading.lead(first, work))
    await eventually("it works", lambda: told)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["begins", "ends, leads: True"]
    found = memory.peek("leases", "system", "operator")
    assert found is not None
    assert found["spec"]["holderIdentity"] == ""
    await asyncio.wait_for(second.acquire(), 5)
    assert second.leads
    assert not first.leads


async def test_who_loses_it_ends_its_work_and_begins_anew_with_it() -> None:
    memory, begun = MemoryApi(), 0
    first = elector(memory, "a")

    async def work() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(3600)

    task = asyncio.create_task(leading.lead(first, work))
    await eventually("it works", lambda: begun)
    found = await memory.get("leases", "system", "operator")
    other = found["spec"] | {"holderIdentity": "b", "leaseDurationSeconds": 1}
    await memory.replace("leases", "system", "operator", {**found, "spec": other})
    await eventually("it works again", lambda: begun == 2)
    assert first.leads, "nobody renewed it, so it is ours again"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_leader_without_work_is_an_error() -> None:
    async def work() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await leading.lead(elector(MemoryApi(), "a"), work)
