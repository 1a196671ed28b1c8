"""The operator asks an API server that is busy for less at once, and for more again while it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from harness.control import eventually

from llmtrain_operator.kube.address import ClusterAddress
from llmtrain_operator.kube.api import ApiError
from llmtrain_operator.kube.http import MAX_IN_FLIGHT, HttpApi
from llmtrain_operator.kube.window import FIRST, LEAST, Window


async def a_round(window: Window, busy: bool = False) -> int:
    """As many calls as there is room for, all under way before the first is answered. Returns how many."""
    count = window.size
    for turn in [await window.__aenter__() for _ in range(count)]:
        if busy:
            window.busy(turn)
        else:
            window.answered()
        await window.__aexit__()
    return count


async def test_it_doubles_while_the_server_answers_up_to_the_most() -> None:
    window = Window(most=50)
    assert [await a_round(window) for _ in range(5)] == [FIRST, 2 * FIRST, 4 * FIRST, 50, 50]


async def test_a_busy_server_halves_it_once_a_round_and_it_grows_slowly_from_there() -> None:
    window = Window(most=64, first=64)
    assert [await a_round(window, busy=True) for _ in range(2)] == [64, 32]
    sizes = [await a_round(window) for _ in range(4)]
    assert sizes[0] == 16
    assert all(0 <= later - earlier <= 1 for earlier, later in pairwise(sizes)), sizes
    assert sizes[-1] > sizes[0]
    for _ in range(20):
        await a_round(window, busy=True)
    assert window.size == LEAST


async def test_who_waits_gets_a_slot_in_turn_and_who_gives_up_takes_none() -> None:
    window, began = Window(most=1), list[int]()
    leave = asyncio.Event()

    async def call(number: int) -> None:
        async with window:
            began.append(number)
            await leave.wait()

    tasks = [asyncio.ensure_future(call(number)) for number in range(4)]
    await eventually("the first has the slot", lambda: began == [0])
    tasks[1].cancel()
    leave.set()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    assert began == [0, 2, 3]


async def test_a_slot_that_was_handed_to_somebody_who_gave_up_is_not_lost() -> None:
    window = Window(most=1)
    await window.__aenter__()
    late = asyncio.ensure_future(window.__aenter__())
    await asyncio.sleep(0)
    await window.__aexit__()
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    await asyncio.wait_for(window.__aenter__(), 5)


class Server:
    """An API server that answers in rounds: all that is under way once no more comes. It says that it has too
    much to do to those of a round that are beyond what it takes."""

    def __init__(self, takes: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.takes, self.under_way = takes, list[asyncio.Future[bytes]]()
        self.api = HttpApi(ClusterAddress("http://nowhere", None))
        monkeypatch.setattr(self.api, "_once", self._once)

    async def _once(self, *_: object) -> bytes:
        call = asyncio.get_running_loop().create_future()
        self.under_way.append(call)
        return await call

    async def rounds(self, calls: int) -> tuple[list[int], Sequence[object]]:
        """So many reads at the same time. Returns how many were under way in each round, and the answers."""
        sizes = []
        reads = asyncio.gather(
            *(self.api.get("pods", "team", "x") for _ in range(calls)), return_exceptions=True
        )
        while not reads.done():
            come = -1
            while come < len(self.under_way):
                come = len(self.under_way)
                await asyncio.sleep(0.001)
            sizes.append(come)
            due, self.under_way = self.under_way, []
            for place, call in enumerate(due):
                if place < self.takes:
                    call.set_result(b"{}")
                else:
                    call.set_exception(ApiError(429, "TooManyRequests", "later", 0.0))
            await asyncio.sleep(0)
        return [size for size in sizes if size], await reads


async def test_calls_of_a_server_that_can_take_all_grow_from_few_to_the_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes, _ = await Server(10_000, monkeypatch).rounds(600)
    assert sizes[:5] == [FIRST, 2 * FIRST, 4 * FIRST, MAX_IN_FLIGHT, MAX_IN_FLIGHT]


async def test_a_server_that_is_busy_is_asked_for_less_and_answers_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the window 64 calls would come at once again and again, and many of them be given up."""
    sizes, answers = await Server(12, monkeypatch).rounds(600)
    assert not [answer for answer in answers if isinstance(answer, ApiError)]
    assert max(sizes[3:]) <= 16, "it has learnt what is taken"
