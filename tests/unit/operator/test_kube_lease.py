"""One Lease, several operators: never two at a time, whatever stops them, and soon one again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from harness.simulation.quiet import silence
from harness.simulation.virtual import VirtualLoop

from llmtrain_operator.kube.api import ApiError, Object
from llmtrain_operator.kube.lease import ADDRESS, LEASES, Elector, Seat
from llmtrain_operator.local.memory_api import MemoryApi

WHERE = ("system", "operator")


def clock() -> datetime:
    return datetime(2026, 1, 2, tzinfo=UTC)


class Candidate:
    """One process. It may be stopped, as SIGSTOP does, and cut off from the API server."""

    def __init__(self, loop: VirtualLoop, memory: MemoryApi, name: str, rng: Random) -> None:
        self.loop, self.memory, self.rng, self.name = loop, memory, rng, name
        self.goes_on_at, self.away, self.writes = 0.0, False, 0
        seat = Seat(*WHERE, identity=name, address=f"https://{name}")
        self.elector = Elector(self, seat, loop.time)
        self.task: asyncio.Task[None] | None = None

    async def _reach(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.0, 0.2))
        await self.awake()
        if self.away:
            raise ApiError(0, "ConnectionLost", "away")

    async def awake(self) -> None:
        left = self.goes_on_at - self.loop.time()
        if left > 0:
            await asyncio.sleep(left)
            await self.awake()

    async def get(self, *words: str) -> Object:
        await self._reach()
        found = await self.memory.get(*words)
        await self.awake()
        return found

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        await self._reach()
        return await self._lossy(await self.memory.create(resource, namespace, body))

    async def replace(self, resource: str, namespace: str, name: str, body: Object) -> Object:
        await self._reach()
        return await self._lossy(await self.memory.replace(resource, namespace, name, body))

    async def _lossy(self, found: Object) -> Object:
        self.writes += 1
        if self.rng.random() < 0.1:
            raise ApiError(504, "Timeout", "the answer was lost")
        await asyncio.sleep(self.rng.uniform(0.0, 0.2))
        await self.awake()
        return found

    async def lives(self) -> None:
        while True:
            await self.elector.acquire()
            await self.elector.keep()

    def may_write(self) -> bool:
        """As it is asked before each write: a process that is stopped asks nothing."""
        return self.loop.time() >= self.goes_on_at and self.elector.leads


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    silence()
    made = VirtualLoop()
    yield made
    for task in asyncio.all_tasks(made):
        task.cancel()
    made.run_until_complete(asyncio.sleep(1.0))
    made.close()


def run(loop: VirtualLoop, seconds: float) -> None:
    loop.run_until_complete(asyncio.sleep(seconds))


def start(loop: VirtualLoop, memory: MemoryApi, *names: str, seed: int = 0) -> list[Candidate]:
    found = [Candidate(loop, memory, name, Random(f"{seed}{name}")) for name in names]
    for one in found:
        one.task = loop.create_task(one.lives())
    return found


def leaders(candidates: list[Candidate]) -> list[str]:
    return [one.name for one in candidates if one.may_write()]


@pytest.mark.parametrize("seed", range(30))
def test_two_never_act_and_soon_one_does(loop: VirtualLoop, seed: int) -> None:
    random.seed(seed)  # the elector's own jitter is drawn from it: a seed that fails fails again
    rng = Random(seed)
    candidates = start(loop, MemoryApi(clock), "a", "b", "c", seed=seed)
    terms = 0
    for _ in range(60):
        victim = rng.choice(candidates)
        victim.away = rng.random() < 0.3
        if rng.random() < 0.4:
            victim.goes_on_at = loop.time() + rng.choice([1.0, 5.0, 9.0, 30.0])
        for _ in range(rng.randint(1, 60)):
            run(loop, 0.25)
            assert len(leaders(candidates)) <= 1, f"{leaders(candidates)} act at {loop.time()}"
            terms += bool(leaders(candidates))
    assert terms > 100, "most of the time one acts"
    for one in candidates:
        one.away, one.goes_on_at = False, 0.0
    # the longest stop, a Lease taken at its very end by one that is not told so, and as much again
    latest = loop.time() + 2 * (30.0 + Seat(*WHERE, identity="").seconds)
    while not leaders(candidates):
        assert loop.time() < latest, "all are well, and nobody leads"
        run(loop, 0.25)
    assert len(leaders(candidates)) == 1


def test_one_that_is_killed_is_followed_within_20_seconds(loop: VirtualLoop) -> None:
    candidates = start(loop, MemoryApi(clock), "a", "b")
    run(loop, 60.0)
    [name] = leaders(candidates)
    dead = next(one for one in candidates if one.name == name)
    other = next(one for one in candidates if one.name != name)
    assert dead.task is not None
    dead.task.cancel()
    killed = loop.time()
    while not other.may_write():
        run(loop, 0.1)
    assert 8.0 < loop.time() - killed < 18.0


def test_one_that_gives_it_back_is_followed_at_once(loop: VirtualLoop) -> None:
    candidates = start(loop, MemoryApi(clock), "a", "b")
    run(loop, 60.0)
    first = next(one for one in candidates if one.may_write())
    assert first.task is not None
    first.task.cancel()
    run(loop, 0.5)
    loop.run_until_complete(first.elector.release())
    assert not first.elector.leads
    run(loop, 5.0)
    assert leaders(candidates) == [one.name for one in candidates if one is not first]


def test_the_one_that_is_cut_off_stops_before_another_begins(loop: VirtualLoop) -> None:
    candidates = start(loop, MemoryApi(clock), "a", "b")
    run(loop, 60.0)
    first = next(one for one in candidates if one.may_write())
    first.away = True
    run(loop, 9.0)
    assert leaders(candidates) == []
    run(loop, 15.0)
    assert leaders(candidates) == [one.name for one in candidates if one is not first]


def test_it_goes_on_where_nobody_took_its_place(loop: VirtualLoop) -> None:
    [alone] = start(loop, MemoryApi(clock), "a")
    run(loop, 30.0)
    alone.away = True
    run(loop, 300.0)
    assert not alone.elector.leads
    alone.away = False
    run(loop, 5.0)
    assert alone.elector.leads


async def lease(**spec: Any) -> MemoryApi:
    memory = MemoryApi(clock)
    body = {"metadata": {"name": WHERE[1], "annotations": {ADDRESS: "https://there"}}, "spec": spec}
    await memory.create(LEASES, WHERE[0], body)
    return memory


def test_nobody_locks_the_operators_out(loop: VirtualLoop) -> None:
    memory = loop.run_until_complete(lease(holderIdentity="someone", leaseDurationSeconds=10**9))
    [alone] = start(loop, memory, "a")
    run(loop, 60.0)
    assert not alone.elector.leads
    assert alone.elector.leader_address == "https://there"
    run(loop, 90.0)
    assert alone.elector.leads


def test_the_lease_tells_who_acts(loop: VirtualLoop) -> None:
    memory = MemoryApi(clock)
    start(loop, memory, "a")
    run(loop, 30.0)
    found = memory.peek(LEASES, *WHERE)
    assert found is not None
    assert found["spec"]["holderIdentity"] == "a"
    assert found["spec"]["leaseTransitions"] == 1
    assert found["metadata"]["annotations"] == {ADDRESS: "https://a"}
