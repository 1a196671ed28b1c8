"""The queue of jobs to reconcile: once each, with timers and backoff."""

from __future__ import annotations

import asyncio

from llmtrain_operator.engine.workqueue import WorkQueue


async def test_queue_gives_a_key_once_and_again_if_woken_meanwhile() -> None:
    queue = WorkQueue()
    queue.add(("n", "a"))
    queue.add(("n", "a"))
    key = await queue.get()
    queue.add(key)
    assert len(queue) == 0, "not while it is worked on"
    queue.done(key)
    assert await asyncio.wait_for(queue.get(), 1) == key
    queue.done(key)
    assert len(queue) == 0


async def test_queue_keeps_the_earliest_timer() -> None:
    queue = WorkQueue()
    queue.add_after(("n", "a"), 0.0)
    queue.add_after(("n", "a"), 3600)
    assert await asyncio.wait_for(queue.get(), 5) == ("n", "a")


async def test_queue_backs_off_until_forgotten() -> None:
    queue = WorkQueue()
    delays = [queue.add_failed(("n", "a")) for _ in range(6)]
    assert delays[-1] > delays[0] * 8
    queue.forget(("n", "a"))
    assert queue.add_failed(("n", "a")) < delays[-1]
