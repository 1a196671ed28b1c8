"""What the garbage collector is spared, and until when."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from itertools import pairwise

import pytest

from llmtrain_operator import heap


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


async def test_what_first_looks_leave_is_spared_and_what_comes_later_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heap, "SECONDS_BETWEEN", 0.0)
    kept: list[object] = []
    spared: list[int] = []

    def left() -> int:
        spared.append(gc.get_freeze_count())
        kept.append([[] for _ in range(1000)])
        return 4 - len(spared)

    async with asyncio.timeout(30):
        await heap.spare_first_looks(left)
    ended = gc.get_freeze_count()
    assert [later - sooner >= 1000 for sooner, later in pairwise([*spared, ended])] == [True] * 4
    kept.append([[] for _ in range(1000)])
    await asyncio.sleep(0)
    assert gc.get_freeze_count() <= ended


async def test_a_queue_that_is_never_empty_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "SECONDS_BETWEEN", 0.0)
    async with asyncio.timeout(30):
        await heap.spare_first_looks(lambda: 1)
