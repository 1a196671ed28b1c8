"""Acting only while the Lease is ours. Whoever waits keeps its caches true, and takes no step on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import structlog

from ..kube.api import ApiError
from ..kube.jobs import JobStore
from ..kube.lease import Elector
from ..kube.reflector import Reflector
from .workqueue import WorkQueue

RETRY_SECONDS = 1.0
log = structlog.get_logger()


async def lead(elector: Elector, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Work whenever the Lease is ours, until cancelled; then it is given back.

    A process that loses it ends its work and waits for it again: its servers and caches stay.

    Args:
        elector: who may write.
        work: what a leader does, until cancelled; made anew each time.

    Raises:
        Exception: what ended the work, which never ends by itself.
    """
    try:
        while True:
            await elector.acquire()
            working, kept = asyncio.ensure_future(work()), asyncio.ensure_future(elector.keep())
            try:
                await asyncio.wait({working, kept}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _end(working, kept)
            if not working.cancelled():
                working.result()
                raise RuntimeError("the work of a leader ended")
    finally:
        await elector.release()


async def take_over(reflectors: Iterable[Reflector[Any]], jobs: JobStore, queue: WorkQueue) -> None:
    """Know what the leader before has done, to its last write; then look at every job.

    What a watch has told may be seconds old, and another attempt may have begun since: so everything is
    listed once more, now that nobody else writes.
    """
    for reflector in reflectors:
        while True:
            try:
                await reflector.list_again()
                break
            except (ApiError, ValueError) as error:
                log.warning("not-taken-over-yet", reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)
    for key in jobs:
        queue.add(key)


async def _end(*tasks: asyncio.Future[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
