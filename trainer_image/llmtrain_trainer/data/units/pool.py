"""Runs units in several processes. What they make does not depend on how many there are."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Protocol

from llmtrain_api import JobFile
from llmtrain_api.schema.quantity import quantity

from ...cores import cores
from ...process import die_with_parent
from ..reading.reader import Progress
from .plan import Unit
from .work import done, make

Doing = tuple[Callable[[Any, Unit], object], Callable[[Any, Unit, Progress], None]]
"""Whether a unit is done, and what does it: functions that another process can import."""

WORTH = 32 << 20
"""Bytes of text below which processes take longer to start than they save."""
OWN_MEMORY, WORKER_MEMORY = 1 << 30, 320 << 20
"""Of the process that hands out units, and of each that makes them."""
EVERY = 1.0
"""Seconds between two looks at the progress."""

_shared: Any = None


class HasJob(Protocol):
    """What units are made for."""

    @property
    def job(self) -> JobFile:
        """Whose memory limits how many processes there are."""


class Stopped(Exception):
    """Another unit has failed."""


def workers_for(work: HasJob, units: list[Unit]) -> int:
    """Processes that make these units: as many as there are cores, and as fit into the memory."""
    if sum(unit.size for unit in units) < WORTH:
        return 1
    memory = int(quantity(work.job.spec.resources.memory))
    return max(1, min(cores(), len(units), (memory - OWN_MEMORY) // WORKER_MEMORY))


def make_units(
    work: HasJob,
    units: list[Unit],
    progress: Progress,
    workers: int | None = None,
    doing: Doing | None = None,
) -> None:
    """Make the units that are not there yet.

    Args:
        work: what they are made for.
        units: all of them.
        progress: told of bytes that are passed; those of units that are there at once.
        workers: processes; None for as many as are worth it.
        doing: what is done with each; None for its tokens.

    Raises:
        ConfigError: text that cannot be read.
        RuntimeError: a process was killed.
    """
    missing = []
    tokens: Doing = (done, make)
    is_done, do = doing or tokens
    for unit in units:
        if is_done(work, unit):
            progress(unit.size)
        else:
            missing.append(unit)
    count = workers_for(work, missing) if workers is None else min(workers, len(missing))
    if count <= 1:
        for unit in missing:
            do(work, unit, progress)
    else:
        _in_processes(work, missing, progress, count, do)


def _in_processes(
    work: HasJob,
    units: list[Unit],
    progress: Progress,
    count: int,
    do: Callable[[Any, Unit, Progress], None],
) -> None:
    context = get_context("spawn")
    passed, stop = context.Value("q", 0), context.Value("b", 0)
    told = 0

    def tell() -> None:
        nonlocal told
        now = passed.value
        progress(now - told)
        told = now

    with ProcessPoolExecutor(count, context, _begin, (passed, stop, os.getpid())) as pool:
        futures = [pool.submit(_make, do, work, unit) for unit in units]
        try:
            _watch(futures, tell)
        except BrokenProcessPool:
            raise RuntimeError(
                "a process that prepares data was killed, perhaps for its memory (resources.memory)"
            ) from None
        finally:
            stop.value = 1
            for future in futures:
                future.cancel()
    tell()


def _watch(futures: list[Future[None]], tell: Callable[[], None]) -> None:
    left = set(futures)
    while left:
        finished, left = wait(left, EVERY, FIRST_EXCEPTION)
        for future in finished:
            future.result()
        tell()


def _begin(passed: Any, stop: Any, parent: int) -> None:
    global _shared
    die_with_parent()
    if os.getppid() != parent:  # it ended before this process could ask to die with it
        os._exit(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _shared = passed, stop


def _make(do: Callable[[Any, Unit, Progress], None], work: HasJob, unit: Unit) -> None:
    passed, stop = _shared

    def progress(count: int) -> None:
        if stop.value:
            raise Stopped
        with passed.get_lock():
            passed.value += count

    do(work, unit, progress)
