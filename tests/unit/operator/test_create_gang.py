"""How a gang's pods are created: few at first, many once it goes well, none beyond the first no."""

from __future__ import annotations

import asyncio

from harness.control import Control, eventually

from llmtrain_operator.engine.apply import MOST_AT_ONCE
from llmtrain_operator.kube.api import ApiError, Object
from llmtrain_operator.local.memory_api import MemoryApi


class Rounds(MemoryApi):
    """Answers all creates of pods that are under way together; from the one of a number on it says no."""

    def __init__(self, room: int = 10**9) -> None:
        super().__init__()
        self.room, self.made = room, 0
        self.sizes, self.under_way = list[int](), list[asyncio.Event]()

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        if resource != "pods":
            return await super().create(resource, namespace, body)
        due = asyncio.Event()
        self.under_way.append(due)
        await due.wait()
        if self.made >= self.room:
            raise ApiError(403, "Forbidden", "pods is forbidden: exceeded quota: few")
        self.made += 1
        return await super().create(resource, namespace, body)

    async def answer(self) -> None:
        """For ever: wait until no more come, then answer them."""
        while True:
            come = -1
            while come < len(self.under_way):
                come = len(self.under_way)
                await asyncio.sleep(0.002)
            if come:
                self.sizes.append(come)
            due, self.under_way = self.under_way, []
            for one in due:
                one.set()
            await asyncio.sleep(0.002)


async def created(api: Rounds, nodes: int) -> Control:
    control = Control(api)
    answers = asyncio.ensure_future(api.answer())
    async with control.up():
        await control.apply(nodes=nodes, training={"maxSteps": 5, "globalBatchSize": nodes})
        await eventually(
            "made, or told why not", lambda: api.made == nodes or control.status().get("waiting")
        )
    answers.cancel()
    return control


async def test_twice_as_many_at_once_with_each_round_that_goes_well() -> None:
    api = Rounds()
    await created(api, 400)
    assert api.sizes[:8] == [1, 2, 4, 8, 16, 32, MOST_AT_ONCE, MOST_AT_ONCE]
    assert sum(api.sizes) == 400


async def test_after_a_no_only_what_is_under_way_is_brought_to_its_end() -> None:
    api = Rounds(room=10)
    control = await created(api, 400)
    assert control.status()["waiting"]["reason"] == "QuotaExceeded"
    assert api.sizes[:4] == [1, 2, 4, 8]
