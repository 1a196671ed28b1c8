"""Nothing keeps the loop for long: reports, probes and the Lease get their turn whatever there is to do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from harness.children import environment
from harness.control import Control, eventually

from llmtrain_operator.kube.decoding import AT_ONCE, decoded
from llmtrain_operator.local.memory_api import MemoryApi

TURN = "somebody else"
SPARED = """
import gc
from llmtrain_operator import __main__ as program

async def operate(settings):
    print(gc.get_freeze_count())

program.operate = operate
program.main()
"""


@asynccontextmanager
async def somebody_else(order: list[str]) -> AsyncGenerator[None]:
    """A task that notes each turn that it gets."""

    async def take_turns() -> None:
        while True:
            order.append(TURN)
            await asyncio.sleep(0)

    task = asyncio.ensure_future(take_turns())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_looks_at_jobs_that_need_no_answer_leave_others_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a start every job is looked at, and most of them have nothing to be asked or written."""
    order: list[str] = []

    async def look(key: tuple[str, str]) -> None:
        order.append(key[1])

    control = Control(MemoryApi())
    monkeypatch.setattr(control.reconciler, "reconcile", look)
    jobs = [f"job{number}" for number in range(50)]
    async with control.up(workers=1), somebody_else(order):
        for name in jobs:
            control.queue.add(("default", name))
        await eventually("all were looked at", lambda: set(jobs) <= set(order))
    looks = [place for place, what in enumerate(order) if what in jobs]
    assert all(later - earlier > 1 for earlier, later in pairwise(looks))


async def test_a_long_list_is_decoded_in_parts() -> None:
    order: list[str] = []

    def decode(raw: bytes) -> bytes | None:
        order.append("decoded")
        return None if raw == b"7" else raw

    raw = [str(number).encode() for number in range(10 * AT_ONCE + 1)]
    async with somebody_else(order):
        assert await decoded(decode, raw) == [one for one in raw if one != b"7"]
    parts = " ".join(order).split(TURN)
    assert max(part.count("decoded") for part in parts) == AT_ONCE


def test_what_was_imported_is_spared_by_the_garbage_collector() -> None:
    """A full collection goes through all that it sees, and the loop waits."""
    command = [sys.executable, "-c", SPARED, "--namespace=x", "--trainer-image=y"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50_000
