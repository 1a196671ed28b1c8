"""What many open pages cost: ``python -m bench.page [--jobs 2000] [--pages 300] [--rounds 3]``.

One process serves the page of that many jobs, some of which change each second; another holds the pages open;
a third is the operator's engine, which decides on as many reports of as many jobs (`bench.decisions`). In
turns without pages and with them, a new page is opened again and again: how long until it shows all jobs, how
late a change is told, and how long each decision of the operator takes beside that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from llmtrain.web.access import Reviewed
from llmtrain.web.board import Board
from llmtrain.web.serve import LIMITS
from llmtrain.web.server import Page
from llmtrain_operator.serve import Servers

from .decisions import decide

NAMESPACES = 25
MESSAGE_BYTES = 2**23
"""Of one message of the stream: all jobs are one."""
STAMP = "tokensPerSecond"
"""The field of a job's row in which the server writes when it made the change."""


class Everybody:
    """An API server that knows every token, and lets its holder see all namespaces."""

    async def create_review(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("tokenreviews"):
            return {"status": {"authenticated": True, "user": {"username": body["spec"]["token"]}}}
        return {"status": {"allowed": True}}


def job_of(number: int, step: int, stamp: float) -> dict[str, Any]:
    """A job that runs."""
    name = f"job-{number}"
    progress = {"step": step, "totalSteps": 10_000, "loss": 3.0, STAMP: stamp, "stage": "train"}
    return {
        "metadata": {"name": name, "namespace": f"team-{number % NAMESPACES}", "uid": f"uid-{number}"},
        "spec": {"model": {"name": "Qwen/Qwen2.5-7B"}, "nodes": 4, "gpusPerNode": 8},
        "status": {"phase": "Running", "attempt": 0, "progress": progress},
    }


class Fleet:
    """The page's source: jobs in memory."""

    name = "cluster"

    def __init__(self, jobs: int, changes: float) -> None:
        self.jobs, self.changes = jobs, changes

    async def feed(self, board: Board) -> None:
        """All jobs, then so many changes a second."""
        for number in range(self.jobs):
            board.put(job_of(number, 0, 0.0))
        board.ready.set()
        turn = 0
        while True:
            await asyncio.sleep(1 / self.changes)
            turn += 1
            board.put(job_of(turn % self.jobs, turn, time.monotonic()))

    def backend(self, user: object) -> Any:
        raise NotImplementedError

    def rows(self, entry: object) -> list[Any]:  # noqa: ARG002
        return []


def serve(jobs: int, changes: float, told: Any) -> None:
    """The server's process: its port, then each time it is asked its CPU seconds and its memory."""

    async def run() -> None:
        board, source = Board(), Fleet(jobs, changes)
        page = Page(board, source, Reviewed(Everybody()))
        async with Servers() as servers:
            told.send(await servers.add_limited(page.application(), 0, None, LIMITS, "127.0.0.1"))
            feed = asyncio.create_task(source.feed(board))
            while await asyncio.to_thread(told.recv):
                used = resource.getrusage(resource.RUSAGE_SELF)
                told.send((used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
            feed.cancel()

    asyncio.run(run())


async def first_view(address: str, token: str) -> float:
    """Seconds from nothing to all jobs: the page, its script and style, who one is, and the list."""
    began = time.monotonic()
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers, read_bufsize=MESSAGE_BYTES) as session:
        for path in ("/", "/app.js", "/app.css", "/api/me"):
            async with session.get(address + path) as response:
                await response.read()
        async with session.get(f"{address}/api/stream") as response:
            await response.content.readuntil(b"\n\n")
    return time.monotonic() - began


async def stay(session: aiohttp.ClientSession, address: str, user: int, late: list[float]) -> None:
    """An open page, which notes how late changes are told."""
    headers = {"Authorization": f"Bearer user-{user}"}
    async with session.get(f"{address}/api/stream", headers=headers) as response:
        await response.content.readuntil(b"\n\n")
        async for line in response.content:
            if line.startswith(b"data: {"):
                stamp = json.loads(line[6:])[STAMP]
                late.append(time.monotonic() - stamp)


def hold(pages: int, address: str, told: Any) -> None:
    """The process that keeps pages open: when it is asked, how late they were told of changes since then.

    Browsers are on other machines, so here it has what the others leave.
    """
    os.nice(19)

    async def run() -> None:
        late: list[float] = []
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, read_bufsize=MESSAGE_BYTES
        ) as session:
            tasks = [asyncio.create_task(stay(session, address, one // 12, late)) for one in range(pages)]
            while await asyncio.to_thread(told.recv):
                found, late[:] = list(late), []
                told.send((found, sum(task.done() for task in tasks)))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


@dataclass
class Taken:
    """What was measured with so many pages open."""

    pages: int
    first: list[float]
    late: list[float]
    cpu: float
    memory: float
    decisions: list[tuple[float, float]]


async def measure(address: str, server: Process, decisions: Process, pages: int, seconds: float) -> Taken:
    """Open pages, then look for so long."""
    holder = Process(hold, pages, address)
    await asyncio.sleep(3 + pages / 50)
    holder.ask()
    decisions.ask()
    before, began = server.ask()[0], time.monotonic()
    first: list[float] = []
    while time.monotonic() - began < seconds:
        first.append(await first_view(address, f"guest-{len(first) % 20}"))
        await asyncio.sleep(0.2)
    after, memory = server.ask()
    took = decisions.ask()
    late, lost = holder.ask()
    holder.end()
    if lost:
        raise SystemExit(f"{lost} of {pages} pages were dropped")
    return Taken(pages, first, late, (after - before) / (time.monotonic() - began), memory, took)


class Process:
    """A process of the bench that answers questions.

    Attributes:
        pipe: to it.
    """

    def __init__(self, run: Callable[..., None], *of: object) -> None:
        spawned = multiprocessing.get_context("spawn")
        self.pipe, there = spawned.Pipe()
        self._process = spawned.Process(target=run, args=(*of, there), daemon=True)
        self._process.start()

    def ask(self) -> Any:
        """What it has to say since it was asked last."""
        self.pipe.send(True)
        return self.pipe.recv()

    def end(self) -> None:
        """End it."""
        self.pipe.send(False)
        self._process.join(10)


def share(found: list[float], part: float) -> float:
    """A quantile; nothing where nothing was seen."""
    return statistics.quantiles(found, n=100)[round(100 * part) - 1] if len(found) > 1 else 0.0


def main() -> None:
    """Measure without pages and with them, and print both."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--jobs", type=int, default=2000, help="jobs on the board (default 2000)")
    words.add_argument("--pages", type=int, default=300, help="pages that stay open (default 300)")
    words.add_argument("--changes", type=float, default=20.0, help="changes a second (default 20)")
    words.add_argument("--seconds", type=float, default=20.0, help="of each measurement (default 20)")
    words.add_argument(
        "--rounds", type=int, default=3, help="without pages and with them, in turns (default 3)"
    )
    asked = words.parse_args()
    decisions = Process(decide, asked.jobs, asked.changes)
    decisions.pipe.recv()
    server = Process(serve, asked.jobs, asked.changes)
    address = f"http://127.0.0.1:{server.pipe.recv()}"
    print(f"{asked.jobs} jobs, {asked.changes:g} changes a second")
    print("pages  first view p50  p95   change told p50  p95   server: CPU  memory   a decision p50  p95")
    pairs = []
    for _ in range(asked.rounds):
        without, beside = (
            asyncio.run(measure(address, server, decisions, pages, asked.seconds))
            for pages in (0, asked.pages)
        )
        for got in (without, beside):
            print(line_of(got), flush=True)
        pairs.append((without, beside))
    print(f"p95 of a decision beside {asked.pages} pages to that without, the median of rounds:")
    for kind, name in enumerate(("by the clock", "CPU time")):
        ratios = [p95(beside, kind) / p95(without, kind) for without, beside in pairs]
        each = ", ".join(f"{one:.2f}" for one in ratios)
        print(f"  {name:12} {statistics.median(ratios):.2f} ({each})")
    for one in (server, decisions):
        one.end()


def p95(got: Taken, kind: int) -> float:
    """Of what decisions took by the clock (0) or of a processor (1)."""
    return share([both[kind] for both in got.decisions], 0.95)


def line_of(got: Taken) -> str:
    """A row of the table."""
    return (
        f"{got.pages:5}  {share(got.first, 0.5):10.3f} s {share(got.first, 0.95):5.3f} s"
        f"  {share(got.late, 0.5):11.3f} s {share(got.late, 0.95):5.3f} s"
        f"  {100 * got.cpu:9.0f} % {got.memory:5.0f} MB"
        f"  {1000 * share([took for took, _ in got.decisions], 0.5):11.2f} ms {1000 * p95(got, 0):5.2f} ms"
        f"  {1000 * p95(got, 1):5.2f} ms of CPU ({len(got.decisions)})"
    )


if __name__ == "__main__":
    main()
